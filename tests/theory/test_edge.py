"""Cycles at the edge of stability against the derivation, the exact modes and the iterated map."""

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from selfstab import theory


def test_edge_follows_the_derivation(at_50_digits):
    """Protects period, growth, inertia number and displacement at random arguments."""
    from derivations import a7_edge

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


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0, 3.0, 30.0, 1e3])
def test_slow_period_follows_the_integral(size):
    """Protects the period of cycles of any size: the derived integral at 50 digits, its ends by Lambert's W."""
    lr, momentum, alpha = 0.3, 0.7, 0.02
    with mpmath.workdps(50):
        root = mpmath.sqrt(mpmath.mpf(alpha))
        m = mpmath.mpf(size) * mpmath.mpf(np.sqrt(alpha)) / root  # of the float that the function is given

        def dq(phi):
            s = m * mpmath.sin(phi)
            with mpmath.workdps(80):
                q = -1 - s**2 - mpmath.lambertw(-mpmath.exp(-1 - s**2), -1 if s > 0 else 0).real
                return 2 * s / mpmath.expm1(q) if s else mpmath.sqrt(2)

        inner = [mpmath.asin(cut / m) for cut in (1, 3, 9) if cut < m]
        ends = [-mpmath.pi / 2, *(-x for x in reversed(inner)), 0, *inner, mpmath.pi / 2]
        expected = float((1 - mpmath.mpf(momentum)) / (mpmath.mpf(lr) * root) * mpmath.quad(dq, ends))
    found = theory.slow_period(lr, momentum, alpha, size * np.sqrt(alpha))
    assert found == pytest.approx(expected, rel=1e-14)


def test_slow_period_is_the_derived_integral_over_q(at_50_digits):
    """Protects the formula that the derivation exports, with the ends of the integral in it."""
    from derivations import a3_slow_limit

    lr, momentum, alpha, size = 0.3, 0.7, 0.02, 1.5
    values = {"eta": lr, "beta": momentum, "alpha": alpha, "m": size}
    expected = at_50_digits(a3_slow_limit.RESULTS["period"], **values)
    # The roots at the ends cost the quadrature half of its digits and may leave a small imaginary part.
    assert theory.slow_period(lr, momentum, alpha, size * np.sqrt(alpha)) == pytest.approx(
        float(mpmath.re(expected)), rel=1e-8
    )


@pytest.mark.parametrize("size", [0.01, 1.0, 5.0])
def test_slow_period_of_the_integrated_flow(size):
    """Protects the meaning: the slow flow integrated from its largest y comes back to it after the period."""
    lr, momentum, alpha, b = 0.3, 0.7, 0.02, 1.5
    y_max = size * np.sqrt(alpha)

    def slope(_, state):
        y, log = state
        return [lr * (alpha - 0.5 * b**2 * np.exp(2.0 * log)) / (1.0 - momentum), lr * y / (1.0 - momentum)]

    def top(_, state):
        return state[1] - np.log(theory.edge_displacement(alpha, b**2))

    top.direction = 1.0
    period = theory.slow_period(lr, momentum, alpha, y_max)
    start = [y_max, np.log(theory.edge_displacement(alpha, b**2))]
    run = solve_ivp(
        slope, (0.0, 1.2 * period), start, method="DOP853", rtol=1e-12, atol=1e-14 * size, events=top
    )
    assert run.t_events[0][-1] == pytest.approx(period, rel=1e-9)


def test_slow_period_at_its_ends():
    """Protects both limits and what is between: small cycles, large ones, none without sharpening, no overflow."""
    lr, momentum, alpha = 0.3, 0.7, 0.02
    small = theory.cycle_period(lr, momentum, alpha)
    for y_max in (0.0, 1e-300, 1e-160, 1e-9):
        assert theory.slow_period(lr, momentum, alpha, y_max) == pytest.approx(small, rel=1e-14)
    ballistic = 2.0 * (1.0 - momentum) / (lr * alpha)
    for y_max in (1e9, 1e200):
        assert theory.slow_period(lr, momentum, alpha, y_max) == pytest.approx(ballistic * y_max, rel=1e-14)
    assert theory.slow_period(lr, momentum, 0.0, [0.0, 1.0]).tolist() == [np.inf, np.inf]
    assert theory.slow_period(1e-300, momentum, 1e-300, 1e300) == np.inf


def test_overflow_is_infinite_and_silent():
    """Protects against warnings where the growth exceeds the floating-point range."""
    assert theory.cycle_growth(1.0, 0.999, 1.0) == np.inf
    assert theory.cycle_period(1e-200, 0.0, 1e-300) == np.inf


def test_a_known_growth():
    """Protects the number: β = 0.5, a = 1e-6 grow by exp(0.026657) a cycle, the exact modes by exp(0.026656)."""
    assert np.log(theory.cycle_growth(1.0, 0.5, 1e-6)) == pytest.approx(0.026657, abs=5e-7)
    exponent = np.log(max(np.roots([1.0, -(1.5 + 1j * np.sqrt(2e-6)), 0.5]), key=abs))
    assert 2.0 * np.pi * exponent.real / exponent.imag == pytest.approx(0.026656, abs=1e-6)
