"""Truncated Taylor series in several directions at once, and functions of them.

With units ε_1, ε_2, ... such that ε_i^(m_i + 1) = 0, a function of w + Σ ε_i d_i is a polynomial of Π(m_i + 1)
coefficients, f_α = ∂^α f/α! along the directions. Coefficients are kept in lexicographic order of α, so that α and
top − α stand mirrored: top = (m_1, m_2, ...) is the last one. A series is an array with the coefficients first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from selfstab.validation import Array


class Term(NamedTuple):
    """weight·Π z_β over the `factors` β, a part of the coefficient of z^k/k! where k is their number."""

    weight: float
    factors: tuple[int, ...]


class Truncation:
    """The algebra of series truncated at the given order in each direction.

    Parameters
    ----------
    orders
        m_1, m_2, ..., each >= 1.

    Examples
    --------
    >>> algebra = Truncation((2,))
    >>> series = np.array([[3.0], [1.0], [0.0]])  # 3 + ε
    >>> algebra.product(series, series).ravel()
    array([9., 6., 1.])
    >>> algebra.compose(algebra.powers(series), [np.exp([3.0])] * 3).ravel() / np.exp(3.0)
    array([1. , 1. , 0.5])
    """

    def __init__(self, orders: tuple[int, ...]) -> None:
        monomials = list(itertools.product(*(range(order + 1) for order in orders)))
        number = {alpha: k for k, alpha in enumerate(monomials)}
        self.size: Final = len(monomials)
        self.factorial: Final = math.prod(map(math.factorial, orders))
        """top!, by which the last coefficient is the derivative."""
        self.units: Final = [
            number[tuple(int(i == j) for j in range(len(orders)))] for i in range(len(orders))
        ]
        """The coefficient of each ε_i."""
        self.shifts: Final = [
            [(k, k - unit) for k, alpha in enumerate(monomials) if alpha[i]]
            for i, unit in enumerate(self.units)
        ]
        """Pairs (α, α − e_i) for each direction i."""
        degrees = [sum(alpha) for alpha in monomials]
        self._pairs = [
            [
                (k, number[rest])
                for k, beta in enumerate(monomials)
                if min(rest := tuple(a - b for a, b in zip(alpha, beta, strict=True))) >= 0
            ]
            for alpha in monomials
        ]
        self._terms = [_terms(alpha, monomials) for alpha in monomials]
        self._first = [
            [[t for t in ts if all(degrees[f] == 1 for f in t.factors)] for ts in a] for a in self._terms
        ]

    def powers(self, z: Array, *, linear: bool = False) -> list[list[Array | None]]:
        """Return, for each coefficient, those of (z − z_0)^k/k! for k = 1, 2, ...; None stands for zero.

        With `linear` all coefficients of z beyond the first powers of the units are taken to be zero.
        """
        return [
            [_evaluated(terms, z) for terms in by_power]
            for by_power in (self._first if linear else self._terms)
        ]

    def compose(
        self, powers: list[list[Array | None]], derivatives: Sequence[Array], out: Array | None = None
    ) -> Array:
        """Return the series of a function of z, given its derivatives at z_0, order 0 first."""
        series = np.empty((self.size, *derivatives[0].shape)) if out is None else out
        series[0] = derivatives[0]
        scratch = np.empty(derivatives[0].shape)
        for alpha in range(1, self.size):
            started = False
            for derivative, power in zip(derivatives[1:], powers[alpha], strict=False):
                if power is None:
                    continue
                if started:
                    series[alpha] += np.multiply(derivative, power, out=scratch)
                else:
                    np.multiply(derivative, power, out=series[alpha])
                started = True
            if not started:
                series[alpha] = 0.0
        return series

    def product(self, a: Array, b: Array, *, only_last: bool = False, out: Array | None = None) -> Array:
        """Return the product of two series, or a series of its last coefficient alone."""
        pairs = self._pairs[-1:] if only_last else self._pairs
        shape = np.broadcast_shapes(a.shape[1:], b.shape[1:])
        series = np.empty((len(pairs), *shape)) if out is None else out
        scratch = np.empty(shape)
        for coefficient, ((beta, gamma), *others) in zip(series, pairs, strict=True):
            np.multiply(a[beta], b[gamma], out=coefficient)
            for beta, gamma in others:
                coefficient += np.multiply(a[beta], b[gamma], out=scratch)
        return series


@lru_cache(maxsize=32)
def truncation(orders: tuple[int, ...]) -> Truncation:
    """Return the algebra of these orders."""
    return Truncation(orders)


def _terms(alpha: tuple[int, ...], monomials: list[tuple[int, ...]]) -> list[list[Term]]:
    """Return the terms of the coefficient α of z^k/k! for k = 1, ..., |α|: α as a sum of k coefficients."""
    by_power: list[list[Term]] = []
    for k in range(1, sum(alpha) + 1):
        terms = []
        for factors in itertools.combinations_with_replacement(range(1, len(monomials)), k):
            if tuple(map(sum, zip(*(monomials[f] for f in factors), strict=True))) == alpha:
                weight = 1.0 / math.prod(math.factorial(factors.count(f)) for f in set(factors))
                terms.append(Term(weight, factors))
        by_power.append(terms)
    return by_power


def _evaluated(terms: list[Term], z: Array) -> Array | None:
    total: Array | None = None
    for weight, (first, *others) in terms:
        value = z[first]
        for factor in others:
            value = value * z[factor]
        if weight != 1.0:
            value = weight * value
        total = value if total is None else total + value
    return total
