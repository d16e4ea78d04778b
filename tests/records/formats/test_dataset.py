"""Datasets of xarray: variables along one dimension are columns, single numbers hold for the whole run."""

from __future__ import annotations

import numpy as np
import xarray

from selfstab.records import formats
from selfstab.records.formats import Match
from selfstab.records.formats.dataset import Dataset, table_of_dataset

DATA = xarray.Dataset(
    {
        "loss": ("t", [3.0, 2.0]),
        "eigenvalue": ("record", [1, 2, 3]),
        "weights": (("t", "weight"), np.ones((2, 2))),
        "lr": ((), 0.25),
    },
    {"t": [0, 5], "weight": ["u", "v"], "member": "first"},
    {"lr": "a schedule", "optimizer": "SGD"},
)


def test_variables_are_sorted_by_their_number_of_dimensions():
    """Protects runs of ours: columns with their dimension, numbers before attributes of their name, no matrix."""
    table = table_of_dataset(DATA)
    assert {name: values.tolist() for name, values in table.columns.items()} == {
        "loss": [3.0, 2.0], "eigenvalue": [1, 2, 3], "t": [0, 5], "weight": ["u", "v"],
    }  # fmt: skip
    assert table.dimensions == {"loss": "t", "eigenvalue": "record", "t": "t", "weight": "weight"}
    assert table.attributes == {"lr": 0.25, "optimizer": "SGD", "member": "first"}


def test_a_dataset_is_known_before_a_mapping():
    """Protects datasets from the reader of mappings, which they are, too; one variable alone is no run."""
    assert formats.format_of(DATA).name == "xarray.Dataset"
    assert Dataset().match(DATA["loss"]) is Match.NONE
    assert Dataset().match(dict(DATA)) is Match.NONE
