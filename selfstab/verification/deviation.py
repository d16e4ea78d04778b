"""Predictions on the overshoot's deviation from its law: curved sharpness and quartic part of three losses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import sympy

from selfstab import theory
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.losses.toys import Minimalist, Product
from selfstab.validation import Array
from selfstab.verification.catapults import _catapult, _excess
from selfstab.verification.registry import Measurement, Prediction

_RANDOM: Final = """
    ((u + 1.02*u**2 - 1.28*u*v + 0.21*u*q - 0.285*v**2 - 0.225*v*q - 0.11*q**2)**2
    + (0.7*q - 1.01*u**2 - 0.115*u*v - 0.435*u*q + 1.66*v**2 + 0.115*v*q - 0.175*q**2)**2)/2
"""


@dataclass(frozen=True)
class _Case:
    """A loss with a minimum and the two numbers of the deviation there."""

    loss: SymbolicLoss
    minimum: Array
    sharpness_curvature: float
    quartic: float


def _case(loss: SymbolicLoss, expression: str, variables: str, minimum: Array) -> _Case:
    weights = sympy.symbols(variables, real=True)
    derivatives = [sympy.sympify(expression, {w.name: w for w in weights})]
    arrays = []
    for _ in range(4):
        derivatives = [sympy.diff(d, w) for d in derivatives for w in weights]
        values = sympy.lambdify(weights, derivatives, "math")(*minimum)
        arrays.append(np.array(values, dtype=float))
    shaped = [a.reshape((len(weights),) * (k + 1)) for k, a in enumerate(arrays)][1:]
    return _Case(loss, minimum, *theory.deviation_coefficients(*shaped))


@cache
def _cases() -> dict[str, _Case]:
    product, minimalist = Product(), Minimalist()
    return {
        "product": _case(product, "(u*v - 1)**2/2", "u v", product.minimum(sharpness=4.0)),
        "minimalist": _case(minimalist, "(u**2*v**2 - 1)**2/2", "u v", minimalist.minimum(sharpness=16.0)),
        "random": _case(SymbolicLoss(_RANDOM, ["u", "v", "q"]), _RANDOM, "u v q", np.zeros(3)),
    }


def _deviation(case: _Case, settings: list[tuple[float, float]], fitted: int) -> Measurement:
    """Compare drop/(2y0) with law and deviation at settings (β, ε), ε ascending."""
    momenta, excess = np.array(settings).T
    overshoots = [_catapult(case.loss, case.minimum, m, e, size=1e-6).overshoot for m, e in settings]
    predicted = theory.overshoot_on_loss(excess, momenta, case.sharpness_curvature, case.quartic)
    return Measurement.asymptotic(excess, np.array(overshoots), np.asarray(predicted), fitted=fitted)


def _worst(measurements: list[Measurement]) -> Measurement:
    return max(measurements, key=lambda m: abs(m.order - 2.0) if np.isfinite(m.order) else np.inf)


def _slow() -> Measurement:
    measurements = []
    for name, least in (("product", 1e-3), ("random", 4e-3)):
        settings = [(0.0, excess) for excess in (least, 2.0 * least, 4.0 * least, 0.032, 0.064, 0.128)]
        measurements.append(_deviation(_cases()[name], settings, fitted=3))
    return _worst(measurements)


# Above β = 0.98 the rounding of the weights, amplified by 1/(1 − β), is no longer small against ε².
_MOMENTA = (0.98, 0.97, 0.96, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


def _at_kappa(name: str, *kappas: float) -> Measurement:
    measurements = []
    for kappa in kappas:
        settings = [(m, _excess(kappa, m)) for m in _MOMENTA]
        measurements.append(_deviation(_cases()[name], settings, fitted=3))
    return _worst(measurements)


def _product() -> Measurement:
    return _at_kappa("product", 1.0, 10.0)


def _minimalist() -> Measurement:
    return _at_kappa("minimalist", 1.0)


def _random() -> Measurement:
    return _at_kappa("random", 1.0)


_STATEMENT = "drop/(2y0) = G(κ) + ε[σP(κ) + τQ(κ) + R(κ)] + O(ε²)"
_SOURCE = "derivations/a5_deviation.py"

# The bands: as in the overshoot law, the next order bends the slope by some hundredths over the values fitted.
PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A5 deviation without momentum",
        statement=f"{_STATEMENT} at β = 0, where the deviation is ε(4τ − 2σ)/3 to leading order",
        where="Product from S = 4 and a random quartic of three weights, ε to 0.128; the worse order",
        source=_SOURCE,
        measure=_slow,
        small_parameter="ε",
        expected_order=2.0,
        band=0.1,
    ),
    *(
        Prediction(
            name=f"A5 deviation {name}",
            statement=f"{_STATEMENT} at fixed κ; the κ with the worst order, its domain",
            where=f"{where}, β = 0.5 to 0.98, from flips of 1e-6 of the largest swing",
            source=_SOURCE,
            measure=measure,
            small_parameter="ε",
            expected_order=2.0,
            band=0.1,
        )
        for name, where, measure in (
            ("product", "Product from S = 4, κ = 1, 10", _product),
            ("minimalist", "Minimalist from S = 16, κ = 1", _minimalist),
            ("random quartic", "½(r² + s²) of three weights, r and s random quadratics, κ = 1", _random),
        )
    ),
)
"""Entries of the registry."""
