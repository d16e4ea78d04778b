"""The overshoot law against its differential equations, its series, its map and its listed values."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from selfstab import theory
from selfstab.theory import catapult
from selfstab.theory.overshoot_table import TABLE


def manifold_start(kappa, s, sqrt):
    """Return (a, a', y, y') on the unstable manifold, with an error of order s⁵."""
    mu = 2 / (1 + sqrt(1 + 4 * kappa))
    y2 = -1 / (2 * (4 * kappa * mu**2 + 2 * mu))
    a3 = y2 / (9 * kappa * mu**2 + 3 * mu - 1)
    y4 = -a3 / (16 * kappa * mu**2 + 4 * mu)
    a, da = s + a3 * s**3, mu * s + 3 * mu * a3 * s**3
    return [a, da, 1 + y2 * s**2 + y4 * s**4, 2 * mu * y2 * s**2 + 4 * mu * y4 * s**4]


def drop(kappa, a, da, y, dy):
    """Return G from a late state: y + κy' − ½∫a² with y frozen in the tail of a."""
    rest = (kappa * a * da + (kappa * da) ** 2 / 2 - kappa * y * a * a / 2 + a * a / 2) / -y
    return (1 - (y + kappa * dy - rest / 2)) / 2


@pytest.mark.parametrize("kappa", [0.3, 1.0, pytest.param(10.0, marks=pytest.mark.slow)])
def test_against_mpmath(kappa):
    """Protects the coefficients: the orbit recomputed by another integrator at 20 digits."""
    with mpmath.workdps(20):
        k = mpmath.mpf(kappa)

        def slope(_, state):
            a, da, y, dy = state
            return [da, (y * a - da) / k, dy, (-(a**2) / 2 - dy) / k]

        orbit = mpmath.odefun(slope, 0, manifold_start(k, mpmath.mpf("1e-5"), mpmath.sqrt))
        time = mpmath.mpf(15)
        while not (orbit(time)[2] < 0 and orbit(time)[0] ** 2 + k * orbit(time)[1] ** 2 < 1e-12):
            time += 5
        expected = float(drop(k, *orbit(time)))
    assert theory.overshoot(kappa) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("kappa", [0.01, 0.03, 4.0, 60.0])
def test_against_a_library_integrator(kappa):
    """Protects series and table: the orbit by SciPy's DOP853."""

    def slope(_, state):
        a, da, y, dy = state
        return [da, (y * a - da) / kappa, dy, (-(a**2) / 2 - dy) / kappa]

    def settled(_, state):
        return state[0] ** 2 + kappa * state[1] ** 2 - 1e-10 if state[2] < 0 else 1.0

    settled.terminal = True
    start = manifold_start(kappa, 1e-3, np.sqrt)
    orbit = solve_ivp(slope, (0.0, 1e5), start, method="DOP853", rtol=1e-12, atol=1e-14, events=settled)
    # The integrator's tolerance holds per step; over the orbit 1e-9 is what it keeps.
    assert theory.overshoot(kappa) == pytest.approx(drop(kappa, *orbit.y[:, -1]), rel=1e-9)


def test_series_is_the_derived_one():
    """Protects the shipped series, and the size of its first neglected term where the table takes over."""
    from derivations import a5_overshoot

    assert [float(c) for c in a5_overshoot.SERIES] == [float(c) for c in catapult.SERIES]
    small = np.array([1e-9, 1e-4, 0.019])
    exact = sp.lambdify(a5_overshoot.kappa, a5_overshoot.RESULTS["series"])
    np.testing.assert_allclose(theory.overshoot(small), exact(small), rtol=1e-15)
    a, b = (theory.overshoot(TABLE[0] * (1.0 + shift)) for shift in (-1e-13, 1e-13))
    assert a == pytest.approx(b, rel=1e-12)


@pytest.mark.parametrize(
    ("kappa", "expected", "digits"),
    [(0.1, 1.1199058, 7), (1.0, 2.6534172, 7), (10.0, 13.312190, 6)],
)
def test_known_values(kappa, expected, digits):
    """Protects values computed before this library existed."""
    assert round(theory.overshoot(kappa), digits) == expected


def test_known_scaling():
    """Protects G/κ^{2/3} at κ = 10², 10³, 10⁴, computed before this library existed."""
    kappa = np.array([1e2, 1e3, 1e4])
    np.testing.assert_allclose(theory.overshoot(kappa) / kappa ** (2 / 3), [3.145, 3.264, 3.307], atol=5e-4)


@pytest.mark.parametrize("kappa", [1e-3, 0.05, 1.0, 30.0, 1e6])
def test_spike_factor_against_a_library_integrator(kappa):
    """Protects the spike's series over all κ: the orbit's peak by SciPy, stiff at small κ."""
    rate = 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * kappa))
    start = manifold_start(kappa, 1e-3, np.sqrt)
    # In the time rate·t, along which the orbit leaves as an exponential at every κ.
    start[1], start[3] = start[1] / rate, start[3] / rate
    inertia = kappa * rate**2

    def slope(_, state):
        a, da, y, dy = state
        return [da, (y * a - rate * da) / inertia, dy, (-(a**2) / 2 - rate * dy) / inertia]

    def turn(_, state):
        return state[1]

    turn.terminal, turn.direction = True, -1.0
    orbit = solve_ivp(slope, (0.0, 40.0), start, method="Radau", rtol=1e-11, atol=1e-13, events=turn)
    assert theory.spike_factor(kappa) == pytest.approx(0.5 * orbit.y_events[0][0][0] ** 2, rel=1e-8)


def test_limits_of_the_spike_factor():
    """Protects the derived slope at κ = 0, and the finite limit at κ → ∞."""
    from derivations import a5_overshoot, spike_table

    slope = a5_overshoot.RESULTS["spike_factor"].coeff(a5_overshoot.kappa, 1)
    assert theory.spike_factor(0.0) == 1.0
    assert (theory.spike_factor(1e-6) - 1.0) / 1e-6 == pytest.approx(float(slope), rel=1e-5)
    assert theory.spike_factor(1e300) == pytest.approx(spike_table.spike_factor(0.0), rel=1e-11)


def test_map_approaches_the_spike_factor():
    """Protects the factor's meaning: heavy ball's largest swing at β near 1 and κ = 1, within order 1 − β."""
    a, y, va, vy = 1e-8, 1.0, 0.0, 0.0
    beta = 0.999
    rate = 2.0 * (1.0 - beta) ** 2 / (1.0 + beta)  # ηy₀ at κ = 1
    largest = 0.0
    while a > 0.0:
        va, vy = beta * va + rate * y * a, beta * vy - 0.5 * rate * a * a
        a, y = a + va, y + vy
        largest = max(largest, a)
    assert 0.5 * largest**2 == pytest.approx(theory.spike_factor(1.0), rel=3e-3)


def map_overshoot(kappa, momentum):
    """Return the drop over 2Y₀ of the nondimensional map from a tiny oscillation at rest."""
    start = 2.0 * (1.0 - momentum) ** 2 * kappa / (1.0 + momentum)
    a_previous = a = 1e-7 * start
    y_previous = y = start
    while y > 0.0 or a * a + a_previous * a_previous > 1e-20 * start**2:
        a_next = a + momentum * (a - a_previous) + y * a
        y_next = y + momentum * (y - y_previous) - a * a / 2.0
        a_previous, a, y_previous, y = a, a_next, y, y_next
    final = y + momentum / (1.0 - momentum) * (y - y_previous)
    return (start - final) / (2.0 * start)


def test_map_approaches_the_law():
    """Protects the law's meaning: heavy ball itself, iterated at β = 0.99, differs by order ρ² = 2.5e-5."""
    for kappa in (0.1, 1.0):
        assert map_overshoot(kappa, 0.99) == pytest.approx(theory.overshoot(kappa), rel=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.7])
def test_map_follows_its_series(momentum):
    """Protects the series on the map at any β: what it leaves out is of order κ⁶."""
    from derivations import a5_overshoot

    series = sp.lambdify((a5_overshoot.kappa, a5_overshoot.rho), a5_overshoot.RESULTS["map_series"])
    rho = (1.0 - momentum) / (1.0 + momentum)
    kappas = np.array([0.02, 0.04])
    rest = [abs(map_overshoot(kappa, momentum) - series(kappa, rho)) for kappa in kappas]
    assert np.log2(rest[1] / rest[0]) == pytest.approx(6.0, abs=0.5)


@given(kappa=st.floats(0.0, 1e8))
def test_overshoot_grows_with_inertia(kappa):
    """Protects monotony across the joins of series, table and far form."""
    assert 1.0 <= theory.overshoot(kappa) < theory.overshoot(kappa * (1.0 + 1e-6) + 1e-6)


def test_no_inertia_no_overshoot():
    """Protects G(0) = 1 to the last bit, and the slow limit's final sharpness S* − y₀."""
    assert theory.overshoot(0) == 1.0
    assert theory.final_sharpness(4.0, 0.25, 0.0) == 3.75


def test_final_sharpness_follows_the_derivation(at_50_digits):
    """Protects S* − y₀(2G − 1)."""
    from derivations import a5_overshoot

    expression = a5_overshoot.RESULTS["final_sharpness"]
    for threshold, y0, kappa in ((5.0, 0.1, 2.0), (100.0, 0.7, 0.3)):
        expected = at_50_digits(expression, S_star=threshold, y_0=y0, G=theory.overshoot(kappa))
        assert theory.final_sharpness(threshold, y0, kappa) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("kappa", [-1e-300, -1.0, np.nan, np.inf])
def test_bad_kappa(kappa):
    """Protects against a catapult without excess."""
    with pytest.raises(ValueError, match=r"kappa must be in \[0, inf\), got"):
        theory.overshoot([1.0, kappa])
