"""Predictions on a catapult's end below the threshold: lifetime of the oscillation, coasting, remaining drop."""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.toys import CubicTaylor, Quadratic
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.fits import recurrence_roots
from selfstab.verification.registry import Measurement, Prediction

_STABILIZATION = 2.0
_MOMENTA = (0.3, 0.6, 0.9)


def _swings(loss: Quadratic, depth: float, momentum: float, steps: int) -> Array:
    """Return x_t on ½x² from a flip at rest, at a relative depth below the threshold."""
    lr = (1.0 - depth) * HeavyBall(1.0, momentum).max_stable_sharpness()
    run = simulate(loss, HeavyBall(lr, momentum), [1.0], steps, previous=[-1.0], keep=["weights"])
    return np.asarray(run["weights"].values[:, 0])


def _lifetime(loss: Quadratic, depth: float, momentum: float) -> float:
    return float(-1.0 / np.log(abs(recurrence_roots(_swings(loss, depth, momentum, 24))[0])))


def _lifetimes() -> Measurement:
    loss, cells = Quadratic([1.0]), list(product((0.01, 0.1, 0.3, 0.45, 0.8), _MOMENTA))
    measured = np.array([_lifetime(loss, *cell) for cell in cells])
    return Measurement.worst(measured, np.asarray(theory.oscillation_lifetime(*np.array(cells).T)))


def _depths() -> Measurement:
    """Count the cells about the ends of the range in which the longer lifetime is the predicted one."""
    loss, right, cells = Quadratic([1.0]), 0, 0
    for momentum in _MOMENTA:
        lower, upper = theory.prolonged_depths(momentum)
        for depth in (0.9 * lower, 0.99 * lower, 1.01 * lower, 1.1 * lower, 0.45, 1.0 - 1.01 * (1.0 - upper)):
            longer = _lifetime(loss, depth, momentum) > _lifetime(loss, depth, 0.0)
            right += longer == (lower < depth < upper)
            cells += 1
    return Measurement.worst(np.array([float(right)]), np.array([float(cells)]))


def _factor() -> Measurement:
    """Compare η/(1 − β) times the sum of the squared swings with gradient descent's."""
    loss, cells = Quadratic([1.0]), list(product((0.05, 0.3, 0.7), _MOMENTA))
    measured = []
    for depth, momentum in cells:
        heavy, plain = (float(np.sum(_swings(loss, depth, m, 1500) ** 2)) for m in (momentum, 0.0))
        measured.append((1.0 + momentum) / (1.0 - momentum) * heavy / plain)
    return Measurement.worst(np.array(measured), np.asarray(theory.prolonging_factor(*np.array(cells).T)))


_SIZES = np.geomspace(1e-3, 3.0, 12)


def _drop(momentum: float, depth: float) -> Measurement:
    """Run from x of the order of `size` times (1 − β)S*e/b, y falling by a tenth of what x pushes it."""
    optimizer = HeavyBall(1.0, momentum)
    threshold = optimizer.max_stable_sharpness()
    loss = CubicTaylor((1.0 - depth) * threshold, stabilization=_STABILIZATION)
    lifetime = theory.oscillation_lifetime(depth, momentum)
    measured, predicted = [], []
    for size in _SIZES:
        x = size * (1.0 - momentum) * depth * threshold / np.sqrt(_STABILIZATION)
        fall = 0.3 * _STABILIZATION * x**2
        run = simulate(
            loss, optimizer, [x, 0.0], int(40.0 * max(lifetime, 1.0 / (1.0 - momentum))),
            previous=[-0.7 * x, fall / np.sqrt(_STABILIZATION)], keep=["weights"],
        )  # fmt: skip
        measured.append(-np.sqrt(_STABILIZATION) * float(run["weights"][-1, 1]))
        predicted.append(
            theory.remaining_drop(x, -0.7 * x, -fall, threshold, momentum, depth, _STABILIZATION)
        )
    return Measurement.asymptotic(_SIZES, np.array(measured), np.array(predicted), fitted=4)


def _drops() -> Measurement:
    judged = [_drop(*cell) for cell in ((0.0, 0.2), (0.5, 0.1), (0.9, 0.3), (0.9, 0.01))]
    return max(judged, key=lambda m: abs(m.order - 2.0) if np.isfinite(m.order) else np.inf)


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A6 lifetime",
        statement="steps per e-fold below S* = −1/ln|λ|, |λ| >= √β; depth e = (S* − S)/S*",
        where="recurrence fitted to runs on ½x², e = 0.01 to 0.8, β = 0.3 to 0.9",
        source="derivations/a6_prolonging.py",
        measure=_lifetimes,
        tolerance=1e-10,  # rounding of |λ|, times the lifetime of up to 17 steps and 1/|λ₁ − λ₂|² of the fit
    ),
    Prediction(
        name="A6 prolonged depths",
        statement="momentum's oscillation outlives gradient descent's for (1−√β)/2 < e < (1+√β)/2; counts of cells",
        where="recurrence fitted to runs on ½x² just inside and outside the ends, β = 0.3 to 0.9",
        source="derivations/a6_prolonging.py",
        measure=_depths,
        tolerance=0.0,
    ),
    Prediction(
        name="A6 prolonging factor",
        statement="ηΣx²/(1 − β) from rest = 1 + 4βe/(1 − β)² times gradient descent's at equal S* and e",
        where="runs of 1500 steps on ½x², e = 0.05, 0.3, 0.7, β = 0.3 to 0.9",
        source="derivations/a6_prolonging.py",
        measure=_factor,
        tolerance=1e-12,
    ),
    Prediction(
        name="A6 remaining drop",
        statement="y falls by β/(1−β) times its last step + ηb²/(2(1−β)) Σx² in closed form, up to O(x²); worst order",
        where="CubicTaylor, b² = 2, from a flip below S*, (β, e) = (0, 0.2), (0.5, 0.1), (0.9, 0.3), (0.9, 0.01)",
        source="derivations/a6_prolonging.py",
        measure=_drops,
        small_parameter="bx/((1−β)eS*)",
        expected_order=2.0,
        band=0.1,
    ),
)
"""Entries of the registry."""
