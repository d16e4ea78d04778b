"""Predictions on Adam's catapults: a frozen preconditioner, one that fades, and one that the swing moves."""

from __future__ import annotations

from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.base.starts import flip_start
from selfstab.losses.toys import CubicTaylor, Quadratic
from selfstab.optimizers.adam import Adam
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.schedules import LinearWarmup
from selfstab.runs.simulate import simulate
from selfstab.verification.registry import Measurement, Prediction

_EPS = 1e-14
"""ϵ, far below √v₀ = 1."""


def _frozen() -> Measurement:
    """Compare a catapult at P = 2 with heavy ball's at the learning rate η(1 − β₁)/2."""
    loss = CubicTaylor(1.0, 0.01)
    start, previous = flip_start(loss, [0.0, 0.1], 1e-2)
    adam = Adam(76.0, 0.9, eps=1e-300, second_moment=4.0, frozen_after=0)
    one, two = (
        simulate(loss, own, start, 200, previous=previous, keep=["weights"])["weights"].values
        for own in (adam, HeavyBall(3.8, 0.9))
    )
    return Measurement.worst(one, two, np.full(two.shape, np.abs(two).max()))


_FADES = np.geomspace(1e-10, 1e-4, 7)
_GROWTH = 6.0
"""Logarithm of the growth of the swings that are measured."""


def _fading() -> Measurement:
    """Measure the growth of a tiny swing from the threshold on, at a constant lr and in a warmup."""
    judged = []
    for momentum, ramp in ((0.9, 0.0), (0.9, 3.0), (0.0, 1.0)):
        measured, predicted = [], []
        for fade in _FADES:
            rate = float(theory.fading_rate(1.0 - fade))
            per_step = (1.0 + ramp) * rate * (1.0 + momentum) / (1.0 - momentum)  # ln|λ| = ε/σ, ε = ε̇t
            steps = round(np.sqrt(_GROWTH / per_step))
            lr = 2.0 * (1.0 + momentum) / (1.0 - momentum)
            schedule = LinearWarmup(lr, lr * (1.0 + ramp * rate * steps), steps) if ramp else lr
            adam = Adam(schedule, momentum, 1.0 - fade, eps=_EPS, second_moment=1.0)
            run = simulate(Quadratic([1.0]), adam, [1e-12], steps, previous=[-1e-12], keep=["weights"])
            measured.append(np.log(abs(float(run["weights"][-1, 0])) / 1e-12))
            predicted.append(per_step * steps**2)
        judged.append(Measurement.asymptotic(_FADES, np.array(measured), np.array(predicted), fitted=4))
    return max(judged, key=lambda m: abs(m.order - 0.5))


MOVING: Final = 2.0**-50
"""1 − β₂ of the catapults that the swing's own P stabilizes: v does not fade within them."""


def catapult(excess: float, momentum: float, share: float, size: float = 1e-5) -> tuple[float, float]:
    """Return drop/(2y₀) of the preconditioned sharpness in a catapult of Adam, and the Hessian's part of it.

    Parameters
    ----------
    excess, momentum
        ε > 0 at the start, and β₁.
    share
        R > 0, which sets b².
    size
        Of the flip at the start, over the largest swing.
    """
    threshold = 1.0 / (1.0 + excess)
    y0, step = 1.0 - threshold, 2.0 * (1.0 + momentum) / threshold
    b2 = float(theory.preconditioner_share(1.0 - MOVING, momentum, threshold)) / share
    loss = CubicTaylor(1.0, stabilization=b2)
    start, previous = flip_start(loss, loss.minimum(), size * np.sqrt(2.0 / (b2 * (1.0 + share))) * y0)
    adam = Adam(step / (1.0 - momentum), momentum, 1.0 - MOVING, eps=_EPS, second_moment=1.0)
    steps = int((3.0 * np.log(1.0 / size) + 30.0) * (1.0 - momentum) / (step * y0))
    keep = ("sharpness", "preconditioned_sharpness")
    run = simulate(loss, adam, start, steps, previous=previous, every=steps, keep=keep, escape=1e15)
    of_hessian, whole = (-float(np.diff(run[name].values)[0]) / (2.0 * y0) for name in keep)
    return whole, of_hessian


_KAPPAS = np.geomspace(5e-3, 0.1, 7)
_CASES = ((0.9, 1.0), (0.5, 0.5), (0.5, 4.0), (0.0, 1.0))


def _judged(momentum: float, share: float) -> tuple[Measurement, Measurement]:
    excess = _KAPPAS / float(theory.inertia_number(1.0, momentum))
    whole, of_hessian = np.array([catapult(e, momentum, share) for e in excess]).T
    predicted = 1.0 + np.asarray(theory.adaptive_inertia_number(excess, momentum, share))
    part = np.full(excess.shape, 1.0 / (1.0 + share))
    return (
        Measurement.asymptotic(_KAPPAS, whole, predicted, fitted=4),
        Measurement.asymptotic(_KAPPAS, of_hessian, part, fitted=4),
    )


def _overshoot() -> Measurement:
    return max((_judged(*case)[0] for case in _CASES), key=lambda m: abs(m.order - 2.0))


def _share() -> Measurement:
    # Where the swing is the slower for its momentum; without one the first order of the Hessian's part nearly vanishes.
    return max((_judged(*case)[1] for case in _CASES[:3]), key=lambda m: abs(m.order - 1.0))


_SOURCE = "derivations/a13_adam.py"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A13 frozen preconditioner",
        statement="w_t of Adam at a frozen P = w_t of heavy ball with the learning rate η(1 − β₁)/P",
        where="CubicTaylor, α = 0.01, β₁ = 0.9, P = 2, 200 steps from 10% above the threshold on",
        source=_SOURCE,
        measure=_frozen,
        tolerance=1e-9,  # roundings, which a catapult multiplies
    ),
    Prediction(
        name="A13 fading preconditioner",
        statement="ln(A_t/A_0) = ε̇t²(1 + β)/(1 − β), ε̇ = d ln η/dt − ½ ln β₂, up to O(√(1 − β₂)); the worst of three",
        where="½w², a tiny swing from the threshold on, β₁ = 0.9 at a constant lr and in a warmup, β₁ = 0 in a warmup",
        source=_SOURCE,
        measure=_fading,
        small_parameter="1 − β₂",
        expected_order=0.5,
        band=0.1,
    ),
    Prediction(
        name="A13 share of the preconditioner",
        statement="fall of the Hessian's sharpness = 2y0/(1 + R), up to O(κ); the case with the worst order",
        where="CubicTaylor, 1 − β₂ = 2⁻⁵⁰, (β₁, R) = (0.9, 1), (0.5, 0.5), (0.5, 4)",
        source=_SOURCE,
        measure=_share,
        small_parameter="κ",
        expected_order=1.0,
        band=0.15,
    ),
    Prediction(
        name="A13 overshoot with a moving P",
        statement="drop/(2y0) = 1 + κ_A, up to O(κ²); the case with the worst order",
        where="CubicTaylor, 1 − β₂ = 2⁻⁵⁰, (β₁, R) = (0.9, 1), (0.5, 0.5), (0.5, 4), (0, 1)",
        source=_SOURCE,
        measure=_overshoot,
        small_parameter="κ",
        expected_order=2.0,
        band=0.15,
    ),
)
