"""Datasets of xarray, such as selfstab's own runs."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from selfstab.records.formats.base import Column, Format, Match, Table
from selfstab.records.formats.registry import register


@register
class Dataset(Format):
    """Datasets of xarray."""

    name = "xarray.Dataset"
    in_memory = True

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a dataset."""
        # Whoever has one has imported xarray.
        xarray = sys.modules.get("xarray")
        return Match.CERTAIN if xarray and isinstance(source, xarray.Dataset) else Match.NONE

    def read(self, source: Any, member: str = "") -> Table:
        """Return the variables of one dimension; those of none and the attributes hold for the whole run."""
        return table_of_dataset(source)


@register
class LoopRecorder(Format):
    """Recorders of training loops."""

    name = "selfstab.Recorder"
    in_memory = True

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a recorder."""
        # Whoever has one has imported its module, which is above this one.
        recorder = sys.modules.get("selfstab.records.recording.recorder")
        return Match.CERTAIN if recorder and isinstance(source, recorder.Recorder) else Match.NONE

    def read(self, source: Any, member: str = "") -> Table:
        """Return what was recorded so far."""
        return table_of_dataset(source.dataset())


def table_of_dataset(data: Any) -> Table:
    """Return the columns of a dataset, each along its own dimension.

    Parameters
    ----------
    data
        An xarray.Dataset.

    Returns
    -------
    Table
        Variables and coordinates of one dimension; as attributes those of none, and the dataset's own.
    """
    columns = {str(name): data[name] for name in data.variables if data[name].ndim == 1}
    scalars = {str(name): data[name].values[()] for name in data.variables if data[name].ndim == 0}
    return Table(
        {name: Column(variable.size, partial(_values, variable)) for name, variable in columns.items()},
        {str(name): value for name, value in data.attrs.items()} | scalars,
        dimensions={name: str(variable.dims[0]) for name, variable in columns.items()},
    )


def _values(variable: Any) -> Any:
    return variable.values
