"""The transfer function of a linear optimizer, read from the optimizer or from two polynomials, and its expansions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.transfer_functions import (
    Transfer,
    characteristic,
    first_to_leave,
    floats,
    integrated,
    is_stable,
    product,
    quotient,
    series_at_flip,
    series_at_one,
)

ORDER: Final = 4
"""Of the expansions, in D."""
_LONGEST: Final = 65
_LARGEST: Final = 1e50
_BELOW: Final = Fraction(1, 10**6)
_ROUNDING: Final = Fraction(1, 2**49)
"""How far the coefficients of a denominator may be from a sum of 0, relative to their sizes."""


@dataclass(frozen=True)
class Expansions:
    """The coefficients of both operators of a catapult, and the two numbers that scale it.

    Parameters
    ----------
    threshold
        S* = −1/T(−1).
    gain
        c₀: a constant gradient g moves the weights by −c₀g per step.
    sigma
        σ of −S*·T(−e^D) = 1 − σD + ...
    swing
        p₂, p₃, p₄ of (1/(−S*·T(−e^D)) − 1)/σ = D + p₂D² + p₃D³ + p₄D⁴ + ...
    sharpness
        q₂, q₃, q₄ of c₀/T(e^D) = D + q₂D² + q₃D³ + q₄D⁴ + ...
    """

    threshold: float
    gain: float
    sigma: float
    swing: tuple[float, ...]
    sharpness: tuple[float, ...]


def transfer_function(optimizer: Any, *, at_lr: bool = False) -> Transfer:
    """Return the transfer function of an optimizer, or of numerator and denominator.

    Parameters
    ----------
    optimizer
        A linear optimizer, which has a method `exact_transfer_function`, or a pair of coefficients in z, the highest
        power first.
    at_lr
        Whether an optimizer's is multiplied by its lr, which must be a number then; else it is the one at lr 1.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the optimizer is not linear, or reads the gradient of its own step. If T has no simple pole at 1, or another
        one outside the unit circle.
    """
    factor = Fraction(1)
    if hasattr(optimizer, "exact_transfer_function") and not isinstance(optimizer, type):
        try:
            ratio = optimizer.exact_transfer_function()
        except NotImplementedError as error:
            raise ValueError(f"optimizer must be linear: {error}") from None
        numerator, denominator = ratio.numerator, ratio.denominator
        if at_lr:
            if not isinstance(optimizer.lr, Real):
                raise ValueError(
                    f"optimizer must have a number as lr for a threshold, got {type(optimizer.lr).__name__}: "
                    "take optimizer.max_stable_sharpness(step)"
                )
            factor = Fraction(float(optimizer.lr))
    else:
        if (
            not isinstance(optimizer, Sequence | np.ndarray)
            or isinstance(optimizer, str)
            or len(optimizer) != 2
        ):
            raise TypeError(
                "optimizer must be a linear optimizer or a pair (numerator, denominator) of coefficients, got "
                f"{validation.shown(optimizer)}"
            )
        numerator, denominator = (
            _polynomial(*named) for named in zip(("numerator", "denominator"), optimizer, strict=True)
        )
    if len(numerator) >= len(denominator):
        raise ValueError(
            f"numerator must be of lower degree than denominator, got {len(numerator) - 1} and {len(denominator) - 1}: "
            "a step cannot read the gradient where it ends"
        )
    lead = denominator[0]
    numerator = tuple(factor * c / lead for c in numerator)
    denominator = tuple(c / lead for c in denominator)
    rest = integrated(denominator, _ROUNDING)
    if rest is None:
        raise ValueError(
            f"denominator must be 0 at z = 1, got {float(sum(denominator))!r}: T needs a pole there"
        )
    if not is_stable(rest):
        outside = max(np.roots(floats(rest)), key=abs)
        worst = "1 twice" if not sum(rest) > 0 else f"{complex(outside):.6g}"
        raise ValueError(
            f"denominator must have its roots inside the unit circle, besides 1 once, got {worst}"
        )
    if not sum(numerator) > 0:
        raise ValueError(
            f"numerator must be above 0 at z = 1, got {float(sum(numerator))!r}: the loss would rise"
        )
    return Transfer(numerator, product(rest, (Fraction(1), Fraction(-1))))


def flipping(system: Transfer) -> Transfer:
    """Return a transfer function whose swing is x_t = (−1)^t A_t: the flip is its first instability.

    Raises
    ------
    ValueError
        If another root leaves the unit circle first, or if roots are too close to each other.
    """
    first, angle = first_to_leave(system)
    if angle != math.pi:
        raise ValueError(
            "optimizer must lose its stability by a flip, at z = −1, for the law of catapults; the first root to "
            f"leave the unit circle is e^(±{angle:.6g}i), at sharpness {first:.6g}"
        )
    # Whether the search on the circle has missed a crossing, by exact arithmetic: all roots are inside a little below.
    if not is_stable(characteristic(system, Fraction(first) * (1 - _BELOW))):
        raise ValueError(
            "optimizer must have roots that are distinct: too many poles of its transfer function are close to 1"
        )
    return system


def expansions(system: Transfer) -> Expansions:
    """Return the expansions about −1 and 1; errors as of :func:`flipping`."""
    flip, drift = series_at_flip(flipping(system), ORDER), series_at_one(system, ORDER - 1)
    of_swing = quotient([flip[0]] + [Fraction(0)] * ORDER, flip)
    of_sharpness = quotient([drift[0]] + [Fraction(0)] * (ORDER - 1), drift)
    sigma = of_swing[1]
    return Expansions(
        threshold=float(-1 / flip[0]),
        gain=float(drift[0]),
        sigma=float(sigma),
        swing=tuple(float(c / sigma) for c in of_swing[2:]),
        sharpness=tuple(float(c) for c in of_sharpness[1:]),
    )


def _polynomial(name: str, coefficients: Any) -> tuple[Fraction, ...]:
    """Return coefficients as fractions, without zeros in front."""
    values = validation.floats(name, coefficients, shape=(None,))
    values = values[np.argmax(values != 0.0) :] if values.any() else values[:0]
    if not 1 <= values.size <= _LONGEST:
        raise ValueError(
            f"{name} must have 1 to {_LONGEST} coefficients from the first that is not 0, got {values.size}"
        )
    if np.abs(values).max() > _LARGEST or abs(values[0]) < 1.0 / _LARGEST:
        raise ValueError(
            f"{name} must begin with a number of size {1 / _LARGEST:g} or more and have none of more than "
            f"{_LARGEST:g}, got {validation.shown(values.tolist())}"
        )
    return tuple(Fraction(value) for value in values.tolist())
