"""Phase diagrams over momentum and excess.

How runs end, and how far they overshoot, from a minimum of sharpness (1 + ε)S*. The losses are the cubic Taylor model,
the product ½(uv − 1)² from its minimum of sharpness 4, and, in larger cells, a diagonal network of two features that
fits one sample. Lines of equal κ are theory's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab import phases, theory
from selfstab.plotting import phase_diagrams, style

from . import outcomes, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Phase diagrams over momentum and excess"

START = 1e-6
LEAST_SHOWN, LARGEST_SHOWN = 0.3, 100.0
"""Ends of the colour scale, alike for all losses."""
SMALL_DROP = 0.05
SLOW_STEPS, STEPS = 10_000, 4_000
"""Updates up to ε = 0.005, where growth takes 1/(2ε) steps at β = 0, and beyond."""
LOSSES = {
    "cubic_taylor": "CubicTaylor",
    "product": "Product",
    "diagonal_network": "DiagonalNetwork",
}
INPUTS, TARGETS = [[1.0, 2.0]], [1.0]
NETWORK = "((u1**2 - v1**2) + 2*(u2**2 - v2**2) - 1)**2/4"
"""The network's loss, compiled: a sweep of DiagonalNetwork itself would take minutes."""
NEAR = (0.8, 0.4, 0.3, 0.2)
"""The network's minimum is looked for from these weights."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    many, few = (128, 24) if quick else (512, 64)
    cubic, product = ss.CubicTaylor(curvature=1.0), ss.Product()
    network = ss.SymbolicLoss(NETWORK, ["u1", "u2", "v1", "v2"])
    original = ss.DiagonalNetwork(INPUTS, TARGETS)
    require(
        np.allclose(network.hessian(NEAR), original.hessian(NEAR), rtol=1e-12, atol=1e-12),
        "DiagonalNetwork: what is compiled is another loss",
    )
    losses = {
        "cubic_taylor": (cubic, cubic.minimum(), many),
        "product": (product, product.minimum(), many),
        "diagonal_network": (network, network.minimum(NEAR), few),
    }
    out = {}
    for name, (loss, minimum, cells) in losses.items():
        momentum, excess = 1.0 - np.geomspace(1.0, 0.01, cells), np.geomspace(1e-3, 1.0, cells)
        start, previous = ss.flip_start(loss, minimum, size=START)
        bands = [
            ss.sweep(
                loss, ss.HeavyBall(1.0), {"momentum": momentum, "excess": band}, start=start, previous=previous,
                steps=steps, measure=["phase", "overshoot"],
            )
            for steps, band in ((SLOW_STEPS, excess[excess <= 0.005]), (STEPS, excess[excess > 0.005]))
        ]  # fmt: skip
        out[name] = xarray.concat(bands, dim="excess", combine_attrs="drop_conflicts")
    curvature, quartic = _deviation(network, np.asarray(losses["diagonal_network"][1]))
    out["diagonal_network"].attrs.update(sharpness_curvature=curvature, quartic=quartic)
    return out


def _deviation(loss: ss.SymbolicLoss, minimum: np.ndarray) -> tuple[float, float]:
    """Return σ and τ of a loss of degree 4 at a minimum."""
    unit = np.eye(minimum.size)

    def third(w: np.ndarray) -> np.ndarray:
        return np.array([[loss.third(w, a, b) for b in unit] for a in unit])

    # The third derivative is linear in the weights: a difference is the fourth.
    fourth = np.array([third(minimum + a) - third(minimum) for a in unit])
    return theory.deviation_coefficients(loss.hessian(minimum), third(minimum), fourth)


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 7.4)
    axes = figure.subplots(3, 2)
    for row, (name, title) in zip(axes, LOSSES.items(), strict=True):
        phase_diagrams.draw_phases(data[name], row[0])
        outcomes.leave_out_rare(row[0], data[name])
        phase_diagrams.draw_overshoot(data[name], row[1], least=LEAST_SHOWN, largest=LARGEST_SHOWN)
        row[0].set_title(f"{title}: phase")
        row[1].set_title(f"{title}: overshoot")
    style.label_panels(list(axes.flat))
    style.shared_legend(figure, list(axes[:, 0]), columns=6)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    lines = []
    for name, title in LOSSES.items():
        sweep = data[name]
        expected = theory.overshoot(
            theory.inertia_number(sweep["excess"].values, sweep["momentum"].values[:, None])
        )
        measured, phase = sweep["overshoot"].values, sweep["phase"].values
        share = {word: float((phase == code).mean()) for code, word in phases.LABELS.items()}
        lines.append(
            f"{title}: "
            + ", ".join(f"{word} {100 * part:.3g}%" for word, part in share.items() if part > 0)
            + "."
        )
        small = 2.0 * sweep["excess"].values * expected <= SMALL_DROP
        require(small.any(), f"{title}: no cell where theory's drop is small")
        caught = (phase[small] == phases.CATAPULT) & np.isfinite(measured[small])
        require(
            caught.all(),
            f"{title}: {(~caught).sum()} of {caught.size} cells where theory's drop is small are no catapults "
            "with an overshoot",
        )
        law, words = expected, "G(κ)"
        if "sharpness_curvature" in sweep.attrs:
            excess, momentum = np.broadcast_arrays(sweep["excess"].values, sweep["momentum"].values[:, None])
            law, words = expected.copy(), "G(κ) with its first correction"
            law[small] = theory.overshoot_on_loss(
                excess[small], momentum[small], sweep.attrs["sharpness_curvature"], sweep.attrs["quartic"]
            )
        worst = float(np.abs(measured[small] / law[small] - 1.0).max())
        require(
            worst < SMALL_DROP,
            f"{title}: the overshoot is off the law by {worst:.2g} where the drop is small",
        )
        lines.append(
            f"{title}: where the law's relative drop 2εG is at most {SMALL_DROP:g} ({caught.size} cells, "
            f"{small.mean():.0%} of the plane) every run is a catapult, its overshoot within {worst:.2g} of {words}."
        )
    return lines
