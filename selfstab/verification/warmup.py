"""Predictions on warmup: the swing at the crossing, its growth, and where and how far the delayed catapult falls."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.toys import CubicTaylor, Quadratic
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.schedules import LinearWarmup
from selfstab.runs.simulate import simulate
from selfstab.sweeps.sweep import sweep
from selfstab.theory.overshoot_table import FAR
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

_STABILIZATION = 2.0
_MOMENTUM = 0.5
_LR = HeavyBall(1.0, _MOMENTUM).max_stable_sharpness()  # at which curvature 1 is at the threshold


@cache
def _loss() -> Quadratic:
    return Quadratic([1.0])


def _swings(ramp: float, first: float, steps: int, start: float, previous: float) -> Array:
    """Return |x_t| on ½x² under ε = first + ramp·t, t = 0, ..., steps."""
    lr = LinearWarmup(_LR * (1.0 + first), _LR * (1.0 + first + ramp * steps), steps)
    run = simulate(
        _loss(), HeavyBall(lr, _MOMENTUM), [start], steps, previous=[previous], keep=["weights"], escape=1e300
    )
    return np.asarray(np.abs(run["weights"].values[:, 0]))


def _crossing() -> Measurement:
    """Add up the responses to single impulses: the root mean square of what noise at every step leaves."""
    ramps, measured = np.geomspace(1e-5, 1e-3, 5), []
    for ramp in ramps:
        width = np.sqrt((1.0 - _MOMENTUM) / (2.0 * (1.0 + _MOMENTUM) * ramp))  # 1/√k steps
        stride, end = (
            max(1, int(0.5 * width)),
            int(5.0 * width),
        )  # fine enough for a Gaussian's sum, to its ends
        squares = 0.0
        for t in range(-end, end - 1, stride):
            impulse = _LR * (1.0 + ramp * t)
            left = _swings(ramp, ramp * (t + 1), end - t - 1, impulse, 0.0)[-1]
            squares += stride * float(left) ** 2
        alone = _swings(ramp, 0.0, end, 1.0, -1.0)[-1]
        measured.append(np.sqrt(squares) / alone)
    predicted = np.asarray(theory.crossing_amplitude(1.0, _LR, _MOMENTUM, ramps))
    return Measurement.asymptotic(ramps, np.array(measured), predicted, fitted=4)


def _growth() -> Measurement:
    excess, steps = 0.05, np.array([3200, 1600, 800, 400, 200, 100, 50])
    ramps = excess / steps
    measured = np.array([_swings(r, 0.0, n, 1e-150, -1e-150)[-1] for r, n in zip(ramps, steps, strict=True)])
    predicted = np.asarray(theory.ramp_amplitude(excess, 1e-150, _MOMENTUM, ramps))
    return Measurement.asymptotic(ramps, measured, predicted, fitted=4)


_GAIN = 10.0


def _onset() -> Measurement:
    """Find where the swing has grown e^10-fold; the growth alone leaves out the prefactor, which is 1 + O(κ)."""
    ramps, measured = np.geomspace(1e-7, 1e-3, 9), []
    predicted = np.asarray(theory.onset_excess(_GAIN, _MOMENTUM, ramps))
    for ramp, expected in zip(ramps, predicted, strict=True):
        log = np.log(_swings(ramp, 0.0, int(1.5 * expected / ramp), 1.0, -1.0))
        after = int(np.argmax(log >= _GAIN))
        share = (_GAIN - log[after - 1]) / (log[after] - log[after - 1])
        measured.append(ramp * (after - 1 + share))
    kappa = np.asarray(theory.inertia_number(predicted, _MOMENTUM))
    return Measurement.asymptotic(kappa, np.array(measured), predicted, fitted=4)


_GAINS: Final = np.array([640.0, 320.0, 160.0, 80.0, 40.0])
"""Logarithms of A_sat/x_c, whose inverse is the small parameter: swings at the crossing go down to 1e-280."""


def _ramp_to(excess: float, momentum: float, gain: float) -> tuple[float, float]:
    """Return the swing at the crossing and the ramp's rate with which a catapult starts at an excess after a gain."""
    y0 = excess / (1.0 + excess)
    amplitude = float(theory.max_displacement(y0, _STABILIZATION)) * np.exp(-gain)
    return float(amplitude), float(theory.accumulated_growth(excess, momentum)) / gain


def _after(excess: float, momentum: float, ramp: float) -> int:
    """Return how long the cubic model runs from the crossing: delay, the swing's fall, and coasting."""
    rate = float(theory.growth_factor(excess, momentum)) - 1.0
    return int(excess / ramp + 60.0 / rate + 20.0 / (1.0 - momentum))


def _measured_drop(excess: float, momentum: float, gain: float) -> float:
    """Run CubicTaylor from a impulse at the crossing, S = 1."""
    amplitude, ramp = _ramp_to(excess, momentum, gain)
    steps = _after(excess, momentum, ramp)
    first = HeavyBall(1.0, momentum).max_stable_sharpness()
    optimizer = HeavyBall(LinearWarmup(first, first * (1.0 + ramp * steps), steps), momentum)
    run = simulate(
        CubicTaylor(1.0, stabilization=_STABILIZATION), optimizer, [amplitude, 0.0], steps,
        previous=[-amplitude, 0.0], keep=["sharpness"],
    )  # fmt: skip
    return 1.0 - float(run["sharpness"].min())


def _excess(kappa: float, momentum: float) -> float:
    return kappa / float(theory.inertia_number(1.0, momentum))


def _worst_order(measurements: list[Measurement], expected: float) -> Measurement:
    return max(measurements, key=lambda m: abs(m.order - expected) if np.isfinite(m.order) else np.inf)


_DROP_CASES = ((0.0, 0.003), (0.5, 0.03), (0.9, 1.0), (0.99, 10.0))


def _drop() -> Measurement:
    """Hold κ_on while the logarithm grows; the law's own error in ε, known, is part of the prediction."""
    measurements = []
    for momentum, kappa in _DROP_CASES:
        measured, predicted = [], []
        for gain in _GAINS:
            excess = _excess(kappa, momentum)
            measured.append(_measured_drop(excess, momentum, gain))
            amplitude, ramp = _ramp_to(excess, momentum, gain)
            law = theory.warmup_drop(1.0, amplitude, momentum, ramp, _STABILIZATION)
            of_steps = theory.overshoot_on_loss(excess, momentum) / theory.overshoot(kappa)
            predicted.append(law * of_steps)
        measurements.append(
            Measurement.asymptotic(1.0 / _GAINS, np.array(measured), np.array(predicted), fitted=5)
        )
    return _worst_order(measurements, 1.0)


def slow_drop(momentum: float, ramp: float, gain: float) -> float:
    """Return the drop for κ_on ≪ 1 from S = 1: 2ε_on, as W^{−1/2} in the warmup's length W."""
    return 2.0 * float(np.sqrt(ramp * gain * (1.0 - momentum) / (1.0 + momentum)))


def fast_drop(momentum: float, ramp: float, gain: float) -> float:
    """Return the drop for κ_on ≫ 1 from S = 1: 2ε_on·3.32745κ_on^{2/3}, as W^{−10/9}."""
    excess = (1.5 * ramp * gain / np.sqrt(2.0 * (1.0 + momentum))) ** (2.0 / 3.0)
    return 2.0 * float(excess * FAR[0] * theory.inertia_number(excess, momentum) ** (2.0 / 3.0))


def _slow_ramps() -> Measurement:
    """Let κ_on fall with 1/ln(A_sat/x_c)."""
    measurements = []
    for momentum in (0.0, 0.5, 0.9):
        excesses = [_excess(2.0 / gain, momentum) for gain in _GAINS]
        measured = [_measured_drop(e, momentum, g) for e, g in zip(excesses, _GAINS, strict=True)]
        predicted = [
            slow_drop(momentum, _ramp_to(e, momentum, g)[1], g) for e, g in zip(excesses, _GAINS, strict=True)
        ]
        measurements.append(
            Measurement.asymptotic(1.0 / _GAINS, np.array(measured), np.array(predicted), fitted=4)
        )
    return _worst_order(measurements, 1.0)


def _fast_ramps() -> Measurement:
    """Let κ_on^{−1/2} and the relative drop 2εG fall with 1/ln(A_sat/x_c): κ_on = 10 to 2560."""
    measured, predicted = [], []
    for gain in _GAINS:
        kappa = 10.0 * (gain / 40.0) ** 2
        excess = 0.4 / gain * kappa ** (-2.0 / 3.0)
        ratio = np.sqrt(kappa / excess)  # (1 + β)/(1 − β)
        momentum = float((ratio - 1.0) / (ratio + 1.0))
        measured.append(_measured_drop(excess, momentum, gain))
        predicted.append(fast_drop(momentum, _ramp_to(excess, momentum, gain)[1], gain))
    return Measurement.asymptotic(1.0 / _GAINS, np.array(measured), np.array(predicted), fitted=4)


def _noisy_drop() -> Measurement:
    """Run CubicTaylor with noise through the crossing: the median of 32 seeds, at κ_on held."""
    momentum, kappa = 0.5, 0.03
    excess, measured, predicted = _excess(kappa, momentum), [], []
    first = HeavyBall(1.0, momentum).max_stable_sharpness()
    for gain in _GAINS:
        amplitude, ramp = _ramp_to(excess, momentum, gain)
        noise = amplitude / _MEDIAN / float(theory.crossing_amplitude(1.0, first, momentum, ramp))
        before = int(5.0 * np.sqrt((1.0 - momentum) / (2.0 * (1.0 + momentum) * ramp)))
        steps = before + _after(excess, momentum, ramp)
        lr = LinearWarmup(first * (1.0 - ramp * before), first * (1.0 + ramp * (steps - before)), steps)
        runs = sweep(
            CubicTaylor(1.0, stabilization=_STABILIZATION), HeavyBall(lr), {"momentum": [momentum]}, start=[0.0, 0.0],
            steps=steps, measure=["final_sharpness"], noise=noise, repeats=32, threads=1, progress=False,
        )  # fmt: skip
        measured.append(1.0 - float(np.median(runs["final_sharpness"].values)))
        typical = _MEDIAN * theory.crossing_amplitude(noise, first, momentum, ramp)
        predicted.append(theory.warmup_drop(1.0, typical, momentum, ramp, _STABILIZATION))
    return Measurement.asymptotic(1.0 / _GAINS, np.array(measured), np.array(predicted), fitted=5)


_MEDIAN: Final = 0.6744897501960817
"""The median of |ξ| of a standard normal ξ."""

_SOURCE = "derivations/a8_warmup.py"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A8 crossing amplitude",
        statement="x_c = (ησ/(1 − β))(π/k)^{1/4}, k = 2(1 + β)ε̇/(1 − β), up to O(ε̇)",
        where="½x² on a ramp, β = 0.5: responses to impulses before and after the crossing, summed as noise's",
        source=_SOURCE,
        measure=_crossing,
        small_parameter="ε̇",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A8 growth on a ramp",
        statement="A = A_c √((1−β)/(|λ|−β/|λ|)) exp(∫ln|λ|dε/ε̇) at ε = 0.05, up to O(ε̇)",
        where="½x² on a ramp, β = 0.5, from the crossing",
        source=_SOURCE,
        measure=_growth,
        small_parameter="ε̇",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A8 onset",
        statement="∫_0^ε ln|λ|dε = ε̇ ln(A/x_c), up to O(κ) at fixed ln(A/x_c)",
        where="½x² on ramps from 1e-7 to 1e-3 per step, β = 0.5: where the swing has grown e^10-fold",
        source=_SOURCE,
        measure=_onset,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A8 drop",
        statement="S falls by 2y0 G(κ_on), y0 at ∫ln|λ|dε = ε̇Λ, Λ = ln(A_sat/x_c), up to O(1/Λ) at fixed κ_on",
        where="CubicTaylor, b² = 2, Λ = 40 to 640; the worst order of (β, κ_on) = "
        "(0, 0.003), (0.5, 0.03), (0.9, 1), (0.99, 10)",
        source=_SOURCE,
        measure=_drop,
        small_parameter="1/Λ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A8 slow ramps",
        statement="for κ_on ≪ 1 the drop is 2S√(ε̇Λ(1 − β)/(1 + β)), as W^{−1/2}, up to O(κ_on + 1/Λ)",
        where="CubicTaylor, b² = 2, Λ = 40 to 640, κ_on = 2/Λ; the worst order of β = 0, 0.5, 0.9",
        source=_SOURCE,
        measure=_slow_ramps,
        small_parameter="1/Λ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A8 fast ramps",
        statement="for κ_on ≫ 1 the drop is 6.655Sε_on κ_on^{2/3}, as W^{−10/9}, up to O(κ_on^{−1/2} + εG + 1/Λ)",
        where="CubicTaylor, b² = 2, Λ = 40 to 640, κ_on = 10 to 2560, β = 0.97 to 0.99993",
        source=_SOURCE,
        measure=_fast_ramps,
        small_parameter="1/Λ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A8 drop from noise",
        statement="S falls by 2y0 G(κ_on) with the median x_c = 0.67 (ησ/(1 − β))(π/k)^{1/4}, up to O(1/Λ)",
        where="CubicTaylor, b² = 2, with noise on ramps, median of 32 seeds, β = 0.5, κ_on = 0.03",
        source=_SOURCE,
        measure=_noisy_drop,
        small_parameter="1/Λ",
        expected_order=1.0,
        band=0.15,  # the median of 32 seeds is known to a tenth of x_c, which moves the error by a twentieth
    ),
)
"""Entries of the registry."""
