"""Cycles at the edge of stability against the derivation, the exact modes and the iterated map."""

import numpy as np
import pytest

from derivations import a7_edge
from selfstab import theory


def test_edge_follows_the_derivation(at_50_digits):
    """Protects period, growth, inertia number and displacement at random arguments."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        lr, b, momentum, alpha = rng.uniform([0.1, 0.1, 0.0, 0.0], [2.0, 2.0, 0.95, 1e-4])
        values = {"eta": lr, "b": b, "beta": momentum, "alpha": alpha}
        for got, name in (
            (theory.cycle_period(lr, momentum, alpha), "period"),
            (theory.cycle_growth(lr, momentum, alpha), "growth"),
            (theory.edge_inertia_number(lr, momentum, alpha), "inertia_number"),
            (theory.edge_displacement(alpha, b**2), "displacement"),
        ):
            expected = float(at_50_digits(a7_edge.RESULTS[name], **values))
            np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_leading_orders_of_the_exact_modes(momentum):
    """Protects period and growth: they approach those of the linearized map at second order in √(2a)."""
    period_errors, growth_errors = [], []
    for rate in np.array([2e-2, 1e-2]) * (1.0 - momentum) ** 2:
        alpha = rate**2 / 2.0
        exponent = np.log(max(np.roots([1.0, -(1.0 + momentum + 1j * rate), momentum]), key=abs))
        period = 2.0 * np.pi / exponent.imag
        period_errors.append(theory.cycle_period(1.0, momentum, alpha) / period - 1.0)
        growth_errors.append(
            np.log(theory.cycle_growth(1.0, momentum, alpha)) / (exponent.real * period) - 1.0
        )
    assert np.log2(period_errors[0] / period_errors[1]) == pytest.approx(2.0, abs=0.05)
    assert np.log2(growth_errors[0] / growth_errors[1]) == pytest.approx(2.0, abs=0.05)


def test_cycles_of_the_iterated_map():
    """Protects the meaning of period and growth: x and y iterated from near the edge, β = 0.5."""
    lr, momentum, alpha, b = 0.5, 0.5, 4e-6, 2.0
    threshold = theory.max_stable_sharpness(lr, momentum)
    x = theory.edge_displacement(alpha, b**2)
    previous, y, y_previous = -x, 1e-7, 1e-7
    peaks = []
    for step in range(20_000):
        x_next = x - lr * (threshold + y) * x + momentum * (x - previous)
        y_next = y + lr * (alpha - b**2 * x**2 / 2.0) + momentum * (y - y_previous)
        if y_previous < y >= y_next:
            peaks.append((step, y))
        previous, x, y_previous, y = x, x_next, y, y_next
    steps, heights = np.array(peaks).T
    cycles = len(steps) - 1
    assert cycles >= 5
    # The time of a peak is known to a step, and the start excites the fast modes: 1e-2 in each.
    assert np.ptp(steps) / cycles == pytest.approx(theory.cycle_period(lr, momentum, alpha), rel=1e-2)
    growth = (heights[-1] / heights[0]) ** (1.0 / cycles)
    assert np.log(growth) == pytest.approx(np.log(theory.cycle_growth(lr, momentum, alpha)), rel=1e-2)


def test_overflow_is_infinite_and_silent():
    """Protects against warnings where the growth exceeds the floating-point range."""
    assert theory.cycle_growth(1.0, 0.999, 1.0) == np.inf
    assert theory.cycle_period(1e-200, 0.0, 1e-300) == np.inf
