"""Predictions on cycles at the edge with a coupled sharp direction."""

from __future__ import annotations

from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.toys import Coupled
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.verification.registry import Measurement, Prediction

_LR = 0.8
_LARGE = 0.7  # y₁ at the start: far from the small cycles about A² = 2


def _drift(loss: Coupled, eps: float, momentum: float) -> float:
    """Return the gain of E in two cycles, divided by ε times the sum of y₁² over their steps."""
    h, threshold = np.sqrt(eps), HeavyBall(_LR, momentum).max_stable_sharpness()
    swing, y = np.sqrt(2.0) * h, threshold + _LARGE * h
    steps = int(3.7 * theory.cycle_period(_LR, momentum, eps))
    run = simulate(
        loss, HeavyBall(_LR, momentum), [swing, y], steps, previous=[-swing, y], keep=["weights"]
    )  # fmt: skip
    x, y_t = run["weights"].values.T
    amplitude = 0.5 * np.abs(np.diff(x)) / h
    y1 = (0.5 * (y_t[1:] + y_t[:-1]) - threshold) / h
    energy = 0.5 * y1**2 + 0.25 * amplitude**2 - np.log(amplitude)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (y1[1:] ** 2 + y1[:-1] ** 2))])
    rises = np.flatnonzero((y1[:-1] < 0.0) & (y1[1:] >= 0.0))[[0, 2]]
    share = -y1[rises] / (y1[rises + 1] - y1[rises])  # where between the steps y₁ crosses 0
    gain, swung = (float(np.diff(v[rises] + share * (v[rises + 1] - v[rises]))[0]) for v in (energy, total))
    return gain / (eps * swung)


def _cell(momentum: float, coupling: float) -> Measurement:
    """Compare over a ladder of ε, at `coupling` times the critical one."""
    zeta = coupling * theory.critical_coupling(momentum)
    eps = np.geomspace(1e-6, 1e-3, 7) * (1.0 - momentum) ** 2
    measured = np.array([_drift(Coupled(zeta, e), e, momentum) for e in eps])
    return Measurement.asymptotic(
        eps, measured, np.full(eps.size, theory.cycle_drift(_LR, momentum, zeta)), fitted=5
    )


def _grows() -> Measurement:
    return _cell(0.5, 0.5)


def _damped() -> Measurement:
    return _cell(0.5, 1.3)


def _descent() -> Measurement:
    return _cell(0.0, 1.7)


def _critical() -> Measurement:
    """Find where the drift vanishes: three secant steps in ζ², in which it is almost linear."""
    momentum, measured = 0.5, []
    eps = np.geomspace(1e-6, 1e-4, 7)
    for e in eps:
        low, high = 1.5, 2.5
        at_low, at_high = (_drift(Coupled(float(np.sqrt(z)), e), e, momentum) for z in (low, high))
        for _ in range(3):
            low, high = high, high - at_high * (high - low) / (at_high - at_low)
            at_low, at_high = at_high, _drift(Coupled(float(np.sqrt(high)), e), e, momentum)
        measured.append(float(np.sqrt(high)))
    return Measurement.asymptotic(
        eps, np.array(measured), np.full(eps.size, theory.critical_coupling(momentum)), fitted=5
    )


_FORM = "dE/d(εt) = η²⟨y₁²⟩[2(1 + β)/(1 − β)³ − 9ζ²/(1 − β²)]"
_WHERE = "Coupled, η = 0.8, from y₁ = 0.7: gain of E in two cycles"

PREDICTIONS: Final[tuple[Prediction, ...]] = tuple(
    Prediction(
        name=f"A7 {name}",
        statement=statement,
        where=where,
        source="derivations/a7_drift.py",
        measure=measure,
        small_parameter="ε",
        expected_order=1.0,
        band=0.1,
    )
    for name, statement, where, measure in (
        ("drift growing", _FORM, f"{_WHERE}, β = 0.5, ζ half the critical one", _grows),
        ("drift damped", _FORM, f"{_WHERE}, β = 0.5, ζ 1.3 times the critical one", _damped),
        ("drift descent", _FORM, f"{_WHERE}, β = 0, ζ 1.7 times the critical one", _descent),
        (
            "critical coupling",
            "cycles keep their size at ζ = (√2/3)(1 + β)/(1 − β)",
            f"{_WHERE} is zero, by the secant method in ζ, β = 0.5",
            _critical,
        ),
    )
)
"""Entries of the registry."""
