"""Catapults with lookahead against the derivation, the iterated map and heavy ball's limits."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from selfstab import theory

FAMILY = [(0.9, 0.9), (0.9, 0.45), (0.5, 0.1), (0.0, 0.3), (0.6, -0.05)]


def test_lookahead_follows_the_derivation(at_50_digits):
    """Protects the five closed forms at random arguments, heavy ball close to instability included."""
    from derivations import a5b_lookahead

    rng = np.random.default_rng(0)
    for _ in range(30):
        momentum = rng.choice([0.0, rng.uniform(0.0, 1.0), 1.0 - 10.0 ** rng.uniform(-8.0, -1.0)])
        lookahead = rng.uniform(-0.24 * (1.0 - momentum), momentum)
        excess, y0, b = rng.uniform(0.0, 1e-3) * (1.0 - momentum) ** 2, *rng.uniform(0.1, 2.0, 2)
        values = {"beta": momentum, "gamma": lookahead, "epsilon": excess, "y_0": y0, "b": b}
        for got, name in (
            (theory.envelope_momentum(momentum, lookahead), "envelope_momentum"),
            (theory.lookahead_rate(excess, momentum, lookahead), "rate"),
            (theory.lookahead_inertia_number(excess, momentum, lookahead), "inertia_number"),
            (theory.lookahead_displacement(y0, momentum, lookahead, b**2), "max_displacement"),
            (theory.lookahead_overshoot(excess, momentum, lookahead), "overshoot"),
        ):
            expected = float(at_50_digits(a5b_lookahead.RESULTS[name], **values))
            np.testing.assert_allclose(got, expected, rtol=1e-12)


def map_overshoot(excess, momentum, lookahead):
    """Return the drop over 2Y₀ of the nondimensional map, in X and Y themselves, from a tiny flip."""
    step = 2.0 * (1.0 + momentum) / (1.0 + 2.0 * lookahead)
    y_previous = y = start = excess * step
    x = 1e-6 * start
    x_previous = -x
    while y > 0.0 or x * x + x_previous * x_previous > 1e-24 * start**2:
        seen_x, seen_y = x + lookahead * (x - x_previous), y + lookahead * (y - y_previous)
        x_next = x - (step + seen_y) * seen_x + momentum * (x - x_previous)
        y_next = y - seen_x**2 / 2.0 + momentum * (y - y_previous)
        x_previous, x, y_previous, y = x, x_next, y, y_next
    final = y + momentum / (1.0 - momentum) * (y - y_previous)
    return (start - final) / (2.0 * start)


@pytest.mark.parametrize(("momentum", "lookahead"), FAMILY)
def test_map_follows_its_series(momentum, lookahead):
    """Protects both inertias in the series: what it leaves out is of fourth order."""
    unit = theory.lookahead_inertia_number(1.0, momentum, lookahead)
    scale = max(unit, theory.lookahead_rate(1.0, momentum, lookahead))
    errors = [
        abs(map_overshoot(e, momentum, lookahead) - theory.lookahead_overshoot(e, momentum, lookahead))
        for e in np.array([0.02, 0.04]) / scale
    ]
    assert np.log2(errors[1] / errors[0]) == pytest.approx(4.0, abs=0.1)


def test_without_lookahead_it_is_heavy_ball():
    """Protects the limit γ = 0: heavy ball's momentum, inertia number and swing."""
    momentum = np.array([0.0, 0.5, 0.9, 0.999])
    np.testing.assert_array_equal(theory.envelope_momentum(momentum), momentum)
    np.testing.assert_allclose(
        theory.lookahead_inertia_number(0.01, momentum), theory.inertia_number(0.01, momentum), rtol=1e-14
    )
    np.testing.assert_allclose(
        theory.lookahead_displacement(0.1, momentum, 0.0, 2.0), theory.max_displacement(0.1, 2.0), rtol=1e-15
    )


def test_the_bracket_changes_sign():
    """Protects that κ_e is positive up to Nesterov's lookahead and negative far beyond."""
    momentum = np.linspace(0.0, 0.999, 50)
    assert (np.asarray(theory.lookahead_inertia_number(0.01, momentum, momentum)) > 0.0).all()
    assert (
        theory.lookahead_inertia_number(0.01, 0.3, 1.1)
        > 0.0
        > theory.lookahead_inertia_number(0.01, 0.3, 1.2)
    )


def test_inertia_of_the_sharpness_alone():
    """Protects the limit β → 1: G = κ_y/C² for large κ_y by the half-jet, whose C is computed here."""

    def slope(_, f):
        return [f[1], f[2], -f[0] * f[2]]

    # f = −1 + e^s near −∞; where f' levels off at V, scaling by √V gives −C = −1/√V.
    end = solve_ivp(
        slope, (-15.0, 40.0), [-1.0 + np.exp(-15.0), *[np.exp(-15.0)] * 2], rtol=1e-11, atol=1e-14
    )
    half_jet = end.y[1, -1] ** -0.5
    assert half_jet == pytest.approx(0.87575, abs=5e-6)
    momentum, lookahead = 1.0 - 1e-4, 0.5
    found = []
    for kappa in (50.0, 100.0):  # κ_y = (1 + β)μ/(2(1 − β))
        excess = kappa * (1.0 - momentum) / theory.lookahead_rate(1.0, momentum, lookahead)
        found.append(map_overshoot(excess, momentum, lookahead))
    # The slope of G in κ_y, free of the next, constant term.
    assert (found[1] - found[0]) / 50.0 == pytest.approx(1.0 / half_jet**2, rel=1e-2)


def test_lookahead_far_below_zero_is_refused():
    """Protects the family's border, where the flip is no longer the first instability."""
    with pytest.raises(ValueError, match=r"^lookahead must be above -\(1 - momentum\)/4, got -0\.1$"):
        theory.lookahead_rate(0.1, 0.9, [0.0, -0.1])


def test_no_friction_is_refused():
    """Protects the end of the range: 1 + 4γ − β = 0 exactly."""
    with pytest.raises(ValueError, match=r"lookahead"):
        theory.lookahead_rate(0.1, 0.5, -0.125)


def test_known_inertia_numbers():
    """Protects the comparison at β = 0.9: 17.04 ε with Nesterov's lookahead, 361 ε without any."""
    assert theory.lookahead_inertia_number(1e-3, 0.9, 0.9) / 1e-3 == pytest.approx(17.04, abs=5e-3)
    assert theory.lookahead_inertia_number(1e-3, 0.9, 0.0) / 1e-3 == pytest.approx(361.0, rel=1e-12)
