"""Closed forms of linear optimizers against the derivation, the iterated map, roots, and the named optimizers' own."""

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp

import selfstab as ss
from selfstab import theory, transfer_functions
from tests.theory.linear_map import map_overshoot

BETA, NU, GAMMA = Fraction(9, 10), Fraction(7, 10), Fraction(1, 2)
z = sp.symbols("z")
NAMES = ("swing_inertia", "sharpness_inertia", "inertia_number", "amplification", "max_displacement")
TRANSFERS = {
    "heavy ball": (z / ((z - 1) * (z - sp.Rational(9, 10))), ss.HeavyBall(1.0, 0.9)),
    "lookahead": (
        (z + (z - 1) / sp.Integer(2)) / ((z - 1) * (z - sp.Rational(9, 10))),
        ss.HeavyBall(1.0, 0.9, 0.5),
    ),
    "averaged": (z / 10 / ((z - 1) * (z - sp.Rational(9, 10))), ss.AveragedHeavyBall(1.0, 0.9)),
    "aggregated": (
        sum(z / ((z - 1) * (z - p)) for p in (0, sp.Rational(1, 2), sp.Rational(9, 10))) / 3,
        ss.AggregatedMomentum(1.0, (0.0, 0.5, 0.9)),
    ),
}


@pytest.mark.parametrize("name", TRANSFERS)
def test_numbers_follow_the_derivation(name):
    """Protects all closed forms at once: exact fractions inserted in the derivation's formulas give the same."""
    from derivations import a11_linear

    transfer, optimizer = TRANSFERS[name]
    of_T = a11_linear.expansions(transfer)
    values = {
        **of_T,
        a11_linear.epsilon: sp.Rational(1, 1000),
        a11_linear.y0: sp.Rational(1, 10),
        a11_linear.b: 2,
    }
    results = {
        key: float(sp.sympify(value).subs(values))
        for key, value in a11_linear.RESULTS.items()
        if key in NAMES
    }
    assert theory.threshold(optimizer) == pytest.approx(float(of_T[a11_linear.threshold]), rel=1e-13)
    known = theory.inertia(optimizer, 1e-3)
    assert known.swing == pytest.approx(results["swing_inertia"], rel=1e-12)
    assert known.sharpness == pytest.approx(results["sharpness_inertia"], rel=1e-12)
    assert known.effective == pytest.approx(results["inertia_number"], rel=1e-12)
    assert theory.amplification(optimizer) == pytest.approx(results["amplification"], rel=1e-13)
    assert theory.linear_displacement(optimizer, 0.1, 4.0) == pytest.approx(
        results["max_displacement"], rel=1e-13
    )
    third = float(a11_linear.third_order.subs(values))
    kappa = results["inertia_number"]
    assert theory.linear_overshoot(optimizer, 1e-3) - 1.0 == pytest.approx(
        kappa + 2.0 * kappa**2 + third, rel=1e-11
    )
    at_one = {**values, a11_linear.epsilon: 1}
    first, cubic = kappa * 1e3, float(a11_linear.third_order.subs(at_one))
    fourth = 6.0 * first * cubic - 16.0 * first**4
    np.testing.assert_allclose(
        theory.linear_domain(optimizer, [0.01, 0.2]),
        (np.array([0.01, 0.2]) / abs(fourth)) ** 0.25,
        rtol=1e-11,
    )


def test_named_optimizers_agree_with_their_own_closed_forms():
    """Protects heavy ball and lookahead as special cases, close to instability as well."""
    from derivations import a5b_lookahead

    for momentum in (0.0, 0.5, 0.99, 0.9999):
        optimizer = ss.HeavyBall(0.3, momentum)
        assert theory.threshold(optimizer) == pytest.approx(
            theory.max_stable_sharpness(0.3, momentum), rel=1e-14
        )
        for kappa in theory.inertia(optimizer, 1e-4):
            assert kappa == pytest.approx(theory.inertia_number(1e-4, momentum), rel=1e-11)
        excess = np.array([1e-3, 0.1, 2.0])
        np.testing.assert_allclose(
            theory.growth(optimizer, excess), theory.growth_factor(excess, momentum), rtol=1e-11
        )
        nesterov = ss.HeavyBall(0.3, momentum, momentum)
        assert theory.inertia(nesterov, 1e-4).effective == pytest.approx(
            theory.lookahead_inertia_number(1e-4, momentum, momentum), rel=1e-11
        )
        assert theory.linear_overshoot(nesterov, 1e-6) == pytest.approx(
            theory.lookahead_overshoot(1e-6, momentum, momentum), rel=1e-11
        )
    values = {a5b_lookahead.beta: 0.9, a5b_lookahead.gamma: 0.9, a5b_lookahead.epsilon: 1.0}
    third = float(
        (a5b_lookahead.RESULTS["third_coefficient"] * a5b_lookahead.RESULTS["rate"] ** 3).subs(values)
    )
    kappa = theory.inertia(ss.HeavyBall(1.0, 0.9, 0.9), 1.0).effective
    over = theory.linear_overshoot(ss.HeavyBall(1.0, 0.9, 0.9), 1.0)
    assert over - 1.0 - kappa - 2.0 * kappa**2 == pytest.approx(third, rel=1e-11)


def test_methods_of_optimizers_agree():
    """Protects that an optimizer's methods and theory say the same, whatever its lr or schedule."""
    for optimizer in (ss.QuasiHyperbolic(0.3, 0.9, 0.7), ss.AggregatedMomentum(2.0, (0.0, 0.9, 0.99))):
        assert theory.threshold(optimizer) == pytest.approx(optimizer.max_stable_sharpness(), rel=1e-13)
        assert theory.amplification(optimizer) == pytest.approx(optimizer.amplification(), rel=1e-12)
        np.testing.assert_allclose(theory.inertia(optimizer, 0.01), optimizer.inertia(0.01), rtol=1e-10)
        warming = replace(optimizer, lr=ss.LinearWarmup(0.0, 0.1, 10))
        assert theory.inertia(warming, 0.01) == theory.inertia(optimizer, 0.01)
        with pytest.raises(
            ValueError, match=r"^optimizer must have a number as lr for a threshold, got LinearWarmup"
        ):
            theory.threshold(warming)


def test_quasi_hyperbolic_numbers():
    """Protects the published numbers of the page at ε = 1e-4."""
    quasi, aggregated = ss.QuasiHyperbolic(1.0, 0.9, 0.7), ss.AggregatedMomentum(1.0, (0.0, 0.9))
    np.testing.assert_allclose(theory.inertia(quasi, 1e-4)[:2], [1.136e-4, 1.517e-3], rtol=4e-4)
    np.testing.assert_allclose(theory.inertia(aggregated, 1e-4)[:2], [1.758e-4, 2.579e-3], rtol=4e-4)
    assert theory.amplification(quasi) == pytest.approx(2.97, abs=2e-3)
    assert theory.amplification(aggregated) == pytest.approx(7.21, abs=4e-3)


@pytest.mark.parametrize("momenta", [(0.0, 0.9), (0.3, 0.6, 0.8)])
def test_map_follows_the_series(momenta):
    """Protects G₃ on a map with several states: what the series leaves out is of fourth order."""
    pair = ss.AggregatedMomentum(1.0, momenta).transfer_function()
    scale = theory.inertia(pair, 1.0).effective
    errors = [
        abs(map_overshoot(*pair, e) - theory.linear_overshoot(pair, e))
        for e in np.array([0.02, 0.04]) / scale
    ]
    assert np.log2(errors[1] / errors[0]) == pytest.approx(4.0, abs=0.25)


def test_another_root_may_leave_first():
    """Protects the threshold where a pair of complex roots leaves before the flip: Neimark and Sacker's case."""
    # Lookahead −0.05 at β = 0.9 is below −(1 − β)/4: ηS = (1 − β)/(−γ) comes first.
    pair = [0.95, 0.05], [1.0, -1.9, 0.9]
    assert theory.threshold(pair) == pytest.approx(2.0, rel=1e-12)
    with pytest.raises(ValueError, match=r"^optimizer must lose its stability by a flip, at z = −1"):
        theory.inertia(pair, 0.01)
    above = [1.0 - 0.02, 0.02], [1.0, -1.9, 0.9]
    assert theory.threshold(above) == pytest.approx(3.8 / 0.96, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_threshold_is_where_stability_ends(seed):
    """Protects the search on the circle: roots of random systems are inside just below, outside just above."""
    rng = np.random.default_rng(seed)
    rest = np.array([1.0])
    for modulus, angle in zip(rng.uniform(0.0, 0.95, 2), rng.uniform(0.0, np.pi, 2), strict=True):
        rest = np.polymul(rest, [1.0, -2.0 * modulus * np.cos(angle), modulus**2])
    numerator = rng.normal(size=5)
    numerator *= np.sign(numerator.sum())
    denominator = np.polymul(rest, [1.0, -1.0])
    threshold = theory.threshold((numerator, denominator))
    inside, outside = (
        np.abs(np.roots(np.polyadd(denominator, factor * threshold * numerator))).max()
        for factor in (1.0 - 1e-6, 1.0 + 1e-6)
    )
    assert inside < 1.0 < outside
    for share in np.linspace(0.01, 0.99, 50):
        assert np.abs(np.roots(np.polyadd(denominator, share * threshold * numerator))).max() < 1.0


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        (0.1, TypeError, r"^optimizer must be a linear optimizer or a pair \(numerator, denominator\)"),
        (([1.0], [1.0, -1.0], 1), TypeError, r"^optimizer must be a linear optimizer or a pair"),
        ((["a"], [1.0, -1.0]), TypeError, r"^numerator must "),
        (([np.nan], [1.0, -1.0]), ValueError, r"^numerator must "),
        (([0.0], [1.0, -1.0]), ValueError, r"^numerator must have 1 to 65 coefficients"),
        (
            ([1.0, 0.0], [1.0, -1.0]),
            ValueError,
            r"^numerator must be of lower degree than denominator, got 1 and 1",
        ),
        (([1.0], [1.0, -0.9]), ValueError, r"^denominator must be 0 at z = 1, got 0\.09"),
        (([1.0], [1.0, -2.0, 1.0]), ValueError, r"^denominator must have its roots inside the unit circle"),
        (([1.0], [1.0, -2.5, 1.5]), ValueError, r"^denominator must have its roots inside the unit circle"),
        (([-1.0], [1.0, -1.0]), ValueError, r"^numerator must be above 0 at z = 1, got -1\.0"),
        (([1e60], [1.0, -1.0]), ValueError, r"^numerator must begin with"),
    ],
)
def test_bad_transfer_functions_are_refused(optimizer, error, message):
    """Protects the one clear line for each malformed T."""
    with pytest.raises(error, match=message):
        theory.threshold(optimizer)


def test_numbers_out_of_range_are_refused():
    """Protects the ranges of excess, error and y0."""
    optimizer = ss.HeavyBall(1.0, 0.9)
    for form in (theory.growth, theory.inertia, theory.linear_overshoot, theory.slow_overshoot):
        with pytest.raises(ValueError, match=r"^excess must be in \[0, inf\), got -0\.1"):
            form(optimizer, -0.1)
    with pytest.raises(ValueError, match=r"^error must be in \(0, 1\)"):
        theory.linear_domain(optimizer, 1.0)
    with pytest.raises(ValueError, match=r"^y0 must be in \[0, inf\), got -1\.0"):
        theory.linear_displacement(optimizer, -1.0)


def test_a_crossing_that_rounding_hides_is_no_law():
    """Protects catapults where poles crowd at 1: at half the flip's sharpness a root is outside, by 60 digits."""
    numerator = [0.35393604245391214, -0.051614187033531905]
    denominator = [1.0, -3.9992815904089074, 5.997844898723753, -3.997845026220541, 0.9992817179056959]
    flip = -np.polyval(denominator, -1.0) / np.polyval(numerator, -1.0)
    with mpmath.workdps(60):
        poly = [mpmath.mpf(c) for c in denominator]
        for k, c in enumerate(reversed(numerator)):
            poly[-1 - k] += mpmath.mpf(flip) / 2 * mpmath.mpf(c)
        assert max(map(abs, mpmath.polyroots(poly, maxsteps=500, extraprec=200))) > 1
    with pytest.raises(ValueError, match=r"^optimizer must have roots that are distinct"):
        theory.inertia((numerator, denominator), 0.1)


def test_many_momenta_close_together_are_exact():
    """Protects what follows from crowded poles: rounded coefficients of T gave 279.9 in place of 286.5."""
    momenta = np.linspace(0.9, 0.999, 8)
    optimizer = ss.AggregatedMomentum(0.1, tuple(momenta))
    expected = np.sum(1.0 / (1.0 - momenta)) / np.sum(1.0 / (1.0 + momenta))
    assert theory.amplification(optimizer) == pytest.approx(expected, rel=1e-12)
    assert optimizer.amplification() == pytest.approx(expected, rel=1e-12)
    assert theory.threshold(optimizer) == pytest.approx(optimizer.max_stable_sharpness(), rel=1e-12)


def test_no_root_is_taken_for_one_that_leaves():
    """Protects thresholds of very many momenta, whose float64 roots are outside the unit circle by rounding."""
    momenta = tuple(1.0 - 2.0 ** -np.arange(1.0, 13.0))
    transfer = ss.AggregatedMomentum(1.0, momenta).exact_transfer_function()
    sharpness, angle = transfer_functions.first_to_leave(transfer)
    assert angle == np.pi
    assert sharpness == pytest.approx(2.0 / np.mean([1.0 / (1.0 + beta) for beta in momenta]), rel=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        (ss.Adam(0.1), ValueError, r"^optimizer must be linear: the rule of Adam is not linear"),
        (ss.HeavyBall, TypeError, r"^optimizer must be a linear optimizer or a pair"),
    ],
)
def test_what_has_no_transfer_function_is_refused(optimizer, error, message):
    """Protects the one clear line for Adam, and for a class in place of an object."""
    for form in (theory.threshold, theory.amplification):
        with pytest.raises(error, match=message):
            form(optimizer)


def test_huge_numbers_are_silent():
    """Protects from warnings where a result is beyond float64."""
    optimizer = ss.QuasiHyperbolic(0.1, 0.9, 0.7)
    assert not np.isfinite(theory.linear_overshoot(optimizer, 1e200))
    assert theory.linear_displacement(optimizer, 1e308, 1e-308) == np.inf
    assert theory.linear_cycle_growth(optimizer, 1e308) == np.inf
    assert theory.linear_crossing_amplitude(optimizer, 1.0, 1e-320) > 1e78
    assert ss.AveragedHeavyBall(5e-324, 0.5).max_stable_sharpness() == np.inf
