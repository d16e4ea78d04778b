"""The edge of linear optimizers against the derivation, heavy ball's own closed forms, and sums of responses."""

import numpy as np
import pytest
import sympy as sp

import selfstab as ss
from selfstab import theory


def test_heavy_ball_has_its_own_closed_forms():
    """Protects all four as special cases."""
    alpha, ramp, mean = np.array([1e-8, 1e-5]), np.array([1e-7, 1e-5]), np.array([0.0, 0.3, 2.0, 7.0])
    for momentum in (0.0, 0.5, 0.99):
        optimizer = ss.HeavyBall(0.5, momentum)
        for ours, own in (
            (theory.linear_cycle_period(optimizer, alpha), theory.cycle_period(0.5, momentum, alpha)),
            (theory.linear_cycle_growth(optimizer, alpha), theory.cycle_growth(0.5, momentum, alpha)),
            (
                theory.linear_crossing_amplitude(optimizer, 0.1, ramp),
                theory.crossing_amplitude(0.1, 0.5, momentum, ramp),
            ),
            (
                theory.linear_batch_sharpness(optimizer, mean),
                theory.max_stable_batch_sharpness(0.5, momentum, mean),
            ),
        ):
            np.testing.assert_allclose(ours, own, rtol=1e-9)


def test_numbers_follow_the_derivation():
    """Protects the formulas for quasi-hyperbolic momentum, exact fractions inserted in the derivation's."""
    from derivations import a11_edge, a11_linear

    nu, beta = a11_linear.nu, a11_linear.beta
    transfer = a11_linear.quasi_hyperbolic.subs(
        {nu: sp.Rational(7, 10), beta: sp.Rational(9, 10), a11_linear.lr: sp.Rational(3, 10)}
    )
    values = {
        **a11_linear.expansions(transfer),
        a11_linear.alpha: 1e-6,
        a11_edge.ramp: 1e-6,
        a11_edge.noise: 0.1,
    }
    results = {
        name: float(a11_edge.RESULTS[name].subs(values))
        for name in ("cycle_period", "cycle_inertia", "crossing_amplitude", "batch_plateau")
    }
    optimizer = ss.QuasiHyperbolic(0.3, 0.9, 0.7)
    assert theory.linear_cycle_period(optimizer, 1e-6) == pytest.approx(results["cycle_period"], rel=1e-10)
    growth = np.exp(2.0 * np.pi * results["cycle_inertia"])
    assert theory.linear_cycle_growth(optimizer, 1e-6) == pytest.approx(growth, rel=1e-10)
    assert theory.linear_crossing_amplitude(optimizer, 0.1, 1e-6) == pytest.approx(
        results["crossing_amplitude"], rel=1e-10
    )
    assert theory.linear_batch_sharpness(optimizer, 0.0) == pytest.approx(results["batch_plateau"], rel=1e-12)


def test_noise_is_summed_rightly():
    """Protects Σh_k² against the sum itself, of a response iterated step by step, and both plateaus."""
    optimizer = ss.AggregatedMomentum(1.0, (0.0, 0.5, 0.9))
    numerator, denominator = optimizer.transfer_function()
    threshold = theory.threshold(optimizer)
    for share in (0.05, 0.5, 0.9):
        mean = share * threshold
        poles = np.polyadd(denominator, mean * numerator)
        h = np.zeros(4000)
        for k in range(h.size):
            recent = h[max(0, k - poles.size + 1) : k][::-1]
            h[k] = -poles[1 : 1 + recent.size] @ recent + (
                numerator[k - 1] if 1 <= k <= numerator.size else 0.0
            )
        expected = mean + 1.0 / (mean * (h @ h))
        assert theory.linear_batch_sharpness(optimizer, mean) == pytest.approx(expected, rel=1e-9)
    ends = theory.linear_batch_sharpness(optimizer, np.array([0.0, 1e-6, 1.0 - 1e-6, 1.0]) * threshold)
    np.testing.assert_allclose(
        ends, np.repeat([threshold / theory.amplification(optimizer), threshold], 2), rtol=1e-4
    )
    assert np.isnan(theory.linear_batch_sharpness(optimizer, 1.1 * threshold))


def test_noise_is_summed_exactly_where_poles_crowd():
    """Protects Σh_k² of many momenta close together, of which a float64 Lyapunov equation kept no digit."""
    optimizer = ss.AggregatedMomentum(1.0, tuple(np.linspace(0.9, 0.99, 10)))
    mean = 0.3 * theory.threshold(optimizer)
    w, states, squares = 0.0, (0.0,) * 10, 0.0
    for t in range(3000):
        w, states = optimizer.rule(w, states, mean * w + float(t == 0), 1.0, t)
        squares += w * w
    expected = mean + 1.0 / (mean * squares)
    assert theory.linear_batch_sharpness(optimizer, mean) == pytest.approx(expected, rel=1e-9)


def test_numbers_out_of_range_are_refused():
    """Protects the ranges of α, ramp, noise and μ."""
    optimizer = ss.HeavyBall(1.0, 0.9)
    for form in (theory.linear_cycle_period, theory.linear_cycle_growth):
        with pytest.raises(ValueError, match=r"^progressive_sharpening must be"):
            form(optimizer, 0.0)
    with pytest.raises(ValueError, match=r"^ramp must be"):
        theory.linear_crossing_amplitude(optimizer, 0.1, 0.0)
    with pytest.raises(ValueError, match=r"^noise must be"):
        theory.linear_crossing_amplitude(optimizer, -0.1, 1.0)
    with pytest.raises(ValueError, match=r"^mean_sharpness must be"):
        theory.linear_batch_sharpness(optimizer, -1.0)
