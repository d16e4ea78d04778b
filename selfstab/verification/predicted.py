"""Predictions of what swings about the constrained trajectory on real data: the handwritten digits.

A network 64-32-1 (tanh) learns the parity of 500 digits by gradient descent up to the threshold S* = 5. From there,
projected onto the edge and displaced by 0.025 along the top eigenvector, it runs at that threshold with and without
momentum. A displaced start is reproducible; one without freezes, or swings from rounding errors.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab.datasets import digits
from selfstab.flows.constrained import checked, constrained_trajectory
from selfstab.flows.predicted import Form, together
from selfstab.losses.networks.mlp import MLP
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

if TYPE_CHECKING:
    import xarray

THRESHOLD: Final = 5.0
"""S* of every run."""
DISPLACEMENT: Final = 0.025
"""x at the start."""

_STEPS_TO_THE_EDGE: Final = 796  # of gradient descent at lr 0.3, far from its own threshold


@cache
def network() -> MLP:
    """Return the network on its data."""
    return MLP((64, 32, 1), *digits(500, target="parity"))


@cache
def edge_start() -> tuple[Array, Array]:
    """Return weights on the edge of stability, with the top eigenvector there."""
    loss = network()
    trained = simulate(
        loss, HeavyBall(0.3), loss.initial_weights(seed=0), _STEPS_TO_THE_EDGE, every=_STEPS_TO_THE_EDGE, keep="weights"
    )["weights"].values[-1]  # fmt: skip
    at = constrained_trajectory(loss, optimizer(0.0), trained, 0, keep=["weights", "top_eigenvector"])
    return at["weights"].values[0], at["top_eigenvector"].values[0]


def optimizer(momentum: float) -> HeavyBall:
    """Return heavy ball at the threshold."""
    return HeavyBall(2.0 * (1.0 + momentum) / THRESHOLD, momentum)


@cache
def compared(momentum: float, forms: tuple[Form, ...], steps: int) -> dict[str, xarray.Dataset]:
    """Return a run on the digits beside its predictions, by form."""
    weights, u = edge_start()
    return together(checked(network(), optimizer(momentum), weights + DISPLACEMENT * u, None, steps), forms)


def error(data: xarray.Dataset) -> float:
    """Return the root mean square of the predicted sharpness's error over the run's own range of sharpness."""
    off = data["predicted_sharpness"].values - data["sharpness"].values
    return float(np.sqrt(np.mean(off**2)) / np.ptp(data["sharpness"].values))


def _least(momentum: float, form: Form, steps: int) -> Measurement:
    """Compare the least sharpness of the run and of the prediction; the error is that of all steps."""
    data = compared(momentum, (form,), steps)[form]
    measured, expected = (float(data[name].min()) for name in ("sharpness", "predicted_sharpness"))
    return Measurement(measured, expected, error(data))


def _entry(momentum: float, form: Form, steps: int, tolerance: float, what: str) -> Prediction:
    return Prediction(
        name=f"M1 digits {form} β = {momentum:g}",
        statement=f"{what}: least sharpness; error is the rms error of the sharpness, divided by its range",
        where=f"digits, parity, MLP 64-32-1 tanh, S* = 5, displaced by 0.025 along u, the first {steps} steps",
        source="derivations/m1_constrained.py",
        measure=partial(_least, momentum, form, steps),
        tolerance=tolerance,
    )


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    _entry(0.0, "basic", 60, 0.01, "v follows ½(x² − δ²)∇S⊥ + Hv + xyu"),
    _entry(0.3, "projected", 45, 0.03, "the same with momentum, δ² from the projection"),
    _entry(0.5, "projected", 55, 0.05, "the same through a small catapult"),
    _entry(0.9, "two-scale", 45, 0.015, "slow point and swing on one potential, through a large catapult"),
)
"""Entries of the registry."""
