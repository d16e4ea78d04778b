"""Two-cycles against the derivation, exact cycles of the double well, and numerical eigenvalues."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab import theory

WELL = (2.0, 6.0, 6.0)  # derivatives of ¼(w² − 1)² at 1


def test_cycles_follow_the_derivation(at_50_digits):
    """Protects coefficient, half-amplitude and growth at random arguments."""
    from derivations import a9_two_cycles

    rng = np.random.default_rng(0)
    for _ in range(40):
        lr, momentum, excess, second, third = rng.uniform(
            [0.1, 0.0, 0.0, 0.1, -2.0], [2.0, 0.99, 0.5, 3.0, 2.0]
        )
        fourth = 3.0 * third**2 / second - rng.uniform(0.1, 5.0)
        values = {"eta": lr, "beta": momentum, "e": excess, "L2": second, "L3": third, "L4": fourth}
        expected = float(at_50_digits(a9_two_cycles.RESULTS["flip_coefficient"], **values))
        # L₄ is next to 3L₃²/L₂ in some draws: its rounding counts by that factor.
        got = theory.flip_coefficient(lr, momentum, second, third, fourth)
        size = lr * (abs(fourth) + 3.0 * third**2 / second) / (6.0 * (1.0 - momentum))
        assert got == pytest.approx(expected, abs=1e-15 * size, rel=0)
        expected = float(at_50_digits(a9_two_cycles.RESULTS["half_amplitude"], **values))
        assert theory.two_cycle_half_amplitude(excess, second, third, fourth) == pytest.approx(
            expected, rel=1e-12
        )
        first, other = rng.uniform(-1.0, 5.0, 2)
        values = {"beta": momentum, "h_+": first, "h_-": other}
        trace, determinant = (
            float(at_50_digits(a9_two_cycles.RESULTS[name], **values)) for name in ("trace", "determinant")
        )
        # Next to a double root a rounding of the coefficients moves the roots by its square root.
        expected = np.abs(np.roots([1.0, -trace, determinant])).max()
        assert theory.two_cycle_growth(first, other, momentum) == pytest.approx(expected, rel=1e-8)


@given(first=st.floats(-2.0, 6.0), second=st.floats(-2.0, 6.0), momentum=st.floats(0.0, 0.99))
def test_growth_is_the_spectral_radius_of_two_steps(first, second, momentum):
    """Protects every branch of the growth: real of either sign, complex, p = 0."""
    steps = [np.array([[1.0 + momentum - h, -momentum], [1.0, 0.0]]) for h in (first, second)]
    radius = np.abs(np.linalg.eigvals(steps[1] @ steps[0])).max()
    assert theory.two_cycle_growth(first, second, momentum) == pytest.approx(radius, abs=2e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_cycle_of_the_double_well(momentum):
    """Protects half-amplitude and growth: A² = (2 − S*)/8 exactly; the cycle's period doubles where |λ| = 1."""
    for excess in (1e-6, 1e-3):
        exact = np.sqrt((2.0 - 2.0 / (1.0 + excess)) / 8.0)
        assert theory.two_cycle_half_amplitude(excess, *WELL) == pytest.approx(
            exact * np.sqrt(1.0 + excess), rel=1e-9
        )
    threshold = np.linspace(1.2, 1.99, 4000)  # S* = 2(1 + β)/η
    amplitude2 = (2.0 - threshold) / 8.0
    mean = np.sqrt(1.0 - 3.0 * amplitude2)
    points = [mean + sign * np.sqrt(amplitude2) for sign in (1.0, -1.0)]
    lr = 2.0 * (1.0 + momentum) / threshold
    growth = theory.two_cycle_growth(*(lr * (3.0 * w**2 - 1.0) for w in points), momentum)
    doubling = threshold[np.argmax(growth < 1.0)]
    # p/(1 + β)² = (1 − 2L''(w₊)/S*)(1 − 2L''(w₋)/S*) is the same at every β
    p = [1.0 - 2.0 * (3.0 * w**2 - 1.0) / threshold for w in points]
    assert np.interp(doubling, threshold, p[0] * p[1]) == pytest.approx(
        -(((1.0 - momentum) / (1.0 + momentum)) ** 2),
        abs=2e-3,  # a step of S*
    )


def test_no_cycle_is_nan():
    """Protects the side of the flip: supercritical cycles live beyond the threshold, subcritical ones below."""
    assert np.isnan(theory.two_cycle_half_amplitude(-0.1, *WELL))
    assert np.isnan(theory.two_cycle_half_amplitude(0.1, 1.0, 0.0, 1.0))
    assert theory.two_cycle_half_amplitude(-0.1, 1.0, 0.0, 1.0) == pytest.approx(np.sqrt(0.6), rel=1e-15)
    assert np.isnan(theory.two_cycle_half_amplitude(0.1, 3.0, 1.0, 1.0))  # 3L₃²/L₂ = L₄


def test_overflow_is_infinite_and_silent():
    """Protects against warnings at the end of the floating-point range."""
    assert theory.flip_coefficient(1e300, 0.5, 1e-300, 1.0, 0.0) == np.inf
    assert theory.two_cycle_growth(1e300, 1e300, 0.5) == np.inf


def test_no_cycle_at_the_threshold():
    """Protects the end of the branch: at zero excess its half-amplitude is 0."""
    assert theory.two_cycle_half_amplitude(0.0, 2.0, 1.0, 0.1) == 0.0
