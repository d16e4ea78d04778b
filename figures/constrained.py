"""The constrained trajectory under momentum, and the predicted dynamics about it.

A loss of three weights, ½(1 + y + q²/2)x² − ay + ½kq²: q falls slowly, and with it the rate α of progressive sharpening
changes along the edge. The constrained trajectory is heavy ball projected after each step onto sharpness S* and no
gradient along u; about it the run swings as predicted to second order. Measured at ever smaller swings, the relative
error falls as the swing's square.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray

import selfstab as ss
from selfstab.plotting import style

from . import momenta, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "The constrained trajectory under momentum, and the predicted dynamics about it"

MOMENTA = (0.0, 0.5)
SHOWN = 0.5
SLOPE, CURVATURE, START = 1e-5, 2e-4, 0.2
"""a, k and the first q."""
SCALES = (1.0, 0.5, 0.25, 0.125)
"""Of the swing: a and k are multiplied by the square, so that the path stays the same."""


def slow_loss(scale: float = 1.0) -> ss.SymbolicLoss:
    """Return the loss, with progressive sharpening weaker by `scale` squared."""
    return ss.SymbolicLoss(
        "(1 + y + q**2/2)*x**2/2 - a*y + k*q**2/2",
        ["x", "y", "q"],
        {"a": SLOPE * scale**2, "k": CURVATURE * scale**2},
    )


def slow_start() -> np.ndarray:
    """Return the weights at which the sharpness is 1 and q has its first value."""
    return np.array([0.0, -0.5 * START**2, START])


def compute(quick: bool = False) -> dict[str, xarray.Dataset]:
    scales = SCALES[:3] if quick else SCALES
    error = np.empty((len(MOMENTA), len(scales)))
    out = {}
    for i, beta in enumerate(MOMENTA):
        for j, scale in enumerate(scales):
            found = _both(beta, scale)
            error[i, j] = float(
                np.abs(found["predicted"] - found["excess"]).max() / np.abs(found["excess"]).max()
            )
            if beta == SHOWN and scale == 1.0:
                out["run"] = found
    out["errors"] = xarray.Dataset(
        {"error": (("momentum", "scale"), error, {"long_name": "largest error over the largest excess"})},
        {"momentum": np.array(MOMENTA), "scale": np.array(scales)},
    )
    return out


def _both(momentum: float, scale: float) -> xarray.Dataset:
    """Return a run and the prediction about its constrained trajectory, over as many cycles at every scale.

    On x = 0 u is the axis of x, S = 1 + y + q²/2, ∇L = (0, −a, kq), ∇S⊥ = (0, 1, q) and the Hessian diag(S, 0, k).
    """
    slope, curvature, lr = SLOPE * scale**2, CURVATURE * scale**2, 2.0 * (1.0 + momentum)
    steps = int(0.8 * (1.0 - momentum) / (lr * CURVATURE * scale))
    _, y, q = (float(w) for w in slow_start())
    y_last, q_last = y, q
    # The swing begins a little off the balance.
    x = 1.2 * math.sqrt(_variance(slope, curvature, q))
    along, across = (x, -x), ((0.0, 0.0), (0.0, 0.0))  # v's share of x, and of y and q, now and before
    run = ss.simulate(
        slow_loss(scale), ss.HeavyBall(lr, momentum), [x, y, q], steps, previous=[-x, y, q], keep=["weights"]
    )["weights"].values  # fmt: skip
    predicted, swing, width = np.empty((3, steps + 1))
    for t in range(steps + 1):
        (vx, vx_last), ((vy, vq), (vy_last, vq_last)) = along, across
        variance, excess = _variance(slope, curvature, q), vy + q * vq
        predicted[t], swing[t], width[t] = excess, vx, math.sqrt(variance)
        push = 0.5 * (vx**2 - variance)
        sharpness = 1.0 + y + 0.5 * q**2
        along = vx - lr * (sharpness + excess) * vx + momentum * (vx - vx_last), vx
        across = (
            (
                vy - lr * push + momentum * (vy - vy_last),
                vq - lr * (push * q + curvature * vq) + momentum * (vq - vq_last),
            ),
            (vy, vq),
        )
        y, y_last, q, q_last = (
            y + lr * slope + momentum * (y - y_last), y,
            q - lr * curvature * q + momentum * (q - q_last), q,
        )  # fmt: skip
        for _ in range(3):  # the nearest point of sharpness 1, by Newton's method
            move = (y + 0.5 * q**2) / (1.0 + q**2)
            y, q = y - move, q - move * q
    _, y_run, q_run = run.T
    return xarray.Dataset(
        {
            "excess": (
                "step",
                y_run + 0.5 * q_run**2,
                {"long_name": "S - S* of the run, without the swing's share"},
            ),
            "predicted": ("step", predicted, {"long_name": "y of the prediction"}),
            "displacement": ("step", np.abs(run[:, 0]), {"long_name": "|x| of the run"}),
            "swing": ("step", np.abs(swing), {"long_name": "|x| of the prediction"}),
            "width": ("step", width, {"long_name": "delta"}),
        },
        {"step": np.arange(steps + 1)},
    )


def _variance(slope: float, curvature: float, q: float) -> float:
    """Return δ² = 2α/b², α = −∇L·∇S⊥."""
    return 2.0 * (slope - curvature * q**2) / (1.0 + q**2)


@style.styled
def draw(data: dict[str, xarray.Dataset]) -> Figure:
    figure = style.new_figure(style.DOUBLE_COLUMN, 2.3)
    axes = figure.subplots(1, 3)
    run, errors = data["run"], data["errors"]
    few = slice(None, None, max(1, run.sizes["step"] // 60))
    colour = momenta.COLOURS[SHOWN]
    points = {"linestyle": "none", "marker": momenta.MARKERS[SHOWN], "color": colour, "markersize": 2.2}
    axes[0].plot(run["step"], 1e3 * run["predicted"], color=style.THEORY_COLOUR, label="prediction")
    axes[0].plot(run["step"][few], 1e3 * run["excess"][few], label=rf"run, $\beta={SHOWN:g}$", **points)
    axes[0].set(xlabel="step", ylabel=r"$1000\,(S-S^*)$")
    axes[1].plot(run["step"], 1e3 * run["swing"], color=style.THEORY_COLOUR)
    axes[1].plot(run["step"][few], 1e3 * run["displacement"][few], **points)
    axes[1].plot(
        run["step"], 1e3 * run["width"], color=style.THEORY_COLOUR, linestyle="--", label=r"balance, $\delta$"
    )
    axes[1].set(xlabel="step", ylabel=r"$1000\,|x|$")
    for beta in errors["momentum"].values:
        axes[2].plot(
            errors["scale"], errors["error"].sel(momentum=beta), linestyle="none", marker=momenta.MARKERS[beta],
            color=momenta.COLOURS[beta], label=rf"error, $\beta={beta:g}$",
        )  # fmt: skip
        last = float(errors["error"].sel(momentum=beta)[-1] / errors["scale"][-1] ** 2)
        axes[2].plot(errors["scale"], last * errors["scale"] ** 2, color=momenta.COLOURS[beta], linewidth=0.6)
    axes[2].plot([], [], color="#777777", linewidth=0.6, label="as the swing's square")
    axes[2].set(
        xscale="log", yscale="log", xlabel="scale of the swing", ylabel="error over the largest excess"
    )
    axes[2].set_xticks(errors["scale"].values, [f"{scale:g}" for scale in errors["scale"].values])
    axes[2].minorticks_off()
    style.label_panels(list(axes))
    style.shared_legend(figure, list(axes), columns=6)
    return figure


def check(data: dict[str, xarray.Dataset]) -> list[str]:
    errors, lines = data["errors"], []
    for beta in errors["momentum"].values:
        error = errors["error"].sel(momentum=beta).values
        order = float(np.polyfit(np.log(errors["scale"].values[1:]), np.log(error[1:]), 1)[0])
        require(error[0] < 0.2, f"β = {beta:g}: the prediction is off by {error[0]:.2g} of the excess")
        # What is dropped changes the mean motion, which is of first order in the swing, by third.
        require(1.6 < order < 2.4, f"β = {beta:g}: the error falls as the swing to the power {order:.2f}")
        lines.append(
            f"β = {beta:g}: the predicted sharpness is within {error[0]:.1%} of the largest excess; "
            f"the error falls as the swing to the power {order:.2f}."
        )
    return lines
