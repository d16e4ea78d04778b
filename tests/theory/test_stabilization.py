"""Weights, inertia number and the slow limit against derivations, sums and the slow equations."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab import theory


def test_weight_follows_the_derivation(at_50_digits):
    """Protects (1 − β^k)/(1 − β) from cancellation as β → 1, where it tends to k."""
    from derivations import a1_unrolled

    for momentum in (1e-300, 1e-3, 0.5, 0.9, 1.0 - 1e-8, 1.0 - 1e-16):
        for steps in (0, 1, 2, 17, 100_000):
            expected = at_50_digits(a1_unrolled.RESULTS["weight"], beta=momentum, k=steps)
            assert theory.stabilization_weight(steps, momentum) == pytest.approx(float(expected), rel=1e-14)


@given(steps=st.integers(0, 200), momentum=st.floats(0.0, 1.0, exclude_max=True))
def test_weight_is_the_geometric_sum(steps, momentum):
    """Protects the weight's definition 1 + β + ... + β^{k−1}, β = 0 included."""
    expected = sum(momentum**power for power in range(steps))
    assert theory.stabilization_weight(steps, momentum) == pytest.approx(expected, rel=1e-13)


def test_weight_in_the_limit():
    """Protects the limits 1/(1 − β) and, at equal threshold, (1 + β)/(1 − β)."""
    momentum = np.array([0.0, 0.5, 0.9])
    limit = theory.stabilization_weight(np.inf, momentum)
    np.testing.assert_allclose(limit, 1.0 / (1.0 - momentum), rtol=1e-15)


def test_weight_refuses_broken_steps():
    """Protects the meaning of a step count."""
    with pytest.raises(ValueError, match=r"steps must be whole numbers >= 0, got 1\.5"):
        theory.stabilization_weight([1, 1.5], 0.5)


def test_inertia_number_follows_the_derivation(at_50_digits):
    """Protects κ = ε((1 + β)/(1 − β))² and its equality with (1 + β)ηy₀/(2(1 − β)²)."""
    from derivations import a4_inertia

    rng = np.random.default_rng(0)
    for _ in range(20):
        excess, momentum, lr = rng.uniform(0.0, 0.5), rng.uniform(0.0, 0.9999), rng.uniform(0.01, 1.0)
        got = theory.inertia_number(excess, momentum)
        expected = at_50_digits(a4_inertia.RESULTS["inertia_number"], epsilon=excess, beta=momentum)
        np.testing.assert_allclose(got, float(expected), rtol=1e-12)
        y0 = excess * theory.max_stable_sharpness(lr, momentum)
        by_y0 = at_50_digits(a4_inertia.RESULTS["inertia_number_by_y0"], y_0=y0, beta=momentum, eta=lr)
        np.testing.assert_allclose(got, float(by_y0), rtol=1e-12)


def test_slow_limit_follows_the_derivation(at_50_digits):
    """Protects energy, orbit, largest swing and spike at random arguments."""
    from derivations import a3_slow_limit

    rng = np.random.default_rng(1)
    for _ in range(20):
        lr, b, y0, alpha, amplitude, threshold = rng.uniform(0.05, 2.0, 6)
        momentum, t, y = rng.uniform(0.0, 0.95), rng.uniform(-40.0, 40.0), rng.uniform(-2.0, 2.0)
        values = {"eta": lr, "b": b, "y_0": y0, "alpha": alpha, "A": amplitude, "S_star": threshold}
        values |= {"beta": momentum, "t": t, "y": y}
        orbit_y, orbit_amplitude = theory.slow_orbit(t, lr, momentum, y0, b**2)
        for got, name in (
            (theory.slow_energy(y, amplitude, alpha, b**2), "energy"),
            (orbit_y, "orbit_y"),
            (orbit_amplitude, "orbit_amplitude"),
            (theory.max_displacement(y0, b**2), "max_displacement"),
            (theory.loss_spike(threshold, y0, b**2), "loss_spike"),
        ):
            expected = float(at_50_digits(a3_slow_limit.RESULTS[name], **values))
            # A tail is the exponential of a phase up to 3200, and each rounding of that counts as often.
            np.testing.assert_allclose(got, expected, rtol=2e-12)


def test_orbit_conserves_the_energy():
    """Protects that y²/2 + b²A²/4 is y₀²/2 all along the orbit."""
    t = np.linspace(-400.0, 400.0, 81)
    y, amplitude = theory.slow_orbit(t, lr=0.2, momentum=0.9, y0=0.05, stabilization=3.0)
    np.testing.assert_allclose(theory.slow_energy(y, amplitude, 0.0, 3.0), 0.05**2 / 2.0, rtol=1e-14)


def test_orbit_is_the_slow_limit_of_the_map():
    """Protects the speed (1 − β)ẏ = ηyA: the iterated map approaches the orbit at first order in y₀."""
    lr, momentum = 1.0, 0.6
    errors = []
    for y0 in (4e-4, 2e-4):
        span = round(2.0 * (1.0 - momentum) / (lr * y0))
        y, amplitude = theory.slow_orbit(np.array([-span - 1, -span]), lr, momentum, y0)
        y_previous, y_now = y
        a_previous, a_now = amplitude
        for _ in range(2 * span):
            a_next = a_now + momentum * (a_now - a_previous) + lr * y_now * a_now
            y_next = y_now + momentum * (y_now - y_previous) - lr * a_now**2 / 2.0
            a_previous, a_now, y_previous, y_now = a_now, a_next, y_now, y_next
        y_end, _ = theory.slow_orbit(span, lr, momentum, y0)
        errors.append(abs(y_now - y_end) / y0)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.05)


def test_energy_at_rest():
    """Protects the logarithm at A = 0: without progressive sharpening it is absent, with it H is infinite."""
    assert theory.slow_energy(2.0, 0.0) == 2.0
    assert theory.slow_energy(0.0, 0.0, 0.1) == np.inf


def test_turning_amplitudes_lie_on_one_level(at_50_digits):
    """Protects the turning points by Lambert's W: both have the energy H, on either side of δ."""
    from derivations import a3_slow_limit

    alpha, b, energy = 0.2, 1.5, 0.9
    low, high = (
        at_50_digits(a3_slow_limit.RESULTS[name], alpha=alpha, b=b, H=energy)
        for name in ("smallest_turning_amplitude", "largest_turning_amplitude")
    )
    assert mpmath.im(low) == mpmath.im(high) == 0
    assert float(low.real) < theory.edge_displacement(alpha, b**2) < float(high.real)
    for amplitude in (low, high):
        assert theory.slow_energy(0.0, float(amplitude.real), alpha, b**2) == pytest.approx(energy, rel=1e-13)


def test_time_of_a_swing(at_50_digits):
    """Protects the time from a swing to the same swing again, without progressive sharpening."""
    from derivations import a3_slow_limit

    lr, momentum, y0, b, amplitude = 0.3, 0.8, 0.05, 1.5, 0.01
    values = {"eta": lr, "beta": momentum, "y_0": y0, "b": b, "A": amplitude}
    time = float(at_50_digits(a3_slow_limit.RESULTS["swing_time"], **values))
    _, found = theory.slow_orbit(np.array([-0.5, 0.5]) * time, lr, momentum, y0, b**2)
    np.testing.assert_allclose(found, amplitude, rtol=1e-12)


def test_the_orbit_long_before_and_after():
    """Protects the tails of the swing from overflow: it is 0 there, not NaN."""
    _, amplitude = theory.slow_orbit(np.array([-1e9, 1e9]), lr=0.1, momentum=0.5, y0=0.02)
    assert amplitude.tolist() == [0.0, 0.0]
