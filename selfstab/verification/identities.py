"""Exact statements on every swing: the unrolled update and the envelope's own heavy ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.toys import CubicTaylor
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

_STABILIZATION = 2.0  # b² away from 1, so that a forgotten b shows
_KAPPA = 0.3
_MOMENTA = (0.0, 0.5, 0.9, 0.99)


@dataclass(frozen=True)
class _CubicRun:
    """x_t and bz_t = y_t − y_0, with y's initial velocity."""

    lr: float
    momentum: float
    progressive_sharpening: float
    x: Array
    rise: Array
    velocity: float

    @property
    def pushes(self) -> Array:
        """Return η(α − b²x_t²/2): what step t gives to y."""
        return self.lr * (self.progressive_sharpening - 0.5 * _STABILIZATION * self.x**2)


def _cubic_run(momentum: float, turn: float) -> _CubicRun:
    """Run through a swing of κ = 0.3, rt = 0 to 15; `turn` is the initial velocity of y in units of ε."""
    excess = _KAPPA / theory.inertia_number(1.0, momentum)
    lr = (1.0 + excess) * HeavyBall(1.0, momentum).max_stable_sharpness()
    optimizer = HeavyBall(lr, momentum)
    y0 = 1.0 - optimizer.max_stable_sharpness()
    alpha, velocity = 0.1 * y0**2, turn * excess
    steps = int(15.0 * (1.0 - momentum) / (lr * y0))
    run = simulate(
        CubicTaylor(1.0, alpha, _STABILIZATION), optimizer, [0.1 * y0, 0.0], steps, keep=["weights"],
        previous=[-0.13 * y0, -velocity / np.sqrt(_STABILIZATION)],
    )  # fmt: skip
    x, z = run["weights"].values.T
    return _CubicRun(lr, momentum, alpha, x, np.sqrt(_STABILIZATION) * z, velocity)


def _identity_runs() -> list[_CubicRun]:
    return [_cubic_run(momentum, turn) for momentum in _MOMENTA for turn in (0.0, 0.1, -0.1)]


def _unrolled() -> Measurement:
    measured, predicted, scale = [], [], []
    for run in _identity_runs():
        steps = run.x.size - 1
        weights = np.asarray(theory.stabilization_weight(np.arange(steps + 1), run.momentum))
        share = run.momentum * weights * run.velocity
        # Σ_{s<t} w_{t−s} f_s for t = 0, ..., steps; w_0 = 0
        measured.append(run.rise[1:])
        predicted.append((share + np.convolve(weights, run.pushes)[: steps + 1])[1:])
        scale.append((np.abs(share) + np.convolve(weights, np.abs(run.pushes))[: steps + 1])[1:])
    return Measurement.worst(np.concatenate(measured), np.concatenate(predicted), np.concatenate(scale))


def _envelope() -> Measurement:
    measured, predicted, scale = [], [], []
    for run in _identity_runs():
        y = run.rise + (1.0 - theory.max_stable_sharpness(run.lr, run.momentum))
        swing = np.where(np.arange(y.size) % 2 == 0, run.x, -run.x)
        # The update of x adds η(S* + y)x, whose S* is of order 1 here; it rounds with that size.
        of_x = (swing, run.lr * y * swing, run.lr * np.abs(swing))
        of_y = (run.rise, run.pushes, np.abs(run.pushes))
        for series, push, size in (of_x, of_y):
            before, now, after = series[:-2], series[1:-1], series[2:]
            measured.append(after - now - run.momentum * (now - before))
            predicted.append(push[1:-1])
            sizes = np.abs(after) + (1.0 + run.momentum) * np.abs(now) + run.momentum * np.abs(before)
            scale.append(sizes + size[1:-1])
    return Measurement.worst(np.concatenate(measured), np.concatenate(predicted), np.concatenate(scale))


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A1 unrolled update",
        statement="y_t = y_0 + βw_t v_0 + Σ w_{t−s} η(α − b²x_s²/2), w_k = (1 − β^k)/(1 − β); error divided "
        "by Σ|terms|",
        where="CubicTaylor, b² = 2, from κ = 0.3 to rt = 15, β = 0 to 0.99, y at rest and with initial velocity",
        source="derivations/a1_unrolled.py",
        measure=_unrolled,
        tolerance=1e-12,  # each of up to 5000 steps rounds once
    ),
    Prediction(
        name="A2 envelope",
        statement="x = (−1)^t A: A_{t+1} − A_t − β(A_t − A_{t−1}) = ηy_t A_t, likewise y; error divided by Σ|terms|",
        where="the runs of A1",
        source="derivations/a2_envelope.py",
        measure=_envelope,
        tolerance=2e-15,  # a few roundings of the largest term
    ),
)
"""Entries of the registry."""
