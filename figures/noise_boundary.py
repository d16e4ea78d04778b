"""Noise of the curvature lowers the edge: one line joins the two plateaus of batch sharpness.

The curvature is μ ± s, drawn anew at each step. The exact mean square over all 2⁷ sequences of seven steps gives its
growth per step. Bisection in s finds the noise at which it neither grows nor dies. There the batch sharpness B = E
h²/E h, times η, lies on the line 2(1 − β) + (2β/(1 + β))ημ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray

from selfstab import theory
from selfstab.plotting import style
from selfstab.plotting.labels import label_of

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Noise of the curvature lowers the edge"

MOMENTA = (0.0, 0.5, 0.9)
STEPS = 7


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    momentum, share = np.array(MOMENTA), np.linspace(0.05, 0.95, 4 if quick else 10)
    mean = 2.0 * (1.0 + momentum)[:, None] * share
    low, high = np.zeros(mean.shape), np.full(mean.shape, 4.0)
    for _ in range(30):
        middle = 0.5 * (low + high)
        grows = _growth(mean, middle, momentum[:, None]) > 1.0
        low, high = np.where(grows, low, middle), np.where(grows, middle, high)
    out = xarray.Dataset(coords={"momentum": momentum})
    out["mean"] = (("momentum", "point"), mean, {"long_name": "lr times the mean curvature"})
    out["deviation"] = (("momentum", "point"), 0.5 * (low + high), {"long_name": "lr times its deviation"})
    return {"noise_boundary": out}


def _growth(mean: np.ndarray, deviation: np.ndarray, momentum: np.ndarray) -> np.ndarray:
    """Return the growth of E x² per step: the largest root of the recurrence of order three that it obeys."""
    signs = np.where(np.arange(2**STEPS)[:, None] >> np.arange(STEPS) & 1, 1.0, -1.0).T
    shape = np.broadcast_shapes(mean.shape, momentum.shape)
    beta = np.broadcast_to(momentum, shape)[..., None]
    current, previous = np.ones((*shape, 1)), np.full((*shape, 1), 0.3)
    squares = [np.ones(shape)]
    for sign in signs:
        curvature = mean[..., None] + deviation[..., None] * sign
        previous, current = current, current - curvature * current + beta * (current - previous)
        squares.append((current**2).mean(axis=-1))
    s = np.stack(squares, axis=-1)
    rows = np.stack([s[..., 2:-1], s[..., 1:-2], s[..., :-3]], axis=-1)
    scale = np.abs(rows).max(axis=-1, keepdims=True)
    recurrence = np.linalg.pinv(rows / scale, rcond=1e-12) @ (s[..., 3:] / scale[..., 0])[..., None]
    companion = np.zeros((*shape, 3, 3))
    companion[..., 0, :] = recurrence[..., 0]
    companion[..., 1, 0] = companion[..., 2, 1] = 1.0
    return np.abs(np.linalg.eigvals(companion)).max(axis=-1)


def _batch_sharpness(boundary: xarray.Dataset) -> np.ndarray:
    mean = boundary["mean"].values
    return mean + boundary["deviation"].values ** 2 / mean


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.SINGLE_COLUMN, 2.6)
    ax = figure.add_subplot()
    boundary = data["noise_boundary"]
    for k, beta in enumerate(boundary["momentum"].values):
        colour = momenta.COLOURS[beta]
        mean = np.linspace(0.0, 2.0 * (1.0 + beta), 50)
        ax.plot(mean, theory.max_stable_batch_sharpness(1.0, beta, mean), color=colour)
        ax.plot(
            boundary["mean"].values[k], _batch_sharpness(boundary)[k], linestyle="none", marker=momenta.MARKERS[beta],
            color=colour, label=rf"$\beta={beta:g}$",
        )  # fmt: skip
    ax.plot([0.0, 4.0], [0.0, 4.0], color="#bbbbbb", linewidth=0.6, zorder=0, label="no noise")
    ax.plot([], [], color=style.THEORY_COLOUR, label="theory")
    ax.set(xlabel=label_of("mean_curvature", r"$\eta\mu$"), ylabel=label_of("batch_sharpness", r"$\eta B$"))
    ax.legend()
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    boundary = data["noise_boundary"]
    beta = boundary["momentum"].values[:, None]
    error = np.abs(
        _batch_sharpness(boundary) / theory.max_stable_batch_sharpness(1.0, beta, boundary["mean"].values)
        - 1.0
    )
    require((error < 1e-6).all(), f"batch sharpness at the boundary is off by {error.max():.1e}")
    return [f"Batch sharpness at {error.size} points of the boundary within {error.max():.0e} of the line."]
