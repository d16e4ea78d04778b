"""The overshoot law: how far a catapult throws the sharpness below the threshold.

The drop over 2y₀ against the inertia number κ, on the universal curve G(κ): no constant is fitted. Both losses start at
a minimum of sharpness (1 + ε)S* with a flip along the top eigenvector, small against the largest swing √2 y₀/b.
At the largest momentum κ starts where ε is 1e-6.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import theory
from selfstab.plotting import phase_diagrams, style

from . import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from selfstab.losses.symbolic.loss import SymbolicLoss

TITLE = "The overshoot law"

LOSSES = ("CubicTaylor", "Product")
MOMENTA = (0.0, 0.5, 0.8, 0.95, 0.99)
START = 1e-4
"""Start flip over the largest swing of the smallest excess of a sweep."""
RELATIVE_DEVIATION = 0.7
"""Bound on (overshoot/G − 1)/(2εG): measured 0.64 at most, for Product, whose value tends to 1/2."""
START_SHARE = 2e-4
"""What the first step's sharpness, which has no neighbours to be smoothed with, adds through START."""
LEAST_EXCESS = 1e-6
"""Below it, runs get long and the drop comes near rounding."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    kappa = np.geomspace(0.003, 10.0, 8 if quick else 22)
    momentum = np.array(MOMENTA)[:, None]
    excess = kappa / theory.inertia_number(1.0, momentum)
    coords = {"momentum": ("momentum", np.array(MOMENTA), {"long_name": "momentum", "units": "1"})}
    out = xarray.Dataset(coords=coords)
    out["kappa"] = (
        ("momentum", "point"),
        np.broadcast_to(kappa, excess.shape),
        {"long_name": "inertia number"},
    )
    out["excess"] = (("momentum", "point"), excess, {"long_name": "relative excess at the start, S/S* - 1"})
    for loss in (ss.CubicTaylor(curvature=1.0), ss.Product()):
        measured = np.stack([overshoots(loss, m, e) for m, e in zip(MOMENTA, excess, strict=True)])
        name = type(loss).__name__
        out[name] = (("momentum", "point"), measured, {"long_name": f"overshoot of {name}, drop / (2 y0)"})
    return {"overshoot_law": out}


def overshoots(loss: SymbolicLoss, momentum: float, excess: np.ndarray) -> np.ndarray:
    """Return the overshoot at each excess; excesses within a factor of 8 share a sweep, for its start and length."""
    out = np.full(excess.shape, np.nan)
    minimum = loss.minimum()
    sharpness, u = loss.sharpness(minimum)
    gradient = loss.sharpness_gradient(minimum)
    slope2 = float(gradient @ gradient - (gradient @ u) ** 2)
    cells = np.flatnonzero((excess >= LEAST_EXCESS) & (excess <= 1.0))
    while cells.size:
        least = excess[cells[0]]
        group = cells[excess[cells] <= 8.0 * least]
        cells = cells[group.size :]
        y0 = sharpness * least / (1.0 + least)
        start, previous = ss.flip_start(loss, minimum, START * theory.max_displacement(y0, slope2))
        # Growth from START and decay to settle, each at the rate of the least excess; the envelope's own modes decay
        # at √β a step.
        growth = math.log(theory.growth_factor(least, momentum))
        steps = math.ceil((1.6 * math.log(1.0 / START) + 10.0) / growth + 60.0 / (1.0 - momentum))
        sweep = ss.sweep(
            loss, ss.HeavyBall(1.0), {"momentum": [momentum], "excess": excess[group]},
            start=start, previous=previous, steps=steps, measure=["phase", "overshoot"], progress=False,
        )  # fmt: skip
        out[group] = sweep["overshoot"].values[0]
    return out


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.SINGLE_COLUMN, 3.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    law = data["overshoot_law"]
    phase_diagrams.draw_overshoot_law(law, upper)
    phase_diagrams.draw_overshoot_residual(law, lower)
    upper.set(xlabel="", title="overshoot and law")
    lower.set_title("deviation from the law")
    style.label_panels([upper, lower])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    law = data["overshoot_law"]
    kappa, excess = law["kappa"].values, law["excess"].values
    expected = theory.overshoot(kappa)
    # The law's small parameter: the drop relative to the sharpness.
    relative_drop = 2.0 * excess * expected
    judged = (excess >= LEAST_EXCESS) & (excess <= phase_diagrams.UNIVERSAL_BELOW)
    require(judged.any(axis=1).all(), "a momentum has no overshoot at a small excess to be judged")
    lines = []
    for name in LOSSES:
        deviation = law[name].values / expected - 1.0
        bound = RELATIVE_DEVIATION * relative_drop + START_SHARE
        absent = judged & ~np.isfinite(deviation)
        require(not absent.any(), f"{name}: {absent.sum()} of {judged.sum()} runs have no overshoot")
        missed = judged & (np.abs(deviation) > bound)
        require(
            not missed.any(),
            f"{name}: {missed.sum()} of {judged.sum()} overshoots are off G(κ) by more than "
            f"{RELATIVE_DEVIATION}·2εG",
        )
        worst = np.abs(np.where(judged, deviation, 0.0)).max(axis=1)
        lines.append(
            f"{name}, {LEAST_EXCESS:g} <= ε <= {phase_diagrams.UNIVERSAL_BELOW:g}: largest |overshoot/G(κ) − 1| = "
            + ", ".join(
                f"{value:.1e} (β = {momentum:g}, {count} runs)"
                for momentum, value, count in zip(MOMENTA, worst, judged.sum(axis=1), strict=True)
            )
            + f"; all {judged.sum()} within {RELATIVE_DEVIATION}·2εG."
        )
        order = _order(kappa, excess, deviation)
        require(
            0.9 < order < 1.15,
            f"{name}: at fixed κ the deviation falls as ε^{order:.2f}, not in proportion to ε",
        )
        lines.append(
            f"{name}: at fixed κ near 1 the deviation falls as ε^{order:.2f} from β = 0.5 to β = 0.95."
        )
    return lines


def _order(kappa: np.ndarray, excess: np.ndarray, deviation: np.ndarray) -> float:
    """Return the fitted power of ε in |overshoot/G − 1| at κ near 1, across the momenta but the least and largest."""
    column = int(np.abs(np.log(kappa[0])).argmin())
    rows = slice(1, -1)
    size = np.abs(deviation[rows, column])
    # A line needs all its points: one that is missing is no order.
    if not (np.isfinite(size) & (size > 0.0)).all():
        return np.nan
    return float(np.polyfit(np.log(excess[rows, column]), np.log(size), 1)[0])
