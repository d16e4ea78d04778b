"""Amplified self-stabilization: the weights of a push, and what they amount to.

One push on the sharpness keeps acting: at matched thresholds its effect grows to (1 + β)/(1 − β) times gradient
descent's. In a catapult at small κ that is only a faster clock, and all momenta fall on the slow limit's orbit; at
larger κ they leave it. Here y = S − S*, and y₀ is its value at the start.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Amplified self-stabilization: weights, and a catapult in rescaled time"

MOMENTA = (0.0, 0.5, 0.9)
EXCESSES = {"small": 2e-5, "large": 0.005}
START = 0.03
PUSH = 1e-3
POINTS = 400


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum = np.array(MOMENTA)
    response = np.stack([_response(beta) for beta in MOMENTA])
    out = {
        "weights": xarray.Dataset(
            {"weight": (("momentum", "steps"), response, {"long_name": "matched response to one push"})},
            {"momentum": momentum, "steps": np.arange(1, response.shape[1] + 1)},
        )
    }
    for name, excess in EXCESSES.items():
        time = np.linspace(-4.0, 8.0, POINTS)
        y = np.stack([_orbit(beta, excess, time) for beta in MOMENTA])
        out[name] = xarray.Dataset(
            {"y": (("momentum", "time"), y, {"long_name": "S - S* over its first value"})},
            {"momentum": momentum, "time": time, "excess": excess},
        )
    return out


def _response(momentum: float) -> np.ndarray:
    """Return the sharpness after one push in units of it, times (1 + β): with no swing it only coasts."""
    run = ss.simulate(
        ss.CubicTaylor(curvature=1.0), ss.HeavyBall(1.0, momentum), [0.0, PUSH], 40, previous=[0.0, 0.0],
        keep=["weights"],
    )  # fmt: skip
    return (1.0 + momentum) * run["weights"].values[:, 1] / PUSH


def _orbit(momentum: float, excess: float, time: np.ndarray) -> np.ndarray:
    """Return (S − S*)/y₀ at times in units of the slow limit's 1/r, 0 at its largest swing."""
    threshold = 1.0 / (1.0 + excess)
    y0 = 1.0 - threshold
    lr = 2.0 * (1.0 + momentum) / threshold
    rate = lr * y0 / (1.0 - momentum)
    loss = ss.CubicTaylor(curvature=1.0)
    start, previous = ss.flip_start(loss, loss.minimum(), START * theory.max_displacement(y0))
    before = math.log(2.0 / START)
    steps = math.ceil((before + time[-1]) / rate)
    run = ss.simulate(
        loss, ss.HeavyBall(lr, momentum), start, steps, previous=previous, keep=["weights"],
        every=max(1, steps // 20_000),
    )  # fmt: skip
    y = (1.0 + run["weights"].values[:, 1] - threshold) / y0
    return np.interp(time, rate * run["step"].values - before, y)


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.3)
    axes = figure.subplots(1, 3)
    weights = data["weights"]
    steps = weights["steps"].values
    for beta in weights["momentum"].values:
        colour = momenta.COLOURS[beta]
        axes[0].plot(steps, (1.0 + beta) * theory.stabilization_weight(steps, beta), color=colour)
        axes[0].plot(
            steps[::3], weights["weight"].sel(momentum=beta)[::3], label=rf"$\beta={beta:g}$",
            **momenta.open_points(beta),
        )  # fmt: skip
    axes[0].set(xlabel=label_of("step_since_push"), ylabel=label_of("matched_weight"))
    axes[0].set_title("response to one push")
    for ax, name in zip(axes[1:], EXCESSES, strict=True):
        _draw_orbits(ax, data[name])
    axes[0].plot([], [], color=style.THEORY_COLOUR, label="theory")
    style.label_panels(list(axes))
    style.shared_legend(figure, list(axes), columns=5)
    return figure


def _draw_orbits(ax: Axes, orbits: xarray.Dataset) -> None:
    time = orbits["time"].values
    for beta in orbits["momentum"].values:
        ax.plot(
            time[::21], orbits["y"].sel(momentum=beta)[::21], **momenta.open_points(beta),
        )  # fmt: skip
    ax.plot(time, -np.tanh(time), color=style.THEORY_COLOUR, zorder=1)
    excess = float(orbits["excess"])
    largest = theory.inertia_number(excess, MOMENTA[-1])
    digits, power = f"{excess:.0e}".split("e")
    ax.set_title(rf"catapult, $\varepsilon={digits}\times10^{{{int(power)}}}$, $\kappa\leq{largest:.2g}$")
    ax.set(xlabel=label_of("slow_time"), ylabel=label_of("excess_sharpness", "$y/y_0$"))


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    weights = data["weights"]
    beta = weights["momentum"].values[:, None]
    error = np.abs(
        weights["weight"].values / ((1.0 + beta) * theory.stabilization_weight(weights["steps"].values, beta))
        - 1.0
    )
    require((error < 1e-12).all(), f"the response to a push is off its weight by {error.max():.1e}")
    time = data["small"]["time"].values
    apart = {name: np.abs(data[name]["y"].values + np.tanh(time)).max(axis=1) for name in EXCESSES}
    kappa = {name: theory.inertia_number(e, np.array(MOMENTA)) for name, e in EXCESSES.items()}
    require((apart["small"] < 0.03).all(), f"at the small excess an orbit is {apart['small'].max():.2g} off")
    require(apart["large"][-1] > 1.0, f"at the larger excess β = 0.9 is only {apart['large'][-1]:.2g} off")
    return [
        f"The response to one push follows its weight to {error.max():.0e}.",
        *(
            f"ε = {EXCESSES[name]:g}: (S − S*)/y₀ departs from the slow limit by at most "
            + ", ".join(f"{a:.1e} (κ = {k:.2g})" for a, k in zip(apart[name], kappa[name], strict=True))
            + "."
            for name in EXCESSES
        ),
    ]
