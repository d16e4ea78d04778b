"""Predictions on quadratics: modes, regions, threshold and growth beyond it."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from typing import Final

import numpy as np
import numpy.typing as npt

from selfstab import theory
from selfstab.losses.toys import Quadratic
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.phases import DIVERGED, MONOTONE, OSCILLATING
from selfstab.runs.simulate import simulate
from selfstab.sweeps.sweep import sweep
from selfstab.theory.quadratic import FLIP
from selfstab.validation import Array
from selfstab.verification.fits import recurrence_roots
from selfstab.verification.registry import Measurement, Prediction

_MOMENTA = (0.0, 0.3, 0.6, 0.9)
_FRACTIONS = (0.2, 0.5, 0.8)


@cache
def _loss() -> Quadratic:
    """Return ½w², so that lr is ηS; its formulas and kernels are made once."""
    return Quadratic([1.0])


def _series(lr: float, momentum: float, lookahead: float = 0.0, steps: int = 48) -> Array:
    """Return w_t on ½w²; both modes are present at the start."""
    run = simulate(
        _loss(), HeavyBall(lr, momentum, lookahead), [1.0], steps, previous=[0.3], keep=["weights"], escape=1e300,
    )  # fmt: skip
    return np.asarray(run["weights"].values[:, 0])


def _cells() -> list[tuple[float, float]]:
    """Return (ηS, β) within each region that is not empty, and beyond the threshold."""
    cells = []
    for momentum in _MOMENTA:
        edges = [0.0, *theory.region_boundaries(momentum)]
        edges.append(1.2 * edges[-1])
        for low, high in pairwise(edges):
            cells += [(low + f * (high - low), momentum) for f in _FRACTIONS if high > low]
    return cells


def _modes() -> Measurement:
    cells = [(h, momentum, share * momentum) for h, momentum in _cells() for share in (0.0, 0.5, 1.0)]
    measured = [abs(recurrence_roots(_series(*cell))[0]) for cell in cells]
    return Measurement.worst(np.array(measured), np.asarray(theory.spectral_radius(*np.array(cells).T)))


def _observed_region(roots: npt.NDArray[np.complex128]) -> int:
    """Return the region's code from the modes of a run: by definition, not by the boundaries."""
    if abs(roots[0]) > 1.0:
        return DIVERGED
    if abs(roots[0].imag) > 1e-6:
        return OSCILLATING
    return MONOTONE if roots[0].real > 0.0 else FLIP


def _regions() -> Measurement:
    cells = _cells()
    measured = np.array([_observed_region(recurrence_roots(_series(*cell))) for cell in cells])
    predicted = np.asarray(theory.region(*np.array(cells).T))
    # The number of cells in the predicted region, of all cells.
    return Measurement.worst(np.array([float((measured == predicted).sum())]), np.array([float(len(cells))]))


def _boundary(momentum: float, lookahead: float) -> float:
    """Return the largest stable lr on ½w² by bisection: beyond it the loss is larger at step 4000 than at 2000.

    Both steps are even and late, so that the other mode has died and the comparison is of |λ| with 1.
    """
    low, high = 0.1, 6.0  # stable, and beyond every threshold 2(1 + β) < 4
    for _ in range(6):
        lrs = np.linspace(low, high, 64)
        early, late = (
            sweep(
                _loss(), HeavyBall(1.0, momentum, lookahead), {"lr": lrs}, start=[1.0], previous=[0.3],
                steps=steps, measure=["final_loss", "diverged_at"], escape=1e30, threads=1, progress=False,
            )
            for steps in (2000, 4000)
        )  # fmt: skip
        grows = (late["diverged_at"].values >= 0) | (late["final_loss"].values > early["final_loss"].values)
        first = int(grows.argmax())
        low, high = float(lrs[first - 1]), float(lrs[first])
    return 0.5 * (low + high)


def _threshold(pairs: list[tuple[float, float]]) -> Measurement:
    measured = np.array([_boundary(*pair) for pair in pairs])
    # On curvature 1 the largest stable lr is S*·lr.
    return Measurement.worst(measured, np.array([theory.max_stable_sharpness(1.0, *pair) for pair in pairs]))


def _polyak() -> Measurement:
    return _threshold([(momentum, 0.0) for momentum in (*_MOMENTA, 0.99)])


def _lookahead() -> Measurement:
    return _threshold([(m, share * m) for m, share in product((0.3, 0.6, 0.9, 0.99), (0.25, 0.5, 1.0))])


def _growth(excess: float, momentum: float) -> float:
    """Return |λ| from the steps of a run after its other mode, at most √β, has died."""
    lr = (1.0 + excess) * HeavyBall(1.0, momentum).max_stable_sharpness()
    died = 20 + int(40.0 / (1.0 - momentum))  # (β/λ²)^died is at rounding level
    steps = died + 100
    w = np.abs(_series(lr, momentum, steps=steps))
    return float((w[steps] / w[died]) ** (1.0 / (steps - died)))


def _growth_exact() -> Measurement:
    cells = list(product((1e-6, 1e-4, 1e-2, 0.1), _MOMENTA))
    measured = np.array([_growth(*cell) for cell in cells])
    return Measurement.worst(measured, np.asarray(theory.growth_factor(*np.array(cells).T)))


def _growth_leading() -> Measurement:
    momentum = 0.9
    excess = np.geomspace(1e-6, 1e-1, 21)
    measured = np.array([_growth(e, momentum) for e in excess])
    # (1 + β)/(1 − β), the stabilization weight's limit at matched threshold, is the speed-up of slow motion.
    rate = 2.0 * excess * (1.0 + momentum) * theory.stabilization_weight(np.inf, momentum)
    return Measurement.asymptotic(
        excess, measured, 1.0 + rate, fitted=5, domain=np.abs(measured - 1.0 - rate) / rate
    )  # fmt: skip


PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="Q1 modes",
        statement="decay per step = |λ|, λ² − (1 + β − ηS(1+γ))λ + β − γηS = 0; √β exactly where complex (γ = 0)",
        where="recurrence fitted to runs on ½w² in every region, β = 0 to 0.9, γ = 0, β/2, β",
        source="derivations/q1_modes.py",
        measure=_modes,
        tolerance=1e-12,  # rounding, times 1/|λ₁ − λ₂|² of the fit
    ),
    Prediction(
        name="Q1 regions",
        statement="monotone, oscillating, flip, divergent: bounds ηS = (1−√β)², (1+√β)², 2(1+β); counts of cells",
        where="character of the fitted modes of runs on ½w² at three points of each region, β = 0 to 0.9",
        source="derivations/q1_modes.py",
        measure=_regions,
        tolerance=0.0,
    ),
    Prediction(
        name="Q2 threshold Polyak",
        statement="ηS* = 2(1 + β)",
        where="bisection by sweeps on ½w²: growing or not, β = 0 to 0.99",
        source="derivations/q2_threshold.py",
        measure=_polyak,
        tolerance=1e-10,  # the last bracket is 5.9/63⁶ = 1e-10 wide, its middle at most half that away
    ),
    Prediction(
        name="Q2 threshold lookahead",
        statement="ηS* = 2(1 + β)/(1 + 2γ), Nesterov γ = β",
        where="bisection by sweeps on ½w²: growing or not, β = 0.3 to 0.99, γ = β/4, β/2, β",
        source="derivations/q2_threshold.py",
        measure=_lookahead,
        tolerance=1e-10,
    ),
    Prediction(
        name="Q3 growth exact",
        statement="growth per step = |λ| at ηS = 2(1 + β)(1 + ε)",
        where="late steps of runs on ½w², ε = 1e-6 to 0.1, β = 0 to 0.9",
        source="derivations/q3_growth.py",
        measure=_growth_exact,
        tolerance=1e-13,
    ),
    Prediction(
        name="Q3 growth leading",
        statement="|λ| = 1 + 2ε(1 + β)/(1 − β) + O(ε²); domains are of the rate |λ| − 1",
        where="late steps of runs on ½w², β = 0.9",
        source="derivations/q3_growth.py",
        measure=_growth_leading,
        small_parameter="ε",
        expected_order=2.0,
        band=0.1,  # the five smallest ε are below 1e-5, κ below 4e-3
    ),
)
"""Entries of the registry."""
