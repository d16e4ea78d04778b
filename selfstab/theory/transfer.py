"""The transfer function of a linear optimizer, read from the optimizer or from two polynomials, and its expansions.

w = −T(q)∇L with q the forward shift. Everything is computed in fractions: floats are fractions, and what cancels
near an unstable momentum cancels exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any, Final

import numpy as np

from selfstab import validation

ORDER: Final = 4
"""Of the expansions, in D."""
_LONGEST: Final = 65
_LARGEST: Final = 1e50
_ROUNDING: Final = Fraction(1, 2**49)
"""How far the coefficients of a denominator may be from a sum of 0, relative to their sizes."""


@dataclass(frozen=True)
class TransferFunction:
    """T = numerator/denominator with the denominator (z − 1)·rest.

    Parameters
    ----------
    numerator, rest
        Coefficients, the highest power first; `rest` begins with 1.
    """

    numerator: tuple[Fraction, ...]
    rest: tuple[Fraction, ...]

    @property
    def denominator(self) -> tuple[Fraction, ...]:
        """Its coefficients, the highest power first."""
        return tuple(
            high - low for high, low in zip((*self.rest, Fraction(0)), (Fraction(0), *self.rest), strict=True)
        )

    @property
    def poles(self) -> np.ndarray[Any, np.dtype[np.complex128]]:
        """The poles beside 1."""
        return np.roots(np.array(self.rest, dtype=float)).astype(np.complex128)

    def roots(self, sharpness: float) -> np.ndarray[Any, np.dtype[np.complex128]]:
        """Return the modes z on a quadratic, 1 + S·T(z) = 0."""
        below = np.array(self.denominator, dtype=float)
        above = np.zeros_like(below)
        above[below.size - len(self.numerator) :] = np.array(self.numerator, dtype=float)
        return np.roots(below + sharpness * above).astype(np.complex128)


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


def transfer_function(optimizer: Any, *, at_lr: bool = False) -> TransferFunction:
    """Return the transfer function of an optimizer, or of numerator and denominator.

    Parameters
    ----------
    optimizer
        A linear optimizer, which has a method `transfer_function`, or a pair of coefficients in z, the highest
        power first.
    at_lr
        Whether an optimizer's is multiplied by its lr, which must be a number then; else it is the one at lr 1.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If T has no simple pole at 1, or another one outside the unit circle, or reads the gradient of its own step.
    """
    factor = Fraction(1)
    if hasattr(optimizer, "transfer_function"):
        pair = optimizer.transfer_function()
        if at_lr:
            if not isinstance(optimizer.lr, Real):
                raise ValueError(
                    f"optimizer must have a number as lr for a threshold, got {type(optimizer.lr).__name__}: "
                    "take optimizer.max_stable_sharpness(step)"
                )
            factor = Fraction(float(optimizer.lr))
    else:
        pair = optimizer
    if not isinstance(pair, Sequence | np.ndarray) or isinstance(pair, str) or len(pair) != 2:
        raise TypeError(
            "optimizer must be a linear optimizer or a pair (numerator, denominator) of coefficients, got "
            f"{type(optimizer).__name__}"
        )
    numerator, denominator = (
        _polynomial(*named) for named in zip(("numerator", "denominator"), pair, strict=True)
    )
    if len(numerator) >= len(denominator):
        raise ValueError(
            f"numerator must be of lower degree than denominator, got {len(numerator) - 1} and {len(denominator) - 1}: "
            "a step cannot read the gradient where it ends"
        )
    lead = denominator[0]
    numerator = tuple(factor * c / lead for c in numerator)
    rest, excess = _deflated(tuple(c / lead for c in denominator))
    if abs(excess) > _ROUNDING * sum(abs(c / lead) for c in denominator):
        raise ValueError(f"denominator must be 0 at z = 1, got {float(excess)!r}: T needs a pole there")
    system = TransferFunction(numerator, rest)
    if not sum(rest) > 0 or (outside := [p for p in system.poles if abs(p) >= 1.0]):
        worst = "1 twice" if not sum(rest) > 0 else f"{complex(outside[0]):.6g}"
        raise ValueError(
            f"denominator must have its roots inside the unit circle, besides 1 once, got {worst}"
        )
    if not sum(numerator) > 0:
        raise ValueError(
            f"numerator must be above 0 at z = 1, got {float(sum(numerator))!r}: the loss would rise"
        )
    return system


def expansions(system: TransferFunction) -> Expansions:
    """Return the expansions about −1 and 1.

    Raises
    ------
    ValueError
        If the flip is not the first instability: then the swing is no x_t = (−1)^t A_t.
    """
    first, angle = first_instability(system)
    if angle != math.pi:
        raise ValueError(
            "optimizer must lose its stability by a flip, at z = −1, for the law of catapults; the first root to "
            f"leave the unit circle is e^(±{angle:.6g}i), at sharpness {first:.6g}"
        )
    swings = _quotient(_taylor(system.numerator, -1), _taylor(system.denominator, -1))
    drifts = _quotient(_taylor(system.numerator, 1)[:-1], _taylor(system.denominator, 1)[1:])
    of_swing = _quotient([Fraction(1)] + [Fraction(0)] * ORDER, [c / swings[0] for c in swings])
    of_sharpness = _quotient([Fraction(1)] + [Fraction(0)] * (ORDER - 1), [c / drifts[0] for c in drifts])
    sigma = of_swing[1]
    if (
        sigma <= 0
    ):  # the search on the circle has missed a crossing: the flip mode itself is unstable below S*
        raise ValueError(
            "optimizer must have roots that can be told apart: too many poles of its transfer function are close to 1"
        )
    return Expansions(
        threshold=float(-1 / swings[0]),
        gain=float(drifts[0]),
        sigma=float(sigma),
        swing=tuple(float(c / sigma) for c in of_swing[2:]),
        sharpness=tuple(float(c) for c in of_sharpness[1:]),
    )


def first_instability(system: TransferFunction) -> tuple[float, float]:
    """Return the sharpness at which the first root of 1 + S·T(z) = 0 leaves the unit circle, and its angle in (0, π].

    On the circle 1 + S·T = 0 needs Im(N·M̄) = 0, which is sin θ times a polynomial in cos θ.
    """
    above = np.array(system.numerator, dtype=float)
    below = np.array(system.denominator, dtype=float)
    size = below.size
    above = np.concatenate([np.zeros(size - above.size), above])
    # Im(N(e^{iθ})·M(e^{−iθ})) = Σ c_k sin kθ, with c_k the antisymmetric part of the correlation.
    correlation = np.correlate(above[::-1], below[::-1], "full")
    sines = correlation[size:] - correlation[: size - 1][::-1]
    candidates = [math.pi]
    if size > 2:
        # sin kθ = sin θ·U_{k−1}(cos θ)
        chebyshev = np.zeros(size - 1)
        for k in range(1, size):
            # U_{k−1} = 2(T_{k−1} + T_{k−3} + ...), T_0 once
            for j in range(k - 1, -1, -2):
                chebyshev[j] += (2.0 if j else 1.0) * sines[k - 1]
        if np.any(chebyshev):
            at = np.polynomial.chebyshev.chebroots(np.trim_zeros(chebyshev, "b"))
            real = at.real[(np.abs(at.imag) < 1e-9) & (np.abs(at.real) < 1.0)]
            candidates += np.arccos(real).tolist()
    crossings = []
    for angle in candidates:
        z = -1.0 if angle == math.pi else np.exp(1j * angle)
        value = np.polyval(above, z) / np.polyval(below, z)
        if value.real < 0.0:
            crossings.append((float(-1.0 / value.real), angle))
    crossings.sort()
    for k, (sharpness, angle) in enumerate(crossings):
        beyond = crossings[k + 1][0] if k + 1 < len(crossings) else 2.0 * sharpness
        if np.abs(system.roots(0.5 * (sharpness + beyond))).max() > 1.0:
            return sharpness, angle
    return math.inf, math.nan


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


def _deflated(polynomial: tuple[Fraction, ...]) -> tuple[tuple[Fraction, ...], Fraction]:
    """Return the quotient by z − 1, and the remainder."""
    sums, total = [], Fraction(0)
    for c in polynomial:
        total += c
        sums.append(total)
    return tuple(sums[:-1]), sums[-1]


def _taylor(polynomial: Sequence[Fraction], at: int) -> list[Fraction]:
    """Return the coefficients of D⁰, ..., D^{ORDER} of p(at·e^D)."""
    powers = range(len(polynomial) - 1, -1, -1)
    return [
        sum((c * at**n * Fraction(n) ** k for c, n in zip(polynomial, powers, strict=True)), Fraction(0))
        / math.factorial(k)
        for k in range(ORDER + 1)
    ]


def _quotient(one: Sequence[Fraction], other: Sequence[Fraction]) -> list[Fraction]:
    """Return the quotient of two power series."""
    out: list[Fraction] = []
    for k in range(len(one)):
        out.append((one[k] - sum((out[j] * other[k - j] for j in range(k)), Fraction(0))) / other[0])
    return out
