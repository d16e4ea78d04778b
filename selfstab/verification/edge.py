"""Predictions on the edge of stability: the balance and the small cycles about it."""

from __future__ import annotations

from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.toys import CubicTaylor
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.fits import recurrence_roots
from selfstab.verification.registry import Measurement, Prediction

_LR = 0.8
_STABILIZATION = 2.0


def _alpha(kappa: float, momentum: float) -> float:
    """Return the α whose cycles have this κ, which is proportional to √α."""
    return float((kappa / theory.edge_inertia_number(_LR, momentum, 1.0)) ** 2)


def _edge_run(kappa: float, momentum: float, away: float, steps: int) -> tuple[Array, Array]:
    """Return x_t and y_t from the balance, its flip enlarged by the fraction `away`."""
    alpha = _alpha(kappa, momentum)
    threshold = HeavyBall(_LR, momentum).max_stable_sharpness()
    loss = CubicTaylor(threshold, alpha, _STABILIZATION)
    x0 = (1.0 + away) * theory.edge_displacement(alpha, _STABILIZATION)
    run = simulate(loss, HeavyBall(_LR, momentum), [x0, 0.0], steps, previous=[-x0, 0.0], keep=["weights"])
    x, z = run["weights"].values.T
    return x, np.sqrt(_STABILIZATION) * z


def _balance() -> Measurement:
    measured, predicted = [], []
    for momentum in (0.0, 0.5, 0.9, 0.99):
        x, _ = _edge_run(0.1, momentum, 0.0, 50)
        measured.append(np.abs(x))
        predicted.append(np.full(x.size, theory.edge_displacement(_alpha(0.1, momentum), _STABILIZATION)))
    return Measurement.worst(np.concatenate(measured), np.concatenate(predicted))


_CYCLE_MOMENTUM = 0.5
_KAPPAS = np.geomspace(0.02, 0.6, 14)


def _cycles() -> tuple[Array, Array, Array]:
    """Return α, and the measured period and growth a cycle, of cycles too small to feel their size."""
    momentum, rows = _CYCLE_MOMENTUM, []
    for kappa in _KAPPAS:
        alpha = _alpha(kappa, momentum)
        expected = theory.cycle_period(_LR, momentum, alpha)
        apart = max(
            1, int(expected / 8.0)
        )  # samples an eighth of a cycle apart, so that the fit is well conditioned
        died = int(20.0 / (1.0 - momentum))  # the fast modes, about β^t
        _, y = _edge_run(kappa, momentum, 1e-7, died + 8 * apart)
        root = recurrence_roots(y[died::apart])[0]
        exponent = np.log(root) / apart
        period = 2.0 * np.pi / abs(exponent.imag)
        rows.append((alpha, period, np.exp(exponent.real * period)))
    alpha, period, growth = np.array(rows).T
    return alpha, period, growth


def _period() -> Measurement:
    alpha, period, _ = _cycles()
    return Measurement.asymptotic(_KAPPAS, period, theory.cycle_period(_LR, _CYCLE_MOMENTUM, alpha), fitted=6)


def _growth() -> Measurement:
    alpha, _, growth = _cycles()
    predicted = np.log(theory.cycle_growth(_LR, _CYCLE_MOMENTUM, alpha))
    return Measurement.asymptotic(_KAPPAS, np.log(growth), predicted, fitted=6)


_SIZE = 2.0  # y_max/√α: the period is 1.4 times that of small cycles


def _slow_period() -> Measurement:
    """Run one cycle from its largest y to the next passage of A = δ upwards."""
    kappas, measured, predicted = np.geomspace(1e-3, 0.1, 9), [], []
    momentum = _CYCLE_MOMENTUM
    threshold = HeavyBall(_LR, momentum).max_stable_sharpness()
    for kappa in kappas:
        alpha = _alpha(kappa, momentum)
        y_max = _SIZE * np.sqrt(alpha)
        loss = CubicTaylor(threshold, alpha, _STABILIZATION)
        balance = float(theory.edge_displacement(alpha, _STABILIZATION))
        start = np.array([balance, y_max / np.sqrt(_STABILIZATION)])
        # The swing before, at the slow rate: otherwise a fast mode is set off.
        before = np.array([-balance * (1.0 - _LR * y_max / (1.0 - momentum)), start[1]])
        period = float(theory.slow_period(_LR, momentum, alpha, y_max))
        run = simulate(
            loss, HeavyBall(_LR, momentum), start, int(1.4 * period), previous=before, keep=["weights"]
        )
        swing = np.abs(run["weights"].values[:, 0])
        late = int(0.5 * period)
        after = late + int(np.argmax((swing[late:-1] < balance) & (swing[late + 1 :] >= balance)))
        measured.append(after + (balance - swing[after]) / (swing[after + 1] - swing[after]))
        predicted.append(period)
    return Measurement.asymptotic(kappas, np.array(measured), np.array(predicted), fitted=5)


_WHERE = "CubicTaylor, β = 0.5, b² = 2, from 1e-7 off the balance; modes of the recorded y"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A7 balance",
        statement="|x| = δ = √(2α)/b and y = 0 stay, at every β",
        where="CubicTaylor, b² = 2, κ = 0.1, 50 steps, β = 0 to 0.99",
        source="derivations/a7_edge.py",
        measure=_balance,
        tolerance=1e-12,
    ),
    Prediction(
        name="A7 cycle period",
        statement="period = 2π(1 − β)/√(2a), a = η²α, up to O(κ²)",
        where=_WHERE,
        source="derivations/a7_edge.py",
        measure=_period,
        small_parameter="κ",
        expected_order=2.0,
        band=0.1,
    ),
    Prediction(
        name="A3 period",
        statement="T = ((1 − β)/(η√α)) ∫dq/√(m² − (e^q − 1 − q)), m = y_max/√α, up to O(κ)",
        where="CubicTaylor, β = 0.5, b² = 2, one cycle of y_max = 2√α from A = δ",
        source="derivations/a3_slow_limit.py",
        measure=_slow_period,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A7 cycle growth",
        statement="ln of the growth per cycle = 2πκ, κ = (1 + β)√(2a)/(2(1 − β)²), up to O(κ³)",
        where=_WHERE,
        source="derivations/a7_edge.py",
        measure=_growth,
        small_parameter="κ",
        expected_order=2.0,
        band=0.1,
    ),
)
"""Entries of the registry."""
