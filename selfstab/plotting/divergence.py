"""Runs that diverged: what is drawn of them, and the mark where they leave the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab.plotting.look import THEORY_COLOUR
from selfstab.plotting.thresholds import largest
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

MOST: Final = 4.0
"""A diverged run is drawn up to this many times the larger of its first value and of its last threshold."""


def draw_until_divergence(
    ax: Axes, run: xarray.Dataset, at: Array, values: Array, thresholds: Array
) -> tuple[Array, Array]:
    """Mark where a diverged run leaves the picture, and return what is drawn of it; all of a run that did not.

    The last sharpnesses before a divergence are many times all others, and would leave these no room.

    Parameters
    ----------
    ax
        Where to draw.
    run
        With ``diverged_at``, the step of the divergence or −1.
    at, values
        The horizontal axis and what is drawn there, shape (n,).
    thresholds
        S* of the run, any shape.

    Returns
    -------
    at, values : ndarray
        Up to the first value that is too large.
    """
    diverged = int(run["diverged_at"]) if "diverged_at" in run and run["diverged_at"].size == 1 else -1
    bound = MOST * max(largest(values[:1]), largest(np.ravel(thresholds)[-1:]))
    too_large = np.flatnonzero(~(values <= bound))
    if diverged < 0 or bound <= 0.0 or not too_large.size or too_large[0] == 0:
        return at, values
    stop = int(too_large[0])
    ax.plot(at[stop - 1], values[stop - 1], "x", color=THEORY_COLOUR, markersize=5.0, zorder=3)
    ax.annotate(
        f"diverged at step {diverged}", (at[stop - 1], values[stop - 1]), xytext=(-4, 4),
        textcoords="offset points", ha="right", fontsize="small",
    )  # fmt: skip
    return at[:stop], values[:stop]
