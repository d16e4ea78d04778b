"""Predictions on a single catapult: slow limit, inertia number and overshoot law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab import theory
from selfstab.losses.base.starts import flip_start
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.losses.toys import CubicTaylor, Product
from selfstab.observables.measures import measure
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.theory.catapult import SERIES
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

if TYPE_CHECKING:
    import xarray

_STABILIZATION = 2.0  # b² away from 1, so that a forgotten b shows


@cache
def _cubic() -> CubicTaylor:
    return CubicTaylor(curvature=1.0, stabilization=_STABILIZATION)


@cache
def _product() -> Product:
    return Product()


# -- one catapult from a minimum ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Catapult:
    """A recorded catapult with what theory takes of its start."""

    run: xarray.Dataset
    lr: float
    momentum: float
    excess: float
    kappa: float
    threshold: float
    y0: float

    @property
    def overshoot(self) -> float:
        """Return the measured drop/(2 y0); NaN unless the catapult ended within the run."""
        return measure(self.run, ["overshoot"])["overshoot"]


def _catapult(loss: SymbolicLoss, minimum: Array, momentum: float, excess: float, size: float) -> _Catapult:
    """Run from a minimum with a flip `size` times the slow limit's largest swing, until it has died.

    Closed forms choose only how long it runs: growth to the peak, and decay after it, with half as much again.
    """
    sharpness, _ = loss.sharpness(minimum)
    lr = (1.0 + excess) * HeavyBall(1.0, momentum).max_stable_sharpness() / sharpness
    optimizer = HeavyBall(lr, momentum)
    threshold = optimizer.max_stable_sharpness()
    y0 = sharpness - threshold
    kappa = theory.inertia_number(excess, momentum)
    b2 = float(np.sum(loss.sharpness_gradient(minimum) ** 2))
    start, previous = flip_start(loss, minimum, size * theory.max_displacement(y0, b2))
    below = excess * (2.0 * theory.overshoot(kappa) - 1.0)
    growth = np.log(theory.growth_factor(excess, momentum))
    decay = -np.log(theory.growth_factor(-min(below, 0.9), momentum))
    steps = int(1.5 * np.log(1.0 / size) * (1.0 / growth + 1.0 / decay))
    keep = ("loss", "sharpness", "weights", "velocity")
    run = simulate(loss, optimizer, start, steps, previous=previous, keep=keep)
    return _Catapult(run, lr, momentum, excess, kappa, threshold, y0)


def _excess(kappa: float, momentum: float) -> float:
    return kappa / float(theory.inertia_number(1.0, momentum))


def _cubic_catapults(kappas: Array, momentum: float, size: float = 1e-5) -> list[_Catapult]:
    loss = _cubic()
    return [_catapult(loss, loss.minimum(), momentum, _excess(k, momentum), size) for k in kappas]


# -- the slow limit -------------------------------------------------------------------------------------------

_SLOW_MOMENTUM = 0.5


def _slow_kappas() -> Array:
    return np.geomspace(1e-3, 1.0, 13)


def _slow_catapults() -> list[_Catapult]:
    return _cubic_catapults(_slow_kappas(), _SLOW_MOMENTUM)


def _slow(
    catapults: list[_Catapult],
    measured: list[float],
    predicted: list[float],
    relative_to: Array | None = None,
) -> Measurement:
    kappas = np.array([c.kappa for c in catapults])
    return Measurement.asymptotic(
        kappas, np.array(measured), np.array(predicted), fitted=5, relative_to=relative_to
    )


def _drop() -> Measurement:
    catapults = _slow_catapults()
    return _slow(
        catapults,
        [float(c.run["sharpness"][-1]) for c in catapults],
        [theory.final_sharpness(c.threshold, c.y0, 0.0) for c in catapults],
        relative_to=2.0 * np.array([c.y0 for c in catapults]),
    )


def _largest_swing() -> Measurement:
    catapults = _slow_catapults()
    return _slow(
        catapults,
        [float(np.abs(c.run["weights"][:, 0]).max()) for c in catapults],
        [theory.max_displacement(c.y0, _STABILIZATION) for c in catapults],
    )


def _spike() -> Measurement:
    catapults = _slow_catapults()
    return _slow(
        catapults,
        [float(c.run["loss"].max()) for c in catapults],
        [theory.loss_spike(c.threshold, c.y0, _STABILIZATION) for c in catapults],
    )


def _orbit() -> Measurement:
    measured, predicted, scale = [], [], []
    catapults = _slow_catapults()
    for c in catapults:
        y = np.sqrt(_STABILIZATION) * c.run["weights"].values[:, 1] + 1.0 - c.threshold
        first = int(np.argmax(y < 0.0))
        centre = first - y[first] / (y[first] - y[first - 1])  # where y crosses 0
        expected, _ = theory.slow_orbit(np.arange(y.size) - centre, c.lr, c.momentum, c.y0, _STABILIZATION)
        worst = int(np.argmax(np.abs(y - expected)))
        measured.append(float(y[worst]))
        predicted.append(float(expected[worst]))
        scale.append(c.y0)
    return _slow(catapults, measured, predicted, relative_to=np.array(scale))


def _conserved() -> Measurement:
    """Measure how far H strays along one swing with progressive sharpening, α = y0²/10, from a tenth of A_max."""
    kappas, strays, starts, units = _slow_kappas(), [], [], []
    momentum = _SLOW_MOMENTUM
    for kappa in kappas:
        excess = _excess(kappa, momentum)
        lr = (1.0 + excess) * HeavyBall(1.0, momentum).max_stable_sharpness()
        y0 = 1.0 - theory.max_stable_sharpness(lr, momentum)
        alpha = 0.1 * y0**2
        loss = _cubic().replace(progressive_sharpening=alpha)
        x0 = 0.1 * theory.max_displacement(y0, _STABILIZATION)
        steps = int(12.0 * (1.0 - momentum) / (lr * y0))  # rt from 0 to 12: past the first swing
        run = simulate(loss, HeavyBall(lr, momentum), [x0, 0.0], steps, previous=[-x0, 0.0], keep=["weights"])
        x, z = run["weights"].values.T
        y = y0 + np.sqrt(_STABILIZATION) * z
        energy = np.asarray(theory.slow_energy(y, np.abs(x), alpha, _STABILIZATION))
        strays.append(float(energy[np.argmax(np.abs(energy - energy[0]))]))
        starts.append(float(energy[0]))
        units.append(y0**2)
    return Measurement.asymptotic(
        kappas, np.array(strays), np.array(starts), fitted=5, relative_to=np.array(units)
    )


# -- inertia number and overshoot law -------------------------------------------------------------------------


def _collapse() -> Measurement:
    kappas = np.geomspace(2.5e-3, 1.0, 14)
    heavy, plain = (
        np.array([c.overshoot for c in _cubic_catapults(kappas, m, size=1e-6)]) for m in (0.9, 0.0)
    )
    return Measurement.asymptotic(kappas, heavy, plain, fitted=4)


def _series() -> Measurement:
    kappas = np.geomspace(2.5e-3, 1.0, 14)
    catapults = _cubic_catapults(kappas, 0.5, size=1e-6)
    measured = np.array([c.overshoot for c in catapults])
    predicted = np.polynomial.polynomial.polyval(np.array([c.kappa for c in catapults]), SERIES[:3])
    return Measurement.asymptotic(kappas, measured, predicted, fitted=4)


_LAW_KAPPAS = (0.3, 1.0, 10.0)
_LAW_MOMENTA = (0.995, 0.99, 0.98, 0.95)


def _law(loss: SymbolicLoss, minimum: Array, kappa: float, momenta: tuple[float, ...]) -> Measurement:
    """Compare the overshoot at one κ with G(κ) as ε falls, that is as β rises."""
    catapults = [_catapult(loss, minimum, m, _excess(kappa, m), size=1e-6) for m in momenta]
    measured = np.array([c.overshoot for c in catapults])
    predicted = np.asarray(theory.overshoot([c.kappa for c in catapults]))
    excess = np.array([c.excess for c in catapults])
    return Measurement.asymptotic(excess, measured, predicted, fitted=len(_LAW_MOMENTA))


_DOMAIN_MOMENTA = (*_LAW_MOMENTA, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)


def _law_everywhere(loss: SymbolicLoss, minimum: Array) -> Measurement:
    """Return the law's measurement at the κ whose order is furthest from 1, with the domain at κ = 1."""
    domain = _law(loss, minimum, 1.0, _DOMAIN_MOMENTA).domain
    laws = [_law(loss, minimum, kappa, _LAW_MOMENTA) for kappa in _LAW_KAPPAS]
    worst = max(laws, key=lambda m: abs(m.order - 1.0) if np.isfinite(m.order) else np.inf)
    return Measurement(worst.measured, worst.predicted, worst.error, worst.order, domain)


def _law_cubic() -> Measurement:
    return _law_everywhere(_cubic(), _cubic().minimum())


def _law_product() -> Measurement:
    return _law_everywhere(_product(), _product().minimum(sharpness=4.0))


def _final_sharpness() -> Measurement:
    loss, momenta = _product(), _DOMAIN_MOMENTA
    catapults = [_catapult(loss, loss.minimum(sharpness=4.0), m, _excess(1.0, m), size=1e-6) for m in momenta]
    measured = np.array([float(c.run["sharpness"][-1]) for c in catapults])
    thresholds = theory.max_stable_sharpness([c.lr for c in catapults], momenta)
    predicted = theory.final_sharpness(thresholds, 4.0 - thresholds, [c.kappa for c in catapults])
    excess = np.array([c.excess for c in catapults])
    return Measurement.asymptotic(excess, measured, predicted, fitted=len(_LAW_MOMENTA))


# The bands: over the few smallest values that are fitted the next order bends the slope by a few hundredths, while a
# wrong coefficient leaves an error that does not fall, or falls an order or more too slowly.

_SLOW_WHERE = "CubicTaylor, β = 0.5, b² = 2, from a flip of 1e-5 of the largest swing"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A3 conserved energy",
        statement="H = y²/2 − α ln A + b²A²/4 changes by O(κ) in a swing; error divided by y0²",
        where="CubicTaylor, β = 0.5, b² = 2, α = y0²/10, from a tenth of the largest swing, rt = 0 to 12",
        source="derivations/a3_slow_limit.py",
        measure=_conserved,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A3 orbit",
        statement="y = −y0 tanh rt, r = ηy0/(1 − β), up to O(κ); largest error of the run, divided by y0",
        where=_SLOW_WHERE,
        source="derivations/a3_slow_limit.py",
        measure=_orbit,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A3 drop",
        statement="S ends at S* − y0 as κ → 0, up to O(κ); error divided by 2y0",
        where=_SLOW_WHERE,
        source="derivations/a3_slow_limit.py",
        measure=_drop,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A3 largest swing",
        statement="A_max = √2 y0/b, up to O(κ)",
        where=_SLOW_WHERE,
        source="derivations/a3_slow_limit.py",
        measure=_largest_swing,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A3 loss spike",
        statement="largest loss = S*y0²/b², up to O(κ)",
        where=_SLOW_WHERE,
        source="derivations/a3_slow_limit.py",
        measure=_spike,
        small_parameter="κ",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A4 inertia number",
        statement="at equal κ = ε((1+β)/(1−β))² the overshoots at β = 0.9 and 0 differ by O(κ³) only",
        where="CubicTaylor, b² = 2, from flips of 1e-6 of the largest swing; predicted is β = 0's",
        source="derivations/a4_inertia.py",
        measure=_collapse,
        small_parameter="κ",
        expected_order=3.0,
        band=0.1,
    ),
    Prediction(
        name="A5 overshoot series",
        statement="drop/(2y0) = 1 + κ + 2κ² + O(κ³)",
        where="CubicTaylor, β = 0.5, b² = 2, from flips of 1e-6 of the largest swing",
        source="derivations/a5_overshoot.py",
        measure=_series,
        small_parameter="κ",
        expected_order=3.0,
        band=0.1,
    ),
    Prediction(
        name="A5 overshoot law cubic",
        statement="drop/(2y0) = G(κ) + O(ε) at fixed κ; the κ with the worst order, domains at κ = 1",
        where="CubicTaylor, b² = 2, κ = 0.3, 1, 10, β = 0.95 to 0.995, from flips of 1e-6 of the largest swing",
        source="derivations/a5_overshoot.py",
        measure=_law_cubic,
        small_parameter="ε",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A5 overshoot law product",
        statement="drop/(2y0) = G(κ) + O(ε) at fixed κ; the κ with the worst order, domains at κ = 1",
        where="Product from S = 4, κ = 0.3, 1, 10, β = 0.95 to 0.995, from flips of 1e-6 of the largest swing",
        source="derivations/a5_overshoot.py",
        measure=_law_product,
        small_parameter="ε",
        expected_order=1.0,
        band=0.1,
    ),
    Prediction(
        name="A5 final sharpness",
        statement="S ends at S* − y0(2G(κ) − 1) + O(ε²) at fixed κ = 1",
        where="Product from S = 4, β = 0.95 to 0.995, from flips of 1e-6 of the largest swing",
        source="derivations/a5_overshoot.py",
        measure=_final_sharpness,
        small_parameter="ε",
        expected_order=2.0,
        band=0.1,
    ),
)
"""Entries of the registry."""
