"""One language: text, SymPy and the command line know the same functions and powers."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from click.testing import CliRunner
from sympy.codegen import cfunctions

import selfstab as ss
from selfstab.cli.program import main
from selfstab.formulas.vocabulary import FUNCTIONS, VALUES
from selfstab.losses.named import named_loss

x, y, p = sympy.symbols("x y p")
named = sympy.Function

TABLE = [
    ("2**x", 2**x), ("x**y", x**y), ("x**p", x**p), ("exp(1)**x", sympy.exp(1) ** x), ("E**x", sympy.E**x),
    ("x**(1/3)", sympy.cbrt(x)), ("(x**2)**1.5", (x**2) ** 1.5), ("x**-y", x**-y), ("0.5**(x*y)", 0.5 ** (x * y)),
    ("pow(x, y)", x**y), ("(-2)**x", (-2) ** x), ("x**x", x**x),
    ("abs(x) + Abs(y)", sympy.Abs(x) + sympy.Abs(y)), ("sqrt(x**2)", sympy.sqrt(x**2)),
    ("abs(log(x))", sympy.Abs(sympy.log(x))), ("sign(x)*x", sympy.sign(x) * x),
    ("max(x, y, 1)", sympy.Max(x, y, 1)), ("Max(x, log(y))", sympy.Max(x, sympy.log(y))),
    ("min(x, y)*Min(x, 2)", sympy.Min(x, y) * sympy.Min(x, 2)), ("Heaviside(x)*x", sympy.Heaviside(x) * x),
    ("Piecewise((x**2, x > 0), (0, True))", sympy.Piecewise((x**2, x > 0), (0, True))),
    ("where(x < y, x, y**2)", sympy.Piecewise((x, x < y), (y**2, True))),
    ("where(x > 0 and y <= 1, x, 1)", sympy.Piecewise((x, (x > 0) & (y <= 1)), (1, True))),
    ("where((x > 0) | (y <= 1), x, 1)", sympy.Piecewise((x, (x > 0) | (y <= 1)), (1, True))),
    ("where(not (x > 0), x, 1)", sympy.Piecewise((x, sympy.Not(x > 0)), (1, True))),
    ("where(0 < x < 1, x, 1)", sympy.Piecewise((x, sympy.And(x > 0, x < 1)), (1, True))),
    ("erf(x) + erfc(x)", sympy.erf(x) + sympy.erfc(x)), ("sech(x)*csch(y)", sympy.sech(x) * sympy.csch(y)),
    ("coth(x)", sympy.coth(x)), ("sec(x)*csc(x) + cot(y)", sympy.sec(x) * sympy.csc(x) + sympy.cot(y)),
    ("log(x, 2) + log2(y)", sympy.log(x, 2) + cfunctions.log2(y)), ("log10(x)", cfunctions.log10(x)),
    ("log1p(x) + expm1(y)", cfunctions.log1p(x) + cfunctions.expm1(y)), ("exp2(x)", cfunctions.exp2(x)),
    ("softplus(x)*sigmoid(y)", named("softplus")(x) * named("sigmoid")(y)), ("relu(x)", named("relu")(x)),
    ("logcosh(x)", named("logcosh")(x)), ("logaddexp(x, y)", named("logaddexp")(x, y)),
    ("logsumexp(x, y, 1)", named("logsumexp")(x, y, 1)), ("ln(x) + square(y)", sympy.log(x) + y**2),
    ("EulerGamma*x + Catalan*y + GoldenRatio", sympy.EulerGamma * x + sympy.Catalan * y + sympy.GoldenRatio),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expression"), TABLE, ids=[text for text, _ in TABLE])
def test_text_sympy_and_command_line_agree(text, expression):
    """Protects users from three languages: one expression by every door, and back from a store's text."""
    losses = [
        ss.SymbolicLoss(text, ["x", "y"], {"p": 2.0}),
        ss.SymbolicLoss(expression, ["x", "y"], {"p": 2.0}),
        named_loss(text, {"p": "2"}, ["x", "y"]),
    ]
    texts = [loss.state()["expression"] for loss in losses]
    losses += [ss.SymbolicLoss(stored, ["x", "y"], {"p": 2.0}) for stored in texts]
    first = losses[0]
    assert np.isfinite(first.value([0.7, 1.3])) or "(-2)**x" in text
    for other in losses[1:]:
        # SymPy joins conditions in an order of its own, and turns `not` into the opposite comparison.
        assert other.expression == first.expression or "not" in text or "and" in text or "|" in text
        for at in ([0.7, 1.3], [0.0, 1.0], [-0.4, 1.0], [0.0, 0.0], [1.0, 1.0], [2.0, -0.3]):
            for method in ("value", "gradient", "hessian"):
                np.testing.assert_array_equal(getattr(other, method)(at), getattr(first, method)(at))


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("pow", "logaddexp")])
def test_constants_have_the_functions_values(name):
    """Protects what is refused as not real: a function of a number has the value that kernels give it."""
    loss = ss.SymbolicLoss(f"x + {name}({'1.5' if name == 'acosh' else '0.375'})", ["x"])
    exact = ss.SymbolicLoss(f"{name}(x)", ["x"]).value([1.5 if name == "acosh" else 0.375])
    assert loss.value([0.0]) == pytest.approx(exact, rel=1e-15)
    value = VALUES.get(type(sympy.sympify(ss.SymbolicLoss(f"{name}(x)", ["x"]).expression)).__name__)
    if value is not None and name not in ("square", "exp2", "sqrt", "sec", "csc", "cot", "log2", "log10"):
        assert value(1.5 if name == "acosh" else 0.375) == pytest.approx(exact, rel=1e-14)


def test_the_command_line_takes_conditions_and_powers():
    """Protects a formula that holds commas, brackets and comparisons from a command line's own."""
    words = ["simulate", "where(x > 1, 2**x, x**2) + max(y, -y)**p", "--variables", "x,y", "-p", "p=2"]
    done = CliRunner().invoke(main, [*words, "--lr", "0.1", "--start", "2,1", "--steps", "2"])
    assert done.exit_code == 0, done.output
