"""Predictions of what swings about the constrained trajectory, on a loss of three weights.

The loss is ½(1 + y + q²/2)x² + cx³/6 − ay + ½kq². On x = 0 u is the axis of x, S = 1 + y + q²/2, ∇L = (0, −a, kq),
∇S⊥ = (0, 1, q) and the Hessian diag(S, 0, k). So q falls slowly, and with it α changes along the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

SLOPE: Final = 1e-5
"""a at scale 1."""
CURVATURE: Final = 2e-4
"""k at scale 1."""
START: Final = 0.2
"""The first q."""


@cache
def slow_loss(scale: float = 1.0, third: float = 0.0) -> SymbolicLoss:
    """Return the loss with third derivative c along x.

    a and k are multiplied by `scale` squared: the swing by `scale`, while the path stays the same.
    """
    return SymbolicLoss(
        "(1 + y + q**2/2)*x**2/2 + c*x**3/6 - a*y + k*q**2/2",
        ["x", "y", "q"],
        {"c": third, "a": SLOPE * scale**2, "k": CURVATURE * scale**2},
    )


def slow_start() -> Array:
    """Return the weights at which the sharpness is 1 and q has its first value."""
    return np.array([0.0, -0.5 * START**2, START])


@dataclass(frozen=True)
class Swing:
    """A run and the prediction about its constrained trajectory, each of shape (steps + 1,).

    Parameters
    ----------
    excess_sharpness, predicted
        S − S* without the swing's share, of the run and of the prediction.
    displacement, predicted_displacement
        x of both.
    width
        δ along the constrained trajectory.
    """

    excess_sharpness: Array
    predicted: Array
    displacement: Array
    predicted_displacement: Array
    width: Array

    def worst(self) -> tuple[float, float, float]:
        """Return the run's and the predicted S − S* where they differ most, and its largest."""
        k = int(np.argmax(np.abs(self.predicted - self.excess_sharpness)))
        return (
            float(self.excess_sharpness[k]),
            float(self.predicted[k]),
            float(np.abs(self.excess_sharpness).max()),
        )

    def error(self) -> float:
        """Return the largest error of the predicted S − S*, relative to its largest."""
        run, predicted, largest = self.worst()
        return abs(predicted - run) / largest


def swing(momentum: float, scale: float, third: float = 0.0, carried: bool = False) -> Swing:
    """Return a run and the prediction, over as many cycles at every scale, from 1.2 times the balance.

    Parameters
    ----------
    momentum, scale, third
        β, the size of the swing and c.
    carried
        Whether the prediction carries c and the curvature of the sharpness, beside the second order's bracket.
    """
    lr = float(2.0 * (1.0 + momentum))
    steps = int(0.8 * (1.0 - momentum) / (lr * CURVATURE * scale))
    path, width = _constrained(momentum, scale, steps)
    _, y0, q0 = slow_start()
    x = 1.2 * float(width[0])
    run = simulate(
        slow_loss(scale, third), HeavyBall(lr, momentum), [x, y0, q0], steps, previous=[-x, y0, q0], keep=["weights"]
    )["weights"].values  # fmt: skip
    predicted, along = np.empty((2, steps + 1))
    curvature, curved, skewed = CURVATURE * scale**2, 0.5 * carried, 0.5 * third * carried
    x_last, y, y_last, q, q_last = -x, 0.0, 0.0, 0.0, 0.0  # v, now and before
    for t, (q_path, variance) in enumerate(zip(path.tolist(), (width**2).tolist(), strict=True)):
        excess = y + q_path * q + curved * q**2
        predicted[t], along[t] = excess, x
        push = 0.5 * (x**2 - variance)
        forces = (
            (1.0 + excess) * x + skewed * x**2,
            push,
            push * q_path + curved * x**2 * q + curvature * q,
        )
        x, x_last = x - lr * forces[0] + momentum * (x - x_last), x
        y, y_last = y - lr * forces[1] + momentum * (y - y_last), y
        q, q_last = q - lr * forces[2] + momentum * (q - q_last), q
    return Swing(run[:, 1] + 0.5 * run[:, 2] ** 2, predicted, run[:, 0], along, width)


def _constrained(momentum: float, scale: float, steps: int) -> tuple[Array, Array]:
    """Return q and δ along the constrained trajectory: heavy ball projected onto S = 1 after each step."""
    slope, curvature, lr = SLOPE * scale**2, CURVATURE * scale**2, 2.0 * (1.0 + momentum)
    _, y, q = slow_start().tolist()
    y_last, q_last = y, q
    path = np.empty(steps + 1)
    for t in range(steps + 1):
        path[t] = q
        y, y_last, q, q_last = (
            y + lr * slope + momentum * (y - y_last), y,
            q - lr * curvature * q + momentum * (q - q_last), q,
        )  # fmt: skip
        for _ in range(3):  # the nearest point of sharpness 1, by Newton's method
            move = (y + 0.5 * q**2) / (1.0 + q**2)
            y, q = y - move, q - move * q
    return path, np.asarray(theory.edge_displacement(slope - curvature * path**2, 1.0 + path**2))


_SCALES: Final = np.geomspace(0.04, 0.16, 4)


def _order(momentum: float, carried: bool) -> Measurement:
    worst = [swing(momentum, float(scale), 1.0, carried).worst() for scale in _SCALES]
    measured, predicted, largest = np.array(worst).T
    return Measurement.asymptotic(_SCALES, measured, predicted, fitted=3, relative_to=largest)


def _entry(name: str, momentum: float, carried: bool, statement: str) -> Prediction:
    return Prediction(
        name=f"M1 {name} β = {momentum:g}",
        statement=statement,
        where=f"S = 1 + y + q²/2, c₃ = 1, β = {momentum:g}, a cycle or two; largest error of y, divided by "
        "the largest y",
        source="derivations/m1_constrained.py",
        measure=partial(_order, momentum, carried),
        small_parameter="scale of the swing",
        expected_order=2.0 if carried else 1.0,
        band=0.2,
    )


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    *(
        _entry("bracket", momentum, False, "v follows ½(x² − δ²)∇S⊥ + Hv + xyu, δ² = 2α/b²; forces O(δ³) are dropped")
        for momentum in (0.0, 0.5)
    ),
    *(
        _entry("carried terms", momentum, True, "with ½c₃x² and the curvature of S carried, too: one order more")
        for momentum in (0.0, 0.5)
    ),
)  # fmt: skip
"""Entries of the registry."""
