"""The literals of the overshoot G: the generator, the join with the far form, and its constant by averaging."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from selfstab import theory
from selfstab.theory.overshoot_table import FAR, TABLE


def test_coefficients_are_those_of_the_generator():
    """Protects the shipped literals: table and far form against the generator's orbits."""
    from derivations import overshoot_table

    inside = np.geomspace(*TABLE, 40)
    expected = np.array([overshoot_table.overshoot(k) for k in inside])
    np.testing.assert_allclose(theory.overshoot(inside), expected, rtol=1e-11)
    np.testing.assert_allclose(theory.overshoot(inside) - 1.0, expected - 1.0, rtol=1e-11)
    beyond = np.array([2e4, 1e5])
    expected = np.array([overshoot_table.overshoot(k) for k in beyond])
    np.testing.assert_allclose(theory.overshoot(beyond), expected, rtol=1e-9)


def test_far_form_joins_the_table():
    """Protects continuity at κ = 10⁴ and the limit G/κ^{2/3}."""
    a, b = (theory.overshoot(TABLE[1] * (1.0 + shift)) for shift in (-1e-13, 1e-13))
    assert a == pytest.approx(b, rel=1e-9)
    assert theory.overshoot(1e30) / 1e20 == pytest.approx(3.327453, abs=1e-6)


def test_far_constant_by_averaging():
    """Protects the constant of κ^{2/3}: the action of the orbit without friction, and the averaged equation."""
    from derivations import a5_overshoot

    def bare(_, w):
        a, da, y, dy = w
        return [da, y * a, dy, -0.5 * a * a]

    s = 1e-4
    start = [s, s, 1.0 - s * s / 8.0, -s * s / 4.0]
    orbit = solve_ivp(bare, (0.0, 150.0), start, method="DOP853", rtol=1e-11, atol=1e-13)
    late = orbit.t > 120.0
    # E = 0: the action is ½y'²/√z; it swings by z^{−5/4}, and the swings average out.
    action = np.mean(0.5 * orbit.y[3, late] ** 2 / np.sqrt(-orbit.y[2, late]))

    def averaged(s, w):
        return [w[1], 4.0 / 9.0 * np.exp(-s) / np.sqrt(w[0]) - w[1]]

    bend = -8.0 / 15.0
    start = [s ** (4 / 3) * (1.0 + bend * s), 4 / 3 * s ** (1 / 3) + bend * 7 / 3 * s ** (4 / 3)]
    deepest = solve_ivp(averaged, (s, 60.0), start, method="DOP853", rtol=1e-11, atol=1e-15).y[0, -1]
    symbols = {str(symbol): symbol for symbol in a5_overshoot.RESULTS["far_constant"].free_symbols}
    constant = a5_overshoot.RESULTS["far_constant"].subs({symbols["J"]: action, symbols["Z_1"]: deepest})
    assert FAR[0] == pytest.approx(float(constant), rel=1e-6)
