"""Recorded formulas: their text computes what the formula computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from selfstab.kernels.arithmetic import plain_namespace
from selfstab.kernels.terms import assigned, exp, log, named, sqrt, sum_of, term, where, written

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (lambda a, b, c, d: a * b - c * d, "fma(-c, d, a * b)"),
        (lambda a, b, c, d: a + b * c, "fma(b, c, a)"),
        (lambda a, b, c, d: a * b + c, "fma(a, b, c)"),
        (lambda a, b, c, d: a * b - c, "fma(a, b, -c)"),
        (lambda a, b, c, d: a - b * c * d, "fma(-b * c, d, a)"),
        (lambda a, b, c, d: a + b * (c + d), "fma(b, c + d, a)"),
        (lambda a, b, c, d: a - (b - c), "a - (b - c)"),
        (lambda a, b, c, d: 1.0 + 2.0 * a, "1.0 + 2.0 * a"),
        (lambda a, b, c, d: 1.0 * a + b * 1.0, "a + b"),
        (lambda a, b, c, d: a / b / c, "a / (b) / (c)"),
        (lambda a, b, c, d: a * (b * c), "a * (b * c)"),
        (lambda a, b, c, d: -(a + b) * c, "-(a + b) * c"),
        (lambda a, b, c, d: a**3, "a * a * a"),
        (lambda a, b, c, d: 0.5**a, "pow(0.5, a)"),
        (lambda a, b, c, d: a * -2.0, "a * -2.0"),
        (lambda a, b, c, d: sqrt(a) / (sqrt(b) + 1e-8), "sqrt(a) / (sqrt(b) + 1e-08)"),
        (lambda a, b, c, d: where(a > b, c, 0.0), "choose(a > b, c, 0.0)"),
        (lambda a, b, c, d: abs(a - b), "abs(a - b)"),
    ],
)
def test_text_of_a_formula(formula, text):
    """Protects the rule by which the heavy ball's text follows from its formula, and parentheses."""
    assert written(term(formula(*map(named, NAMES))), fused=True) == text


def formulas(leaves):
    return st.one_of(
        st.tuples(st.sampled_from("+-*/"), leaves, leaves),
        st.tuples(st.sampled_from(["neg", "abs", "sqrt2", "where"]), leaves),
    )


TREES = st.recursive(
    st.one_of(st.sampled_from(NAMES), st.sampled_from([0.5, 1.0, 3.0, -0.7, 2.0])), formulas, max_leaves=14
)


def value(tree, at):
    """Return a tree's value over anything that has arithmetic."""
    if not isinstance(tree, tuple):
        return at.get(tree, tree) if isinstance(tree, str) else tree
    operation, *parts = tree
    x, *rest = [value(part, at) for part in parts]
    match operation:
        case "+":
            return x + rest[0]
        case "-":
            return x - rest[0]
        case "*":
            return x * rest[0]
        case "/":
            return x / (rest[0] * rest[0] + 1.0)
        case "neg":
            return -x
        case "abs":
            return abs(x)
        case "sqrt2":
            return sqrt(x * x + 1.0) + x * x
        case _:
            return where(x * x > 0.25, x, 2.0 * x)


@given(tree=TREES, other=TREES, numbers=st.lists(st.floats(-2, 2), min_size=4, max_size=4))
def test_lines_compute_what_the_formula_does(tree, other, numbers):
    """Protects kernels: lines of two results that share parts give NumPy's values, to rounding; unfused, its bits."""
    at = dict(zip(NAMES, map(np.float64, numbers), strict=True))
    terms = {name: named(name) for name in NAMES}
    first = term(value(tree, terms))
    second = term(value(other, terms) + first * first)
    expected = value(tree, at), value(other, at) + value(tree, at) * value(tree, at)
    namespace = plain_namespace() | at
    for line in assigned(["next_a", "next_b"], [first, second], "part"):
        exec(line, namespace)
    size = 1.0 + max(abs(float(x)) for x in expected)
    results = float(namespace["next_a"]), float(namespace["next_b"])
    assert results == pytest.approx([float(x) for x in expected], rel=1e-9, abs=1e-9 * size)
    assert float(eval(written(first), namespace)) == float(expected[0])


def test_what_is_used_twice_has_a_name():
    """Protects kernels from computing a gradient twice, and results from being computed again."""
    g = sum_of("e0 + noise[t, 0]")
    lines = assigned(["next_s", "next_w"], [named("b") * g, named("w") - g * g], "part0_")
    assert lines == [
        "part0_0 = e0 + noise[t, 0]",
        "next_s = b * part0_0",
        "next_w = fma(-part0_0, part0_0, w)",
    ]
    w, v = named("w"), named("v")
    after = w - v * 3.0
    assert assigned(["next_v", "next_w"], [after - w, after], "p") == [
        "next_w = fma(-v, 3.0, w)",
        "next_v = next_w - w",
    ]
    assert assigned(["next_v", "next_w"], [after, after], "p") == [
        "next_v = fma(-v, 3.0, w)",
        "next_w = next_v",
    ]
    assert assigned(["next_v"], [v], "p") == ["next_v = v"]


def test_functions_of_each_kind():
    """Protects the three readings of a rule: numbers, symbols, terms."""
    x = sympy.Symbol("x", positive=True)
    for function in (sqrt, exp, log):
        assert float(function(x).subs(x, 0.7)) == pytest.approx(float(function(np.float64(0.7))), rel=1e-14)
        assert written(function(named("x"))) == f"{function.__name__}(x)"
    assert where(x > 1, x, -x).subs(x, 2) == 2
    assert where(np.array([0.0, 2.0]) > 1.0, 5.0, -1.0).tolist() == [-1.0, 5.0]


def test_numbers_only():
    """Protects the door: a kernel knows terms and real numbers."""
    assert term(math.inf).text == "inf"
    assert term(math.nan).text == "nan"
    for value in ("1", None, True, [1.0], 1j):
        with pytest.raises(TypeError, match="terms and real numbers"):
            term(value)
    with pytest.raises(TypeError, match="terms and real numbers"):
        named("a") + "b"
    # NumPy does not take a term apart.
    assert written(np.float64(2.0) * named("a")) == "2.0 * a"


def test_a_formula_does_not_branch_on_numbers():
    """Protects kernels from a rule that took one branch while it was written down."""
    a = named("a")
    for condition in (a, a > 0.0, a * 2.0):
        with pytest.raises(
            TypeError, match=r"must not branch on its numbers: use where\(condition, yes, no\)"
        ):
            bool(condition)
    assert named("lookahead", nonzero=True)


def test_a_formula_does_not_compare_numbers_for_equality():
    """Protects a rule that asks whether step == 0: as a comparison of objects it would be false in kernels alone."""
    step = named("t")
    with pytest.raises(TypeError, match="must not compare its numbers for equality"):
        bool(step == 0)
    with pytest.raises(TypeError, match="must not compare its numbers for equality"):
        bool(step != 0)
    assert {step: 1}[step] == 1
