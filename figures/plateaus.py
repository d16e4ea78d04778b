"""Noise of the curvature: the ratio of the two plateaus is the amplification of self-stabilization.

Batch sharpness at the border where E x² begins to grow, against the mean curvature, both in units of S*. Points:
spectral radius of the mean of the steps' Kronecker squares, 1 at the border. Lines: the closed form. At the left end
the height is 1 divided by the amplification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray
from scipy.optimize import brentq

import selfstab as ss
from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of
from selfstab.validation import Array

from . import families, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Noise of the curvature: plateaus and amplification"

OPTIMIZERS = {
    "gradient descent": ss.HeavyBall(2.0),
    "quasi-hyperbolic (0.7, 0.9)": ss.QuasiHyperbolic(5.9375, 0.9, 0.7),
    "aggregated (0, 0.9)": ss.AggregatedMomentum(76.0 / 29.0, (0.0, 0.9)),
    "heavy ball, 0.9": ss.HeavyBall(3.8, 0.9),
}
"""Each with the threshold 1."""

MARKERS = ("o", "^", "P", "D")
"""Of each."""


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    mean = np.linspace(0.02, 0.98, 5 if quick else 13)
    sharpness = np.array([[_border(optimizer, float(m)) for m in mean] for optimizer in OPTIMIZERS.values()])
    return {
        "border": xarray.Dataset(
            {
                "batch_sharpness": (
                    ("optimizer", "mean"),
                    sharpness,
                    {"long_name": "E h² / E h in units of S*"},
                )
            },
            {"optimizer": list(OPTIMIZERS), "mean": mean},
        )
    }


def _border(optimizer: Any, mean: float) -> float:
    """Return μ + s²/μ at which the mean square of curvatures μ ± s neither grows nor dies."""

    def beyond(deviation: float) -> float:
        low, high = (_matrix(optimizer, mean + sign * deviation) for sign in (-1.0, 1.0))
        return float(np.abs(np.linalg.eigvals(0.5 * (np.kron(low, low) + np.kron(high, high)))).max() - 1.0)

    return mean + brentq(beyond, 0.0, 2.0, xtol=1e-12) ** 2 / mean


def _matrix(optimizer: Any, curvature: float) -> Array:
    """Return a step's matrix in the weight and the states, by the optimizer's rule."""
    columns = []
    for unit in np.eye(1 + len(optimizer.states)):
        weight, states = optimizer.rule(unit[0], tuple(unit[1:]), curvature * unit[0], optimizer.lr, 0)
        columns.append([weight, *states])
    return np.array(columns, dtype=float).T


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.SINGLE_COLUMN, 2.8)
    ax = figure.subplots()
    border = data["border"]
    fine = np.linspace(0.0, 1.0, 60)
    for (name, optimizer), marker, values in zip(
        OPTIMIZERS.items(), MARKERS, border["batch_sharpness"].values, strict=True
    ):
        colour = families.colour(name)
        ax.plot(fine, theory.linear_batch_sharpness(optimizer, fine), color=colour)
        ax.plot(border["mean"], values, linestyle="none", color=colour, marker=marker, label=name)
    ax.plot([], [], color=style.THEORY_COLOUR, label="theory")
    ax.set(
        xlabel=label_of("mean_curvature", r"$\mu/S^*$"),
        ylabel=label_of("batch_sharpness", "$B/S^*$"),
        ylim=(0.0, 1.05),
    )
    ax.legend(fontsize=6, loc="lower right")
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    border = data["border"]
    predicted = np.array(
        [theory.linear_batch_sharpness(o, border["mean"].values) for o in OPTIMIZERS.values()]
    )
    error = float(np.abs(border["batch_sharpness"].values / predicted - 1.0).max())
    require(error < 1e-6, f"a border differs from the closed form by {error:.1e}")
    return [f"The borders of {len(OPTIMIZERS)} optimizers are those of the closed form within {error:.0e}."]
