"""Mappings of names to arrays: lists of one dimension are columns, numbers hold for the whole run."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from selfstab.records import formats
from selfstab.records.formats import ReadError
from selfstab.records.formats.mapping import table_of_mapping


def test_values_are_sorted_by_their_number_of_dimensions():
    """Protects dictionaries of whatever a loop has: lists and arrays are columns, and matrices are passed over."""
    table = table_of_mapping(
        {
            "loss": [3.0, None],
            1: np.arange(3),
            "lr": 0.25,
            "name": "run",
            "weights": np.ones((2, 2)),
            "none": None,
        }
    )
    assert {name: values.tolist() for name, values in table.columns.items()} == {
        "loss": [3.0, None],
        "1": [0, 1, 2],
    }
    assert table.attributes == {"lr": 0.25, "name": "run", "none": None}


def test_a_ragged_list_is_named():
    """Protects against NumPy's own words: the value that is no array is said."""
    with pytest.raises(ReadError, match=r"run's loss must be an array, got \[\[1.0\], 2.0\]"):
        table_of_mapping({"sharpness": [1.0, 2.0], "loss": [[1.0], 2.0]})


def test_any_mapping_is_read():
    """Protects mappings that are no dictionaries; pairs are none."""
    assert formats.format_of(MappingProxyType({"loss": [1.0]})).name == "mapping of arrays"
    with pytest.raises((TypeError, ValueError), match="run must be"):
        formats.format_of([("loss", [1.0])])
