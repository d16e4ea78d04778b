"""The threshold with lookahead, and the growth just above it.

Bisection between runs on ½w² that grow and runs that decay finds the threshold. The methods are heavy ball (γ = 0),
Nesterov's (γ = β), and what lies between and beyond. Above it the oscillation grows by a factor per step whose leading
order, 1 + 2ε(1 + β)/(1 − β), momentum leaves at smaller excesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The threshold with lookahead, and the growth just above it"

MOMENTA = (0.0, 0.5, 0.9)
STEPS = 1600


def exponents(lr_times_sharpness: Any, momentum: Any, lookahead: Any = 0.0) -> np.ndarray:
    """Return ln of the growth per step of runs on ½w², a smooth mean over the second half of them.

    A mean that fades in and out keeps nothing of a complex pair's beat.
    """
    h, beta, gamma = np.broadcast_arrays(lr_times_sharpness, momentum, lookahead)
    current, previous = np.ones(h.shape), np.full(h.shape, -0.7)
    logs = np.zeros((STEPS, *h.shape))
    for t in range(STEPS):
        velocity = current - previous
        previous, current = current, current - h * (current + gamma * velocity) + beta * velocity
        size = np.hypot(current, previous)
        logs[t] = np.log(size)
        current, previous = current / size, previous / size
    late = logs[STEPS // 2 :]
    fade = np.sin(np.pi * (np.arange(len(late)) + 0.5) / len(late)) ** 2
    return np.tensordot(fade / fade.sum(), late, axes=1)


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum = np.array(MOMENTA)
    lookahead = np.linspace(-0.4, 1.0, 8 if quick else 29)
    low = np.zeros((momentum.size, lookahead.size))
    high = np.full(low.shape, 20.0)
    for _ in range(18):
        middle = 0.5 * (low + high)
        grows = exponents(middle, momentum[:, None], lookahead) > 0.0
        low, high = np.where(grows, low, middle), np.where(grows, middle, high)
    excess = np.geomspace(1e-5, 1.0, 6 if quick else 16)
    threshold = 2.0 * (1.0 + momentum)[:, None]
    growth = np.exp(exponents(threshold * (1.0 + excess), momentum[:, None]))
    out = xarray.Dataset(coords={"momentum": momentum, "lookahead": lookahead, "excess": excess})
    out["threshold"] = (
        ("momentum", "lookahead"),
        0.5 * (low + high),
        {"long_name": "lr times the largest stable sharpness"},
    )
    out["growth"] = (("momentum", "excess"), growth, {"long_name": "growth per step"})
    return {"thresholds": out}


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.5)
    left, right = figure.subplots(1, 2)
    table = data["thresholds"]
    excess = np.geomspace(1e-5, 1.0, 200)
    gamma = np.linspace(-0.4, 1.0, 400)
    for beta in table["momentum"].values:
        row, colour, marker = table.sel(momentum=beta), momenta.COLOURS[beta], momenta.MARKERS[beta]
        points = {"linestyle": "none", "marker": marker, "color": colour, "markersize": 3.0}
        left.plot(gamma, theory.max_stable_sharpness(1.0, beta, gamma), color=colour)
        left.plot(row["lookahead"], row["threshold"], label=rf"$\beta={beta:g}$", **points)
        right.plot(excess, theory.growth_factor(excess, beta) - 1.0, color=colour)
        right.plot(excess, 2.0 * excess * (1.0 + beta) / (1.0 - beta), color=colour, linestyle=":")
        right.plot(row["excess"], row["growth"] - 1.0, label=rf"$\beta={beta:g}$", **points)
    left.set(
        xlabel=label_of("lookahead"),
        ylabel=label_of("max_stable_sharpness", r"$\eta S^*$"),
        ylim=(0.0, 5.0),
        title="threshold",
    )
    right.set(xscale="log", yscale="log", xlabel=label_of("excess"))
    right.set(ylabel=label_of("growth"), ylim=(1e-5, 20.0), title="growth above the threshold")
    left.plot([], [], color=style.THEORY_COLOUR, label="theory")
    right.plot([], [], color=style.THEORY_COLOUR, label="theory")
    right.plot([], [], color=style.THEORY_COLOUR, linestyle=":", label="leading order")
    left.legend()
    right.legend()
    style.label_panels([left, right])
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    table = data["thresholds"]
    beta = table["momentum"].values[:, None]
    error = np.abs(
        table["threshold"].values / theory.max_stable_sharpness(1.0, beta, table["lookahead"].values) - 1.0
    )
    require((error < 2e-3).all(), f"a threshold found is off by {error.max():.1e}")
    growth = np.abs(table["growth"].values / theory.growth_factor(table["excess"].values, beta) - 1.0)
    require((growth < 1e-9).all(), f"growth per step is off by {growth.max():.1e}")
    return [
        f"Thresholds of {error.size} pairs (β, γ) by bisection: within {error.max():.0e} of the closed form.",
        f"Growth per step from ε = 1e-5 to 1: within {growth.max():.0e} of the closed form.",
    ]
