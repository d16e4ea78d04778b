"""Warmup's delay against the derivation, mpmath, the iterated envelope and the limits of the onset."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from selfstab import theory


def test_warmup_follows_the_derivation(at_50_digits):
    """Protects rates, crossing amplitude and growth at random arguments; 50 digits outlive all cancellation."""
    from derivations import a8_warmup

    rng = np.random.default_rng(0)
    for _ in range(15):
        momentum = rng.choice([rng.uniform(0.0, 1.0), 1.0 - 10.0 ** rng.uniform(-10.0, -1.0)])
        excess = 10.0 ** rng.uniform(-12.0, 1.5)
        lr, noise, ramp, sharpness = 10.0 ** rng.uniform(-6.0, 1.0, 4)
        start, end, steps = rng.uniform([0.0, 0.6, 1.0], [0.5, 1.0, 1e4])
        values = {
            "beta": momentum,
            "epsilon": excess,
            "eta": lr,
            "sigma": noise,
            "epsilondot": ramp,
            "S": sharpness,
        }
        values |= {"eta_0": start, "eta_1": end, "W": steps}
        growth = float(at_50_digits(a8_warmup.RESULTS["accumulated_growth"], **values))
        for got, name in (
            (theory.crossing_amplitude(noise, lr, momentum, ramp), "crossing_amplitude"),
            (theory.accumulated_growth(excess, momentum), "accumulated_growth"),
            (theory.ramp_rate(sharpness, momentum, start, end, steps), "ramp_rate"),
        ):
            expected = float(at_50_digits(a8_warmup.RESULTS[name], **values))
            np.testing.assert_allclose(got, expected, rtol=1e-12)
        values["epsilondot"] = growth / 20.0
        got = theory.ramp_amplitude(excess, 1.0, momentum, values["epsilondot"])
        expected = float(at_50_digits(a8_warmup.RESULTS["ramp_amplitude"], **values))
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@given(excess=st.floats(1e-12, 100.0), momentum=st.floats(0.0, 1.0 - 1e-12), ramp=st.floats(1e-8, 1e-2))
def test_onset_inverts_the_growth(excess, momentum, ramp):
    """Protects the solver over the whole range of κ."""
    gain = theory.accumulated_growth(excess, momentum) / ramp
    assert theory.onset_excess(gain, momentum, ramp) == pytest.approx(excess, rel=1e-12)


def test_onset_approaches_both_limits():
    """Protects the limits κ_on ≪ 1 (error of order κ) and κ_on ≫ 1 (of order κ^{-1/2} while ε is small)."""
    from derivations import a8_warmup

    for name, momentum, ramps, order in (
        ("slow_onset", 0.5, (1e-10, 1e-8), 0.5),
        ("fast_onset", 1.0 - 1e-7, (1e-15, 1e-13), -1.0 / 3.0),
    ):
        limit = sp.lambdify(sp.symbols("epsilondot Lambda beta", positive=True), a8_warmup.RESULTS[name])
        errors = [abs(limit(r, 10.0, momentum) / theory.onset_excess(10.0, momentum, r) - 1.0) for r in ramps]
        assert max(errors) < 0.05
        assert np.log(errors[1] / errors[0]) / np.log(ramps[1] / ramps[0]) == pytest.approx(order, abs=0.03)


def test_growth_of_the_iterated_envelope():
    """Protects exponent and prefactor: the envelope iterated on a ramp, with an error of first order in it."""
    for momentum in (0.0, 0.5, 0.9):
        errors = []
        for steps in (1000, 2000):
            previous = now = 1.0
            for t in range(steps):
                step = 2.0 * (1.0 + momentum) * 0.02 * t / steps
                previous, now = now, now + momentum * (now - previous) + step * now
            errors.append(abs(now / theory.ramp_amplitude(0.02, 1.0, momentum, 0.02 / steps) - 1.0))
        assert np.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.1)


def test_onset_with_its_own_saturation():
    """Protects the self-consistent onset, the largest solution, and NaN where there is none."""
    sharpness, momentum, ramp, b2 = 4.0, 0.9, np.array([1e-6, 1e-5, 1e-4]), 2.0
    excess = theory.warmup_onset(sharpness, 1e-6, momentum, ramp, b2)
    y0 = sharpness - sharpness / (1.0 + excess)
    gain = np.log(theory.max_displacement(y0, b2) / 1e-6)
    np.testing.assert_allclose(excess, theory.onset_excess(gain, momentum, ramp), rtol=1e-12)
    above = np.linspace(1.01, 100.0, 200)[:, None] * excess
    margin = theory.accumulated_growth(above, momentum) / ramp - np.log(
        theory.max_displacement(sharpness * above / (1.0 + above), b2) / 1e-6
    )
    assert (margin > 0.0).all()
    assert np.isnan(theory.warmup_onset(sharpness, 10.0, momentum, 1e-6))


def test_growth_without_excess_or_gain():
    """Protects the edge at the crossing itself, and overflow."""
    assert theory.accumulated_growth(0.0, 0.9) == 0.0
    assert theory.onset_excess(0.0, 0.9, 1e-4) == 0.0
    assert theory.ramp_amplitude(0.0, 0.3, 0.9, 1e-4) == pytest.approx(0.3, rel=1e-15)
    assert theory.ramp_amplitude(1.0, 0.3, 0.9, 1e-6) == np.inf


def test_a_ramp_must_rise():
    """Protects the meaning of a warmup."""
    with pytest.raises(ValueError, match=r"^end must be above start, got 0\.1$"):
        theory.ramp_rate(4.0, 0.9, 0.1, [0.2, 0.1], 100)


def test_drop_of_a_delayed_catapult():
    """Protects 2y₀G(κ_on), its limits in the warmup's length as derived, and NaN where nothing is delayed."""
    from derivations import a8_warmup

    sharpness, b2 = 4.0, 2.0
    excess = theory.warmup_onset(sharpness, 1e-6, 0.9, 1e-5, b2)
    law = theory.overshoot(theory.inertia_number(excess, 0.9))
    expected = 2.0 * sharpness * excess / (1.0 + excess) * law
    assert theory.warmup_drop(sharpness, 1e-6, 0.9, 1e-5, b2) == pytest.approx(expected, rel=1e-14)
    assert np.isnan(theory.warmup_drop(sharpness, 10.0, 0.9, 1e-6))
    for name, momentum, ramp in (("slow_drop", 0.5, 1e-11), ("fast_drop", 1.0 - 1e-6, 1e-13)):
        found = theory.warmup_drop(sharpness, 1e-200, momentum, ramp, b2)
        onset = theory.warmup_onset(sharpness, 1e-200, momentum, ramp, b2)
        gain = np.log(theory.max_displacement(sharpness * onset / (1.0 + onset), b2) / 1e-200)
        limit = sp.lambdify(sp.symbols("S epsilondot Lambda beta c", positive=True), a8_warmup.RESULTS[name])
        assert found == pytest.approx(limit(sharpness, ramp, gain, momentum, 3.32745265), rel=0.02), name
