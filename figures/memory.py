"""Memory in the sharpness: quasi-hyperbolic momentum bounds the overshoot, heavy ball does not.

Overshoots of catapults against the inertia number of the sharpness, κ_y. Heavy ball's grows as κ^{2/3}.
Quasi-hyperbolic momentum, with the share φ = 1 − ν of a step taken at once, stays below about 1/φ (dotted). Points are
from the cubic model at ε = 0.005 with momenta up to 0.9997, lines from the memory flow.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Memory in the sharpness: a bound on the overshoot"

SHARES = (0.5, 0.7, 0.9)
"""ν."""
EXCESS = 0.005
START = 1e-5


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    lag = np.geomspace(0.3, 30.0, 3 if quick else 7)
    shares = np.array(SHARES)
    kappa, overshoots = np.empty((2, shares.size, lag.size))
    for i, j in np.ndindex(kappa.shape):
        optimizer = ss.QuasiHyperbolic(1.0, 1.0 - 2.0 * EXCESS / lag[j], float(shares[i]))
        kappa[i, j] = theory.inertia(optimizer, EXCESS).sharpness
        overshoots[i, j] = _overshoot(optimizer)
    return {
        "memory": xarray.Dataset(
            {
                "kappa": (("share", "lag"), kappa, {"long_name": "inertia number of the sharpness"}),
                "overshoot": (("share", "lag"), overshoots, {"long_name": "drop / (2 y0)"}),
            },
            {"share": shares, "lag": lag},
        )
    }


def _overshoot(optimizer: ss.QuasiHyperbolic) -> float:
    y0 = 1.0 - 1.0 / (1.0 + EXCESS)
    swing = START * theory.linear_displacement(optimizer, y0)
    growth = math.log(theory.growth(optimizer, EXCESS))
    steps = int((2.0 * math.log(1.0 / START) + 30.0) / growth + 40.0 / (1.0 - optimizer.momentum))
    run = ss.simulate(
        ss.CubicTaylor(1.0), replace(optimizer, lr=optimizer.at_excess(1.0, EXCESS)), [swing, 0.0], steps,
        previous=[-swing, 0.0], keep=["weights"], every=steps,
    )  # fmt: skip
    return float(-run["weights"].values[-1, 1] / (2.0 * y0))


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.SINGLE_COLUMN, 2.8)
    ax = figure.subplots()
    memory = data["memory"]
    fine = np.geomspace(0.1, 30.0, 40)
    ax.plot(fine, theory.overshoot(fine), color=style.THEORY_COLOUR, label="heavy ball")
    for share, colour, marker in zip(memory["share"].values, style.SERIES, style.MARKERS, strict=False):
        ours = memory.sel(share=share)
        ax.plot(fine, theory.memory_overshoot(fine / share, 1.0 - share), color=colour)
        ax.axhline(1.0 / (1.0 - share), color=colour, linestyle=":", linewidth=0.8)
        ax.plot(
            ours["kappa"], ours["overshoot"], linestyle="none", color=colour, marker=marker,
            label=rf"quasi-hyperbolic, $\nu={share:g}$",
        )  # fmt: skip
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=label_of("inertia_number_of_sharpness"),
        ylabel=label_of("overshoot"),
    )
    ax.plot([], [], color="#777777", label="memory flow")
    ax.plot([], [], color="#777777", linestyle=":", linewidth=0.8, label=r"bound, $1/(1-\nu)$")
    ax.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    ax.legend(fontsize=6, loc="upper left")
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    memory = data["memory"]
    share = memory["share"].values[:, None]
    measured = memory["overshoot"].values
    flow = np.asarray(theory.memory_overshoot(memory["kappa"].values / share, 1.0 - share))
    error = float(np.abs(measured / flow - 1.0).max())
    require(error < 0.02, f"an overshoot differs from the memory flow by {error:.2g}")
    highest = float((measured * (1.0 - share)).max())
    require(highest < 1.0 + 3.0 * EXCESS, f"an overshoot is {highest:.3g} times 1/(1 − ν)")
    return [
        f"Overshoots follow the memory flow within {error:.1%} at ε = {EXCESS:g}.",
        f"The largest is {highest:.2f} times the bound 1/(1 − ν).",
    ]
