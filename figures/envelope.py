"""The envelope of the oscillation obeys heavy ball itself.

A catapult of the cubic model at β = 0.9, y = S − S*: the displacement alternates between ±A_t, and A_t, iterated
alone from A_{t+1} − A_t − β(A_t − A_{t−1}) = ηy_t A_t beside y, is its envelope to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import methods, style
from selfstab.plotting.labels import label_of

from . import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The envelope of the oscillation obeys heavy ball itself"

MOMENTUM = 0.9
EXCESS = 0.005
STEPS = 130


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    threshold = 1.0 / (1.0 + EXCESS)
    y0, lr = 1.0 - threshold, 2.0 * (1.0 + MOMENTUM) / threshold
    swing = 0.02 * theory.max_displacement(y0)
    run = ss.simulate(
        ss.CubicTaylor(curvature=1.0), ss.HeavyBall(lr, MOMENTUM), [swing, 0.0], STEPS, previous=[-swing, 0.0],
        keep=["weights"],
    )  # fmt: skip
    envelope, y = [swing, swing], [y0, y0]  # at steps −1 and 0
    for _ in range(STEPS):
        force = lr * y[-1] * envelope[-1], -0.5 * lr * envelope[-1] ** 2
        envelope.append(envelope[-1] + force[0] + MOMENTUM * (envelope[-1] - envelope[-2]))
        y.append(y[-1] + force[1] + MOMENTUM * (y[-1] - y[-2]))
    out = xarray.Dataset(coords={"step": run["step"].values})
    x, z = run["weights"].values.T
    for name, values, long_name in (
        ("displacement", x / y0, "x in units of y0/b"),
        ("excess_sharpness", (z + y0) / y0, "S - S* over its first value"),
        ("envelope", np.array(envelope[1:]) / y0, "A in units of y0/b, iterated alone"),
        ("envelope_excess_sharpness", np.array(y[1:]) / y0, "y over its first value, iterated beside A"),
    ):
        out[name] = ("step", values, {"long_name": long_name})
    return {"envelope": out}


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.2)
    left, right = figure.subplots(1, 2)
    run = data["envelope"]
    points = {"linestyle": "none", "marker": "o", "markersize": 2.6, "color": methods.METHOD_COLOURS["PHB"],
              "markerfacecolor": "none", "markeredgewidth": 0.6}  # fmt: skip
    for sign in (1.0, -1.0):
        left.plot(run["step"], sign * run["envelope"], color=style.THEORY_COLOUR, linewidth=0.8)
    left.plot(run["step"], run["displacement"], label="run", **points)
    right.plot(
        run["step"],
        run["envelope_excess_sharpness"],
        color=style.THEORY_COLOUR,
        linewidth=0.8,
        label="envelope's equation",
    )
    right.plot(
        run["step"], run["excess_sharpness"], label=rf"run, $\beta={MOMENTUM:g}$", markevery=4, **points
    )
    left.set(xlabel=label_of("step"), ylabel=label_of("displacement", "$b\\,x/y_0$"))
    right.set(xlabel=label_of("step"), ylabel=label_of("excess_sharpness", "$y/y_0$"))
    left.set_title("displacement")
    right.set_title("sharpness")
    right.legend()
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    run = data["envelope"]
    sign = (-1.0) ** run["step"].values
    apart = np.abs(sign * run["displacement"].values - run["envelope"].values).max() / float(
        run["envelope"].max()
    )
    below = np.abs(run["excess_sharpness"].values - run["envelope_excess_sharpness"].values).max()
    require(apart < 1e-9, f"the displacement leaves its envelope by {apart:.1e}")
    require(below < 1e-9, f"the sharpness leaves the envelope's by {below:.1e}")
    return [
        f"|x| and its envelope agree to {apart:.0e}, the sharpness' excess to {below:.0e}, over {STEPS} steps."
    ]
