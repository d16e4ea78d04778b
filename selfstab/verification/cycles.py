"""Predictions on two-cycles beyond the threshold."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Final

import numpy as np

from selfstab import theory
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.losses.toys import DoubleWell
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.fits import recurrence_roots
from selfstab.verification.registry import Measurement, Prediction

_DERIVATIVES = (2.0, 1.5, -0.8)  # L₂, L₃, L₄: no symmetry, supercritical
_WELL = (2.0, 6.0, 6.0)  # of DoubleWell at 1


@cache
def _quartic() -> SymbolicLoss:
    """Return a loss with the derivatives above at 0, and a fifth one that must not matter."""
    return SymbolicLoss("w**2 + 1.5*w**3/6 - 0.8*w**4/24 + 0.1*w**5", ["w"])


@cache
def _well() -> DoubleWell:
    return DoubleWell()


def _optimizer(excess: float, momentum: float) -> HeavyBall:
    """Return heavy ball whose threshold is exceeded by `excess` at curvature 2."""
    return HeavyBall((1.0 + excess) * HeavyBall(1.0, momentum).max_stable_sharpness() / 2.0, momentum)


def settled_cycle(loss: SymbolicLoss, minimum: float, size: float, excess: float, momentum: float) -> Array:
    """Return the two points, the larger first, that a run has settled on from a flip of half-width `size`."""
    # Deviations of the leading order decay by exp(−4e(1 + β)/(1 − β)) a step, complex ones by √β: to 1e-17.
    steps = int(40.0 * max((1.0 - momentum) / (4.0 * excess * (1.0 + momentum)), 2.0 / (1.0 - momentum)))
    optimizer = _optimizer(excess, momentum)
    run = simulate(
        loss, optimizer, [minimum + size], steps, previous=[minimum - size], keep=["weights"], every=steps - 1
    )
    return np.sort(run["weights"].values[-2:, 0])[::-1]


def _same() -> Measurement:
    cells = list(product((0.02, 0.05), (0.3, 0.6, 0.9)))
    size = {e: float(theory.two_cycle_half_amplitude(e, *_WELL)) for e, _ in cells}
    measured = [settled_cycle(_well(), 1.0, size[e], e, momentum) for e, momentum in cells]
    predicted = [settled_cycle(_well(), 1.0, size[e], e, 0.0) for e, _ in cells]
    return Measurement.worst(np.concatenate(measured), np.concatenate(predicted))


def _half_amplitude() -> Measurement:
    excess, momentum = np.geomspace(1e-3, 0.05, 9), 0.5
    predicted = np.asarray(theory.two_cycle_half_amplitude(excess, *_DERIVATIVES))
    cycles = [settled_cycle(_quartic(), 0.0, a, e, momentum) for a, e in zip(predicted, excess, strict=True)]
    measured = np.array([0.5 * (points[0] - points[1]) for points in cycles])
    return Measurement.asymptotic(excess, measured, predicted, fitted=5)


def _coefficient() -> Measurement:
    """Measure c at the threshold itself, where 1/A² rises by 2c per step, once the fast mode has died."""
    momentum, sizes = 0.8, np.geomspace(2e-4, 0.1, 11)
    optimizer = _optimizer(0.0, momentum)
    predicted = theory.flip_coefficient(optimizer.lr, momentum, *_DERIVATIVES)
    died, measured = int(40.0 / (1.0 - momentum)), []
    for size in sizes:
        run = simulate(_quartic(), optimizer, [size], 2 * died + 1, previous=[-size], keep=["weights"])
        w = run["weights"].values[:, 0]
        inverse = 4.0 / np.diff(w) ** 2
        measured.append((inverse[2 * died] - inverse[died]) / (2.0 * died))
    return Measurement.asymptotic(sizes, np.array(measured), np.full(sizes.size, predicted), fitted=5)


def _stability() -> Measurement:
    measured, predicted = [], []
    for excess, momentum in product((0.02, 0.1, 0.2), (0.3, 0.6, 0.9)):
        optimizer = _optimizer(excess, momentum)
        threshold = optimizer.max_stable_sharpness()
        half = np.sqrt((2.0 - threshold) / 8.0)  # of the double well's cycle, exactly
        mean = np.sqrt(1.0 - 3.0 * half**2)
        first, second = mean + half, mean - half
        run = simulate(_well(), optimizer, [first + 1e-8], 8, previous=[second - 2e-8], keep=["weights"])
        roots = recurrence_roots(run["weights"].values[::2, 0] - first)
        measured.append(abs(roots[0]))
        h = optimizer.rates(0, 1)[0] * (3.0 * np.array([first, second]) ** 2 - 1.0)
        predicted.append(theory.two_cycle_growth(h[0], h[1], momentum))
    return Measurement.worst(np.array(measured), np.array(predicted))


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A9 same cycles",
        statement="two-cycles of (η, β) are gradient descent's at η/(1 + β): both points",
        where="DoubleWell, runs settled on the cycle, e = 0.02 and 0.05, β = 0.3, 0.6, 0.9 against β = 0",
        source="derivations/a9_two_cycles.py",
        measure=_same,
        tolerance=1e-13,
    ),
    Prediction(
        name="A9 half-amplitude",
        statement="half-amplitude² = 6L₂e/(3L₃²/L₂ − L₄)",
        where="a quintic with L₂, L₃, L₄ = 2, 1.5, −0.8, runs settled on the cycle, β = 0.5",
        source="derivations/a9_two_cycles.py",
        measure=_half_amplitude,
        small_parameter="e",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A9 flip coefficient",
        statement="at the threshold 1/A² rises by 2c per step, c = η(3L₃²/L₂ − L₄)/(6(1 − β))",
        where="the same quintic at S = S*, β = 0.8, steps 200 to 400",
        source="derivations/a9_two_cycles.py",
        measure=_coefficient,
        small_parameter="A",
        expected_order=2.0,
        band=0.1,
    ),
    Prediction(
        name="A9 cycle stability",
        statement="deviations in two steps: λ² − (p − 2β)λ + β² = 0, p = (1 + β − ηL''₊)(1 + β − ηL''₋)",
        where="DoubleWell, 1e-8 from the exact cycle, e = 0.02 to 0.2, β = 0.3 to 0.9",
        source="derivations/a9_two_cycles.py",
        measure=_stability,
        tolerance=1e-5,  # it grows to 1e-6 in the run; its square enters
    ),
)
"""Entries of the registry."""
