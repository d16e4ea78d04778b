"""The size of derivatives, counted before they are made."""

from __future__ import annotations

import pytest
import sympy

import selfstab as ss
from selfstab.losses.symbolic.printing import lines_of
from selfstab.losses.symbolic.size import LARGEST, operations

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
    "loss",
    [
        ss.Chain(12),
        ss.Quadratic([1.0] * 100),
        ss.SymbolicLoss("+".join(f"sin({k}*u)" for k in range(1, 81)), ["u"]),
    ],
    ids=["chain", "quadratic", "sines"],
)
def test_common_losses_are_far_from_the_limit_or_within_it(loss):
    """Protects what users do from the limit: the largest toy, many weights, many terms."""
    assert operations(loss.expression, {*loss.weight_names}) <= LARGEST


def test_sums_of_hundreds_of_products_are_printed():
    """Protects long sums from the depth of brackets that Python reads."""
    a, b = sympy.symbols("a:250", real=True), sympy.symbols("b:250", real=True)
    lines, (result,) = lines_of([sympy.Add(*(x * y for x, y in zip(a, b, strict=True)))], "e")
    at = {str(x): 1.0 + k for k, x in enumerate(a)} | {str(y): 1.0 for y in b}
    exec("\n".join([*lines, f"found = {result}"]), {"fma": lambda x, y, z: x * y + z}, at)
    assert at["found"] == 250 * 251 / 2
