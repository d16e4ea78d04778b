"""Drift of cycles with coupling against the derivation and the multipliers of the exact two-cycle."""

import numpy as np
import pytest

from selfstab import theory


def test_coupling_follows_the_derivation(at_50_digits):
    """Protects drift and critical coupling at random arguments, and the drift's digits next to the critical ζ."""
    from derivations import a7_drift

    rng = np.random.default_rng(0)
    for _ in range(20):
        lr, momentum, zeta = rng.uniform([0.1, 0.0, -3.0], [2.0, 0.99, 3.0])
        critical = theory.critical_coupling(momentum)
        assert critical == pytest.approx(
            float(at_50_digits(a7_drift.RESULTS["critical_coupling"], beta=momentum)), rel=1e-12
        )
        for z in (zeta, critical * (1.0 + 1e-3)):
            expected = float(at_50_digits(a7_drift.RESULTS["drift"], eta=lr, beta=momentum, zeta=z))
            assert theory.cycle_drift(lr, momentum, z) == pytest.approx(expected, rel=1e-12)


def multipliers(lr, momentum, zeta, eps):
    """Return the multipliers of the exact two-cycle: Newton on the map of two steps with its Jacobian."""

    def step(state):
        (x, y), old = state[:2], state[2:]
        slope = np.array([y * x + 1.5 * zeta * x**2 - eps, 0.5 * x**2 - eps])
        hessian = np.array([[y + 3.0 * zeta * x, x], [x, 0.0]])
        new = state[:2] - lr * slope + momentum * (state[:2] - old)
        jacobian = np.block([
            [(1.0 + momentum) * np.eye(2) - lr * hessian, -momentum * np.eye(2)], [np.eye(2), np.zeros((2, 2))]
        ])  # fmt: skip
        return np.concatenate([new, state[:2]]), jacobian

    threshold = theory.max_stable_sharpness(lr, momentum)
    swing = np.sqrt(2.0 * eps)
    offset = eps * (1.0 - 3.0 * zeta) / threshold
    state = np.array([swing + offset, threshold, offset - swing, threshold])
    for _ in range(8):
        middle, first = step(state)
        after, second = step(middle)
        state = state - np.linalg.solve(second @ first - np.eye(4), after - state)
    # Newton stops at y's rounding over the distance of its slowest multiplier from 1.
    assert np.abs(after - state).max() < 1e-7 * swing
    return np.linalg.eigvals(second @ first)


@pytest.mark.parametrize(("momentum", "share"), [(0.0, 0.5), (0.0, 2.0), (0.5, 0.5), (0.9, 0.0), (0.9, 1.5)])
def test_multipliers_of_the_exact_two_cycle(momentum, share):
    """Protects the sign, factor and order of the drift: half of it per εt is small cycles' exponent, up to O(ε)."""
    lr, zeta = 0.8, share * theory.critical_coupling(momentum)
    errors = []
    for eps in np.array([1e-3, 5e-4]) * (1.0 - momentum) ** 4:
        exponent = np.log(np.abs(multipliers(lr, momentum, zeta, eps)).max()) / (2.0 * eps)
        errors.append(exponent / (0.5 * theory.cycle_drift(lr, momentum, zeta)) - 1.0)
    assert np.abs(errors).max() < 0.02
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.1)


def test_without_coupling_small_cycles_grow_as_at_the_edge():
    """Protects against two answers to one question: ζ = 0 gives the growth of a cycle known before."""
    lr, momentum, eps = 0.8, 0.7, 1e-6
    # α = ε and b² = 1 on this loss
    exponent = 0.5 * theory.cycle_drift(lr, momentum, 0.0) * eps
    grown = np.exp(exponent * theory.cycle_period(lr, momentum, eps))
    assert grown == pytest.approx(theory.cycle_growth(lr, momentum, eps), rel=1e-12)


def test_overflow_is_infinite_and_silent():
    """Protects against warnings at the end of the floating-point range."""
    assert theory.cycle_drift(1e200, 0.5, 0.0) == np.inf
    assert theory.cycle_drift(1e200, 0.5, 1e200) == -np.inf
