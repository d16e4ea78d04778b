"""Predictions on catapults of any linear optimizer: growth, amplification, inertias, overshoot and the slow flow."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.base.starts import flip_start
from selfstab.losses.toys import CubicTaylor, Quadratic
from selfstab.optimizers.aggregated import AggregatedMomentum
from selfstab.optimizers.averaged import AveragedHeavyBall
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.quasi_hyperbolic import QuasiHyperbolic
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

_STABILIZATION = 2.0
_OPTIMIZERS: Final[tuple[Optimizer, ...]] = (
    HeavyBall(1.0),
    HeavyBall(1.0, 0.8),
    HeavyBall(1.0, 0.5, 0.5),
    AveragedHeavyBall(1.0, 0.8),
    QuasiHyperbolic(1.0, 0.9, 0.7),
    AggregatedMomentum(1.0, (0.0, 0.9)),
)
_NAMES: Final = (
    "β = 0; heavy ball 0.8, Nesterov 0.5, averaged 0.8, quasi-hyperbolic (0.7, 0.9), aggregated (0, 0.9)"
)


def _at_excess(optimizer: Optimizer, excess: float) -> Optimizer:
    """Return the optimizer with the lr at which the sharpness 1 has this excess."""
    return replace(optimizer, lr=optimizer.at_excess(1.0, excess))


def _overshoot(optimizer: Optimizer, excess: float, memory: float, size: float = 1e-6) -> float:
    """Return drop/(2y0) of a catapult from the minimum, after the swing has died and the memory has run out.

    The flip is `size` times the largest swing; `memory` is how many steps the optimizer remembers.
    """
    at = _at_excess(optimizer, excess)
    y0 = 1.0 - 1.0 / (1.0 + excess)
    loss = CubicTaylor(1.0, stabilization=_STABILIZATION)
    largest = theory.linear_displacement(at, y0, _STABILIZATION)
    start, previous = flip_start(loss, loss.minimum(), size * largest)
    growth = math.log(theory.growth(at, excess))
    steps = int((2.0 * math.log(1.0 / size) + 14.0) / growth + 40.0 * memory)
    run = simulate(loss, at, start, steps, previous=previous, keep=["weights"], every=steps)
    return float(-math.sqrt(_STABILIZATION) * run["weights"].values[-1, 1] / (2.0 * y0))


_MEMORIES: Final = (1.0, 5.0, 2.0, 5.0, 10.0, 10.0)
_KAPPAS: Final = np.geomspace(2e-3, 0.2, 7)


def _overshoots(k: int, kappas: Array) -> tuple[Array, Array]:
    """Return ε and the overshoots of one of the optimizers at numbers κ_e."""
    optimizer = _OPTIMIZERS[k]
    excess = kappas / theory.inertia(optimizer, 1.0).effective
    return excess, np.array([_overshoot(optimizer, float(e), _MEMORIES[k]) for e in excess])


def _worst_order(judged: list[Measurement], expected: float) -> Measurement:
    return max(judged, key=lambda m: abs(m.order - expected) if math.isfinite(m.order) else math.inf)


def _by_kappa() -> Measurement:
    judged = []
    for k in range(len(_OPTIMIZERS)):
        _, overshoots = _overshoots(k, _KAPPAS)
        ratio = (overshoots - 1.0) / _KAPPAS
        judged.append(Measurement.asymptotic(_KAPPAS, ratio, np.ones(_KAPPAS.size), fitted=3))
    return _worst_order(judged, 1.0)


def _second_order() -> Measurement:
    judged = []
    for k in range(len(_OPTIMIZERS)):
        _, overshoots = _overshoots(k, _KAPPAS)
        series = 1.0 + _KAPPAS + 2.0 * _KAPPAS**2
        ratio = ((overshoots - 1.0) / _KAPPAS - 1.0) / _KAPPAS
        errors = np.abs(overshoots - series)
        judged.append(
            Measurement.asymptotic(
                _KAPPAS, ratio, np.full(_KAPPAS.size, 2.0), fitted=3, domain=errors / series
            )
        )
    return _worst_order(judged, 1.0)


def _third_order() -> Measurement:
    kappas = np.geomspace(1e-2, 0.3, 7)
    judged = []
    for k, optimizer in enumerate(_OPTIMIZERS):
        excess, overshoots = _overshoots(k, kappas)
        predicted = np.asarray(theory.linear_overshoot(optimizer, excess))
        judged.append(Measurement.asymptotic(kappas, overshoots, predicted, fitted=3))
    return _worst_order(judged, 4.0)


def _growth() -> Measurement:
    measured, predicted = [], []
    for optimizer in _OPTIMIZERS:
        for excess in (0.01, 0.3):
            steps = 2 * int(150.0 / math.log(theory.growth(optimizer, excess)))
            run = simulate(
                Quadratic([1.0]), _at_excess(optimizer, excess), [1e-9], steps, previous=[-1e-9],
                keep=["weights"], every=steps // 2, escape=1e300,
            )  # fmt: skip
            x = run["weights"].values[:, 0]
            measured.append(math.log(abs(x[-1] / x[-2])) / (steps // 2))
            predicted.append(math.log(theory.growth(optimizer, excess)))
    return Measurement.worst(np.array(measured), np.array(predicted))


_SWING: Final = 1e-7


def _amplification() -> Measurement:
    """Compare how fast the sharpness falls at the threshold under a swing of constant size."""
    measured, predicted = [], []
    for optimizer in _OPTIMIZERS:
        at = _at_excess(optimizer, 0.0)
        loss = CubicTaylor(1.0, stabilization=_STABILIZATION)
        start, previous = flip_start(loss, loss.minimum(), _SWING)
        run = simulate(loss, at, start, 400, previous=previous, keep=["weights"], every=1)
        x, z = run["weights"].values.T
        lookahead = getattr(optimizer, "lookahead", 0.0)
        seen = x[1:] + lookahead * np.diff(x)
        fall = -math.sqrt(_STABILIZATION) * (z[-1] - z[-2])
        measured.append(fall / (_STABILIZATION * seen[-2] ** 2))  # gradient descent's lr is 2/S*, S* = 1
        predicted.append(theory.amplification(optimizer))
    return Measurement.worst(np.array(measured), np.array(predicted))


_RATES: Final = np.geomspace(0.01, 0.16, 5)


def _at_rate(rate: float) -> tuple[tuple[Optimizer, float], ...]:
    """Return optimizers with ε whose inertias stay as the rate falls: κ = 1, and two with a long memory."""
    half = 0.5 * rate
    return (
        (HeavyBall(1.0, (1.0 - half) / (1.0 + half)), half**2),
        (QuasiHyperbolic(1.0, 1.0 - rate / 3.0, 0.7), half),
        (AggregatedMomentum(1.0, (0.0, 1.0 - rate, 1.0 - rate / 5.0)), half),
    )


def _slow_flow() -> Measurement:
    judged = []
    for family in zip(*map(_at_rate, _RATES.tolist()), strict=True):
        measured = [
            _overshoot(optimizer, excess, memory=5.0 / rate)
            for (optimizer, excess), rate in zip(family, _RATES.tolist(), strict=True)
        ]
        predicted = [theory.slow_overshoot(*each) for each in family]
        judged.append(Measurement.asymptotic(_RATES, np.array(measured), np.array(predicted), fitted=3))
    return _worst_order(judged, 2.0)


def _memory_flow() -> Measurement:
    excesses, measured, predicted = 0.5 * _RATES, [], []
    for excess in excesses.tolist():
        optimizer = QuasiHyperbolic(1.0, 1.0 - excess / 2.0, 0.7)
        measured.append(_overshoot(optimizer, excess, memory=2.0 / excess))
        lag = theory.inertia(optimizer, excess).sharpness / 0.7
        predicted.append(theory.memory_overshoot(lag, 1.0 - 0.7))
    return Measurement.asymptotic(excesses, np.array(measured), np.array(predicted), fitted=3)


_SOURCE: Final = "derivations/a11_linear.py"
_MEMORY: Final = "derivations/a11_memory.py"
_CUBIC: Final = "CubicTaylor, b² = 2, from flips of 1e-6 of the largest swing"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A11 growth",
        statement="ln|λ| per step, the largest root of 1 + (1 + ε)S*·T(z) = 0",
        where=f"Quadratic at ε = 0.01 and 0.3; {_NAMES}",
        source=_SOURCE,
        measure=_growth,
        tolerance=1e-9,  # rounding of some thousand steps
    ),
    Prediction(
        name="A11 amplification",
        statement="fall of the sharpness under a constant swing, c₀S*/2 times gradient descent's",
        where=f"CubicTaylor at S = S*, b² = 2, flip of 1e-7; {_NAMES}",
        source=_SOURCE,
        measure=_amplification,
        tolerance=1e-7,  # of the square of the size: the swing shrinks as the sharpness falls
    ),
    Prediction(
        name="A11 overshoot by κ_e",
        statement="(drop/(2y0) − 1)/κ_e = 1 + O(κ_e), κ_e = (κ_x + 2κ_y)/3; the optimizer with the worst order",
        where=f"{_CUBIC}; {_NAMES}",
        source=_SOURCE,
        measure=_by_kappa,
        small_parameter="κ_e",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A11 second order",
        statement="((drop/(2y0) − 1)/κ_e − 1)/κ_e = 2 + O(κ_e); the optimizer with the worst order",
        where=f"{_CUBIC}; {_NAMES}",
        source=_SOURCE,
        measure=_second_order,
        small_parameter="κ_e",
        expected_order=1.0,
        band=0.2,
    ),
    Prediction(
        name="A11 third order",
        statement="drop/(2y0) = 1 + κ_e + 2κ_e² + G₃ + O(κ_e⁴); the optimizer with the worst order",
        where=f"{_CUBIC}; {_NAMES}",
        source=_SOURCE,
        measure=_third_order,
        small_parameter="κ_e",
        expected_order=4.0,
        band=0.25,
    ),
    Prediction(
        name="A11 slow flow",
        statement="drop/(2y0) of the slow flow, up to O(r²) at fixed inertias; the optimizer with the worst order",
        where=f"{_CUBIC}; heavy ball with κ = 1, quasi-hyperbolic (0.7, 1 − r/3), aggregated (0, 1 − r, 1 − r/5)",
        source=_MEMORY,
        measure=_slow_flow,
        small_parameter="r",
        expected_order=2.0,
        band=0.15,
    ),
    Prediction(
        name="A11 memory flow",
        statement="drop/(2y0) = G(κ_m; φ) of the memory flow, φ = 1 − ν, up to O(ε) at fixed κ_m",
        where=f"{_CUBIC}; quasi-hyperbolic (0.7, 1 − ε/2)",
        source=_MEMORY,
        measure=_memory_flow,
        small_parameter="ε",
        expected_order=1.0,
        band=0.1,
    ),
)
"""Entries of the registry."""
