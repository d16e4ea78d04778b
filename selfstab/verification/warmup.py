"""Predictions on warmup: the swing at the crossing, its growth, and where and how far the delayed catapult falls."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.grid import sweep
from selfstab.losses.toys import CubicTaylor, Product, Quadratic
from selfstab.optimizers import HeavyBall
from selfstab.schedules import LinearWarmup
from selfstab.trajectory import simulate
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
    """Add up the responses to single kicks: the root mean square of what noise at every step leaves."""
    ramps, measured = np.geomspace(1e-5, 1e-3, 5), []
    for ramp in ramps:
        width = np.sqrt((1.0 - _MOMENTUM) / (2.0 * (1.0 + _MOMENTUM) * ramp))  # 1/√k steps
        stride, end = (
            max(1, int(0.5 * width)),
            int(5.0 * width),
        )  # fine enough for a Gaussian's sum, to its ends
        squares = 0.0
        for t in range(-end, end - 1, stride):
            kick = _LR * (1.0 + ramp * t)
            left = _swings(ramp, ramp * (t + 1), end - t - 1, kick, 0.0)[-1]
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


def _expected_drop(sharpness: float, amplitude: float, momentum: float, ramp: float, b2: float) -> float:
    excess = theory.warmup_onset(sharpness, amplitude, momentum, ramp, b2)
    y0 = sharpness * excess / (1.0 + excess)
    return float(2.0 * y0 * theory.overshoot(theory.inertia_number(excess, momentum)))


def _drop() -> Measurement:
    """Run from a kick at the crossing, κ_on = 0.01 to 1.1."""
    loss, amplitude = CubicTaylor(1.0, stabilization=_STABILIZATION), 1e-8
    measured, predicted = [], []
    for momentum, ramp in ((0.0, 1e-5), (0.0, 1e-4), (0.5, 1e-6), (0.5, 1e-5), (0.9, 1e-6), (0.9, 1e-5)):
        threshold_lr = HeavyBall(1.0, momentum).max_stable_sharpness()
        excess = theory.warmup_onset(1.0, amplitude, momentum, ramp, _STABILIZATION)
        steps = int(3.0 * excess / ramp)
        optimizer = HeavyBall(
            LinearWarmup(threshold_lr, threshold_lr * (1.0 + ramp * steps), steps), momentum
        )
        run = simulate(
            loss, optimizer, [amplitude, 0.0], steps, previous=[-amplitude, 0.0], keep=["sharpness"]
        )
        measured.append(1.0 - float(run["sharpness"].min()))
        predicted.append(_expected_drop(1.0, amplitude, momentum, ramp, _STABILIZATION))
    return Measurement.worst(np.array(measured), np.array(predicted))


def _noisy_drop() -> Measurement:
    """Run Product with noise through the crossing; the median over seeds against the typical swing's drop."""
    loss, noise = Product(), 1e-11
    minimum = loss.minimum(sharpness=4.0)
    b2 = float(np.sum(loss.sharpness_gradient(minimum) ** 2))
    measured, predicted = [], []
    for momentum, ramp in ((0.0, 1e-5), (0.5, 1e-5), (0.9, 1e-6)):
        threshold_lr = HeavyBall(1.0, momentum).max_stable_sharpness() / 4.0
        typical = np.exp(-0.5 * (np.euler_gamma + np.log(2.0)))
        amplitude = float(typical * theory.crossing_amplitude(noise, threshold_lr, momentum, ramp))
        excess = theory.warmup_onset(4.0, amplitude, momentum, ramp, b2)
        before = int(5.0 * np.sqrt((1.0 - momentum) / (2.0 * (1.0 + momentum) * ramp)))
        steps = before + int(1.8 * excess / ramp)  # the swing has died, another has not grown
        lr = LinearWarmup(
            threshold_lr * (1.0 - ramp * before), threshold_lr * (1.0 + ramp * (steps - before)), steps
        )
        runs = sweep(
            loss, HeavyBall(lr), {"momentum": [momentum]}, start=minimum, steps=steps,
            measure=["final_sharpness"], noise=noise, repeats=16, threads=1, progress=False,
        )  # fmt: skip
        measured.append(4.0 - float(np.median(runs["final_sharpness"].values)))
        predicted.append(_expected_drop(4.0, amplitude, momentum, ramp, b2))
    return Measurement.worst(np.array(measured), np.array(predicted))


_SOURCE = "derivations/a8_warmup.py"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A8 crossing amplitude",
        statement="x_c = (ησ/(1 − β))(π/k)^{1/4}, k = 2(1 + β)ε̇/(1 − β), up to O(ε̇)",
        where="½x² on a ramp, β = 0.5: responses to kicks before and after the crossing, summed as noise's",
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
        where="½x² on ramps from 1e-7 to 1e-3 a step, β = 0.5: where the swing has grown e^10-fold",
        source=_SOURCE,
        measure=_onset,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A8 drop",
        statement="S falls by 2y0 G(κ_on), y0 at ∫ln|λ|dε = ε̇ ln(A_sat/x_c), up to O(1/ln(A_sat/x_c))",
        where="CubicTaylor, b² = 2, on ramps, from 1e-8 at the crossing, κ_on = 0.01 to 1.1, β = 0, 0.5, 0.9",
        source=_SOURCE,
        measure=_drop,
        tolerance=0.05,  # ln(A_sat/x_c) is 11 to 15 here
    ),
    Prediction(
        name="A8 drop from noise",
        statement="S falls by 2y0 G(κ_on) with the typical x_c = 0.53 (ησ/(1 − β))(π/k)^{1/4}",
        where="Product from S = 4 with noise of 1e-11 on ramps, median of 16 seeds, β = 0, 0.5, 0.9",
        source=_SOURCE,
        measure=_noisy_drop,
        tolerance=0.05,  # ln(A_sat/x_c) is 15 to 20 here
    ),
)
"""Entries of the registry."""
