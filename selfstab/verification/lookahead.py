"""Predictions on catapults with lookahead: envelope with two inertias, largest swing and overshoot series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab import theory
from selfstab.losses.base.starts import flip_start
from selfstab.losses.toys import CubicTaylor
from selfstab.observables.measures import measure
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

if TYPE_CHECKING:
    import xarray

_STABILIZATION = 2.0
_FAMILY = ((0.5, 0.5), (0.5, 0.1), (0.0, 0.1))  # (β, γ): Nesterov, between, and lookahead without momentum


def _catapult(momentum: float, lookahead: float, excess: float, size: float) -> tuple[xarray.Dataset, float]:
    """Run from the minimum with a flip `size` times the largest swing until it has died; return it and y0."""
    lr = (1.0 + excess) * HeavyBall(1.0, momentum, lookahead).max_stable_sharpness()
    optimizer = HeavyBall(lr, momentum, lookahead)
    y0 = 1.0 - optimizer.max_stable_sharpness()
    loss = CubicTaylor(1.0, stabilization=_STABILIZATION)
    largest = theory.lookahead_displacement(y0, momentum, lookahead, _STABILIZATION)
    start, previous = flip_start(loss, loss.minimum(), size * largest)
    steps = int(3.0 * np.log(1.0 / size) / theory.lookahead_rate(excess, momentum, lookahead))
    run = simulate(
        loss, optimizer, start, steps, previous=previous, keep=["loss", "sharpness", "weights", "velocity"]
    )
    return run, y0


def _envelope() -> Measurement:
    """Compare the two recurrences of the statement on runs of |x| and y."""
    measured, predicted, scale = [], [], []
    for momentum, lookahead in _FAMILY:
        run, y0 = _catapult(momentum, lookahead, 0.01, 0.1)
        lr = float(run["lr"][0])
        x, z = run["weights"].values.T
        swing, y = np.where(np.arange(x.size) % 2 == 0, x, -x), y0 + np.sqrt(_STABILIZATION) * z
        seen_swing = (1.0 + 2.0 * lookahead) * swing[1:-1] - lookahead * np.diff(swing)[:-1]
        seen_y = y[1:-1] + lookahead * np.diff(y)[:-1]
        inertia = float(theory.envelope_momentum(momentum, lookahead))
        of_x = (swing, inertia, lr * seen_y * seen_swing, np.abs(x))
        of_y = (y, momentum, -0.5 * lr * _STABILIZATION * seen_swing**2, np.full(y.size, y0))
        for series, own, push, size in (of_x, of_y):
            measured.append(series[2:] - series[1:-1] - own * np.diff(series)[:-1])
            predicted.append(push)
            # The update rounds with its terms: the steps, up to 2(1 + β) times the swing, and the sharpness of 1.
            scale.append(4.0 * np.maximum(np.maximum(size[2:], size[1:-1]), size[:-2]))
    return Measurement.worst(np.concatenate(measured), np.concatenate(predicted), np.concatenate(scale))


_RATES = np.geomspace(2e-3, 0.2, 9)


def _worst_order(judged: list[Measurement], expected: float) -> Measurement:
    return max(judged, key=lambda m: abs(m.order - expected) if np.isfinite(m.order) else np.inf)


def _excesses(momentum: float, lookahead: float, rates: Array) -> Array:
    return rates / float(theory.lookahead_rate(1.0, momentum, lookahead))


def _largest_swing() -> Measurement:
    judged = []
    for momentum, lookahead in _FAMILY:
        measured, predicted = [], []
        for excess in _excesses(momentum, lookahead, _RATES):
            run, y0 = _catapult(momentum, lookahead, excess, 1e-5)
            measured.append(float(np.abs(run["weights"][:, 0]).max()))
            predicted.append(theory.lookahead_displacement(y0, momentum, lookahead, _STABILIZATION))
        judged.append(Measurement.asymptotic(_RATES, np.array(measured), np.array(predicted), fitted=4))
    return _worst_order(judged, 1.0)


def _overshoots(momentum: float, lookahead: float, smallest: float) -> tuple[Array, Array]:
    """Return ε and the measured drop/(2y0); κ_e from `smallest` to 0.3."""
    excess = np.geomspace(smallest, 0.3, 9) / theory.lookahead_inertia_number(1.0, momentum, lookahead)
    runs = [_catapult(momentum, lookahead, e, 1e-6)[0] for e in excess]
    return excess, np.array([measure(run, ["overshoot"])["overshoot"] for run in runs])


def _second_order() -> Measurement:
    judged = []
    for momentum, lookahead in _FAMILY:
        excess, measured = _overshoots(momentum, lookahead, 1e-3)
        kappa = np.asarray(theory.lookahead_inertia_number(excess, momentum, lookahead))
        judged.append(Measurement.asymptotic(kappa, measured, 1.0 + kappa + 2.0 * kappa**2, fitted=4))
    return _worst_order(judged, 3.0)


def _third_order() -> Measurement:
    judged = []
    for momentum, lookahead in _FAMILY:
        excess, measured = _overshoots(momentum, lookahead, 1e-2)
        kappa = np.asarray(theory.lookahead_inertia_number(excess, momentum, lookahead))
        predicted = np.asarray(theory.lookahead_overshoot(excess, momentum, lookahead))
        judged.append(Measurement.asymptotic(kappa, measured, predicted, fitted=4))
    return _worst_order(judged, 4.0)


_WHERE = "CubicTaylor, b² = 2, (β, γ) = (0.5, 0.5), (0.5, 0.1), (0, 0.1)"
_SOURCE = "derivations/a5b_lookahead.py"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A5b envelope",
        statement="A_{t+1} − A_t − β_e(A_t − A_{t−1}) = ηỹÃ, β_e = (β − 2γ)/(1 + 2γ), likewise y, β; error "
        "divided by the terms",
        where=f"{_WHERE}, from a tenth of the largest swing at ε = 0.01",
        source=_SOURCE,
        measure=_envelope,
        tolerance=1e-14,  # roundings of terms of size 1 in y0 = 0.01
    ),
    Prediction(
        name="A5b largest swing",
        statement="A_max = (√2 y0/b)√((1 − β)/(1 + 4γ − β)), up to O(μ); the pair with the worst order",
        where=f"{_WHERE}, from flips of 1e-5 of the largest swing",
        source=_SOURCE,
        measure=_largest_swing,
        small_parameter="μ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A5b overshoot by κ_e",
        statement="drop/(2y0) = 1 + κ_e + 2κ_e² + O(κ_e³); the pair with the worst order",
        where=f"{_WHERE}, from flips of 1e-6 of the largest swing",
        source=_SOURCE,
        measure=_second_order,
        small_parameter="κ_e",
        expected_order=3.0,
        band=0.15,
    ),
    Prediction(
        name="A5b overshoot with both inertias",
        statement="drop/(2y0) = 1 + κ_e + 2κ_e² + G₃μ³ + O(μ⁴); the pair with the worst order",
        where=f"{_WHERE}, from flips of 1e-6 of the largest swing",
        source=_SOURCE,
        measure=_third_order,
        small_parameter="κ_e",
        expected_order=4.0,
        band=0.2,
    ),
)
"""Entries of the registry."""
