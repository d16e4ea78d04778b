"""Predictions on the sharpness gap: the mean sharpness at the edge with noise of the gradient."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np

from selfstab import theory
from selfstab.losses.toys import CubicTaylor
from selfstab.optimizers.aggregated import AggregatedMomentum
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.quasi_hyperbolic import QuasiHyperbolic
from selfstab.runs.simulate import simulate
from selfstab.verification.registry import Measurement, Prediction

_LR, _ALPHA, _STABILIZATION = 0.8, 1e-5, 2.0
_STEPS, _EVERY = 4_000_000, 20

_HEAVY_BALLS: Final = ((HeavyBall(_LR), 10.0), (HeavyBall(_LR, 0.5), 10.0), (HeavyBall(_LR, 0.8), 30.0))
"""Optimizers with bσ_u/α: the larger, the less cycles add to the gap, and the longer a mean takes to settle."""

_OTHERS: Final = ((QuasiHyperbolic(_LR, 0.5, 0.7), 10.0), (AggregatedMomentum(_LR, (0.0, 0.5)), 10.0))


class _Means(NamedTuple):
    """Means along a run: of −y, of x² relative to 2α/b², f, and what heavy ball's velocities say of −y."""

    gap: float
    square: float
    spread: float
    of_velocities: float


def _noise(strength: float) -> float:
    return strength * _ALPHA / float(np.sqrt(_STABILIZATION))


def _leading(optimizer: Optimizer, strength: float) -> float:
    at, noise = optimizer.transfer_coefficients(), _noise(strength)
    return float(
        theory.linear_sharpness_gap(
            at.threshold / _LR, at.sigma, at.c0 * _LR, _ALPHA, noise, _STABILIZATION, noise
        )
    )


@cache
def _means(optimizer: Optimizer, strength: float) -> _Means:
    """Return the means at noise of bσ = strength·α along both weights, from the balance, its first tenth left out."""
    b = float(np.sqrt(_STABILIZATION))
    x0 = theory.edge_displacement(_ALPHA, _STABILIZATION)
    z0 = -_leading(optimizer, strength) / b
    run = simulate(
        CubicTaylor(optimizer.max_stable_sharpness(), _ALPHA, _STABILIZATION), optimizer, [x0, z0], _STEPS,
        previous=[-x0, z0], every=_EVERY, noise=_noise(strength), keep=["weights", "velocity"],
    )  # fmt: skip
    later = slice(_STEPS // _EVERY // 10, None)
    (x, z), (dx, dz) = run["weights"].values[later].T, run["velocity"].values[later].T
    relative = (x / x0) ** 2
    momentum = getattr(optimizer, "momentum", 0.0)
    # Of the envelope x_t = (−1)^t A_t the velocity is x_t + x_{t−1}, up to its sign.
    kinetic = _STABILIZATION * np.mean((2.0 * x - dx) ** 2) + 2.0 * np.mean((b * dz) ** 2)
    return _Means(
        float(-b * z.mean()), float(relative.mean()), float(np.mean((1.0 - relative) ** 2)),
        float((1.0 + momentum) / (4.0 * _LR * _ALPHA) * kinetic),
    )  # fmt: skip


def _gap() -> Measurement:
    measured, predicted = [], []
    for optimizer, strength in (*_HEAVY_BALLS, *_OTHERS):
        means, at = _means(optimizer, strength), optimizer.transfer_coefficients()
        cycles = theory.cycle_gap(
            at.sigma, at.c0 * _LR, optimizer.inertia(1.0).effective, _ALPHA, means.spread
        )
        measured.append(means.gap)
        predicted.append(_leading(optimizer, strength) + cycles)
    return Measurement.worst(np.array(measured), np.array(predicted))


def _heavy_ball() -> Measurement:
    measured, predicted = [], []
    for optimizer, strength in _HEAVY_BALLS:
        means, noise, momentum = _means(optimizer, strength), _noise(strength), optimizer.momentum
        alone = theory.sharpness_gap(_LR, momentum, _ALPHA, noise, _STABILIZATION, noise)
        at = optimizer.transfer_coefficients()
        kappa = theory.inertia_number(1.0, momentum)
        measured.append(means.gap)
        predicted.append(alone + theory.cycle_gap(at.sigma, at.c0 * _LR, kappa, _ALPHA, means.spread))
    return Measurement.worst(np.array(measured), np.array(predicted))


def _balance() -> Measurement:
    squares = np.array([_means(*case).square for case in (*_HEAVY_BALLS, *_OTHERS)])
    scale = theory.edge_displacement(_ALPHA, _STABILIZATION) ** 2
    return Measurement.worst(squares * scale, np.full(squares.size, 2.0 * _ALPHA / _STABILIZATION))


def _velocities() -> Measurement:
    means = [_means(*case) for case in _HEAVY_BALLS]
    return Measurement.worst(np.array([m.gap for m in means]), np.array([m.of_velocities for m in means]))


_WHERE = "CubicTaylor, α = 1e-5, b² = 2, noise of bσ = 10α to 30α on both weights, 4,000,000 steps"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A12 balance with noise",
        statement="E x² = 2α/b² at the edge, whatever the noise and the optimizer",
        where=f"{_WHERE}; heavy ball β = 0, 0.5, 0.8, quasi-hyperbolic and aggregated momentum",
        source="derivations/a12_gap.py",
        measure=_balance,
        tolerance=0.03,  # two standard errors of the transverse noise's mean, bσ/(α√steps)
    ),
    Prediction(
        name="A12 sharpness gap",
        statement="S* − E S = ΔS_u + 2g + 3fα((1 + β)/(1 − β))²/(2S*), ΔS_u(1 − ΔS_u/S*) = g = ηb²σ²/(4α(1 − β))",
        where=f"{_WHERE}; heavy ball β = 0, 0.5, 0.8; f from the run",
        source="derivations/a12_gap.py",
        measure=_heavy_ball,
        tolerance=0.03,
    ),
    Prediction(
        name="A12 gap of any optimizer",
        statement="S* − E S = (b²σ²/(4α))(1/(σ₁S*) + 2c₀) + (3/2)f c₀ασ₁κ_e/ε, σ₁ of T's expansion at −1",
        where=f"{_WHERE}; heavy ball, quasi-hyperbolic and aggregated momentum; f from the run",
        source="derivations/a12_gap.py",
        measure=_gap,
        tolerance=0.03,
    ),
    Prediction(
        name="A12 gap and velocities",
        statement="S* − E S = ((1 + β)/(4ηα))(b² E(A_{t+1} − A_t)² + 2 E(y_{t+1} − y_t)²)",
        where=f"{_WHERE}; heavy ball β = 0, 0.5, 0.8",
        source="derivations/a12_gap.py",
        measure=_velocities,
        tolerance=0.02,
    ),
)
"""Entries of the registry."""
