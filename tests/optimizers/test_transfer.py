"""Transfer functions from rules: exact, reduced, and what follows from them for thresholds and catapults."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.optimizers import setting, sqrt, where
from selfstab.optimizers.transfer import transfer_of
from selfstab.transfer_functions import Transfer, exact, first_to_leave, integrated
from tests.optimizers.own import Aggregated, Mixed, Moments, TwoMomenta

SYMBOL_Z = sympy.Symbol("z")


def by_sympy(kind, states, **numbers):
    """Return T at lr 1 from the formal rule: SymPy solves z·x = rule(x, g) for the gradient's point."""
    w, g = sympy.symbols("w g")
    own = sympy.symbols(f"s0:{states}")
    optimizer = kind.formal(**numbers)
    after, following = optimizer.rule(w, own, g, 1, 0)
    unknowns = (w, *own)
    equations = [SYMBOL_Z * x - value for x, value in zip(unknowns, (after, *following), strict=True)]
    solution = sympy.solve(equations, unknowns)
    return sympy.cancel(-optimizer.gradient_point(w, own).subs(solution) / g)


def ratio(polynomials):
    above, below = (sympy.Poly([sympy.nsimplify(c, rational=True) for c in p], SYMBOL_Z) for p in polynomials)
    return above.as_expr() / below.as_expr()


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        (ss.HeavyBall(0.3, 0.75), 1),
        (ss.HeavyBall(0.3, 0.75, 0.5), 1),
        (TwoMomenta(0.3, 0.25, 0.5), 2),
        (Aggregated(0.3, momenta=(0.0, 0.5, 0.875)), 3),
        (Mixed(0.3, 0.5), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_transfer_functions_are_those_of_sympy(optimizer, states):
    """Protects T from the terms' reading of a rule: SymPy solves the same recurrence for the gradient's point."""
    values = {name: getattr(optimizer, name) for name in optimizer.settings}
    rational = {
        name: tuple(map(sympy.Rational, value)) if isinstance(value, tuple) else sympy.Rational(value)
        for name, value in values.items()
    }
    expected = by_sympy(type(optimizer), states, **rational)
    assert (
        sympy.simplify(ratio(optimizer.transfer_function()) - sympy.nsimplify(expected, rational=True)) == 0
    )


def test_common_factors_cancel():
    """Protects T of a heavy ball without momentum, and of equal momenta: gradient descent's, and one momentum's."""
    assert [p.tolist() for p in ss.HeavyBall(0.1, 0.0).transfer_function()] == [[1.0], [1.0, -1.0]]
    one = ss.HeavyBall(0.1, 0.3).transfer_function()
    two = Aggregated(0.1, momenta=(0.3, 0.3)).transfer_function()
    assert [p.tolist() for p in one] == [p.tolist() for p in two]
    assert transfer_of(Aggregated(0.1, momenta=(0.5, 0.5))).hidden == (1, Fraction(-1, 2))


def test_transfer_function_of_the_weights():
    """Protects the two readings at lookahead: w = (gradient's point) · z/((1 + γ)z − γ)."""
    optimizer = ss.HeavyBall(0.1, 0.75, 0.5)
    assert optimizer.transfer_function()[0].tolist() == [1.5, -0.5]
    assert optimizer.transfer_function(of_weights=True)[0].tolist() == [1.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 0.999), min_size=1, max_size=4), st.floats(0.0, 3.0), st.floats(0.0, 0.999))
def test_thresholds_by_jury_are_the_declared_ones(momenta, lookahead, momentum):
    """Protects threshold_fraction and T from each other: the first root to leave decides, and gives the same S*."""
    for optimizer in (
        Aggregated(1.0, momenta=tuple(momenta)),
        ss.HeavyBall(1.0, momentum, lookahead),
        Mixed(1.0, momentum),
    ):
        sharpness, angle = first_to_leave(transfer_of(optimizer))
        assert angle == math.pi
        assert sharpness == pytest.approx(optimizer.max_stable_sharpness(), rel=1e-12)
        assert optimizer.transfer_coefficients().threshold == pytest.approx(sharpness, rel=1e-12)


def largest_root(transfer, sharpness):
    above = np.array([float(c) for c in transfer.numerator])
    below = np.array([float(c) for c in transfer.denominator])
    return np.abs(np.roots(np.polyadd(below, sharpness * above))).max()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=4),
    st.lists(st.complex_numbers(max_magnitude=0.9), max_size=2),
    st.lists(st.floats(-0.9, 0.9), max_size=2),
)
@example([1.1125369292536007e-308, 1.0, 1.0], [0j], [])
def test_the_first_root_to_leave_is_the_first(numerator, pairs, reals):
    """Protects Jury's test where complex roots leave first: below S* all roots are inside, just above one is not."""
    below = np.poly([1.0, *reals, *(z for pair in pairs for z in (pair, pair.conjugate()))]).real
    above = numerator[: len(below) - 1]
    if not any(abs(c) > 1e-3 for c in above):
        return
    quotient = integrated(exact(below))
    if quotient is None:
        return
    transfer = Transfer(exact(above), exact(below))
    sharpness, angle = first_to_leave(transfer)
    if sharpness == 0.0:
        assert largest_root(transfer, 1e-9) > 1.0 - 1e-12
    elif sharpness < 1e6:
        assert largest_root(transfer, 0.98 * sharpness) < 1.0 + 1e-9
        at = np.polyval([float(c) for c in below], np.exp(1j * angle)) + sharpness * np.polyval(
            [float(c) for c in transfer.numerator], np.exp(1j * angle)
        )
        assert abs(at) < 1e-6 * (1.0 + sharpness)


def test_a_crossing_that_no_sharpness_reaches():
    """Protects thresholds beyond float64's largest number: they are infinite, without an error."""
    sharpness, angle = first_to_leave(Transfer(exact([1e-309]), exact([1.0, -1.0])))
    assert math.isinf(sharpness)
    assert math.isnan(angle)


def test_numbers_of_catapults():
    """Protects amplification and inertia numbers: heavy ball's closed forms, and those of two other optimizers."""
    for beta in (0.0, 0.5, 0.9):
        ball = ss.HeavyBall(0.3, beta)
        assert ball.amplification() == pytest.approx((1 + beta) / (1 - beta), rel=1e-13)
        assert ball.inertia(0.01) == pytest.approx([0.01 * ((1 + beta) / (1 - beta)) ** 2] * 3, rel=1e-12)
    assert ss.HeavyBall(0.3, 0.9, 0.9).inertia(1.0).effective == pytest.approx(17.04, abs=0.005)
    aggregated = Aggregated(0.3, momenta=(0.0, 0.9))
    assert aggregated.amplification() == pytest.approx(7.21, abs=0.005)
    assert aggregated.inertia(1e-4)[:2] == pytest.approx([1.758e-4, 2.579e-3], rel=3e-4)
    grid = aggregated.inertia(np.array([0.0, 0.1]))
    assert grid.swing.shape == (2,)
    assert grid.effective[1] == pytest.approx((grid.swing[1] + 2 * grid.sharpness[1]) / 3)
    with pytest.raises(ValueError, match=r"excess must be .* got -0\.1"):
        aggregated.inertia(-0.1)


@pytest.mark.parametrize(
    "optimizer", [ss.HeavyBall(0.3, 0.8, 0.4), TwoMomenta(0.3, 0.2, 0.9), Mixed(0.3, 0.5)]
)
def test_coefficients_are_those_of_the_series(optimizer):
    """Protects σ, a₂, c₀ and τ: SymPy's series of T at −e^D and e^D."""
    d = sympy.Symbol("D")
    t = ratio(optimizer.transfer_function())
    known = optimizer.transfer_coefficients()
    swing = sympy.series(-known.threshold * t.subs(SYMBOL_Z, -sympy.exp(d)), d, 0, 3).removeO()
    slow = sympy.series(d * t.subs(SYMBOL_Z, sympy.exp(d)), d, 0, 2).removeO()
    assert [float(swing.coeff(d, k)) for k in range(3)] == pytest.approx(
        [1.0, -known.sigma, known.a2], rel=1e-9
    )
    assert float(slow.coeff(d, 0)) == pytest.approx(known.c0, rel=1e-9)
    assert float(slow.coeff(d, 1)) == pytest.approx(-known.c0 * known.tau, rel=1e-9)


class Bent(ss.Optimizer):
    """w ← w − η g (or another rule by its flag); not linear."""

    way: str = "square"
    size: float = setting(default=1.0, above=0)

    def rule(self, weights, states, gradient, lr, step):
        ways = {
            "square": lambda: weights - lr * gradient * gradient,
            "root": lambda: weights - lr * sqrt(gradient),
            "divided": lambda: weights - lr / (self.size + gradient),
            "decay": lambda: weights * (1.0 - 0.1 * lr) - lr * gradient,
            "constant": lambda: weights - lr * gradient - 0.1,
            "step": lambda: weights - lr * gradient / (1.0 + step),
            "condition": lambda: weights - where(gradient > 0.0, lr * gradient, 0.0),
            "root of lr": lambda: weights - sqrt(lr) * gradient,
        }
        return ways[self.way](), ()

    def begin(self, start, previous, lr):
        return ()

    def threshold_fraction(self):
        return 2.0, 1.0


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("square", "the rule of Bent is not linear in weights, states and gradient"),
        ("root", "the rule of Bent is not linear in"),
        ("divided", "the rule of Bent is not linear in"),
        ("condition", "the rule of Bent is not linear in"),
        ("constant", "the rule of Bent adds a constant to weights, states and gradient"),
        ("step", "the rule of Bent changes with the step"),
        ("decay", "the step of Bent must be proportional to lr"),
        ("root of lr", "the step of Bent must be proportional to lr"),
    ],
)
def test_rules_without_a_transfer_function_say_so(way, message):
    """Protects laws of linear optimizers from rules that are none: one line says why."""
    for method in ("transfer_function", "transfer_coefficients", "amplification"):
        with pytest.raises(NotImplementedError, match=message) as raised:
            getattr(Bent(0.1, way), method)()
        assert "\n" not in str(raised.value)
    with pytest.raises(NotImplementedError, match=message):
        Bent(0.1, way).inertia(0.1)
    with pytest.raises(NotImplementedError, match="the rule of Moments"):
        Moments(0.1).transfer_function()
