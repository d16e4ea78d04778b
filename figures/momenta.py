"""The colour and the marker of each momentum, alike in all figures that compare several."""

from typing import Any, Final

from selfstab.plotting import methods

COLOURS: Final = methods.MOMENTUM_COLOURS

MARKERS: Final = {0.0: "o", 0.5: "s", 0.7: "p", 0.8: "^", 0.9: "D", 0.95: "v", 0.99: "P"}

SIZES: Final = {0.0: 6.5, 0.5: 4.8, 0.7: 3.6, 0.8: 3.2, 0.9: 3.2, 0.95: 2.6, 0.99: 2.6}
"""Sizes of open markers that lie on each other: the first is around the others."""


def open_points(momentum: float) -> dict[str, Any]:
    """Return the look of points of a momentum that lie on those of others, in points of the page."""
    return {
        "linestyle": "none",
        "marker": MARKERS[momentum],
        "markersize": SIZES[momentum],
        "markerfacecolor": "none",
        "markeredgecolor": COLOURS[momentum],
        "markeredgewidth": 0.8,
    }
