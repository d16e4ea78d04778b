"""Methods of a comparison, by name and colour: gradient descent, heavy ball, other optimizers, flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib
import numpy as np
from matplotlib.colors import to_rgba

from selfstab import validation
from selfstab.optimizers.settings import recorded_settings
from selfstab.plotting.look import SEQUENTIAL

if TYPE_CHECKING:
    import xarray

METHOD_COLOURS: Final = {
    "GD": "#0077bb", "PHB": "#ee7733", "averaged flow": "#bb5566", "rod flow": "#33bbee",
    "gradient flow": "#997700", "edge flow": "#222222",
}  # fmt: skip
"""Gradient descent, Polyak's heavy ball, and flows about them (from Paul Tol's colour-blind-safe schemes)."""

MOMENTUM_COLOURS: Final = {
    0.0: "#0077bb", 0.5: "#009988", 0.7: "#aa4499", 0.8: "#33bbee", 0.9: "#ee7733", 0.95: "#cc3311", 0.99: "#ee3377",
}  # fmt: skip
"""Momenta of the figures, from the same schemes; 0 is gradient descent's, 0.9 the heavy ball's."""


def method(run: xarray.Dataset) -> str:
    """Return GD or PHB, from the settings a run carries, or the name of another optimizer or of a flow in its place."""
    if "flow" in run.attrs or not is_heavy_ball(run):
        return str(run.attrs.get("flow") or optimizer_name(run))
    return "GD" if momentum(run) == 0.0 else "PHB"


def method_colour(name: str) -> str:
    """Return a method's colour; an optimizer without one of its own has the heavy ball's."""
    return METHOD_COLOURS.get(name, METHOD_COLOURS["PHB"])


def optimizer_name(data: xarray.Dataset) -> str:
    """Return the name of the optimizer, from the settings a run or a sweep carries; HeavyBall where there is none."""
    return str(recorded_settings(data.attrs).get("name", "HeavyBall"))


def is_heavy_ball(data: xarray.Dataset) -> bool:
    """Return whether a run or a sweep is the heavy ball's, whose theory may be drawn beside it."""
    return optimizer_name(data) == "HeavyBall"


def momentum(run: xarray.Dataset) -> float:
    """Return the momentum of a run, from the settings it carries.

    Raises
    ------
    ValueError
        If the run is another optimizer's: theory's lines are the heavy ball's.
    """
    if not is_heavy_ball(run):
        raise ValueError(
            f"run must be of the heavy ball for lines of theory, got one of {optimizer_name(run)}"
        )
    setting = recorded_settings(run.attrs).get("momentum")
    if not isinstance(setting, int | float):
        raise ValueError(f"run must hold its momentum, got {validation.shown(setting)}")
    return float(setting)


def momentum_colours(values: Any) -> list[tuple[float, float, float, float]]:
    """Return the colour of each momentum; of the sequential map, in order, where one has no colour of its own."""
    if all(float(value) in MOMENTUM_COLOURS for value in values):
        return [to_rgba(MOMENTUM_COLOURS[float(value)]) for value in values]
    return [tuple(row) for row in matplotlib.colormaps[SEQUENTIAL](np.linspace(0.0, 0.88, len(values)))]
