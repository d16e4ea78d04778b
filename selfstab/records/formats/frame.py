"""Data frames of pandas."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from selfstab.notices import printable
from selfstab.records.columns.roles import ALIASES, key
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.frames import members_of_frame, run_of_frame


@register
class Frame(Format):
    """Data frames of pandas."""

    name = "pandas.DataFrame"
    in_memory = True

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a data frame."""
        # Whoever has one has imported pandas.
        pandas = sys.modules.get("pandas")
        return Match.CERTAIN if pandas and isinstance(source, pandas.DataFrame) else Match.NONE

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs, where a column says which one a row is of."""
        names = [str(name) for name in source.columns]
        return members_of_frame(names, lambda name: source.iloc[:, names.index(name)])

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a data frame, and its index if it counts steps."""
        frame, notes = run_of_frame(source, member)
        return Table(table_of_frame(frame).columns, notes=notes)


def table_of_frame(frame: Any) -> Table:
    """Return the columns of a data frame; its index is one if it is named like steps, or counts and no column does.

    Parameters
    ----------
    frame
        A pandas.DataFrame.

    Returns
    -------
    Table
        Columns by their own names.

    Raises
    ------
    ReadError
        If a name stands twice.
    """
    names = [str(name) for name in frame.columns]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ReadError(f"run must have each column once, got {printable(twice)} twice")
    columns = {name: frame.iloc[:, k].to_numpy() for k, name in enumerate(names)}
    index = frame.index
    if index.nlevels == 1 and key(index.name) in ALIASES["step"] and str(index.name) not in columns:
        columns[str(index.name)] = index.to_numpy()
    elif not any(key(name) in ALIASES["step"] for name in names) and index.dtype.kind in "iu":
        plain = np.array_equal(index.to_numpy(), np.arange(len(index)))
        columns |= {} if plain else {"step": index.to_numpy()}
    return Table(columns)
