"""Lookahead: why Nesterov's catapults are small.

With lookahead γ the oscillation and the sharpness have different inertias. At small excess the overshoot is
1 + κ_e + ..., and κ_e/ε falls from 361 for Polyak's method at β = 0.9 to 17 for Nesterov's. Larger overshoots depend
on both inertias: no single law.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Lookahead: why Nesterov's catapults are small"

MOMENTA = (0.5, 0.8, 0.9)
SMALL = 4e-3
"""κ_e of the runs that measure it."""
LARGEST_EXCESS = 0.06
PAIRS = {(0.9, 0.0): "D", (0.9, 0.3): "s", (0.9, 0.9): "o", (0.8, 0.8): "^"}
SIZES = (2.6, 4.4, 6.6, 4.4)
"""Of open markers that lie on each other, in points."""
START = 1e-4


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    share = np.linspace(0.0, 1.0, 4 if quick else 7)
    momentum = np.array(MOMENTA)
    ratio = np.empty((momentum.size, share.size))
    for i, j in np.ndindex(ratio.shape):
        beta, part = float(momentum[i]), float(share[j])
        excess = SMALL / theory.lookahead_inertia_number(1.0, beta, part * beta)
        over = _overshoot(excess, beta, part * beta) - 1.0
        ratio[i, j] = (over - 2.0 * over**2) / excess  # over = κ_e + 2κ_e² + ...
    kappa = np.geomspace(0.02, 1.0, 4 if quick else 9)
    overshoots = np.full((len(PAIRS), kappa.size), np.nan)
    for (i, pair), (j, k) in product(enumerate(PAIRS), enumerate(kappa)):
        excess = float(k / theory.lookahead_inertia_number(1.0, *pair))
        if excess <= LARGEST_EXCESS:
            overshoots[i, j] = _overshoot(excess, *pair)
    return {
        "small": xarray.Dataset(
            {"ratio": (("momentum", "share"), ratio, {"long_name": "kappa_e over the relative excess"})},
            {"momentum": momentum, "share": share},
        ),
        "large": xarray.Dataset(
            {"overshoot": (("pair", "kappa"), overshoots, {"long_name": "drop / (2 y0)"})}, {"kappa": kappa}
        ),
    }


def _overshoot(excess: float, momentum: float, lookahead: float) -> float:
    """Return drop/(2y₀) of a catapult of the cubic model."""
    threshold = 1.0 / (1.0 + excess)
    y0 = 1.0 - threshold
    swing = START * theory.lookahead_displacement(y0, momentum, lookahead)
    rate = theory.lookahead_rate(excess, momentum, lookahead)
    steps = math.ceil((2.0 * math.log(1.0 / START) + 12.0) / rate + 60.0 / (1.0 - momentum))
    optimizer = ss.HeavyBall(
        theory.max_stable_sharpness(1.0, momentum, lookahead) / threshold, momentum, lookahead
    )
    run = ss.simulate(
        ss.CubicTaylor(curvature=1.0), optimizer, [swing, 0.0], steps, previous=[-swing, 0.0], keep=["weights"],
        every=steps,
    )  # fmt: skip
    return float(-run["weights"].values[-1, 1] / (2.0 * y0))


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.6)
    left, right = figure.subplots(1, 2)
    small, large = data["small"], data["large"]
    fine = np.linspace(0.0, 1.0, 200)
    for beta in small["momentum"].values:
        colour = momenta.COLOURS[beta]
        left.plot(fine, theory.lookahead_inertia_number(1.0, beta, fine * beta), color=colour)
        left.plot(
            small["share"], small["ratio"].sel(momentum=beta), linestyle="none", marker=momenta.MARKERS[beta],
            color=colour, label=rf"$\beta={beta:g}$",
        )  # fmt: skip
    left.plot([], [], color=style.THEORY_COLOUR, label="theory")
    left.set(yscale="log", xlabel=label_of("lookahead", r"$\gamma/\beta$ (0 Polyak, 1 Nesterov)"))
    left.set(
        ylabel=label_of("effective_inertia_number", r"$\kappa_e/\varepsilon$"), title="inertia by lookahead"
    )
    left.legend()
    kappa = large["kappa"].values
    for ((beta, gamma), marker), size, values in zip(
        PAIRS.items(), SIZES, large["overshoot"].values, strict=True
    ):
        right.plot(
            kappa,
            values - 1.0,
            linestyle="none",
            marker=marker,
            markersize=size,
            markerfacecolor="none",
            markeredgewidth=0.8,
            color=momenta.COLOURS[beta],
            label=rf"$\beta={beta:g}$, $\gamma={gamma:g}$",
        )
    fine = np.geomspace(0.02, 1.0, 100)
    right.plot(
        fine,
        fine + 2.0 * fine**2,
        color=style.THEORY_COLOUR,
        zorder=1,
        label=r"theory, small $\kappa_e$: $\kappa_e+2\kappa_e^2$",
    )
    right.set(xscale="log", yscale="log", xlabel=label_of("effective_inertia_number"))
    right.set(ylabel=label_of("overshoot", "drop/(2$y_0$) $-$ 1"), title="overshoot")
    right.legend()
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    small, large = data["small"], data["large"]
    beta = small["momentum"].values[:, None]
    predicted = theory.lookahead_inertia_number(1.0, beta, small["share"].values * beta)
    error = np.abs(small["ratio"].values / predicted - 1.0)
    # What is left is of order κ_e², 4e-6, times a coefficient that reaches some hundred where the rates differ.
    require((error < 1e-3).all(), f"κ_e/ε is off by {error.max():.1e}")
    kappa = large["kappa"].values
    over = large["overshoot"].values
    large_enough = [pair[0] == 0.9 for pair in PAIRS]
    require(np.isfinite(over[large_enough]).all(), "a run has no overshoot")
    near = np.abs((over[:, 0] - 1.0) / (kappa[0] + 2.0 * kappa[0] ** 2) - 1.0)
    far = np.nanmax(over[:, -1]) / np.nanmin(over[:, -1]) - 1.0
    require(
        (near < 0.02).all(), f"at κ_e = {kappa[0]:g} overshoots differ from second order by {near.max():.2g}"
    )
    require(far > 0.05, f"at κ_e = {kappa[-1]:g} the pairs differ by {far:.2g} only")
    return [
        f"κ_e/ε from overshoots at κ_e = {SMALL:g}: within {error.max():.0e} of the closed form at {error.size} pairs.",
        f"At κ_e = {kappa[0]:g} all follow second order to {near.max():.1%}; "
        f"at κ_e = {kappa[-1]:g} they differ by {far:.0%}.",
    ]
