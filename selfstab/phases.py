"""The labels and codes of how a run ends, and the colour that stands for each in every figure."""

from __future__ import annotations

from typing import Final

DIVERGED: Final = -1
UNDECIDED: Final = 0
MONOTONE: Final = 1
OSCILLATING: Final = 2
CATAPULT: Final = 3
EDGE: Final = 4
# 5 is a flip among the regions of theory.region, which have the phases' codes.
STATIONARY: Final = 6
CYCLE: Final = 7
UNDEFINED: Final = 8

LABELS: Final[dict[int, str]] = {
    DIVERGED: "diverged",
    UNDECIDED: "undecided",
    MONOTONE: "monotone",
    OSCILLATING: "oscillating",
    CATAPULT: "catapult",
    EDGE: "edge",
    STATIONARY: "stationary",
    CYCLE: "cycle",
    UNDEFINED: "undefined",
}
"""Code to word, in the order of the codes."""

COLOURS: Final[dict[int, str]] = {
    DIVERGED: "#1a1a1a",
    UNDECIDED: "#bbbbbb",
    MONOTONE: "#ddcc77",
    OSCILLATING: "#88ccee",
    CATAPULT: "#cc6677",
    EDGE: "#44aa99",
    STATIONARY: "#332288",
    CYCLE: "#999933",
    UNDEFINED: "#aa4499",
}
"""Code to colour (from Paul Tol's colour-blind-safe 'muted' scheme, with black and grey)."""


def flag_attributes() -> dict[str, object]:
    """Return the CF conventions' attributes of a variable that holds these codes.

    >>> flag_attributes()["flag_meanings"]
    'diverged undecided monotone oscillating catapult edge stationary cycle undefined'
    """
    return {"flag_values": list(LABELS), "flag_meanings": " ".join(LABELS.values())}
