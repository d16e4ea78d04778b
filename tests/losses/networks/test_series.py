"""Truncated Taylor series in several directions: against SymPy's expansions."""

import itertools

import numpy as np
import pytest
import sympy

from selfstab.losses.networks.series import Truncation, truncation

ORDERS = [(3,), (1, 1), (2, 1), (1, 1, 1)]


def polynomial(series, orders, units):
    """Return a series as a SymPy polynomial in the units, coefficients in lexicographic order of exponents."""
    powers = itertools.product(*(range(order + 1) for order in orders))
    return sum(
        sympy.Rational(float(c)) * sympy.prod([e**k for e, k in zip(units, alpha, strict=True)])
        for c, alpha in zip(series, powers, strict=True)
    )


def coefficients(expression, orders, units):
    """Return the coefficients of a SymPy expression in the units, beyond the orders left out."""
    for unit, order in zip(units, orders, strict=True):
        expression = sympy.series(expression, unit, 0, order + 1).removeO()
    expanded = sympy.Poly(sympy.expand(expression), *units)
    return [
        float(expanded.coeff_monomial(sympy.prod([e**k for e, k in zip(units, alpha, strict=True)])))
        for alpha in itertools.product(*(range(order + 1) for order in orders))
    ]


@pytest.mark.parametrize("orders", ORDERS)
def test_products_and_functions_against_sympy(orders):
    """Protects every derivative beyond the second: a·b and e^a have the coefficients that SymPy expands."""
    units = sympy.symbols(f"e:{len(orders)}")
    algebra = Truncation(orders)
    generator = np.random.default_rng(0)
    a, b = np.round(generator.standard_normal((2, algebra.size)), 3)
    left, right = (polynomial(series, orders, units) for series in (a, b))
    found = algebra.product(a[:, None], b[:, None]).ravel()
    assert found == pytest.approx(coefficients(left * right, orders, units), rel=1e-12, abs=1e-14)
    derivatives = [np.exp(a[:1])] * (1 + sum(orders))
    found = algebra.compose(algebra.powers(a[:, None]), derivatives).ravel()
    assert found == pytest.approx(coefficients(sympy.exp(left), orders, units), rel=1e-12, abs=1e-14)


def test_the_last_coefficient_alone_and_linear_series():
    """Protects two shortcuts: they leave out what they may, and nothing else."""
    algebra = truncation((2, 1))
    generator = np.random.default_rng(1)
    a, b = generator.standard_normal((2, algebra.size, 4))
    assert np.array_equal(algebra.product(a, b, only_last=True)[0], algebra.product(a, b)[-1])
    linear = np.zeros((algebra.size, 4))
    linear[0] = a[0]
    for unit in algebra.units:
        linear[unit] = a[unit]
    derivatives = [np.sin(a[0]), np.cos(a[0]), -np.sin(a[0]), -np.cos(a[0])]
    short, full = (
        algebra.compose(algebra.powers(linear, linear=flag), derivatives) for flag in (True, False)
    )
    assert np.array_equal(short, full)


def test_the_numbers_of_an_algebra():
    """Protects the reading of a derivative off a series: 2!·1! times the last of six coefficients."""
    algebra = Truncation((2, 1))
    assert (algebra.size, algebra.factorial, algebra.units) == (6, 2, [2, 1])
    assert truncation((2, 1)) is truncation((2, 1))
