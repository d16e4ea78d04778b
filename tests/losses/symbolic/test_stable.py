"""What people type is computed by functions that neither overflow nor cancel: values by mpmath, far out."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

import selfstab as ss
from selfstab.formulas.functions import log1p
from selfstab.losses.symbolic.stable import stable

X, Y, Z = sympy.symbols("x y z", real=True)
EXP, LOG = sympy.exp, sympy.log


@pytest.mark.parametrize(
    ("written", "computed"),
    [
        (LOG(1 + EXP(X)), "softplus(x)"),
        (9 * LOG(EXP(-2 * X) + 1) / 10, "9*softplus(-2*x)/10"),
        (LOG(EXP(X) + EXP(Y)), "logaddexp(x, y)"),
        (LOG(EXP(X) + EXP(Y) + EXP(Z)), "logsumexp(x, y, z)"),
        (LOG(2 + 3 * EXP(X)), "logaddexp(x + log(3), log(2))"),
        (LOG(EXP(X) + EXP(-X)), "logcosh(x) + log(2)"),
        (1 / (1 + EXP(-X)), "sigmoid(x)"),
        (EXP(X) / (1 + EXP(X)), "sigmoid(x)"),
        (EXP(X) / (1 + EXP(X)) ** 2, "sigmoid(-x)*sigmoid(x)"),
        ((1 + EXP(X)) ** -2, "sigmoid(-x)**2"),
        (EXP(X) / (EXP(X) + EXP(Y)), "sigmoid(x - y)"),
        (EXP(X + Y) / (EXP(X) + EXP(Y)) ** 2, "sigmoid_slope(x - y)"),
        (EXP(X) / (EXP(X) + EXP(Y) + EXP(Z)), "softmax(-x + y, -x + z)"),
        (sympy.sqrt(1 + EXP(X)), "exp(softplus(x)/2)"),
        (EXP(X) * EXP(-Y), "exp(x - y)"),
        (LOG(sympy.cosh(X)), "logcosh(x)"),
        (1 / sympy.cosh(X), "sech(x)"),
        (sympy.cosh(X) ** -2, "sech(x)**2"),
        (1 / sympy.sinh(X), "csch(x)"),
        ((EXP(X) - 1) ** -2, "planck(x)**2"),
        (sympy.sinh(X) / sympy.cosh(X), "tanh(x)"),
        ((EXP(X) - EXP(-X)) / (EXP(X) + EXP(-X)), "tanh(x)"),
        ((EXP(2 * X) - 1) / (EXP(2 * X) + 1), "tanh(x)"),
        (EXP(X) - 1, "expm1(x)"),
        (LOG(1 + X**2), "log1p(x**2)"),
        (sympy.sqrt(1 + X**2) - 1, "sqrt1pm1(x**2)"),
        (LOG(1 / (1 + EXP(-X))), "-softplus(-x)"),
        (LOG(1 - 1 / (1 + EXP(-X))), "-softplus(x)"),
        (LOG(Y * EXP(X) / (1 + EXP(X))), "log(y) - softplus(-x)"),
        (LOG(1 + sympy.tanh(X)), "-softplus(-2*x) + log(2)"),
        (LOG(EXP(X) - 1), "x + log(-expm1(-x))"),
        (1 - sympy.erf(X), "erfc(x)"),
        (1 - sympy.tanh(X) ** 2, "sech(x)**2"),
        (log1p(EXP(X)), "softplus(x)"),
        (1 / (1 + sympy.cosh(X)), "sech(x)/(sech(x) + 1)"),
        (LOG(2 + 3 * sympy.cosh(X)), "log1p(2*sech(x)/3) + logcosh(x) + log(3)"),
        (LOG(sympy.sinh(X) ** 2), "log(tanh(x)**2) + 2*logcosh(x)"),
        (sympy.cosh(X) / sympy.sinh(X), "coth(x)"),
        (EXP(X) / sympy.cosh(X), "2*sigmoid(2*x)"),
        (X**Y, "power(1, x, y, 0)"),
        # Nothing of the kind: these stay what they are.
        (sympy.exp(X) - X - 1, "-x + exp(x) - 1"),
        ((1 + EXP(X)) ** 2, "(exp(x) + 1)**2"),
        (LOG(2 + X**2), "log(x**2 + 2)"),
        ((1 + X**2) ** Y, "(x**2 + 1)**y"),
        (2**X, "2**x"),
        (sympy.tanh(X) + sympy.cosh(Y), "cosh(y) + tanh(x)"),
    ],
    ids=str,
)
def test_patterns(written, computed):
    """Protects the table in the module's docstring, and losses without such a pattern from another text."""
    assert str(stable(written)) == computed


TYPED = {
    "log(1 + exp(x))": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "(9*log(1 + exp(-x)) + log(1 + exp(x)))/10": lambda x: (
        (9 * mpmath.log(1 + mpmath.exp(-x)) + mpmath.log(1 + mpmath.exp(x))) / 10
    ),
    "exp(x)/(1 + exp(x))": lambda x: 1 / (1 + mpmath.exp(-x)),
    "(1 + exp(x))**(-2)": lambda x: (1 + mpmath.exp(x)) ** -2,
    "log(cosh(x))": lambda x: mpmath.log(mpmath.cosh(x)),
    "1/cosh(x)": mpmath.sech,
    "cosh(x)**(-2)": lambda x: mpmath.sech(x) ** 2,
    "log(exp(x) + exp(3 - x) + exp(2))": lambda x: mpmath.log(
        mpmath.exp(x) + mpmath.exp(3 - x) + mpmath.exp(2)
    ),
    "exp(x)/(exp(x) + exp(1 - x) + exp(3))": lambda x: 1 / (1 + mpmath.exp(1 - 2 * x) + mpmath.exp(3 - x)),
    "(exp(x) - exp(-x))/(exp(x) + exp(-x))": mpmath.tanh,
    "log(1/(1 + exp(-x)))": lambda x: -mpmath.log(1 + mpmath.exp(-x)),
    "erfc(x)": mpmath.erfc,
    "1 - erf(x)": mpmath.erfc,
    "exp(x)*exp(-x**2)*exp(x**2)": mpmath.exp,
    "log1p(x**2)": lambda x: mpmath.log(1 + x * x),
    "log(1 + x**2)": lambda x: mpmath.log(1 + x * x),
    "sqrt(1 + x**2) - 1": lambda x: mpmath.sqrt(1 + x * x) - 1,
    "expm1(x)": mpmath.expm1,
    "csch(x)": mpmath.csch,
    "1/(exp(x) - 1)": lambda x: 1 / mpmath.expm1(x),
    "exp(-exp(x - 1))": lambda x: mpmath.exp(-mpmath.exp(x - 1)),
    "x*sigmoid(x)": lambda x: x / (1 + mpmath.exp(-x)),
    "log1p(exp(x))": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "1/(1 + cosh(x))": lambda x: 1 / (1 + mpmath.cosh(x)),
    "1/(2 + 3*cosh(x)**2)": lambda x: 1 / (2 + 3 * mpmath.cosh(x) ** 2),
    "cosh(x)/(1 + cosh(x))": lambda x: 1 / (1 + mpmath.sech(x)),
    "log(1 + sinh(x)**2)": lambda x: 2 * mpmath.log(mpmath.cosh(x)),
    "log(sinh(x)**2)": lambda x: mpmath.log(mpmath.sinh(x) ** 2),
}


OF_A_PARAMETER = {
    "log(1 + c*exp(x))": lambda x, c: mpmath.log(1 + c * mpmath.exp(x)),
    "log1p(c*exp(-2*x))": lambda x, c: mpmath.log(1 + c * mpmath.exp(-2 * x)),
    "log(c + exp(x) + c**2*exp(-x))": lambda x, c: mpmath.log(c + mpmath.exp(x) + c**2 * mpmath.exp(-x)),
    "1/(1 + c*exp(-x))": lambda x, c: 1 / (1 + c * mpmath.exp(-x)),
    "x*exp(x)/(c + exp(x))": lambda x, c: x / (1 + c * mpmath.exp(-x)),
    "log(c*exp(-(x + 1)**2) + (4 - c)*exp(-(x - 1)**2))": lambda x, c: mpmath.log(
        c * mpmath.exp(-((x + 1) ** 2)) + (4 - c) * mpmath.exp(-((x - 1) ** 2))
    ),
    "log(c + cosh(x))": lambda x, c: mpmath.log(c + mpmath.cosh(x)),
}


@pytest.mark.parametrize("text", OF_A_PARAMETER)
@pytest.mark.parametrize("c", [3.0, 1e-9, 0.0, -0.25])
def test_a_parameter_as_factor_of_an_exponential(text, c):
    """Protects sums with a parameter: far out where it is not negative, and near by whatever its sign is."""
    loss = ss.SymbolicLoss(text, ["x"], {"c": c})
    places = (0.3, -1.7, 24.0, 360.0, 800.0, -24.0, -360.0, -800.0) if c > 0 else (0.3, 0.9, 1.1)
    for at in places:
        exact = [float(number) for number in by_mpmath(lambda x: OF_A_PARAMETER[text](x, mpmath.mpf(c)), at)]
        w = np.array([at])
        got = [loss.value(w), loss.gradient(w)[0], loss.hessian(w)[0, 0]]
        np.testing.assert_allclose(got, exact[:3], rtol=1e-13, atol=1e-280)


NEAR = {"erfc(x)": 30.0, "1 - erf(x)": 30.0, "sqrt(1 + x**2) - 1": 30.0}
"""Largest weight of those whose far values are 0 or lose digits as any quotient of powers does."""


def by_mpmath(function, x):
    """Return the value and four derivatives by differences of mpmath's values in thousands of bits."""
    with mpmath.workprec(3600):
        h, x = mpmath.mpf(2) ** -200, mpmath.mpf(x)
        f = [function(x + k * h) for k in range(-2, 3)]
        return [
            f[2], (f[3] - f[1]) / (2 * h), (f[3] - 2 * f[2] + f[1]) / h**2,
            (f[4] - 2 * f[3] + 2 * f[1] - f[0]) / (2 * h**3), (f[4] - 4 * f[3] + 6 * f[2] - 4 * f[1] + f[0]) / h**4,
        ]  # fmt: skip


@pytest.mark.parametrize("text", TYPED)
def test_values_and_four_derivatives_far_out(text):
    """Protects losses as people write them: no overflow and no lost digit from 1e-9 to beyond what exp can hold."""
    loss = ss.SymbolicLoss(text, ["x"])
    u = np.ones(1)
    for at in (0.3, -1.7, 1e-9, -1e-9, 24.0, -24.0, 340.0, -360.0, 705.0, -740.0, 800.0, -800.0):
        if abs(at) > NEAR.get(text, np.inf):
            continue
        w = np.array([at])
        exact = [float(number) for number in by_mpmath(TYPED[text], at)]
        got = [
            loss.value(w), loss.gradient(w)[0], loss.hessian(w)[0, 0], loss.third(w, u, u)[0],
            loss.fourth_at(w, u, u, u)[0],
        ]  # fmt: skip
        size = 0.0
        for k, (number, expected) in enumerate(zip(got, exact, strict=True)):
            if not np.isfinite(expected):
                continue
            # A derivative that vanishes beside its neighbours is a difference of terms of their size.
            size = max(abs(expected), *(abs(e) for e in exact[1:] if np.isfinite(e))) if k else abs(expected)
            # exp(a) has the relative error of its argument's last place.
            rounding = 1e-14 * max(1.0, abs(at) / 40.0)
            assert number == pytest.approx(
                expected, rel=rounding, abs=rounding * min(size, abs(expected) * 1e3 + 1e-15) + 1e-306
            ), (at, k)


def test_the_hessian_of_softplus_is_finite_down_to_underflow():
    """Protects sharpness far out: e^-|w| to the last digits, then 0, at any finite weight."""
    loss = ss.SymbolicLoss("log(1 + exp(w))", ["w"])
    for w in (356.0, 500.0, 709.0, 740.0, 746.0, 1e6, 1e300, -356.0, -740.0, -1e300):
        expected = float(mpmath.exp(-abs(mpmath.mpf(w))))
        assert loss.hessian([w])[0, 0] == pytest.approx(expected, rel=1e-15, abs=5e-324)
        assert np.isfinite([loss.value([w]), loss.gradient([w])[0], loss.third([w], [1.0], [1.0])[0]]).all()


@pytest.mark.parametrize("lr", [1000.0, 2222.0])
def test_large_steps_on_two_softplus_are_those_of_the_textbook(lr):
    """Protects labels: a run that stays finite is no divergence, and each step is that of the textbook gradient."""
    loss = ss.SymbolicLoss("(9*log(1 + exp(-w)) + log(1 + exp(w)))/10", ["w"])
    run = ss.simulate(loss, ss.HeavyBall(lr), [0.0], 500, keep=["weights", "sharpness"])
    w = run.weights.values[:, 0]
    assert (w.size, int(run.attrs.get("diverged_at", -1))) == (501, -1)
    assert np.isfinite(run.sharpness).all()
    assert 0.3 * lr < np.abs(w).max() < 0.9 * lr
    np.testing.assert_allclose(
        np.diff(w), lr * (9 * expit(-w[:-1]) - expit(w[:-1])) / 10, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("lr", [3e4, 1e5, 3e5])
def test_separable_logistic_regression_at_large_steps(lr):
    """Protects a published regime: logistic regression on separable data converges at any learning rate."""
    data = [(1.0, 0.4), (0.8, -0.5), (1.3, 0.1), (0.2, 0.9)]
    text = " + ".join(f"log(1 + exp(-({a}*x + {b}*y)))/4" for a, b in data)
    run = ss.simulate(
        ss.SymbolicLoss(text, ["x", "y"]),
        ss.HeavyBall(lr),
        [0.0, 0.0],
        200,
        keep=["loss", "sharpness", "weights"],
    )
    assert run.sizes["step"] == 201
    assert np.isfinite(run.loss).all()
    assert np.isfinite(run.sharpness).all()
    a = np.array(data)
    w = run.weights.values
    steps = lr * (expit(-w[:-1] @ a.T) @ a) / 4
    np.testing.assert_allclose(np.diff(w, axis=0), steps, rtol=1e-9, atol=1e-9 * lr)


def test_powers_at_zero_have_their_limits():
    """Protects x**p with p a parameter or a weight: 0·∞ is the limit, at x = 0 and at p = 2."""
    loss = ss.SymbolicLoss("x**p + y**2", ["x", "y"], {"p": 2.0})
    assert loss.gradient([0.0, 1.0]).tolist() == [0.0, 2.0]
    assert loss.hessian([0.0, 1.0]).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert loss.third([0.0, 1.0], [1.0, 0.0], [1.0, 0.0]).tolist() == [0.0, 0.0]
    assert loss.replace(p=1.0).gradient([0.0, 1.0]).tolist() == [1.0, 2.0]
    assert loss.replace(p=3.0).hessian([0.0, 1.0])[0, 0] == 0.0
    assert ss.SymbolicLoss("x**y", ["x", "y"]).gradient([0.0, 2.0]).tolist() == [0.0, 0.0]
    assert ss.SymbolicLoss("x**y", ["x", "y"]).gradient([0.5, 2.0]) == pytest.approx(
        [1.0, 0.25 * np.log(0.5)]
    )
    assert np.isnan(ss.SymbolicLoss("x**y", ["x", "y"]).value([-0.5, 2.5]))
    assert ss.SymbolicLoss("x**y", ["x", "y"]).value([-0.5, 2.0]) == 0.25


inner = st.sampled_from(["x", "x*y", "x - 2*y", "x**2", "3*y", "-x", "1"])
formulas = st.recursive(
    inner,
    lambda part: st.one_of(
        st.tuples(part, part).map(lambda t: f"({t[0]})*({t[1]})"),
        st.tuples(part, part).map(lambda t: f"log(exp({t[0]}) + exp({t[1]}))"),
        st.tuples(part, part).map(lambda t: f"exp({t[0]})/(exp({t[0]}) + exp({t[1]}) + 1)"),
        part.map(lambda t: f"log(1 + exp({t}))"),
        part.map(lambda t: f"1/(1 + exp(-({t})))"),
        part.map(lambda t: f"log(cosh({t}))"),
        part.map(lambda t: f"1/cosh({t})"),
        part.map(lambda t: f"Max({t}, 0.31)"),
        part.map(lambda t: f"abs({t} - 0.17)"),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=15)
@given(formulas)
def test_compositions_have_the_value_typed_and_consistent_gradients(text):
    """Protects rewriting within rewriting: the value as Python reads the text, the slope by differences."""
    loss = ss.SymbolicLoss(f"x + {text}", ["x", "y"])
    at = np.array([0.7310, -1.1973])
    names = {"log": np.log, "exp": np.exp, "cosh": np.cosh, "abs": abs, "Max": max}
    assert loss.value(at) == pytest.approx(
        eval(f"x + {text}", names, {"x": at[0], "y": at[1]}), rel=1e-11, abs=1e-11
    )
    for k, u in enumerate(np.eye(2)):
        slope = (loss.value(at + 1e-5 * u) - loss.value(at - 1e-5 * u)) / 2e-5
        assert loss.gradient(at)[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)
