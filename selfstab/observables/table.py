"""Datasets of one dimension that show themselves as a table, in a terminal and in a notebook."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import xarray

from selfstab.notices import printable

_MOST_ROWS = 60


class Table(xarray.Dataset):  # type: ignore[no-untyped-call]  # xarray's __init_subclass__
    """A dataset along one dimension whose variables are the columns of a table.

    It is an xarray dataset in all else. ``xarray.Dataset(table.data_vars)`` shows itself as datasets do.

    Examples
    --------
    >>> Table({"overshoot": ("catapult", [1.01, 0.98]), "onset": ("catapult", [3, 90])})
      catapult    overshoot    onset
    ----------  -----------  -------
             0         1.01        3
             1         0.98       90
    """

    __slots__ = ()
    _columns: ClassVar[tuple[str, ...]] = ()
    """The variables shown; all of them if empty."""

    def __repr__(self) -> str:
        """Return the table as text, or what a dataset shows where it is none."""
        return self._shown("simple") or super().__repr__()

    def _repr_html_(self) -> str:
        """Return the table for a notebook, or what a dataset shows where it is none."""
        return self._shown("html") or super()._repr_html_()

    def _shown(self, form: str) -> str:
        """Return the table in a form of tabulate's, or nothing where there is more than one dimension, or none."""
        from tabulate import tabulate

        names = [name for name in self._columns if name in self.data_vars] or [*self.data_vars]
        if len(self.dims) != 1 or any(self[name].ndim != 1 for name in names):
            return ""
        ((dimension, count),) = self.sizes.items()
        at = np.arange(min(count, _MOST_ROWS))
        index = self[dimension].values if dimension in self.coords else np.arange(count)
        rows = [[_text(index[k]), *(_text(self[name].values[k]) for name in names)] for k in at]
        headers = [printable(str(name)) for name in (dimension, *names)]
        table = str(tabulate(rows, headers=headers, tablefmt=form))
        if count <= _MOST_ROWS:
            return table
        more = f"{count - _MOST_ROWS} more rows"
        return f"{table}<p>{more}</p>" if form == "html" else f"{table}\n{more}"


class Catapults(Table):  # type: ignore[no-untyped-call]
    """The catapults of a run, which show themselves as a table: :func:`selfstab.catapults` explains its columns."""

    __slots__ = ()
    _columns = ("onset", "crossing", "died", "relative_excess", "drop", "overshoot", "loss_spike")


def _text(value: Any) -> Any:
    """Return what a cell shows: numbers in six digits, words as they are."""
    if isinstance(value, (np.floating, float)):
        return "" if np.isnan(value) else float(f"{value:.6g}")
    return (
        value.item()
        if isinstance(value, np.generic) and not isinstance(value, np.str_)
        else printable(str(value))
    )
