"""The colour and the marker of each momentum, alike in all figures that compare several."""

from typing import Any, Final

COLOURS: Final = {
    0.0: "#0077bb",
    0.5: "#009988",
    0.8: "#33bbee",
    0.9: "#ee7733",
    0.95: "#cc3311",
    0.99: "#ee3377",
}
"""Paul Tol's colour-blind-safe 'vibrant' scheme; gradient descent and heavy ball at 0.9 as everywhere."""

MARKERS: Final = {0.0: "o", 0.5: "s", 0.8: "^", 0.9: "D", 0.95: "v", 0.99: "P"}

SIZES: Final = {0.0: 6.5, 0.5: 4.8, 0.8: 3.2, 0.9: 3.2, 0.95: 2.6, 0.99: 2.6}
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
