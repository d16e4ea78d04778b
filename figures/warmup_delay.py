"""Warmup delays a catapult: the oscillation that died below the threshold must grow back.

The threshold falls along a linear warmup. At the crossing the swing is tiny. By the time it has grown to where it
bends the sharpness, the excess is ε_on, and the catapult drops the sharpness by 2y₀G(κ_on). Slower ramps give smaller
catapults. Momentum's start earlier: at a slow ramp, where κ_on is small, they are smaller than gradient descent's, at
a fast one larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import methods, style
from selfstab.plotting.labels import label_of

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Warmup delays a catapult, and its length decides how large it is"

MOMENTA = (0.0, 0.5, 0.9)
CROSSING = 1e-8
"""The swing at the crossing."""
SHOWN = (0.9, 1e-5)


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum, ramp = np.array(MOMENTA), np.geomspace(1e-6, 1e-4, 4 if quick else 9)
    drop = np.array(
        [[1.0 - float(_run(float(b), float(r))["sharpness"].min()) for r in ramp] for b in momentum]
    )
    drops = xarray.Dataset(
        {"drop": (("momentum", "ramp"), drop, {"long_name": "drop of the sharpness from 1"})},
        {"momentum": momentum, "ramp": ramp},
    )
    beta, rate = SHOWN
    run = _run(beta, rate, before=200)
    threshold = run["max_stable_sharpness"].values
    curves = xarray.Dataset(
        {
            "sharpness": ("step", run["sharpness"].values, {"long_name": "sharpness"}),
            "threshold": ("step", threshold, {"long_name": "S*"}),
        },
        {"step": run["step"].values - 200, "onset": _onset(beta, rate) / rate},
    )
    return {"drops": drops, "run": curves}


def _onset(momentum: float, ramp: float) -> float:
    """Return the relative excess at which the catapult is to start."""
    return float(theory.warmup_onset(1.0, CROSSING, momentum, ramp))


def _run(momentum: float, ramp: float, before: int = 0) -> xarray.Dataset:
    """Return a run of the cubic model from `before` steps ahead of the crossing, where the swing is set."""
    after = int(3.0 * _onset(momentum, ramp) / ramp)
    lr = 2.0 * (1.0 + momentum)
    schedule = ss.LinearWarmup(lr * (1.0 - ramp * before), lr * (1.0 + ramp * after), before + after)
    size = CROSSING / float(np.exp(-ramp * (1.0 + momentum) / (1.0 - momentum) * before**2))
    return ss.simulate(
        ss.CubicTaylor(curvature=1.0), ss.HeavyBall(schedule, momentum), [size, 0.0], before + after,
        previous=[-size, 0.0], keep=["sharpness"],
    )  # fmt: skip


def _predicted(momentum: float, ramp: np.ndarray) -> np.ndarray:
    excess = np.asarray(theory.warmup_onset(1.0, CROSSING, momentum, ramp))
    y0 = excess / (1.0 + excess)
    return 2.0 * y0 * np.asarray(theory.overshoot(theory.inertia_number(excess, momentum)))


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    left, right = figure.subplots(1, 2)
    run, drops = data["run"], data["drops"]
    left.plot(
        run["step"], run["threshold"], color=style.THEORY_COLOUR, linestyle="--", label="threshold $S^*$"
    )
    left.plot(
        run["step"],
        run["sharpness"],
        color=methods.METHOD_COLOURS["PHB"],
        label=rf"sharpness, $\beta={SHOWN[0]:g}$",
    )
    left.axvline(0.0, color="#bbbbbb", linewidth=0.6, label="crossing of $S^*$")
    left.axvline(
        float(run["onset"]), color=style.THEORY_COLOUR, linewidth=0.8, linestyle=":", label="onset, theory"
    )
    left.set(xlabel=label_of("step_since_crossing"), ylabel=label_of("sharpness"), title="one run")
    left.legend()
    fine = np.geomspace(1e-6, 1e-4, 100)
    for beta in drops["momentum"].values:
        right.plot(fine, _predicted(float(beta), fine), color=momenta.COLOURS[beta])
        right.plot(
            drops["ramp"], drops["drop"].sel(momentum=beta), linestyle="none", marker=momenta.MARKERS[beta],
            color=momenta.COLOURS[beta], label=rf"$\beta={beta:g}$",
        )  # fmt: skip
    right.plot([], [], color=style.THEORY_COLOUR, label=r"theory, $2y_0G(\kappa_\mathrm{on})$")
    right.set(xscale="log", yscale="log", xlabel=label_of("excess_per_step"))
    right.set(ylabel=label_of("drop"), title="drop by speed of the warmup")
    right.legend()
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    drops, lines = data["drops"], []
    for beta in drops["momentum"].values:
        measured = drops["drop"].sel(momentum=beta).values
        predicted = _predicted(float(beta), drops["ramp"].values)
        error = np.abs(measured / predicted - 1.0)
        small = predicted < 0.3  # of a sharpness of 1
        require(
            small.any() and (error[small] < 0.1).all(),
            f"β = {beta:g}: a drop is off by {error[small].max():.2g}",
        )
        lines.append(
            f"β = {beta:g}: {small.sum()} drops of {measured[small].min():.2g} to {measured[small].max():.2g} within "
            f"{error[small].max():.1%} of 2y₀G(κ_on)."
        )
    return lines
