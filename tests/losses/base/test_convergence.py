"""The order at which differences converge: against errors whose powers are known by construction."""

import numpy as np
import pytest

from selfstab.losses.base.convergence import convergence, noise_of

W, V = np.array([0.7, -0.4]), np.array([0.6, 0.8])


def cubed(w):
    return np.array((w**3).sum())


SLOPE = np.array(3.0 * W**2 @ V)


def test_the_error_is_that_of_central_differences():
    """Protects the measure: of Σw³ the error is h²Σv³ exactly, so the order is 2 and the numbers are known."""
    measured = convergence(cubed, W, V, SLOPE)
    coarse = measured.steps > 1e-2
    assert measured.errors[coarse] == pytest.approx(measured.steps[coarse] ** 2 * (V**3).sum(), rel=1e-9)
    assert measured.order == pytest.approx(2.0, abs=0.01)
    assert measured.holds


@pytest.mark.parametrize("part", [1e-1, 1e-3, 1e-5, 1e-7])
def test_a_wrong_derivative_has_order_zero(part):
    """Protects the check's power: one part in ten million is seen, where one step size would see a thousandth."""
    assert not convergence(cubed, W, V, (1.0 + part) * SLOPE).holds


def test_an_exact_difference_has_no_order():
    """Protects quadratic losses: nothing is left of the error but rounding, which is no order of convergence."""
    measured = convergence(lambda w: np.array(0.5 * w @ w), W, V, np.array(W @ V))
    assert measured.order == np.inf
    assert measured.holds


@pytest.mark.parametrize("distance", [1e-4, 1e-2, 0.1])
def test_a_kink_nearby_is_no_wrong_derivative(distance):
    """Protects piecewise smooth losses, such as a network with relu: beyond the kink differences mean nothing."""

    def kinked(w):
        return np.array(np.maximum(w[0] - W[0] - distance, 0.0) + 2.0 * w[0])

    assert convergence(kinked, W, np.array([1.0, 0.0]), np.array(2.0)).holds
    assert not convergence(kinked, W, np.array([1.0, 0.0]), np.array(2.0001)).holds


@pytest.mark.parametrize("sigma", [1e-12, 1e-9, 1e-6])
def test_the_noise_is_that_put_in(sigma):
    """Protects the allowance for rounding: independent errors of a known size are estimated within a factor of 3."""
    generator = np.random.default_rng(0)
    estimates = [noise_of(lambda w: cubed(w) + sigma * generator.standard_normal(), W, V) for _ in range(20)]
    assert sigma / 3 < np.median(estimates) < 3 * sigma


def test_noise_in_the_function_is_not_held_against_its_derivative():
    """Protects losses in float32 or by iteration: errors within the function's own noise prove nothing."""
    generator = np.random.default_rng(0)

    def noisy(w):
        return cubed(w) + 1e-8 * generator.standard_normal()

    assert convergence(noisy, W, V, SLOPE).holds
    assert not convergence(noisy, W, V, 1.01 * SLOPE).holds


def test_nan_does_not_hold():
    """Protects the verdict: a comparison with NaN is no agreement."""
    assert not convergence(cubed, W, V, np.array(np.nan)).holds
    assert not convergence(lambda w: np.array(np.nan), W, V, SLOPE).holds
