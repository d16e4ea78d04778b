"""The mean-square boundary against the derivation, the recursion of second moments and a Monte Carlo run."""

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from selfstab import theory


def test_noise_follows_the_derivation(at_50_digits):
    """Protects boundary and batch sharpness at random arguments; the growth is a root of the polynomial."""
    from derivations import a10_noise

    rng = np.random.default_rng(0)
    for _ in range(20):
        lr, momentum, share, deviation = rng.uniform([0.1, 0.01, 0.0, 0.0], [2.0, 0.99, 1.0, 1.0])
        mean = share * 2.0 * (1.0 + momentum) / lr
        values = {"eta": lr, "beta": momentum, "mu": mean, "s": deviation}
        expected = float(at_50_digits(a10_noise.RESULTS["boundary"], **values))
        # ημ is rounded once, and next to 2(1 + β) that is all that is left.
        assert theory.max_stable_noise(lr * mean, momentum) == pytest.approx(expected, rel=1e-12, abs=1e-15)
        expected = float(at_50_digits(a10_noise.RESULTS["batch_sharpness"], **values))
        assert theory.max_stable_batch_sharpness(lr, momentum, mean) == pytest.approx(expected, rel=1e-12)
        growth = theory.mean_square_growth(lr * mean, lr * deviation, momentum)
        polynomial = a10_noise.RESULTS["characteristic_polynomial"]
        assert float(at_50_digits(polynomial, **{"lambda": growth}, **values)) == pytest.approx(
            0.0, abs=1e-12
        )


@given(
    share=st.floats(0.01, 0.99),
    noise=st.floats(0.0, 2.0),
    momentum=st.floats(0.0, 0.95),
    mix=st.floats(0.0, 1.0),
)
def test_growth_of_the_recursion_of_moments(share, noise, momentum, mix):
    """Protects the growth: the second moments, iterated as a covariance over two-valued noise, grow at most by it."""
    mean = share * 2.0 * (1.0 + momentum)
    deviation = np.sqrt(noise * theory.max_stable_noise(mean, momentum))
    growth = theory.mean_square_growth(mean, deviation, momentum)
    # A step of 1/curvature ends at once, up to noise or momentum: rounding then decides what is left.
    assume(growth > 1e-6)
    steps = [
        np.array([[1.0 + momentum - h, -momentum], [1.0, 0.0]]) for h in (mean - deviation, mean + deviation)
    ]
    covariance, logarithm, logs = np.diag([mix + 0.01, 1.01 - mix]), 0.0, []
    for _ in range(400):
        covariance = 0.5 * sum(step @ covariance @ step.T for step in steps)
        size = np.trace(covariance)
        logarithm += np.log(size)
        covariance /= size
        logs.append(logarithm)
    rate = (logs[-1] - logs[199]) / 200.0
    # A double or triple root has a prefactor t²; a complex pair makes the trace swing.
    assert rate == pytest.approx(np.log(growth), abs=0.03)


@given(share=st.floats(0.01, 0.99), momentum=st.floats(0.0, 0.95))
def test_boundary_separates_decay_from_growth(share, momentum):
    """Protects the boundary: the spectral radius is 1 on it, below 1 below and above 1 above."""
    mean = share * 2.0 * (1.0 + momentum)
    deviation = np.sqrt(theory.max_stable_noise(mean, momentum))
    below, at, above = theory.mean_square_growth(mean, deviation * np.array([0.99, 1.0, 1.01]), momentum)
    assert below < 1.0 < above
    assert at == pytest.approx(1.0, abs=1e-9)
    batch = (mean**2 + deviation**2) / mean
    assert theory.max_stable_batch_sharpness(1.0, momentum, mean) == pytest.approx(batch, rel=1e-12)


def largest_root_at_50_digits(product, deviation, momentum):
    """Return the spectral radius of the moment matrix, by mpmath's roots of its polynomial."""
    with mpmath.workdps(120):  # a triple root keeps a third of the digits
        product, deviation, momentum = (mpmath.mpf(float(x)) for x in (product, deviation, momentum))
        square, spread = (1 + momentum - product) ** 2, deviation**2
        polynomial = [1, momentum - square - spread, momentum * (square - spread - momentum), -(momentum**3)]
        return float(max(abs(root) for root in mpmath.polyroots(polynomial, maxsteps=2000, extraprec=800)))


def test_growth_keeps_its_digits_at_multiple_roots():
    """Protects the factor where its roots meet: next to (1 ± √β)², with noise from none to strong."""
    rng = np.random.default_rng(2)
    for momentum in (1e-12, 0.25, 0.81, 0.9, 1.0 - 1e-6):
        for sign in (-1.0, 1.0):
            edge = (1.0 + sign * np.sqrt(momentum)) ** 2
            for shift in (0.0, 2e-16, -1e-13, 1e-9, -1e-4, 1e-2):
                product = edge * (1.0 + shift)
                for deviation in (0.0, 1e-12, 1e-6, 10.0 ** rng.uniform(-5.0, 0.5)):
                    expected = largest_root_at_50_digits(product, deviation, momentum)
                    found = theory.mean_square_growth(product, deviation, momentum)
                    assert found == pytest.approx(expected, rel=2e-15), (product, deviation, momentum)


def test_growth_anywhere():
    """Protects the factor over all its range, negative means and vast values included."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        product = rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-6.0, 3.0)
        deviation, momentum = 10.0 ** rng.uniform(-8.0, 3.0), rng.choice([0.0, rng.uniform(0.0, 1.0)])
        expected = largest_root_at_50_digits(product, deviation, momentum)
        assert theory.mean_square_growth(product, deviation, momentum) == pytest.approx(expected, rel=2e-15)
    for momentum in (0.0, 0.5):
        assert theory.mean_square_growth(1e120, 0.0, momentum) == pytest.approx(1e240, rel=1e-15)
        assert theory.mean_square_growth(0.0, 1e140, momentum) == pytest.approx(1e280, rel=1e-15)
    assert theory.mean_square_growth(1.0, 0.0, 0.0) == 0.0  # one step ends it


def test_monte_carlo():
    """Protects the meaning: the mean square of 200,000 runs with normal curvatures over ten steps, seed 0."""
    rng = np.random.default_rng(0)
    momentum, mean, deviation = 0.5, 1.2, 0.6
    x, previous = np.ones(200_000), np.full(200_000, -1.0)
    moments = np.array([1.0, -1.0, 1.0])
    turn = 1.0 + momentum - mean
    matrix = np.array([
        [turn**2 + deviation**2, -2.0 * momentum * turn, momentum**2], [turn, -momentum, 0.0], [1.0, 0.0, 0.0],
    ])  # fmt: skip
    for _ in range(10):
        h = mean + deviation * rng.standard_normal(x.size)
        previous, x = x, x - h * x + momentum * (x - previous)
        moments = matrix @ moments
        # Three standard errors of the sample's own mean square.
        error = 3.0 * np.std(x**2) / np.sqrt(x.size)
        assert np.mean(x**2) == pytest.approx(moments[0], abs=error)
    assert theory.mean_square_growth(mean, deviation, momentum) == pytest.approx(
        np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-14
    )


def test_limits():
    """Protects both plateaus, and NaN beyond the threshold of the mean."""
    assert theory.max_stable_batch_sharpness(0.1, 0.9, 0.0) == pytest.approx(2.0, rel=1e-14)
    end = theory.max_stable_sharpness(0.1, 0.9)
    assert theory.max_stable_batch_sharpness(0.1, 0.9, end) == pytest.approx(38.0, rel=1e-14)
    assert np.isnan(theory.max_stable_batch_sharpness(0.1, 0.9, 38.1))
    assert theory.max_stable_noise(3.0, 0.5) == 0.0
    assert np.isnan(theory.max_stable_noise(3.1, 0.5))
    for momentum in (0.0, 0.3, 0.9):
        for product in (0.1, 1.0, 2.5):
            assert theory.mean_square_growth(product, 0.0, momentum) == pytest.approx(
                theory.spectral_radius(product, momentum) ** 2, rel=1e-7
            )


def test_overflow_is_infinite_and_silent():
    """Protects against warnings at the end of the floating-point range."""
    assert theory.mean_square_growth(1e200, 0.0, 0.5) == np.inf
    assert theory.max_stable_batch_sharpness(1e-309, 0.5, 1.0) == np.inf
