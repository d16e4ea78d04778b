"""Two-cycles are gradient descent's; momentum changes only where they lose their stability.

The last states of runs on the double well ¼(w² − 1)² beyond the threshold. The flip bears the same two-cycle at every
momentum, with the half-amplitude √(e/4) to leading order. Its own period doubles at a smaller excess with momentum.
Runs that left are not shown.
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

TITLE = "Two-cycles are gradient descent's, and lose their stability earlier"

MOMENTA = (0.0, 0.5)
DERIVATIVES = (2.0, 6.0, 6.0)
"""L₂, L₃, L₄ at the minimum w = 1."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    excess = np.linspace(-0.05, 0.5, 56 if quick else 221)
    out = {}
    for beta in MOMENTA:
        states = ss.orbits(
            ss.DoubleWell(), ss.HeavyBall(1.0, beta), {"lr": (1.0 + beta) * (1.0 + excess)}, start=[1.001],
            steps=4000, last=32, progress=False,
        )  # fmt: skip
        weights = states["weights"].values[..., 0]
        out[f"beta_{beta:g}"] = xarray.Dataset(
            {"weight": (("excess", "state"), weights, {"long_name": "last states"})},
            {"excess": excess, "doubling": _doubling(beta)},
        )
    return out


def _cycle(excess: np.ndarray) -> np.ndarray:
    """Return the two points of the cycle about w = 1, shape (2, ...): p + q = √(1 + 3/η), pq = 1/η, η = 1 + e."""
    lr = 1.0 + excess
    return 0.5 * (np.sqrt(1.0 + 3.0 / lr) + np.array([1.0, -1.0])[:, None] * np.sqrt(1.0 - 1.0 / lr))


def _doubling(momentum: float) -> float:
    """Return the excess at which a deviation from the cycle begins to grow."""
    excess = np.linspace(1e-4, 0.6, 60_000)
    curvatures = (1.0 + momentum) * (1.0 + excess) * (3.0 * _cycle(excess) ** 2 - 1.0)
    return float(excess[np.argmax(theory.two_cycle_growth(*curvatures, momentum) > 1.0)])


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.6)
    axes = figure.subplots(1, 2, sharey=True)
    fine = np.linspace(0.0, 0.25, 200)
    half = np.asarray(theory.two_cycle_half_amplitude(fine, *DERIVATIVES))
    middle = 1.0 - 0.5 * DERIVATIVES[1] / DERIVATIVES[0] * half**2
    for ax, beta in zip(axes, MOMENTA, strict=True):
        states = data[f"beta_{beta:g}"]
        weights = states["weight"].values
        ax.plot(
            np.repeat(states["excess"].values, weights.shape[1]), weights.ravel(), linestyle="none", marker=".",
            markersize=0.7, color=momenta.COLOURS[beta], rasterized=True,
        )  # fmt: skip
        last = float(states["excess"].values[np.isfinite(weights).any(axis=1)].max())
        to = fine <= last
        ax.plot(
            fine[to],
            (middle + half)[to],
            color=style.THEORY_COLOUR,
            linewidth=0.8,
            label="theory, two-cycle's leading order",
        )
        ax.plot(fine[to], (middle - half)[to], color=style.THEORY_COLOUR, linewidth=0.8)
        ax.axvline(
            float(states["doubling"]),
            color=style.THEORY_COLOUR,
            linestyle=":",
            linewidth=0.8,
            label="theory, period doubles",
        )
        ax.set_title(rf"$\beta={beta:g}$")
        if last < 0.49:
            ax.axvspan(last, 0.51, color="#eeeeee", linewidth=0.0, zorder=0)
            ax.text(
                0.5 * (last + 0.51), 0.725, "all runs diverge", ha="center", color="#555555", fontsize=6.0
            )
        ax.set(xlabel=label_of("excess", r"$\varepsilon=S/S^*-1$"), xlim=(-0.06, 0.51), ylim=(0.15, 1.3))
    axes[0].set_ylabel(label_of("last_weights"))
    for ax, beta in zip(axes, MOMENTA, strict=True):
        ax.plot([], [], linestyle="none", marker=".", markersize=3.0, color=momenta.COLOURS[beta],
                label=rf"run, $\beta={beta:g}$")  # fmt: skip
    style.label_panels(list(axes))
    style.shared_legend(figure, list(axes), columns=4)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for beta in MOMENTA:
        states = data[f"beta_{beta:g}"]
        excess, weights, doubling = (
            states["excess"].values,
            states["weight"].values,
            float(states["doubling"]),
        )
        inside = (excess > 0.01) & (excess < doubling - 0.01)
        require(inside.any(), f"β = {beta:g}: no cycle to judge below e = {doubling:.3f}")
        measured = np.stack([weights[inside].max(axis=1), weights[inside].min(axis=1)])
        exact = np.abs(measured - _cycle(excess[inside])).max()
        require(exact < 1e-6, f"β = {beta:g}: a two-cycle is off gradient descent's by {exact:.1e}")
        half = 0.5 * (measured[0] - measured[1])
        near = excess[inside] <= 0.05
        leading = np.abs(half / theory.two_cycle_half_amplitude(excess[inside], *DERIVATIVES) - 1.0)[near]
        require(
            leading.size and (leading < 0.03).all(),
            f"β = {beta:g}: half-amplitudes off by {leading.max():.2g}",
        )
        beyond = (excess > doubling + 0.003) & (excess < doubling + 0.02)
        spread = np.ptp(weights[beyond][:, ::2], axis=1)
        require(
            (spread > 1e-3).all() and beyond.any(),
            f"β = {beta:g}: beyond e = {doubling:.3f} it has not doubled",
        )
        lines.append(
            f"β = {beta:g}: {inside.sum()} cycles within {exact:.0e} of gradient descent's in closed form; "
            f"leading order of the half-amplitude within {leading.max():.1%} up to e = 0.05; "
            f"the cycle doubles at e = {doubling:.4f}."
        )
    return lines
