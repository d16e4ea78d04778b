"""Outcomes in the key of several diagrams: those that a reader can see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfstab import phases

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

LEAST_SHARE: Final = 4e-4
"""Share of a diagram's cells below which an outcome is too rare to be seen in print."""


def leave_out_rare(ax: Axes, sweep: xarray.Dataset) -> None:
    """Take outcomes out of the key of a drawn diagram if they fill less than the least share of its cells."""
    for code, word in phases.LABELS.items():
        if float((sweep["phase"] == code).mean()) < LEAST_SHARE:
            for line in ax.lines:
                if line.get_label() == word:
                    line.set_label("_" + word)
