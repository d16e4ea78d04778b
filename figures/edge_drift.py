"""Cycles at the edge die out only if the sharp direction is coupled to itself.

On ½(y + ζx)x² − ε(x + y) the energy of cycles of any size drifts in proportion to
2(1 + β)/(1 − β)³ − 9ζ²/(1 − β²). Measured over three cycles that are not small, the drift passes through zero at the
critical coupling ζ = (√2/3)(1 + β)/(1 − β) at every momentum.
"""

from __future__ import annotations

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

TITLE = "Cycles at the edge: growth, decay, and the critical coupling"

MOMENTA = (0.0, 0.5, 0.8)
LR = 0.8
SLOPE = 1e-5
"""ε over (1 − β)⁴, which keeps a cycle as many of momentum's own steps long."""
CYCLES = 3
LARGE = 0.7
"""y₁ at the start, far from the small cycles about A² = 2."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    coupling, momentum = np.linspace(0.0, 1.6, 5 if quick else 9), np.array(MOMENTA)
    drift = np.array(
        [[_drift(c * theory.critical_coupling(b), float(b)) for c in coupling] for b in momentum]
    )
    drift /= np.asarray(theory.cycle_drift(LR, momentum, 0.0))[:, None]
    out = xarray.Dataset(coords={"momentum": momentum, "coupling": coupling})
    out["drift"] = (
        ("momentum", "coupling"),
        drift,
        {"long_name": "drift of E over the uncoupled one's closed form"},
    )
    return {"edge_drift": out}


def _drift(zeta: float, momentum: float) -> float:
    """Return the gain of E over whole cycles, over ε times the sum of y₁²."""
    eps = SLOPE * (1.0 - momentum) ** 4
    h, threshold = np.sqrt(eps), 2.0 * (1.0 + momentum) / LR
    start = np.array([np.sqrt(2.0) * h, threshold + LARGE * h])
    steps = int((CYCLES + 1.6) * theory.cycle_period(LR, momentum, eps))
    run = ss.simulate(
        ss.Coupled(zeta, eps),
        ss.HeavyBall(LR, momentum),
        start,
        steps,
        previous=start * [-1.0, 1.0],
        keep=["weights"],
    )
    x, y = run["weights"].values.T
    swing = 0.5 * np.abs(np.diff(x)) / h
    y1 = (0.5 * (y[1:] + y[:-1]) - threshold) / h
    energy = 0.5 * y1**2 + 0.25 * swing**2 - np.log(swing)
    rises = np.flatnonzero((y1[:-1] < 0.0) & (y1[1:] >= 0.0))[: CYCLES + 1]
    first, last = rises[0], rises[-1]
    return float((energy[last] - energy[first]) / (eps * np.sum(y1[first:last] ** 2)))


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.SINGLE_COLUMN, 2.5)
    ax = figure.add_subplot()
    table = data["edge_drift"]
    fine = np.linspace(0.0, 1.6, 100)
    ax.axhline(0.0, color="#bbbbbb", linewidth=0.5, zorder=0)
    ax.plot(fine, 1.0 - fine**2, color=style.THEORY_COLOUR, label="theory", zorder=1)
    for beta in table["momentum"].values:
        ax.plot(
            table["coupling"], table["drift"].sel(momentum=beta), **momenta.open_points(beta),
            label=rf"$\beta={beta:g}$, $\zeta_c={theory.critical_coupling(beta):.3g}$",
        )  # fmt: skip
    ax.set(xlabel=label_of("coupling"), ylabel=label_of("energy_drift"))
    ax.legend()
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    table = data["edge_drift"]
    coupling, lines = table["coupling"].values, []
    for beta in table["momentum"].values:
        drift = table["drift"].sel(momentum=beta).values
        error = np.abs(drift - (1.0 - coupling**2)).max()
        require(error < 0.05, f"β = {beta:g}: a drift is off by {error:.2g} of the uncoupled one")
        slope, offset = np.polyfit(coupling**2, drift, 1)
        zero = float(np.sqrt(-offset / slope))
        require(
            abs(zero - 1.0) < 0.02, f"β = {beta:g}: the drift vanishes at {zero:.3f} of the critical coupling"
        )
        lines.append(
            f"β = {beta:g}: drifts within {error:.1e} of the uncoupled one; zero at {zero:.4f} of the critical one."
        )
    return lines
