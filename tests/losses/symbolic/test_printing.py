"""SymPy to source text: what is printed, run by plain Python, has the value that mpmath gives the expression."""

import math

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from selfstab.formulas.kinks import directed
from selfstab.formulas.vocabulary import in_own_functions
from selfstab.kernels import elementary
from selfstab.kernels.arithmetic import FUNCTIONS, plain_namespace
from selfstab.losses.symbolic.printing import LONGEST_SUM, formula, lines_of
from selfstab.losses.symbolic.stable import stable

X, Y = sympy.symbols("x y", real=True)
AT = {"x": 0.73, "y": 1.31}

EXPRESSIONS = [
    X**3 / 3 - Y / 2,
    X / (Y * (X + 2)),
    (X + Y) ** 4 - 3 * X**2 * Y,
    1 / (X + Y) ** 3,
    sympy.sqrt(X + Y) / X,
    (X + 1) ** sympy.Rational(-5, 2),
    X**Y,
    2**X,
    X ** sympy.Rational(7, 5),
    -(X**2) * Y + sympy.pi * X - sympy.E,
    sympy.exp(-X * Y) * sympy.sin(X) + sympy.erf(Y) * sympy.log(X + 2),
    sympy.tanh(X) * sympy.atan(Y) + sympy.acosh(Y) + sympy.asin(X) / sympy.cosh(Y),
    sympy.Max(X, Y, 1) - sympy.Min(X, Y) + sympy.Abs(X - Y),
    sympy.sign(X - Y) + sympy.Heaviside(X) + sympy.Heaviside(X - 0.7),
    sympy.Add(*(sympy.Symbol("x", real=True) ** k / (k + 1) for k in range(1, 9))),
]


def run(expressions):
    """Return the values of printed expressions, run by CPython alone."""
    lines, results = lines_of(expressions, "t")
    namespace = plain_namespace() | {name: np.float64(value) for name, value in AT.items()}
    exec("\n".join([elementary.definitions("\n".join([*lines, *results])), *lines]), namespace)
    return [float(eval(result, namespace)) for result in results]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_the_text_has_the_value_of_the_expression(expression):
    """Protects every kernel: signs, brackets, divisions and powers, by 30 digits of the expression itself."""
    exact = sympy.N(
        expression.subs(
            {name: sympy.Rational(value) for name, value in AT.items()}
            | {symbol: sympy.Rational(AT[symbol.name]) for symbol in expression.free_symbols}
        ),
        30,
    )
    in_kernels = directed(stable(in_own_functions(expression)), [X, Y])
    assert run([in_kernels])[0] == pytest.approx(float(exact), rel=1e-14)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_polynomials_against_exact_rationals(terms):
    """Protects sums, which begin where no fma can: any polynomial, against fractions to their size."""
    expression = sympy.Add(*(c * X**i * Y**j for c, i, j in terms))
    x, y = (sympy.Rational(v) for v in AT.values())
    exact = float(expression.subs({X: x, Y: y}))
    size = sum(abs(c) * AT["x"] ** i * AT["y"] ** j for c, i, j in terms) + 1.0
    assert run([expression])[0] == pytest.approx(exact, abs=1e-14 * size)


def test_integer_powers_are_products():
    """Protects bits: a compiler's power is another function than CPython's."""
    assert formula(X**4) == "x * x * x * x"
    assert "**" not in " ".join(formula(e) for e in (X**5, 1 / X**3, X**2 / Y**2))


def test_what_appears_twice_is_computed_once():
    """Protects speed, and the equality of one formula in two places."""
    lines, results = lines_of([sympy.sin(X * Y) + 1, sympy.sin(X * Y) * X], "t")
    assert sum(line.count("sin") for line in lines) == 1
    assert not any("sin" in result for result in results)


def test_long_sums_are_cut():
    """Protects against Python's limit of nested brackets: a thousand terms compile, and add up."""
    expression = sympy.Add(*((k + 1) * X**2 * Y**k for k in range(3 * LONGEST_SUM)))
    exact = float(
        mpmath.fsum(
            (k + 1) * mpmath.mpf(AT["x"]) ** 2 * mpmath.mpf(AT["y"]) ** k for k in range(3 * LONGEST_SUM)
        )
    )
    assert run([expression])[0] == pytest.approx(exact, rel=1e-13)


def test_unknown_functions_are_refused_by_name():
    """Protects users: a function that no kernel has is named, with those that there are."""
    with pytest.raises(ValueError, match=r"must use the functions .*, got gamma"):
        formula(sympy.gamma(X))
    for what in (
        sympy.zoo,
        sympy.nan,
        sympy.oo * 1,
        sympy.I,
        sympy.Derivative(sympy.gamma(X), X),
        sympy.Eq(X, Y),
    ):
        with pytest.raises(ValueError, match="must be built of arithmetic and known functions, got"):
            formula(what)
    assert {"sqrt", "exp", "erf"} <= {*FUNCTIONS}
    assert math.isfinite(run([X])[0])
