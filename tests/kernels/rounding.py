"""Arithmetic with proved bounds: source text run on it says how far rounding can take its result."""

from __future__ import annotations

import math
from dataclasses import dataclass


def up(x: float) -> float:
    return math.nextafter(x, math.inf)


def down(x: float) -> float:
    return math.nextafter(x, -math.inf)


def above(*terms: float) -> float:
    """Return a bound from above of a sum of numbers >= 0."""
    return up(math.fsum(terms))


def times(a: float, b: float) -> float:
    """Return a bound from above of a product of numbers >= 0."""
    return up(a * b)


@dataclass(frozen=True)
class Bound:
    """A computed number in [low, high], at most `error` away from the number meant.

    `before` is that distance without the last rounding. All are bounds: they are rounded outwards.
    """

    low: float
    high: float
    error: float = 0.0
    before: float = 0.0

    @property
    def size(self) -> float:
        return max(abs(self.low), abs(self.high))

    @property
    def least(self) -> float:
        return 0.0 if self.low <= 0.0 <= self.high else min(abs(self.low), abs(self.high))

    def off_by(self, error: float) -> Bound:
        """Return the number, meant for another that is up to `error` further off."""
        return Bound(self.low, self.high, above(self.error, error), above(self.before, error))

    def __neg__(self) -> Bound:
        return Bound(-self.high, -self.low, self.error, self.before)

    def __add__(self, other: Bound | float) -> Bound:
        b = bound(other)
        return rounded(down(self.low + b.low), up(self.high + b.high), above(self.error, b.error))

    def __sub__(self, other: Bound | float) -> Bound:
        return self + -bound(other)

    def __mul__(self, other: Bound | float) -> Bound:
        if not isinstance(other, Bound) and abs(math.frexp(other)[0]) == 0.5:
            ends = sorted([self.low * other, self.high * other])
            return Bound(*ends, self.error * abs(other), self.before * abs(other))
        return rounded(*product(self, bound(other)))

    def __rsub__(self, other: float) -> Bound:
        return bound(other) - self

    def __truediv__(self, other: Bound) -> Bound:
        quotients = [a / b for a in (self.low, self.high) for b in (other.low, other.high)]
        assert other.least > other.error
        size = max(abs(q) for q in quotients)
        error = above(self.error, times(up(size), other.error)) / down(other.least - other.error)
        return rounded(down(min(quotients)), up(max(quotients)), up(error))

    __radd__, __rmul__ = __add__, __mul__


def bound(x: Bound | float) -> Bound:
    return x if isinstance(x, Bound) else Bound(float(x), float(x))


def rounded(low: float, high: float, error: float) -> Bound:
    """Return a result in [low, high] rounded to nearest, which moves it by at most half a unit in the last place."""
    half = math.ulp(max(abs(low), abs(high))) / 2
    return Bound(low, high, above(error, half), error)


def product(a: Bound, b: Bound) -> tuple[float, float, float]:
    products = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    error = above(times(a.size, b.error), times(b.size, a.error), times(a.error, b.error))
    return down(min(products)), up(max(products)), error


def fma(a: Bound | float, b: Bound | float, c: Bound | float) -> Bound:
    c = bound(c)
    low, high, error = product(bound(a), bound(b))
    return rounded(down(low + c.low), up(high + c.high), above(error, c.error))


def fast_sum(a: Bound | float, b: Bound | float) -> tuple[Bound, Bound]:
    """Dekker's sum loses nothing: what is meant by the total is what is computed, the rest carries the errors."""
    a, b = bound(a), bound(b)
    assert a.least >= b.size or a.size == 0.0, (a, b)
    low, high = down(a.low + b.low), up(a.high + b.high)
    half = math.ulp(max(abs(low), abs(high))) / 2 if a.size else 0.0
    return Bound(low, high), Bound(-half, half, above(a.error, b.error), above(a.error, b.error))


def exact_product(a: Bound | float, b: Bound | float) -> tuple[Bound, Bound]:
    """Return a product and, exactly, what its rounding loses; both errors count once."""
    low, high, error = product(bound(a), bound(b))
    half = math.ulp(max(abs(low), abs(high))) / 2
    return Bound(low, high), Bound(-half, half, error, error)


def divided(top: Bound, top_tail: Bound, bottom: Bound, bottom_tail: Bound) -> Bound:
    """Bound the kernels' quotient: `first` is within 2.01 u of top/bottom, u = 2**-53, and fma's rest exact to u."""
    u = 2.0**-53
    numerator = Bound(down(top.low + top_tail.low), up(top.high + top_tail.high))
    denominator = Bound(down(bottom.low + bottom_tail.low), up(bottom.high + bottom_tail.high))
    quotients = [a / b for a in (numerator.low, numerator.high) for b in (denominator.low, denominator.high)]
    low, high = down(min(quotients)), up(max(quotients))
    first = up(1.0001 * up(top.size / bottom.least))
    left = above(times(2.01 * u, top.size), top_tail.size, times(first, bottom_tail.size))
    # Three roundings of what is left, the inverse's own, and the tails' share of the denominator, left out.
    share = up(bottom_tail.size / bottom.least)
    correction = times(times(left, up(1.001 / bottom.least)), above(5 * u, up(1.001 * share)))
    given = above(top.error, top_tail.error, times(first, above(bottom.error, bottom_tail.error)))
    return rounded(low, high, above(correction, times(given, up(1.001 / bottom.least))))
