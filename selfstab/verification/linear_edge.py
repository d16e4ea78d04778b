"""Predictions on the edge of stability of any linear optimizer: cycles, warmup's crossing, two-cycles, noise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.toys import CubicTaylor, DoubleWell
from selfstab.optimizers.aggregated import AggregatedMomentum
from selfstab.optimizers.averaged import AveragedHeavyBall
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.quasi_hyperbolic import QuasiHyperbolic
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.fits import recurrence_roots
from selfstab.verification.registry import Measurement, Prediction

_STABILIZATION: Final = 2.0
_OPTIMIZERS: Final[tuple[Optimizer, ...]] = (
    AveragedHeavyBall(1.0, 0.5),
    QuasiHyperbolic(1.0, 0.9, 0.7),
    AggregatedMomentum(1.0, (0.0, 0.9)),
)
_NAMES: Final = "averaged 0.5, quasi-hyperbolic (0.7, 0.9), aggregated (0, 0.9)"
_DIED: Final = 400
"""Steps after which the memory has run out."""


def _at_threshold(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer with the lr at which 1 is the threshold."""
    return replace(optimizer, lr=optimizer.at_excess(1.0, 0.0))


def _cycles(optimizer: Optimizer, alpha: float) -> tuple[float, float]:
    """Return period and growth a cycle of cycles too small to feel their size."""
    at = _at_threshold(optimizer)
    expected = theory.linear_cycle_period(at, alpha)
    apart = max(1, int(expected / 8.0))  # an eighth of a cycle, so that the fit is well conditioned
    loss = CubicTaylor(1.0, alpha, _STABILIZATION)
    x0 = (1.0 + 1e-7) * theory.edge_displacement(alpha, _STABILIZATION)
    run = simulate(loss, at, [x0, 0.0], _DIED + 10 * apart, previous=[-x0, 0.0], keep=["weights"])
    y = run["weights"].values[_DIED::apart, 1]
    root = recurrence_roots(y)[0]
    period = 2.0 * math.pi * apart / abs(np.angle(root))
    return period, math.log(abs(root)) * period / apart


_FREQUENCIES: Final = np.geomspace(2e-3, 0.02, 5)
"""ω, in radians per step."""


def _judged_cycles(growth: bool) -> Measurement:
    judged = []
    for optimizer in _OPTIMIZERS:
        at = _at_threshold(optimizer)
        alphas = (_FREQUENCIES / (2.0 * math.pi) * theory.linear_cycle_period(at, 1.0)) ** 2
        rows = np.array([_cycles(optimizer, float(alpha)) for alpha in alphas])
        predicted = np.asarray(
            np.log(theory.linear_cycle_growth(at, alphas))
            if growth
            else theory.linear_cycle_period(at, alphas)
        )
        judged.append(Measurement.asymptotic(_FREQUENCIES, rows[:, int(growth)], predicted, fitted=4))
    return max(judged, key=lambda m: abs(m.order - 2.0) if math.isfinite(m.order) else math.inf)


def _period() -> Measurement:
    return _judged_cycles(growth=False)


def _growth() -> Measurement:
    return _judged_cycles(growth=True)


def _two_cycles() -> Measurement:
    """Compare where the optimizers end on the double well at an excess of 0.1 with gradient descent's two-cycle."""
    measured, predicted = [], []
    for optimizer in (HeavyBall(1.0), *_OPTIMIZERS, HeavyBall(1.0, 0.5, 0.5)):
        at = replace(optimizer, lr=optimizer.at_excess(2.0, 0.1))
        run = simulate(DoubleWell(), at, [1.05], 4000, keep=["weights"])
        ends = np.sort(run["weights"].values[-2:, 0])
        if optimizer.numbers.get(
            "lookahead"
        ):  # there the two points are those at which the gradient is taken
            middle, half = ends.mean(), 0.5 * (ends[1] - ends[0])
            ends = middle + half * (1.0 + 2.0 * optimizer.numbers["lookahead"]) * np.array([-1.0, 1.0])
        measured.append(ends)
        predicted.append(measured[0])
    return Measurement.worst(np.array(measured), np.array(predicted))


def _matrices(optimizer: Optimizer, curvatures: Array) -> tuple[Array, Array]:
    """Return the steps' matrices in weight and states, by the rule itself, and what a unit gradient does."""
    size = 1 + len(optimizer.states)

    def step(state: Array, curvature: float, gradient: float) -> Array:
        weights, states = state[0], tuple(state[1:])
        point = optimizer.gradient_point(weights, states)
        weights, states = optimizer.rule(weights, states, curvature * point + gradient, optimizer.lr, 0)
        return np.array([weights, *states])

    unit = np.eye(size)
    matrices = np.array([[step(row, float(h), 0.0) for row in unit] for h in curvatures]).transpose(0, 2, 1)
    return matrices, step(np.zeros(size), 0.0, 1.0)


def _noise() -> Measurement:
    """Compute the growth of the mean square at the border for curvatures μ ± s: 1."""
    radii = []
    for optimizer in _OPTIMIZERS:
        at = _at_threshold(optimizer)
        for mean in (0.02, 0.3, 0.7, 0.98):
            deviation = math.sqrt(mean * (theory.linear_batch_sharpness(at, mean) - mean))
            (low, high), _ = _matrices(at, np.array([mean - deviation, mean + deviation]))
            moments = 0.5 * (np.kron(low, low) + np.kron(high, high))
            radii.append(np.abs(np.linalg.eigvals(moments)).max())
    return Measurement.worst(np.array(radii), np.ones(len(radii)))


_RAMPS: Final = np.geomspace(1e-6, 1e-4, 4)


def _crossing() -> Measurement:
    """Add up the variances that noise at each step of a ramp leaves, and take them back to the crossing."""
    judged = []
    for optimizer in _OPTIMIZERS:
        at = _at_threshold(optimizer)
        measured = []
        for ramp in _RAMPS:
            half = int(5.0 * math.sqrt(0.5 / ramp))
            matrices, push = _matrices(at, 1.0 + ramp * np.arange(-half, half))
            covariance = np.zeros((push.size, push.size))
            mode = np.zeros(push.size)
            for k, matrix in enumerate(matrices):
                if k == half:
                    vectors = np.linalg.eig(matrix)
                    mode = vectors[1][:, np.argmin(np.abs(vectors[0] + 1.0))].real
                    mode = mode / mode[0]
                covariance = matrix @ covariance @ matrix.T + np.outer(push, push)
                mode = matrix @ mode
            measured.append(math.sqrt(covariance[0, 0]) / abs(mode[0]))
        predicted = np.asarray(theory.linear_crossing_amplitude(at, 1.0, _RAMPS))
        judged.append(Measurement.asymptotic(_RAMPS, np.array(measured), predicted, fitted=4))
    return max(judged, key=lambda m: abs(m.order - 1.0) if math.isfinite(m.order) else math.inf)


_SOURCE: Final = "derivations/a11_edge.py"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A11 cycle period",
        statement="2π/ω, ω = √(2αc₀/(σS*)), up to O(ω²); the optimizer with the worst order",
        where=f"CubicTaylor at the edge, b² = 2, cycles of 1e-7; {_NAMES}",
        source=_SOURCE,
        measure=_period,
        small_parameter="ω",
        expected_order=2.0,
        band=0.15,
    ),
    Prediction(
        name="A11 cycle growth",
        statement="ln growth per cycle = π(κ_x + κ_y), up to O(ω²); the optimizer with the worst order",
        where=f"CubicTaylor at the edge, b² = 2, cycles of 1e-7; {_NAMES}",
        source=_SOURCE,
        measure=_growth,
        small_parameter="ω",
        expected_order=2.0,
        band=0.15,
    ),
    Prediction(
        name="A11 two-cycles",
        statement="two-cycles are gradient descent's with lr 2/S*",
        where=f"DoubleWell at ε = 0.1; {_NAMES}, Nesterov 0.5",
        source=_SOURCE,
        measure=_two_cycles,
        tolerance=1e-12,
    ),
    Prediction(
        name="A11 crossing amplitude",
        statement="x_c = (s/(σS*))(πσ/ε')^{1/4}, up to O(ε'); the optimizer with the worst order",
        where=f"exact variances on a ramp of curvature; {_NAMES}",
        source=_SOURCE,
        measure=_crossing,
        small_parameter="ε'",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A11 noise boundary",
        statement="E x² neither grows nor dies at B = μ + s²/μ, s²Σh_k² = 1",
        where=f"moments of curvatures μ ± s, μ/S* from 0.02 to 0.98; {_NAMES}",
        source=_SOURCE,
        measure=_noise,
        tolerance=1e-10,
    ),
)
"""Entries of the registry."""
