"""Counter-based noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.runs.noise import normal

KEEP = ["weights"]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**63), repeat=st.integers(0, 2**31), first=st.integers(0, 10**12), length=st.integers(0, 9),
    more=st.integers(0, 9), dimension=st.integers(1, 9),
)  # fmt: skip
def test_a_number_depends_on_its_place_only(seed, repeat, first, length, more, dimension):
    """Protects resumed and longer runs: any range of steps gives the numbers of a longer one."""
    part = normal(seed, repeat, first, first + length, dimension)
    whole = normal(seed, repeat, max(first - more, 0), first + length + more, dimension)
    offset = first - max(first - more, 0)
    assert np.array_equal(part, whole[offset : offset + length])


def test_places_differ():
    """Protects independence: no number is repeated over seeds, repeats, steps and components."""
    numbers = [normal(seed, repeat, 0, 50, 5) for seed in range(3) for repeat in range(3)]
    assert np.unique(numbers).size == 9 * 250


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_moments(dimension):
    """Protects the distribution: mean, variance, fourth moment and correlations within 4.5 standard errors."""
    x = normal(7, 0, 0, 40_000, dimension)
    n = x.size
    assert abs(x.mean()) < 4.5 / np.sqrt(n)
    assert abs((x**2).mean() - 1) < 4.5 * np.sqrt(2 / n)
    assert abs((x**4).mean() - 3) < 4.5 * np.sqrt(96 / n)
    assert abs((x[1:] * x[:-1]).mean()) < 4.5 / np.sqrt(n)
    assert abs(x).max() < 7
    if dimension > 1:
        assert abs((x[:, 1:] * x[:, :-1]).mean()) < 4.5 / np.sqrt(n)


def test_a_run_sees_that_noise():
    """Protects where it enters: added to the gradient, so that one step from rest moves by −η(∇L + σξ)."""
    loss, lr, sigma = ss.Quadratic([1.0, 2.0]), 0.25, 0.5
    run = ss.simulate(loss, ss.HeavyBall(lr), [1.0, 1.0], 8, noise=sigma, seed=5, keep=KEEP)
    w = run.weights.values
    force = (w[:-1] - w[1:]) / lr - w[:-1] * [1.0, 2.0]
    assert force == pytest.approx(sigma * normal(5, 0, 0, 8, 2), rel=1e-12, abs=1e-14)


def test_the_length_of_a_run_changes_nothing(same_bits):
    """Protects a run's beginning from its end."""
    loss, optimizer = ss.Product(), ss.HeavyBall(0.1, 0.5)
    short = ss.simulate(loss, optimizer, [1.5, 0.5], 30, noise=0.01, seed=2, keep=KEEP)
    long = ss.simulate(loss, optimizer, [1.5, 0.5], 90, noise=0.01, seed=2, keep=KEEP)
    assert same_bits(short.weights.values, long.weights.values[:31])
    other = ss.simulate(loss, optimizer, [1.5, 0.5], 30, noise=0.01, seed=3, keep=KEEP)
    assert not same_bits(short.weights.values, other.weights.values)


def test_no_noise_is_no_noise(same_bits):
    """Protects runs without noise from the seed."""
    loss, optimizer = ss.Product(), ss.HeavyBall(0.1, 0.5)
    a, b = (ss.simulate(loss, optimizer, [1.5, 0.5], 30, seed=s, keep=KEEP).weights.values for s in (0, 1))
    assert same_bits(a, b)
