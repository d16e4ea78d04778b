"""Evaluate a derivation's expression at 50 digits: what the closed forms are compared with."""

import mpmath
import pytest
import sympy as sp


@pytest.fixture
def at_50_digits():
    def evaluate(expression, **values):
        symbols = sorted(expression.free_symbols, key=str)
        with mpmath.workdps(50):
            exact = [mpmath.mpf(float(values[str(symbol)])) for symbol in symbols]
            return sp.lambdify(symbols, expression, "mpmath")(*exact)

    return evaluate
