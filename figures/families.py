"""The colour of each family of optimizers, alike in all figures that compare several."""

from typing import Final

from . import momenta

COLOURS: Final = {
    "gradient descent": momenta.COLOURS[0.0],
    "heavy ball": momenta.COLOURS[0.9],
    "Nesterov": "#117733",
    "quasi-hyperbolic": "#999933",
    "aggregated": "#332288",
    "EMA": "#882255",
    "Adam": "#555555",
}
"""Gradient descent's and heavy ball's are those of their momenta; the others are no momentum's (Paul Tol's 'muted')."""

SHORT: Final = {
    "GD": "gradient descent",
    "PHB": "heavy ball",
    "NAG": "Nesterov",
    "QHM": "quasi-hyperbolic",
    "AggMo": "aggregated",
}
"""Families by the abbreviations that figures use."""


def colour(name: str) -> str:
    """Return the colour of an optimizer, by the family that its name begins with."""
    first = name.partition(" ")[0]
    whole = SHORT[first] + name[len(first) :] if first in SHORT else name
    return next(colour for family, colour in COLOURS.items() if whole.startswith(family))
