"""Mappings of names to arrays, such as a dictionary of lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from selfstab import validation
from selfstab.notices import printable
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register


@register
class ArrayMapping(Format):
    """Mappings of names to arrays."""

    name = "mapping of arrays"
    in_memory = True

    def match(self, source: Any) -> Match:
        """Return POSSIBLE for a mapping: other libraries' tables are mappings, too."""
        return Match.POSSIBLE if isinstance(source, Mapping) else Match.NONE

    def read(self, source: Any, member: str = "") -> Table:
        """Return the arrays of one dimension; numbers hold for the whole run."""
        return table_of_mapping(source)


def table_of_mapping(arrays: Mapping[Any, Any]) -> Table:
    """Return the arrays of one dimension as columns and the numbers as attributes; others are passed over.

    Parameters
    ----------
    arrays
        Arrays, lists or numbers by name.

    Returns
    -------
    Table
        Columns by their own names.

    Raises
    ------
    ReadError
        If a value is no array.
    """
    columns, attributes = {}, {}
    for name, value in arrays.items():
        try:
            dimensions = np.ndim(value)
        except (TypeError, ValueError):
            raise ReadError(
                f"run's {printable(str(name))} must be an array, got {validation.shown(value)}"
            ) from None
        if dimensions == 0:
            attributes[str(name)] = value
        elif dimensions == 1:
            columns[str(name)] = value
    return Table(columns, attributes)
