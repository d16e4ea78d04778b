"""The labels and codes of how a run ends, and the colour that stands for each in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import xarray

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


def phase_names(phase: Any) -> xarray.DataArray:
    """Return the words for phases' codes.

    Parameters
    ----------
    phase
        The variable ``phase`` of a sweep, a dataset that has it, or codes of any shape.

    Returns
    -------
    xarray.DataArray
        "catapult", "monotone", ... with the dimensions and coordinates of the codes.

    Raises
    ------
    ValueError
        If there is no phase, or a number is no phase's code.

    Examples
    --------
    >>> import selfstab as ss
    >>> axes = {"lr": [0.1, 2.0]}
    >>> diagram = ss.sweep(ss.DoubleWell(), ss.HeavyBall(0.1), axes, start=[0.9], steps=99, progress=False)
    >>> phase_names(diagram).values.tolist()
    ['monotone', 'edge']
    >>> int((phase_names(diagram.phase) == "monotone").sum())
    1
    """
    import numpy as np
    import xarray

    if isinstance(phase, xarray.Dataset):
        if "phase" not in phase:
            raise ValueError(
                f"phase must be a dataset with the variable phase, got one with {', '.join(map(str, phase)) or 'none'}"
            )
        phase = phase["phase"]
    codes = phase if isinstance(phase, xarray.DataArray) else xarray.DataArray(np.asarray(phase))
    known = np.isin(codes.values, list(LABELS))
    if not known.all():
        wrong = codes.values[~known].ravel()[0]
        raise ValueError(f"phase must hold codes of phases, {', '.join(map(str, LABELS))}, got {wrong}")
    words = np.vectorize(LABELS.__getitem__, otypes=[object])(codes.values.astype(int))
    return codes.copy(data=words.astype(str) if words.size else words.astype("U1")).drop_attrs()
