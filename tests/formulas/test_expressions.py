"""Text to SymPy: what is a formula, and what is not."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from selfstab.formulas.expressions import DEEPEST, checked, parse
from selfstab.formulas.vocabulary import FUNCTIONS

SYMBOLS = {name: sympy.Symbol(name, real=True) for name in ("u", "v", "lambda_")}


def value(text, **at):
    return float(parse(text, SYMBOLS).subs({SYMBOLS[name]: number for name, number in at.items()}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2*3", 7), ("(1 + 2)*3", 9), ("2 - 3 - 4", -5), ("2/4/2", 0.25), ("-2**2", -4), ("2**-1", 0.5),
        ("2**3**2", 512), ("+u", 3), ("--u", 3), ("u*v/2", 6), ("1e-3*u", 0.003), ("pi + E", math.pi + math.e),
        ("sqrt(u + 1)", 2), ("exp(0)*Abs(-u) + abs(-v)", 7), ("  u\t+ v ", 7), ("u**0.5", math.sqrt(3)),
        ("007*0+1", None),
        ("lambda_*0 + log(E)", 1), ("tanh(u)", math.tanh(3)), ("erf(0.5)", math.erf(0.5)), ("0x10 + 1_000", 1016),
    ],
)  # fmt: skip
def test_the_value_is_pythons(text, expected):
    """Protects precedence, associativity, constants and functions."""
    if expected is None:
        with pytest.raises(ValueError, match="expression must be a formula"):
            parse(text, SYMBOLS)
    else:
        assert value(text, u=3, v=4, lambda_=5) == pytest.approx(expected, rel=1e-15)


numbers = st.integers(0, 30).map(str) | st.floats(0.01, 30).map(repr) | st.sampled_from(["u", "v"])
formulas = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"-{t}"),
        inner.map(lambda t: f"({t})**2"),
        inner.map(lambda t: f"tanh({t})"),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(formulas)
def test_random_formulas_have_pythons_value(text):
    """Protects the reading of any nesting against Python's own."""
    at = {"u": 0.7, "v": -1.3}
    assert value(text, **at) == pytest.approx(eval(text, {"tanh": math.tanh}, at), rel=1e-9, abs=1e-9)


def test_what_sympy_prints_is_read_back():
    """Protects stored descriptions: text from an expression gives that expression."""
    u, v = SYMBOLS["u"], SYMBOLS["v"]
    for expression in (
        (u * v - 1) ** 2 / 2,
        sympy.exp(-u) * sympy.log(1 + v**2) / sympy.sqrt(1 + u**2),
        sum(sympy.sin(k * u) for k in range(1, 81)),
        sympy.Rational(1, 3) * u ** sympy.Rational(5, 2) - sympy.pi,
    ):
        assert parse(str(expression), SYMBOLS) == expression


STRUCTURE = """
u + | u = 1 | u == v | u < v | u if v else 1 | u and v | not u | lambda u: u | [u] | (u, v) | {u}
u.real | u[0] | u() | u(v) | exp | exp() | exp(u, v) | exp(u=1) | exp(*u) | f(u) | w | __import__('os')
().__class__ | exp.__class__(u) | 'u' | b'u' | f'{u}' | True | None | ... | 1j | u @ v | u // v | u % 2
u << 1 | u & v | ~u | u := 1 | await u | yield | import os | u; v | u**65 | u**-65 | where(u, 1, 2) | where(u > 0, u)
where(u == 0, 1, 2) | Piecewise((u, u > 0)) | Piecewise(u, v) | max() | relu(u, v) | pow(u) | where(u < (v, 1), u, v)
1e301*u | 1e999*u | u/0 | u/(1 - 1) | 0**-1*u | log(0)*u | sqrt(-1)*u | (-1)**0.5*u | asin(2)*u
(u**64)**64 | ((u**64)**64)**64 | (((64**64)**64)**64)**64 | u*10**60*10**60*10**60*10**60*10**60*10**60
2and u | '\\d' | \\d
"""
REFUSED = [
    *(text for line in STRUCTURE.strip().splitlines() for text in line.split(" | ")),
    "", " ", "u\nv", "u\x00", "9" * 400, "-" * 200 + "u", "exp(" * 100 + "u" + ")" * 100, "u" + "+u" * 2000,
    "(1 + " * 100 + "u" + ")" * 100, "(" * 300 + "u" + ")" * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_formula_is_refused(text):
    """Protects against code, other constructs, unbounded numbers, and what is not real; nothing is evaluated."""
    with pytest.raises(ValueError, match=r"expression") as caught:
        checked(parse(text, SYMBOLS))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 3000


def test_long_sums_are_no_deep_nesting():
    """Protects losses of many terms: only brackets, functions and right-hand sides count as levels."""
    assert value("+".join(["u"] * 500), u=1) == 500
    inside = "(1 + " * (DEEPEST // 2 - 1) + "u" + ")" * (DEEPEST // 2 - 1)
    assert value(inside, u=1) == DEEPEST // 2


def test_messages_point_at_the_place_and_list_what_is_known():
    """Protects the way out of an error."""
    with pytest.raises(ValueError, match="column 5: unknown name 'w'; known are u, v, lambda_, pi, E"):
        parse("u + w", SYMBOLS)
    first = ", ".join(list(FUNCTIONS)[:12])
    with pytest.raises(
        ValueError,
        match=rf"column 1: unknown function 'tahn'; did you mean tanh\? Known: {first}, \.\.\.; .* lists all$",
    ):
        parse("tahn(u)", SYMBOLS)
    with pytest.raises(ValueError, match=f"unknown function 'spam'; known: {first}, "):
        parse("spam(u)", SYMBOLS)
    with pytest.raises(ValueError, match=r"got 'u \+ v\^2': column 6: use \*\* for powers"):
        parse("u + v^2", SYMBOLS)


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="uvw0123456789.+-*/() eE_,tanhlogsqrt'[]{}:=\\\n", max_size=40))
def test_any_text_is_a_formula_or_a_value_error(text):
    """Protects the command line: no text does anything else."""
    with contextlib.suppress(ValueError):
        checked(parse(text, SYMBOLS))


EXPENSIVE = """
u+sin(exp(exp(30))) | u**exp(exp(exp(100))) | u**(sin(exp(exp(50)))) | u*exp(exp(exp(exp(9)))) | u/exp(-exp(exp(9)))
u*exp(600)*exp(600) | sin((u-u+exp(600))*exp(600))*u | u+atanh(1) | u+tan(pi/2) | u+sqrt(-1) | u+log(0)
"""


@pytest.mark.parametrize("text", " | ".join(EXPENSIVE.strip().splitlines()).split(" | "))
def test_constants_beyond_float64_are_refused_before_sympy_evaluates_them(text):
    """Protects against minutes of exact arithmetic over a few characters, and against its OverflowError."""
    with pytest.raises(
        ValueError, match=r"column \d+: constants must have a real value of magnitude at most 1e300"
    ):
        parse(text, SYMBOLS)


def test_large_constants_within_float64_are_kept():
    """Protects what is refused for its size from being more than that."""
    assert value("u + exp(690)/exp(689)", u=0) == pytest.approx(math.e, rel=1e-15)
    assert value("u*1e299 + sin(1e22)", u=0) == pytest.approx(-0.8522008497671888, rel=1e-15)
    assert value("u**sin(exp(2))", u=2) == pytest.approx(2 ** math.sin(math.exp(2)), rel=1e-15)


def test_columns_count_from_the_first_character():
    """Protects messages about a text that begins with blanks."""
    with pytest.raises(ValueError, match="column 5: unknown name 'foo'"):
        parse("  u*foo", SYMBOLS)
    with pytest.raises(ValueError, match="column 7: invalid syntax"):
        parse("  u + * v", SYMBOLS)


def test_no_warning_leaks():
    """Protects users from Python's own remarks about the text it reads."""
    code = """if True:
        import warnings
        from selfstab.formulas.expressions import parse
        for text in ("2and u", r"'\\d'", "1if u else 2", "u is 1", "0x1for x in y"):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                try:
                    parse(text, {})
                except ValueError:
                    pass
            assert not seen, (text, seen)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


UNDERFLOWS = """
cosh(exp(-10**9)*sqrt(u)) | 1e-300*1e-300*u | u*exp(-800)
u+exp(-exp(9)) | u*1e-309 | u*(1e-200/1e200) | u**2/exp(-10**9)
"""


@pytest.mark.parametrize("text", " | ".join(UNDERFLOWS.strip().splitlines()).split(" | "))
def test_constants_that_underflow_are_refused_and_named(text):
    """Protects from minutes over a constant that is not 0 and that float64 cannot tell from it."""
    with pytest.raises(
        ValueError, match=r"column \d+: constants must .* at least 2\.3e-308, .* got .* in float64"
    ):
        parse(text, SYMBOLS)


def test_a_zero_that_is_one_is_kept():
    """Protects differences and functions of 0, which do not underflow."""
    assert value("u + (sin(1)**2 + cos(1)**2 - 1)", u=1.0) == pytest.approx(1.0, abs=1e-15)
    assert value("u + 0*exp(2) + 1e-307", u=0.0) == 1e-307


def test_what_overflows_is_named():
    """Protects users of long formulas: the message says which part it is."""
    with pytest.raises(ValueError, match=r"column 11: constants must .*, got exp\(exp\(30\)\)"):
        parse("u + sin(u*exp(exp(30)))", SYMBOLS)
    u = SYMBOLS["u"]
    with pytest.raises(
        ValueError, match=r"its constants must .*, got exp\(-10000\), which is 0\.0 in float64"
    ):
        checked(u**2 + sympy.exp(-10000) * u)
