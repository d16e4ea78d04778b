"""Kinks: one rule whatever the spelling, whole branches, and abs of what is not known to be real."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import sympy

import selfstab as ss
from selfstab.formulas import kinks
from selfstab.formulas.kinks import directed, sign, tie, where
from selfstab.losses.symbolic import loss as symbolic

X, Y = sympy.symbols("x y", real=True)


def derivatives(text, at, names=("x",)):
    """Return value, gradient, Hessian, third and fourth derivatives along the first weight."""
    loss = ss.SymbolicLoss(text, names)
    w = np.array(at, dtype=float)
    u = np.eye(w.size)[0]
    return [
        loss.value(w),
        *loss.gradient(w),
        *loss.hessian(w).ravel(),
        *loss.third(w, u, u),
        *loss.fourth_at(w, u, u, u),
    ]


ABSOLUTE = """
abs(x) | Max(x, -x) | max(-x, x) | 2*x*Heaviside(x) - x | Piecewise((x, x > 0), (-x, True)) | sign(x)*x | sqrt(x**2)
relu(x) + relu(-x) | -Min(x, -x) | where(x < 0, -x, x) | where(x <= 0, -x, x) | Abs(-x) | 3*abs(x/3) | (x**2)**0.5
where(not x >= 0, -x, x) | x*(2*Heaviside(2*x, 0) - 1) | Piecewise((-x, -1 < x < 0), (x, x > -1), (-x, True))
"""


@pytest.mark.parametrize("text", " | ".join(ABSOLUTE.strip().splitlines()).split(" | "))
def test_the_absolute_value_has_one_kink_however_it_is_written(text):
    """Protects the rule: at the kink all derivatives are those of the right-hand piece, 3x + x³ + x² here."""
    whole = f"3*({text}) + x**2*({text}) + ({text})**2"
    for zero in (0.0, -0.0):
        assert derivatives(whole, [zero]) == [0.0, 3.0, 2.0, 6.0, 0.0]
    for at in (0.5, -0.5):
        assert derivatives(whole, [at]) == pytest.approx(
            derivatives(f"3*{np.sign(at)}*x + {np.sign(at)}*x**3 + x**2", [at]), rel=1e-15
        )


@pytest.mark.parametrize(
    ("spellings", "at", "expected"),
    [
        # Where x rises through −1, x² − 1 falls: the piece of x > −1 is 1 − x².
        (
            ["abs(x**2 - 1)", "abs(1 - x**2)", "abs(x - 1)*abs(x + 1)", "Max(x**2 - 1, 1 - x**2)"],
            -1.0,
            [0.0, 2.0, -2.0],
        ),
        (
            ["abs(x**2 - 1)", "abs(1 - x**2)", "abs(x - 1)*abs(x + 1)", "Max(x**2 - 1, 1 - x**2)"],
            1.0,
            [0.0, 2.0, 2.0],
        ),
        # One-sided Hessians 25 and 1: one of them, neither their mean nor what a half makes of them.
        (
            [
                "Max(5*x, -x)**2/2",
                "(5*x*Heaviside(x) - x*Heaviside(-x))**2/2",
                "where(x > 0, 25*x**2, x**2)/2",
            ],
            0.0,
            [0, 0, 25],
        ),
        (
            [
                "Min(-5*x, x)**2/2",
                "(5*x*Heaviside(x) - x*Heaviside(-x))**2/2",
                "Piecewise((x**2, x < 0), (25*x**2, True))/2",
            ],
            0.0,
            [0, 0, 25],
        ),
        (
            ["(x + abs(x))/2 + log(1 + exp(-abs(x)))", "log(1 + exp(x))", "softplus(x)"],
            0.0,
            [np.log(2.0), 0.5, 0.25],
        ),
        (["relu(x**3)", "x**2*relu(x)", "Max(x, 0)**3"], 0.0, [0.0, 0.0, 0.0, 6.0]),
        (["abs((x - 1)**2*(x - 3))", "(x - 1)**2*abs(x - 3)"], 1.0, [0.0, 0.0, 4.0]),
        (["relu(x - 1)**1.5", "where(x > 1, (x - 1)**1.5, 0)"], 0.5, [0.0, 0.0, 0.0, 0.0]),
        (["sqrt(relu(x))*3", "3*sqrt(Max(x, 0))", "where(x > 0, 3*sqrt(x), 0)"], -2.0, [0.0, 0.0, 0.0, 0.0]),
        (["where(x > 0, log(x), x)", "Piecewise((log(x), x > 0), (x, True))"], -2.0, [-2.0, 1.0, 0.0, 0.0]),
    ],
)
def test_spellings_of_one_function_agree(spellings, at, expected):
    """Protects sharpness at kinks: values worked out by hand, for every spelling."""
    for text in spellings:
        assert derivatives(text, [at])[: len(expected)] == pytest.approx(expected, abs=1e-15), text


def test_the_first_weight_decides_then_the_second():
    """Protects the rule in several weights: the order of the variables, and arguments that are no sums."""
    assert ss.SymbolicLoss("abs(x - y)", ["x", "y"]).gradient([1.0, 1.0]).tolist() == [1.0, -1.0]
    assert ss.SymbolicLoss("abs(x - y)", ["y", "x"]).gradient([1.0, 1.0]).tolist() == [1.0, -1.0]
    for text in ("abs(x*y - 1)", "Max(x*y - 1, 1 - x*y)", "sqrt((x*y - 1)**2)"):
        loss = ss.SymbolicLoss(text, ["x", "y"])
        assert loss.gradient([1.0, 1.0]).tolist() == [1.0, 1.0]
        assert loss.gradient([-1.0, -1.0]).tolist() == [1.0, 1.0]  # x > −1: xy < 1
        assert loss.hessian([-1.0, -1.0]).tolist() == [[0.0, -1.0], [-1.0, 0.0]]
    # The first weight moves along the kink: the second decides.
    assert ss.SymbolicLoss("abs(x*y)", ["x", "y"]).gradient([-2.0, 0.0]).tolist() == [0.0, 2.0]
    assert ss.SymbolicLoss("abs(y)", ["x", "y"]).gradient([0.0, 0.0]).tolist() == [0.0, 1.0]


def test_arguments_that_are_zero_are_decided_by_their_first_slope():
    """Protects the text of kernels: no more than what is needed stands in it."""
    assert directed(sign(X - Y), [X, Y]) == sign(X - Y)
    assert directed(sign(Y - X), [X, Y]).args[0] in (X - Y, tie(Y - X, -1))
    assert directed(where(X**2 - 1, X, Y), [X, Y]) == where(tie(X**2 - 1, tie(2 * X, 2)), X, Y)


@pytest.mark.parametrize(
    "text",
    [
        "abs(log(x))", "abs(sqrt(x) - 1)", "abs(x**1.5 - 1)", "sign(log(x))*x**2", "Max(log(x), 0)**2",
        "abs(acos(x/9))*x", "abs(sqrt(x)*log(x))", "Min(sqrt(x), log(x), x)", "abs(x**x - 1)", "abs(log(x) + x)**3",
        "abs(abs(log(x)) - 1)", "where(log(x) > 0.1, sqrt(x), x)", "relu(log(x - 1))*x**2", "abs(asin(x/8)**1.5)",
        "Heaviside(atanh(x/9))*x**2", "abs(tanh(sqrt(x)))*abs(x**0.3)", "sqrt(Max(x, log(x)))",
    ],
)  # fmt: skip
def test_of_what_is_not_known_to_be_real(text):
    """Protects abs, sign and the like of logarithms and roots: values, derivatives by differences, and a run."""
    loss = ss.SymbolicLoss(text, ["x"])
    at, h = 2.2, 1e-5
    pairs = ((loss.value, loss.gradient([at])[0]), (lambda w: loss.gradient(w)[0], loss.hessian([at])[0, 0]),
             (lambda w: loss.hessian(w)[0, 0], loss.third([at], [1.0], [1.0])[0]))  # fmt: skip
    for function, slope in pairs:
        assert slope == pytest.approx((function([at + h]) - function([at - h])) / (2 * h), rel=1e-7, abs=1e-8)
    run = ss.simulate(loss, ss.HeavyBall(0.01), [at], 3)
    assert np.isfinite(run.sharpness).all()
    for given in (sympy.Symbol("x"), sympy.Symbol("x", real=True), sympy.Symbol("x", positive=True)):
        if text.startswith("abs(log(x))"):
            assert ss.SymbolicLoss(sympy.Abs(sympy.log(given)), ["x"]).value([0.5]) == np.log(2.0)


@pytest.mark.slow
def test_a_sweep_of_kinks_has_the_bits_of_plain_runs():
    """Protects bit equality, and cells whose weights land on a kink."""
    loss = ss.SymbolicLoss("abs(log(x))*y**2 + relu(x - 1)*abs(x - y)", ["x", "y"])
    lr = np.linspace(0.01, 0.2, 7)
    swept = ss.sweep(
        loss,
        ss.HeavyBall(0.1),
        {"lr": lr},
        start=[1.0, 1.0],
        steps=40,
        measure=["final_loss"],
        progress=False,
    )
    runs = [ss.simulate(loss, ss.HeavyBall(r), [1.0, 1.0], 40, keep=["loss"]).loss.values[-1] for r in lr]
    assert swept.final_loss.values.tolist() == runs


FORMER = {
    "abs(u) + v**2": "44341d9ed1b46711",
    "abs(u*v - 1)*u + v**2*abs(v)": "d94bb6e0e270c8a1",
    "abs(u)**3*v + exp(-abs(u))*v**2 + abs(v - u)*u**3": "2fa0508c6f14d724",
    "abs(u - v)**1.5 + u**4*exp(-abs(u))": "63d1dd28afef8d3f",
    "tanh(abs(u))*v + abs(2*u + 3*v)*exp(u)*3": "d4a703fc52581a1e",
}
"""Hashes of the formulas' lines of version 0.1.0."""


@pytest.mark.parametrize("text", FORMER)
def test_lines_with_abs_differ_from_those_of_0_1_0_in_the_sign_only(text, monkeypatch):
    """Protects bits off the kink: with the former text of a sign, 0 at 0, all lines are the former ones."""

    def former(self, printer):
        argument = self.args[0].args[0] if isinstance(self.args[0], tie) else self.args[0]
        inner = printer._print(argument)
        return f"choose({inner} > 0.0, 1.0, choose({inner} < 0.0, -1.0, 0.0))"

    monkeypatch.setattr(kinks, "_on_a_side", lambda argument, weights: argument)
    monkeypatch.setattr(kinks.sign, "_kernel_source", former)
    symbolic._derived.cache_clear()
    lines = ss.SymbolicLoss(text, ["u", "v"]).formulas.code(["value", "gradient", "sharpness"])
    symbolic._derived.cache_clear()
    assert hashlib.sha256(repr(lines).encode()).hexdigest()[:16] == FORMER[text]
