"""Transfer functions: exact ratios of polynomials, and what follows from one for thresholds and catapults.

A linear optimizer acts as w = −η T(q)∇L, with q the forward shift and T a ratio of polynomials. All arithmetic is of
fractions: floats are fractions, common factors cancel exactly, and so does what cancels near an unstable momentum.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, zip_longest
from typing import Any, Final, NamedTuple

import numpy as np

Polynomial = tuple[Fraction, ...]
"""Coefficients, the highest power first; () is 0."""


@dataclass(frozen=True)
class Transfer:
    """A ratio of polynomials without a common factor, and the modes that it does not show.

    Parameters
    ----------
    numerator, denominator
        Coefficients, the highest power first; the denominator begins with 1.
    hidden
        The factor that numerator and denominator of the rule had in common.
    """

    numerator: Polynomial
    denominator: Polynomial
    hidden: Polynomial = (Fraction(1),)

    @classmethod
    def reduced(cls, numerator: Sequence[Fraction], denominator: Sequence[Fraction]) -> Transfer:
        """Return the ratio in lowest terms."""
        above, below = trimmed(numerator), trimmed(denominator)
        common = _common_divisor(above, below)
        lead = _divided(below, common)[0][0]
        return cls(
            tuple(c / lead for c in _divided(above, common)[0]),
            tuple(c / lead for c in _divided(below, common)[0]),
            common,
        )

    def __call__(self, z: Fraction) -> Fraction:
        """Return the value at a number that is no pole."""
        value: Fraction = value_at(self.numerator, z) / value_at(self.denominator, z)
        return value


def of_matrices(
    matrix: Sequence[Sequence[Fraction]], inputs: Sequence[Fraction], outputs: Sequence[Fraction]
) -> Transfer:
    """Return −C(z − A)⁻¹B in lowest terms, by the algorithm of Faddeev and LeVerrier."""
    size = len(matrix)
    adjugate = [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]
    numerator, denominator = [], [Fraction(1)]
    for k in range(1, size + 1):
        numerator.append(
            -sum((o * _dot(row, inputs) for o, row in zip(outputs, adjugate, strict=True)), Fraction(0))
        )
        columns = list(zip(*adjugate, strict=True))
        product = [[_dot(row, column) for column in columns] for row in matrix]
        coefficient = -sum((product[i][i] for i in range(size)), Fraction(0)) / k
        denominator.append(coefficient)
        for i in range(size):
            product[i][i] += coefficient
        adjugate = product
    return Transfer.reduced(numerator, denominator)


def _dot(one: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(one, other, strict=True) if a and b), Fraction(0))


# -- polynomials -------------------------------------------------------------------------------------------------------


def exact(coefficients: Sequence[float]) -> Polynomial:
    """Return a polynomial of float64 coefficients, which are fractions."""
    return trimmed([Fraction(float(c)) for c in coefficients])


def trimmed(polynomial: Sequence[Fraction]) -> Polynomial:
    """Return a polynomial without zeros in front."""
    first = next((k for k, c in enumerate(polynomial) if c), len(polynomial))
    return tuple(polynomial[first:])


def value_at(polynomial: Sequence[Fraction], z: Any) -> Any:
    """Return a polynomial's value, by Horner's rule."""
    value: Any = Fraction(0)
    for coefficient in polynomial:
        value = value * z + coefficient
    return value


def product(one: Sequence[Fraction], other: Sequence[Fraction]) -> Polynomial:
    """Return the product of two polynomials."""
    out = [Fraction(0)] * max(len(one) + len(other) - 1, 0)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            out[i + j] += a * b
    return tuple(out)


def _divided(one: Polynomial, other: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Return quotient and remainder."""
    rest, quotient = list(one), []
    for k in range(len(one) - len(other) + 1):
        factor = rest[k] / other[0]
        quotient.append(factor)
        for j, c in enumerate(other):
            rest[k + j] -= factor * c
    return tuple(quotient), trimmed(rest)


def _common_divisor(one: Polynomial, other: Polynomial) -> Polynomial:
    """Return the greatest common divisor, which begins with 1, by Euclid's algorithm."""
    while other:
        one, other = other, _divided(one, other)[1]
        if other:
            other = tuple(c / other[0] for c in other)
    return tuple(c / one[0] for c in one)


def floats(polynomial: Sequence[Fraction]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return coefficients as float64.

    Raises
    ------
    ValueError
        If one is beyond 1.8e308.
    """
    try:
        return np.array([float(c) for c in polynomial], dtype=np.float64)
    except OverflowError:
        raise ValueError(
            "a transfer function must have coefficients that float64 holds, got one beyond 1.8e308"
        ) from None


# -- what follows from T -----------------------------------------------------------------------------------------------

_UNIT: Final = (Fraction(1), Fraction(-1))
"""z − 1."""

_ROUNDING: Final = Fraction(1, 10**12)
"""A pole so close to 1, by the size of the coefficients, is at 1: float64 rounded them."""


class Inertia(NamedTuple):
    """Inertia numbers of a catapult: how far swing and sharpness lag behind what drives them."""

    swing: Any
    """κ_x."""
    sharpness: Any
    """κ_y."""
    effective: Any
    """κ_e = (κ_x + 2κ_y)/3, which decides the overshoot."""


class TransferCoefficients(NamedTuple):
    """Taylor coefficients of T at z = −1, the swing, and at z = 1, the sharpness.

    With z = e^D and η = 1: −S*·T(−e^D) = 1 − σD + a₂D² + ..., D·T(e^D) = c₀(1 − τD + ...).
    """

    threshold: float
    """S* = −1/T(−1)."""
    sigma: float
    """σ: the swing grows by ln|λ| = ε/σ a step at a small relative excess ε."""
    a2: float
    """a₂."""
    c0: float
    """c₀: a constant gradient moves the weights by ηc₀ a step."""
    tau: float
    """τ, in steps."""


def integrated(denominator: Polynomial, rounding: Fraction = _ROUNDING) -> Polynomial | None:
    """Return the denominator without its root at 1, or None if it has none.

    A root is at 1 if the denominator's value there is below `rounding` of the sum of its sizes.
    """
    rest, remainder = _divided(denominator, _UNIT)
    return None if abs(sum(remainder, Fraction(0))) > rounding * sum(map(abs, denominator)) else rest


def coefficients_of(transfer: Transfer) -> TransferCoefficients:
    """Return the Taylor coefficients of T at −1 and 1.

    Raises
    ------
    ValueError
        If T has no pole at 1 or is 0 or infinite at −1.
    """
    flip, drift = series_at_flip(transfer, 2), series_at_one(transfer, 1)
    return TransferCoefficients(
        float(-1 / flip[0]),
        float(-flip[1] / flip[0]),
        float(flip[2] / flip[0]),
        float(drift[0]),
        float(-drift[1] / drift[0]),
    )


def amplification_of(transfer: Transfer) -> float:
    """Return c₀S*/2, rounded once; errors as of :func:`coefficients_of`."""
    return float(-series_at_one(transfer, 0)[0] / (2 * series_at_flip(transfer, 0)[0]))


def inertia_of(transfer: Transfer, excess: np.ndarray[Any, np.dtype[np.float64]]) -> Inertia:
    """Return κ_x = ε(1 − a₂/σ²), κ_y = ετ/σ and κ_e = (κ_x + 2κ_y)/3 at relative excesses ε.

    Their factors are rounded once: near an unstable momentum, 1 and a₂/σ² cancel. Errors as of :func:`coefficients_of`.
    """
    flip, drift = series_at_flip(transfer, 2), series_at_one(transfer, 1)
    sigma = -flip[1] / flip[0]
    with np.errstate(over="ignore", invalid="ignore"):
        swing = float(1 - flip[2] / flip[0] / sigma**2) * excess
        sharpness = float(-drift[1] / drift[0] / sigma) * excess
        values = swing, sharpness, (swing + 2.0 * sharpness) / 3.0
    return Inertia(*(float(value) if np.ndim(value) == 0 else value for value in values))


def series_at_flip(transfer: Transfer, order: int) -> list[Fraction]:
    """Return the coefficients of D⁰, ..., D^order of T(−e^D).

    Raises
    ------
    ValueError
        If T is 0 or infinite at −1.
    """
    above, below = (_taylor(p, -1, order) for p in (transfer.numerator, transfer.denominator))
    if not above[0] or not below[0]:
        raise ValueError("T must have a pole at z = 1 and be finite and not 0 at z = −1, and is not")
    return quotient(above, below)


def series_at_one(transfer: Transfer, order: int) -> list[Fraction]:
    """Return the coefficients of D⁰, ..., D^order of D·T(e^D).

    Raises
    ------
    ValueError
        If T has no simple pole at 1.
    """
    rest = integrated(transfer.denominator)
    if rest is None:
        raise ValueError("T must have a pole at z = 1 and be finite and not 0 at z = −1, and is not")
    below = _taylor(rest, 1, order)
    # (e^D − 1)/D = 1 + D/2 + D²/6 + ...
    below = [
        sum((below[k - j] / math.factorial(j + 1) for j in range(k + 1)), Fraction(0))
        for k in range(order + 1)
    ]
    above = _taylor(transfer.numerator, 1, order)
    if not above[0] or not below[0]:
        raise ValueError("T must have a pole at z = 1 that is not cancelled, and has none")
    return quotient(above, below)


def quotient(one: Sequence[Fraction], other: Sequence[Fraction]) -> list[Fraction]:
    """Return the quotient of two power series, the lowest power first."""
    out: list[Fraction] = []
    for k, value in enumerate(one):
        out.append((value - sum((out[j] * other[k - j] for j in range(k)), Fraction(0))) / other[0])
    return out


def _taylor(polynomial: Polynomial, sign: int, order: int) -> list[Fraction]:
    """Return the coefficients of D⁰, ..., D^order of p(±e^D)."""
    highest = len(polynomial) - 1
    parts = [(c * sign ** (highest - k), highest - k) for k, c in enumerate(polynomial)]
    return [sum((c * j**n for c, j in parts), Fraction(0)) / math.factorial(n) for n in range(order + 1)]


def is_stable(polynomial: Polynomial) -> bool:
    """Whether all roots are within the unit circle, by the recursion of Schur and Cohn.

    Examples
    --------
    >>> is_stable(exact([1.0, -0.99])), is_stable(exact([1.0, -2.0, 1.0]))
    (True, False)
    """
    rest = list(polynomial)
    while len(rest) > 1:
        last = rest[-1] / rest[0]
        if abs(last) >= 1:
            return False
        rest = [a - last * b for a, b in zip(rest, reversed(rest), strict=True)][:-1]
    return True


def impulse_energy(numerator: Polynomial, denominator: Polynomial) -> Fraction:
    """Return the sum of the squared response of N/D to one impulse, all roots of D being within the unit circle.

    By the recursion of Åström, which is exact.

    Parameters
    ----------
    numerator, denominator
        N and D, the highest power first; N of no higher degree.

    Examples
    --------
    Of 1/(z − 1/2) it is 1 + 1/4 + 1/16 + ...

    >>> impulse_energy(exact([1.0]), exact([1.0, -0.5]))
    Fraction(4, 3)
    """
    below = list(denominator)
    above = [Fraction(0)] * (len(below) - len(numerator)) + list(numerator)
    lead, energy = below[0], Fraction(0)
    while below:
        share, last = above[-1] / below[0], below[-1] / below[0]
        energy += above[-1] * share
        above = [a - share * b for a, b in zip(above, reversed(below), strict=True)][:-1]
        below = [a - last * b for a, b in zip(below, reversed(below), strict=True)][:-1]
    return energy / lead


def first_to_leave(transfer: Transfer) -> tuple[float, float]:
    """Return S* and the angle in [0, π] at which the first root of 1 + S·T(z) = 0 leaves the unit circle.

    T is to be stable but for its pole at 1. A root on the circle at z = e^{iθ} has T real and negative there. These
    angles are roots of a polynomial in cos θ, so that nothing is searched.

    Returns
    -------
    sharpness, angle
        S* at lr 1, and π for a flip. Infinity and nan where no root ever leaves, 0 and 0 where one is outside at once.
    """
    above, below = transfer.numerator, transfer.denominator
    rest = integrated(below)
    if not above or rest is None:
        return math.inf, math.nan
    if value_at(above, 1) / value_at(rest, 1) <= 0:
        return 0.0, 0.0
    crossings = [(math.pi, -value_at(below, -1) / value_at(above, -1))] if value_at(above, -1) else []
    for angle in _real_angles(above, below):
        z = complex(math.cos(angle), math.sin(angle))
        value = np.polyval(floats(above), z)
        if value != 0.0:
            crossings.append((angle, -(np.polyval(floats(below), z) / value).real))
    largest = sys.float_info.max  # a crossing beyond it is one that no sharpness reaches
    positive = sorted(
        (float(min(sharpness, largest)), angle) for angle, sharpness in crossings if sharpness > 0
    )
    for (sharpness, angle), (beyond, _) in pairwise(positive):
        # A root may touch the circle and turn back, or rounding may take a complex angle for a real one. Exactly, since
        # roots of float64 coefficients are wrong where many poles are close together.
        if not is_stable(characteristic(transfer, 0.5 * sharpness + 0.5 * beyond)):
            return sharpness, angle
    # Some root leaves, as T is strictly proper: at the last crossing, if at none before it.
    return positive[-1] if positive and positive[-1][0] < largest else (math.inf, math.nan)


def characteristic(transfer: Transfer, sharpness: float | Fraction) -> Polynomial:
    """Return the polynomial whose roots are the modes on a quadratic, D + S·N with T = N/D."""
    above, below = transfer.numerator, transfer.denominator
    padded = (Fraction(0),) * (len(below) - len(above)) + above
    return tuple(d + Fraction(sharpness) * n for d, n in zip(below, padded, strict=True))


def roots(transfer: Transfer, sharpness: float) -> np.ndarray[Any, np.dtype[np.complex128]]:
    """Return the modes z on a quadratic, 1 + S·T(z) = 0."""
    return np.roots(np.polyadd(floats(transfer.denominator), sharpness * floats(transfer.numerator))).astype(
        np.complex128
    )


def _real_angles(above: Polynomial, below: Polynomial) -> list[float]:
    """Return the angles in (0, π) at which the ratio of two polynomials is real."""
    # N(z)D(1/z) − N(1/z)D(z) = Σ s_k (z^k − z^−k), and sin kθ/sin θ is the Chebyshev polynomial U_{k−1}(cos θ).
    highest = max(len(above), len(below)) - 1
    n, d = (dict(enumerate(reversed(p))) for p in (above, below))
    sines = [Fraction(0)] * (highest + 1)
    for i, a in n.items():
        for j, b in d.items():
            if i != j:
                sines[abs(i - j)] += a * b if i > j else -a * b
    series = [Fraction(0)]
    before, now = [Fraction(0)], [Fraction(1)]  # U_{−1}, U_0, the lowest power first
    for s in sines[1:]:
        series = [a + s * b for a, b in zip_longest(series, now, fillvalue=Fraction(0))]
        doubled = [Fraction(0), *(2 * c for c in now)]
        before, now = now, [a - b for a, b in zip_longest(doubled, before, fillvalue=Fraction(0))]
    coefficients = floats(series[::-1])
    # Leading ones below rounding have their roots far beyond 1, and would spoil the others.
    large = np.abs(coefficients) > np.finfo(float).eps * np.abs(coefficients).sum()
    roots = np.roots(coefficients[np.argmax(large) :]) if large.any() else np.array([])
    return [math.acos(x.real) for x in roots if abs(x.imag) < 1e-9 and abs(x.real) < 1.0]
