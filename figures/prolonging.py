"""Below the threshold: how long the oscillation lives, and what it still costs the sharpness.

At frozen sharpness the oscillation dies as |λ|^t. Momentum makes it live longer than gradient descent does, except just
below the threshold, where it shortens it. The swings that are left push the sharpness down by 1 + 4βe/(1 − β)² times as
much as gradient descent's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

from selfstab import theory
from selfstab.plotting import style

from . import momenta, require, thresholds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Below the threshold: lifetime of the oscillation, and prolonged stabilization"

MOMENTA = (0.0, 0.5, 0.9)


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum, depth = np.array(MOMENTA), np.linspace(0.02, 0.96, 8 if quick else 24)
    scaled = 2.0 * (1.0 + momentum[:, None]) * (1.0 - depth)  # ηS
    lifetime = -1.0 / thresholds.exponents(scaled, momentum[:, None])
    # Σx² from a swing at rest, until it has died at the slowest of these rates.
    current, previous, squares = np.ones(scaled.shape), -np.ones(scaled.shape), np.zeros(scaled.shape)
    for _ in range(4000):
        squares += current**2
        previous, current = current, current - scaled * current + momentum[:, None] * (current - previous)
    pushes = (1.0 + momentum)[:, None] / (1.0 - momentum)[:, None] * squares
    out = xarray.Dataset(coords={"momentum": momentum, "depth": depth})
    out["lifetime"] = (("momentum", "depth"), lifetime, {"long_name": "steps per e-fold"})
    out["factor"] = (
        ("momentum", "depth"),
        pushes / pushes[0],
        {"long_name": "remaining drop over gradient descent's"},
    )
    return {"prolonging": out}


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    left, right = figure.subplots(1, 2)
    table = data["prolonging"]
    fine = np.linspace(0.001, 0.98, 1500)
    for beta in table["momentum"].values:
        colour = momenta.COLOURS[beta]
        points = {"linestyle": "none", "marker": momenta.MARKERS[beta], "color": colour, "markersize": 3.0}
        left.plot(fine, theory.oscillation_lifetime(fine, beta), color=colour)
        left.plot(table["depth"], table["lifetime"].sel(momentum=beta), label=rf"$\beta={beta:g}$", **points)
        right.plot(fine, theory.prolonging_factor(fine, beta), color=colour)
        right.plot(table["depth"], table["factor"].sel(momentum=beta), **points)
    left.plot([], [], color=style.THEORY_COLOUR, label="theory")
    left.set(yscale="log", ylim=(0.3, 300.0), xlabel=r"depth, $e=(S^*-S)/S^*$", ylabel="lifetime in steps")
    right.set(yscale="log", xlabel=r"depth, $e=(S^*-S)/S^*$", ylabel="remaining drop, over GD's")
    left.legend()
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    table = data["prolonging"]
    beta, depth = table["momentum"].values[:, None], table["depth"].values
    lifetime = np.abs(table["lifetime"].values / theory.oscillation_lifetime(depth, beta) - 1.0)
    factor = np.abs(table["factor"].values / theory.prolonging_factor(depth, beta) - 1.0)
    require((lifetime < 1e-3).all(), f"a lifetime is off by {lifetime.max():.1e}")
    require((factor < 1e-9).all(), f"a remaining drop is off by {factor.max():.1e}")
    return [
        f"Lifetimes of {lifetime.size} runs on ½w² within {lifetime.max():.0e} of the closed form.",
        f"Remaining drops from a swing at rest within {factor.max():.0e} of 1 + 4βe/(1 − β)² times gradient descent's.",
    ]
