"""Predictions on real data: a network's derivatives are those of its loss, by the orders of Taylor's remainders."""

from __future__ import annotations

from functools import cache
from math import factorial
from typing import Final

import numpy as np

from selfstab.datasets import digits
from selfstab.losses.networks.mlp import MLP
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

_STEPS = np.geomspace(0.015, 0.12, 6)


@cache
def _along(criterion: str) -> tuple[Array, list[float]]:
    """Return the loss at each step along a unit direction, and its derivatives at the start of it, order 0 first."""
    inputs, targets = digits(200, target="parity")
    if criterion == "mse":
        loss = MLP((64, 32, 1), inputs, targets)
    else:
        loss = MLP((64, 32, 2), inputs, (targets[:, 0] > 0).astype(int), criterion=criterion)
    w = loss.initial_weights(seed=0)
    # All derivatives along it stand clear of rounding; along the sharpest direction the odd ones do not.
    d = loss.gradient(w) + w / np.linalg.norm(w)
    d /= np.linalg.norm(d)
    derivatives = [
        loss.value(w),
        float(loss.gradient(w) @ d),
        float(loss.hessian_vector(w, d) @ d),
        float(loss.third(w, d, d) @ d),
        float(loss.fourth(w, d, d, d) @ d),
    ]
    return np.array([loss.value(w + h * d) for h in _STEPS]), derivatives


def _remainder(order: int, criterion: str) -> Measurement:
    values, derivatives = _along(criterion)
    expansion = sum(d * _STEPS**j / factorial(j) for j, d in enumerate(derivatives[: order + 1]))
    return Measurement.asymptotic(_STEPS, values, np.asarray(expansion), fitted=len(_STEPS))


def _prediction(order: int, criterion: str) -> Prediction:
    return Prediction(
        name=f"M3 remainder {order} {criterion}",
        statement=f"L(w + hd) − Σ_(j<={order}) h^j ∇^jL(d, ..., d)/j! = O(h^{order + 1})",
        where="digits, parity, 200 samples, MLP 64-32 tanh with "
        + ("one output" if criterion == "mse" else "two outputs")
        + ", initial weights, d along w/|w| + gradient",
        source="selfstab/losses/networks/passes.py",
        measure=lambda: _remainder(order, criterion),
        small_parameter="h",
        expected_order=order + 1.0,
        band=0.1,
    )


PREDICTIONS: Final[tuple[Prediction, ...]] = tuple(
    _prediction(order, criterion) for criterion in ("mse", "cross-entropy") for order in (1, 2, 3, 4)
)
"""Entries of the registry."""
