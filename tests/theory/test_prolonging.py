"""What is left of a catapult against the derivation, the exact modes and the iterated map."""

import mpmath
import numpy as np
import pytest

from selfstab import theory


def test_prolonging_follows_the_derivation(at_50_digits):
    """Protects the closed forms at random arguments, β → 1 and small depths included."""
    from derivations import a6_prolonging

    rng = np.random.default_rng(0)
    for _ in range(30):
        momentum = rng.choice([rng.uniform(0.0, 1.0), 1.0 - 10.0 ** rng.uniform(-6.0, -1.0)])
        depth = rng.choice([rng.uniform(0.0, 1.0), 10.0 ** rng.uniform(-8.0, -1.0)])
        x, previous, change = rng.uniform(-1.0, 1.0, 3)
        threshold, b = rng.uniform(0.1, 2.0, 2)
        values = {"beta": momentum, "e": depth, "x": x, "x_previous": previous, "d": change}
        values |= {"S_star": threshold, "b": b}
        shallowest, deepest = theory.prolonged_depths(momentum)
        for got, name in (
            (theory.prolonging_factor(depth, momentum), "prolonging_factor"),
            (shallowest, "shallowest_prolonged"),
            (deepest, "deepest_prolonged"),
        ):
            expected = at_50_digits(a6_prolonging.RESULTS[name], **values)
            np.testing.assert_allclose(got, float(expected), rtol=1e-12)
        got = theory.remaining_drop(x, previous, change, threshold, momentum, depth, b**2)
        expected = float(at_50_digits(a6_prolonging.RESULTS["remaining_drop"], **values))
        # Coasting and swings, and the two squares in these, may cancel: the error is of the terms.
        terms = b**2 * (abs(x) + abs(previous)) ** 2 / (4.0 * threshold * depth * (1.0 - depth))
        terms = terms / (1.0 - momentum) ** 2 + abs(change) / (1.0 - momentum)
        assert abs(got - expected) <= 1e-14 * terms


def test_lifetime_near_the_threshold(at_50_digits):
    """Protects −1/ln|λ| from cancellation where the modes are real, |λ| → 1."""
    from derivations import a6_prolonging

    for momentum in (1e-3, 0.5, 0.9, 1.0 - 1e-8):
        border = (1.0 - np.sqrt(momentum)) ** 2 / (2.0 * (1.0 + momentum))
        for depth in np.array([1e-12, 1e-3, 0.5, 0.9]) * border:
            mode = at_50_digits(a6_prolonging.RESULTS["slowest_mode"], beta=momentum, e=depth)
            with mpmath.workdps(50):
                expected = float(-1 / mpmath.log(mode))
            np.testing.assert_allclose(theory.oscillation_lifetime(depth, momentum), expected, rtol=1e-12)
    assert theory.oscillation_lifetime(0.0, 0.9) == theory.oscillation_lifetime(1.0, 0.9) == np.inf


def test_lifetime_is_that_of_the_modes():
    """Protects the three ranges: real, complex and mirrored, against the modes themselves."""
    depth = np.linspace(0.01, 0.99, 50)[:, None]
    momentum = np.array([0.1, 0.5, 0.9])
    radius = theory.spectral_radius(2.0 * (1.0 + momentum) * (1.0 - depth), momentum)
    np.testing.assert_allclose(
        theory.oscillation_lifetime(depth, momentum), -1.0 / np.log(radius), rtol=1e-12
    )
    assert theory.oscillation_lifetime(0.5, 0.0) == 0.0


def test_momentum_prolongs_between_its_depths():
    """Protects the range: at its ends both lifetimes are equal, inside momentum's is longer, outside shorter."""
    for momentum in (0.1, 0.5, 0.9, 0.99):
        lower, upper = theory.prolonged_depths(momentum)
        for depth, sign in ((0.9 * lower, -1), (1.1 * lower, 1), (0.5, 1), (1.0 - 0.9 * (1.0 - upper), -1)):
            heavy, plain = (theory.oscillation_lifetime(depth, m) for m in (momentum, 0.0))
            assert np.sign(heavy - plain) == sign
        for depth in (lower, upper):
            heavy, plain = (theory.oscillation_lifetime(depth, m) for m in (momentum, 0.0))
            assert heavy == pytest.approx(plain, rel=1e-12)


def drop(size, momentum, depth, change):
    """Return the drop of the nondimensional map from a flip below the threshold, and the closed form's."""
    step = 2.0 * (1.0 + momentum)
    x, previous = size, -0.7 * size
    rise, rise_previous = (
        0.0,
        -change * size**2,
    )  # of y, apart from its start: what is measured is tiny beside that
    predicted = theory.remaining_drop(x, previous, change * size**2, step, momentum, depth)
    for _ in range(4000):
        x_next = x - step * (1.0 - depth) * x - rise * x + momentum * (x - previous)
        rise_next = rise - x * x / 2.0 + momentum * (rise - rise_previous)
        previous, x, rise_previous, rise = x, x_next, rise, rise_next
    return -rise, predicted


@pytest.mark.parametrize(("momentum", "depth"), [(0.0, 0.2), (0.5, 0.1), (0.9, 0.3), (0.9, 0.01)])
def test_drop_of_the_iterated_map(momentum, depth):
    """Protects the remaining drop, coasting included: its relative error is of second order in the swing."""
    errors = []
    for size in np.array([0.2, 0.1]) * depth * (1.0 - momentum):
        measured, predicted = drop(size, momentum, depth, -0.3)
        errors.append(abs(measured / predicted - 1.0))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
