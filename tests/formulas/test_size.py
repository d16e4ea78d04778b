"""The size of derivatives, counted before they are made."""

from __future__ import annotations

import numpy as np
import pytest
import sympy

import selfstab as ss
from selfstab.formulas.size import LARGEST, operations
from selfstab.losses.symbolic.printing import lines_of

U, V, C = sympy.symbols("u v c", real=True)
X = sympy.symbols("x:8", real=True)


def made(expression, weights):
    """Return the number of parts of an expression, its gradient and its Hessian, as SymPy makes them."""
    found = [expression]
    for k, a in enumerate(weights):
        found.append(sympy.diff(expression, a))
        found += [sympy.diff(expression, a, b) for b in weights[k:]]
    return sum(sum(1 for _ in sympy.preorder_traversal(e)) for e in found)


@pytest.mark.parametrize(
    ("expression", "weights"),
    [
        ((U * V - C) ** 2 / 2, (U, V)),
        (sympy.prod(X) - 1, X),
        (sympy.Add(*(a**3 for a in X)), X),
        (sympy.prod([sympy.sin(k * U) for k in range(1, 13)]), (U,)),
        (sympy.Add(*(sympy.tanh(U * k) * V for k in range(1, 20))) ** 2, (U, V)),
        (sympy.exp(sympy.sin(sympy.exp(sympy.sin(sympy.exp(sympy.sin(U)))))), (U,)),
    ],
    ids=["product", "long product", "sum", "sines", "network", "nested"],
)
def test_the_count_is_near_that_of_the_derivatives(expression, weights):
    """Protects the measure of the limit against the derivatives themselves: neither blind to them nor far above."""
    ratio = operations(expression, {s.name for s in weights}) / made(expression, weights)
    assert 0.25 < ratio < 4


EXPENSIVE = {
    "product of sines": "*".join(f"sin({k}*u)" for k in range(1, 150)),
    "product of tangents": "*".join(f"tan(u+{k})" for k in range(1, 100)),
    "product of powers": "*".join(f"(u+{k})**9" for k in range(1, 101)),
    "deep nesting": "exp(sin(tan(" * 16 + "u" + ")))" * 16,
    "roots of roots": "sqrt(u+" * 30 + "1" + ")" * 30,
    "squares of squares": "(" * 20 + "u" + "**2+u)" * 20,
}


@pytest.mark.parametrize("text", EXPENSIVE.values(), ids=EXPENSIVE)
def test_what_grows_beyond_the_limit_is_refused_with_it(text):
    """Protects against minutes or gigabytes of differentiation from a short text."""
    with pytest.raises(
        ValueError, match=f"expression must have at most {LARGEST} operations in its value, gradient"
    ):
        ss.SymbolicLoss(text, ["u"])


def test_an_expression_that_shares_its_parts_is_measured_as_written_out():
    """Protects against SymPy expressions whose tree is exponentially larger than what holds them."""
    expression = U
    for _ in range(60):
        expression = expression**2 + expression
    with pytest.raises(ValueError, match=f"expression must have at most {LARGEST} parts"):
        ss.SymbolicLoss(expression, [U])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ss.Chain(12),
        lambda: ss.Quadratic([1.0] * 100),
        lambda: ss.SymbolicLoss("+".join(f"sin({k}*u)" for k in range(1, 81)), ["u"]),
    ],
    ids=["chain", "quadratic", "sines"],
)
def test_common_losses_are_far_from_the_limit_or_within_it(make):
    """Protects what users do from the limit: the largest toy, many weights, many terms."""
    loss = make()
    assert operations(loss.expression, {*loss.weight_names}) <= LARGEST


def test_sums_of_hundreds_of_products_are_printed():
    """Protects long sums from the depth of brackets that Python reads."""
    a, b = sympy.symbols("a:250", real=True), sympy.symbols("b:250", real=True)
    lines, (result,) = lines_of([sympy.Add(*(x * y for x, y in zip(a, b, strict=True)))], "e")
    at = {str(x): 1.0 + k for k, x in enumerate(a)} | {str(y): 1.0 for y in b}
    exec("\n".join([*lines, f"found = {result}"]), {"fma": lambda x, y, z: x * y + z}, at)
    assert at["found"] == 250 * 251 / 2


def logistic():
    """Return a logistic regression of 3 weights on 20 points, written out as a sum, and its gradient by NumPy."""
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(20, 3)), rng.choice([-1.0, 1.0], 20)
    w = sympy.symbols("w:3", real=True)
    terms = [
        sympy.log(1 + sympy.exp(-float(y) * sum(float(a) * b for a, b in zip(x, w, strict=True))))
        for x, y in zip(inputs, labels, strict=True)
    ]

    def gradient(at):
        return -(labels / (1 + np.exp(labels * (inputs @ at)))) @ inputs / 20

    return sum(terms) / 20, w, gradient


def network():
    """Return a tanh network of 6 weights on 10 points, written out as a sum, and its gradient by NumPy."""
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(size=10), rng.normal(size=10)
    a, b, c, d, e, f = w = sympy.symbols("w:6", real=True)
    terms = [
        (e * sympy.tanh(a * float(x) + b) + f * sympy.tanh(c * float(x) + d) - float(y)) ** 2
        for x, y in zip(inputs, targets, strict=True)
    ]

    def gradient(at):
        first, second = np.tanh(at[0] * inputs + at[1]), np.tanh(at[2] * inputs + at[3])
        errors = (at[4] * first + at[5] * second - targets) / 10
        one, two = errors * at[4] * (1 - first**2), errors * at[5] * (1 - second**2)
        return np.array([one @ inputs, one.sum(), two @ inputs, two.sum(), errors @ first, errors @ second])

    return sum(terms) / 20, w, gradient


def linear_network():
    """Return Lewkowycz's linear network of width 9, and its gradient by NumPy."""
    u, v = sympy.symbols("u:9", real=True), sympy.symbols("v:9", real=True)

    def gradient(at):
        return np.concatenate([at[9:], at[:9]]) * (at[:9] @ at[9:]) / 9

    return sum(a * b for a, b in zip(u, v, strict=True)) ** 2 / 18, (*u, *v), gradient


@pytest.mark.parametrize("make", [logistic, network, linear_network])
def test_losses_people_write_out_are_taken(make):
    """Protects sums over data: what they share counts once, and their gradients are those of NumPy."""
    expression, weights, gradient = make()
    loss = ss.SymbolicLoss(expression, weights)
    at = np.linspace(-0.4, 0.5, len(weights))
    assert loss.gradient(at) == pytest.approx(gradient(at), rel=1e-12, abs=1e-15)


def test_the_limit_can_be_set_and_the_message_says_what_else_to_do():
    """Protects users from a limit without a way out."""
    text = "(u*v - 1)**2/2 + sin(u*v)"
    with pytest.raises(
        ValueError, match=r"at most 5 operations .* \(limit\), got \d+, .*EmpiricalRisk.*FunctionLoss"
    ):
        ss.SymbolicLoss(text, ["u", "v"], limit=5)
    assert ss.SymbolicLoss(text, ["u", "v"], limit=100).value([1.0, 1.0]) == pytest.approx(
        np.sin(1.0), rel=1e-15
    )
    with pytest.raises(ValueError, match="limit must be an integer >= 1"):
        ss.SymbolicLoss(text, ["u", "v"], limit=0)


MANY = [f"x{i}" for i in range(501)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ss.Quadratic(np.ones(3200)),
        lambda: ss.Quadratic(np.ones(501)),
        lambda: ss.SymbolicLoss("x0**2", MANY),
    ],
)
def test_more_weights_than_a_formula_can_have_are_refused_at_once(make):
    """Protects from minutes of SymPy before a matrix that no kernel could hold."""
    with pytest.raises(
        ValueError, match=r"must be at most 500 of a loss that is a formula, got \d+: .*FunctionLoss"
    ):
        make()


def test_a_sum_over_many_weights_is_derived_term_by_term():
    """Protects quadratics of hundreds of weights from SymPy meeting every pair of them."""
    hessian = ss.Quadratic(np.arange(1.0, 121.0)).hessian(np.zeros(120))
    assert np.array_equal(hessian, np.diag(np.arange(1.0, 121.0)))
