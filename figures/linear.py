"""One law for every linear optimizer: overshoots by one number, and what momentum of each kind amplifies.

(a) Overshoots less one of six optimizers on the cubic model against κ_e = (κ_x + 2κ_y)/3. The black line is
κ_e + 2κ_e², alike for all; the thin lines are each optimizer's slow flow, which holds at any size. (b) How many
times stronger self-stabilization is than gradient descent's at the same threshold: measured there (points), and
c₀S*/2 (lines).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import families, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "One law for every linear optimizer"

OPTIMIZERS = {
    "gradient descent": ss.HeavyBall(1.0),
    "heavy ball, 0.9": ss.HeavyBall(1.0, 0.9),
    "Nesterov, 0.9": ss.HeavyBall(1.0, 0.9, 0.9),
    "quasi-hyperbolic (0.7, 0.9)": ss.QuasiHyperbolic(1.0, 0.9, 0.7),
    "quasi-hyperbolic (0.7, 0.99)": ss.QuasiHyperbolic(1.0, 0.99, 0.7),
    "aggregated (0, 0.9)": ss.AggregatedMomentum(1.0, (0.0, 0.9)),
}
"""Quasi-hyperbolic ones by (ν, β)."""
LARGEST_RATE = 0.2
"""Of the growth per step: the flow is of slow catapults."""
START = 1e-5

KINDS = {
    "heavy ball, averaged": lambda beta: ss.HeavyBall(1.0, beta),
    "quasi-hyperbolic (0.9, $\\beta$)": lambda beta: ss.QuasiHyperbolic(1.0, beta, 0.9),
    "aggregated (0, $\\beta$)": lambda beta: ss.AggregatedMomentum(1.0, (0.0, beta)),
    "Nesterov": lambda beta: ss.HeavyBall(1.0, beta, beta),
    "quasi-hyperbolic (0.5, $\\beta$)": lambda beta: ss.QuasiHyperbolic(1.0, beta, 0.5),
}
"""By β; quasi-hyperbolic ones by (ν, β)."""
MARKERS = (("o", 7.5), ("D", 5.5), ("s", 4.6), ("^", 4.6), ("v", 3.0), ("P", 3.0))
"""Of each optimizer, with sizes of open markers that lie on each other."""
_PLACES = (1, 3, 5, 2, 4)
"""Of each kind's marker: those that its optimizer has above."""
SWING = 1e-7


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    kappa = np.geomspace(0.01, 3.0, 4 if quick else 9)
    overshoots = np.full((len(OPTIMIZERS), kappa.size), np.nan)
    for i, optimizer in enumerate(OPTIMIZERS.values()):
        for j, excess in enumerate(kappa / theory.inertia(optimizer, 1.0).effective):
            if math.log(theory.growth(optimizer, excess)) <= LARGEST_RATE:
                overshoots[i, j] = _overshoot(optimizer, float(excess))
    momentum = np.array([0.0, 0.5, 0.8, 0.9] if quick else [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
    strengths = np.array(
        [[_amplification(kind(float(beta))) for beta in momentum] for kind in KINDS.values()]
    )
    fine = np.geomspace(kappa[0], kappa[-1], 2 * kappa.size - 1)
    return {
        "overshoots": xarray.Dataset(
            {"overshoot": (("optimizer", "kappa"), overshoots, {"long_name": "drop / (2 y0)"})},
            {"optimizer": list(OPTIMIZERS), "kappa": kappa},
        ),
        "flows": xarray.Dataset(
            {
                "overshoot": (
                    ("optimizer", "kappa"),
                    [_slow_flow(optimizer, fine) for optimizer in OPTIMIZERS.values()],
                    {"long_name": "drop / (2 y0) of the slow flow"},
                )
            },
            {"optimizer": list(OPTIMIZERS), "kappa": fine},
        ),
        "amplification": xarray.Dataset(
            {
                "amplification": (
                    ("kind", "momentum"),
                    strengths,
                    {"long_name": "relative to gradient descent"},
                )
            },
            {"kind": list(KINDS), "momentum": momentum},
        ),
    }


def _slow_flow(optimizer: Any, kappa: np.ndarray) -> np.ndarray:
    """Return the overshoots of the slow flow, NaN where the swing grows too fast for it."""
    excess = kappa / theory.inertia(optimizer, 1.0).effective
    slow = np.log(theory.growth(optimizer, excess)) <= LARGEST_RATE
    out = np.full(kappa.shape, np.nan)
    out[slow] = theory.slow_overshoot(optimizer, excess[slow])
    return out


def _run(optimizer: Any, excess: float, swing: float, steps: int, every: int) -> xarray.Dataset:
    at = replace(optimizer, lr=optimizer.at_excess(1.0, excess))
    return ss.simulate(
        ss.CubicTaylor(1.0), at, [swing, 0.0], steps, previous=[-swing, 0.0], keep=["weights"], every=every
    )


def _overshoot(optimizer: Any, excess: float) -> float:
    """Return drop/(2y₀) on the cubic model, after the swing has died and the memory has run out."""
    y0 = 1.0 - 1.0 / (1.0 + excess)
    memory = 1.0 / (
        1.0 - max(optimizer.numbers.get("momentum", 0.0), *getattr(optimizer, "momenta", (0.0,)), 0.0)
    )
    growth = math.log(theory.growth(optimizer, excess))
    steps = int((2.0 * math.log(1.0 / START) + 30.0) / growth + 60.0 * memory)
    run = _run(optimizer, excess, START * theory.linear_displacement(optimizer, y0), steps, steps)
    return float(-run["weights"].values[-1, 1] / (2.0 * y0))


def _amplification(optimizer: Any) -> float:
    """Return how fast a constant swing at the threshold lowers the sharpness, relative to gradient descent."""
    x, z = _run(optimizer, 0.0, SWING, 1000, 1)["weights"].values.T
    seen = x[-2] + getattr(optimizer, "lookahead", 0.0) * (x[-2] - x[-3])
    return float(-(z[-1] - z[-2]) / seen**2)  # the lr of gradient descent is 2/S*, S* = 1


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.SINGLE_COLUMN, 5.2)
    top, bottom = figure.subplots(2, 1)
    overshoots = data["overshoots"]
    kappa = overshoots["kappa"].values
    fine = np.geomspace(kappa[0], kappa[-1], 30)
    top.plot(
        fine,
        fine + 2.0 * fine**2,
        color=style.THEORY_COLOUR,
        label=r"theory, small $\kappa_e$: $\kappa_e+2\kappa_e^2$",
        zorder=1,
    )
    flows = data["flows"]
    for name, (marker, size), values, flow in zip(
        OPTIMIZERS, MARKERS, overshoots["overshoot"].values, flows["overshoot"].values, strict=True
    ):
        colour = families.colour(name)
        top.plot(flows["kappa"], flow - 1.0, color=colour, linewidth=0.6, zorder=2)
        top.plot(
            kappa,
            values - 1.0,
            linestyle="none",
            color=colour,
            marker=marker,
            markersize=size,
            markeredgewidth=0.8,
            markerfacecolor="none",
            label=name,
        )
    top.plot([], [], color="#777777", linewidth=0.6, label="slow flow of each")
    top.set(xscale="log", yscale="log", title="overshoot")
    top.set_xlabel(label_of("effective_inertia_number", r"$\kappa_e=(\kappa_x+2\kappa_y)/3$"))
    top.set_ylabel(label_of("overshoot", "drop/(2$y_0$) $-$ 1"))
    top.legend(fontsize=6)
    strengths = data["amplification"]
    fine = np.linspace(0.0, float(strengths["momentum"][-1]), 60)
    for (name, kind), place, values in zip(
        KINDS.items(), _PLACES, strengths["amplification"].values, strict=True
    ):
        colour, marker = families.colour(name), MARKERS[place][0]
        bottom.plot(
            fine, [theory.amplification(kind(float(beta))) for beta in fine], color=colour, linewidth=0.8
        )
        bottom.plot(
            strengths["momentum"],
            values,
            linestyle="none",
            color=colour,
            marker=marker,
            markersize=3.5,
            label=name,
        )
    bottom.plot([], [], color=style.THEORY_COLOUR, linewidth=0.8, label="theory, $c_0S^*/2$")
    bottom.set(
        yscale="log", xlabel=label_of("momentum"), ylabel=label_of("amplification"), title="amplification"
    )
    bottom.legend(fontsize=6)
    style.label_panels([top, bottom])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    overshoots, strengths = data["overshoots"], data["amplification"]
    kappa = overshoots["kappa"].values
    measured = overshoots["overshoot"].values
    small = np.abs((measured[:, 0] - 1.0) / (kappa[0] + 2.0 * kappa[0] ** 2) - 1.0)
    require(
        (small < 1e-3).all(),
        f"at κ_e = {kappa[0]:g} an overshoot differs from second order by {small.max():.1e}",
    )
    flow = data["flows"]["overshoot"].values[:, ::2]  # at the measured κ_e, and at one between two
    error = np.nanmax(np.abs(flow / measured - 1.0))
    require(error < 0.02, f"an overshoot differs from the slow flow by {error:.2g}")
    momentum = strengths["momentum"].values
    predicted = np.array(
        [[theory.amplification(kind(float(beta))) for beta in momentum] for kind in KINDS.values()]
    )
    off = float(np.abs(strengths["amplification"].values / predicted - 1.0).max())
    require(off < 1e-5, f"an amplification differs from c₀S*/2 by {off:.1e}")
    return [
        f"At κ_e = {kappa[0]:g} six optimizers follow second order in κ_e within {small.max():.1e} of overshoot − 1.",
        f"Up to κ_e = {kappa[-1]:g} each follows its slow flow within {error:.1%}.",
        f"Amplifications of {len(KINDS)} kinds of momentum are c₀S*/2 within {off:.0e}.",
    ]
