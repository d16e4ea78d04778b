"""Quantities that are recorded apart, each with steps of its own, and the table that they make together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from selfstab.records.column_sizes import check_array
from selfstab.validation import Array

STEP: Final = "step"


def columns_of_series(series: Mapping[str, tuple[Array, Array]]) -> dict[str, Any]:
    """Return columns along the steps of all series, with NaN where a series has none.

    Parameters
    ----------
    series
        Steps and values of each quantity, as they were recorded.

    Returns
    -------
    dict
        "step" and a column for each series. Where steps of a series go back, as after a restart, the series stand one
        below another in the order of their records.

    Raises
    ------
    TooLarge
        If they would take more memory than they may.

    Examples
    --------
    >>> steps = np.arange(3.0)
    >>> columns = columns_of_series({"loss": (steps, 3 - steps), "sharpness": (steps[::2], 1 + steps[::2])})
    >>> columns["step"], columns["sharpness"]
    (array([0., 1., 2.]), array([ 1., nan,  3.]))
    """
    increasing = all((np.diff(steps) > 0).all() for steps, _ in series.values())
    every = [steps for steps, _ in series.values()]
    together = (
        np.unique(np.concatenate(every)) if increasing and every else np.concatenate(every or [np.empty(0)])
    )
    name = "step" if STEP not in series else "_step"
    columns: dict[str, Any] = {name: together}
    begin = 0
    for label, (steps, values) in series.items():
        check_array(label, together.shape, 8)
        column = np.full(together.size, np.nan)
        if increasing:
            column[np.searchsorted(together, steps)] = values
        else:
            column[begin : begin + steps.size] = values
            begin += steps.size
        columns[label] = column
    return columns
