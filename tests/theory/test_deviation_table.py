"""The literals of the overshoot's deviation: the generator, and the generator against the nonlinear equations."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from selfstab import theory
from selfstab.theory.deviation_table import SCALES, TABLE


@pytest.mark.parametrize("kappa", [0.1, 1.3, 6.0])
def test_table_is_that_of_the_generator(kappa):
    """Protects the shipped literals: the linearized equations, integrated."""
    from derivations import deviation_table

    law, *expected = deviation_table.deviations(kappa)
    assert theory.overshoot(kappa) == pytest.approx(law, rel=1e-9)
    of_map = theory.overshoot_deviation(kappa)
    found = [theory.overshoot_deviation(kappa, *weights) - of_map for weights in ((1.0, 0.0), (0.0, 1.0))]
    np.testing.assert_allclose([*found, of_map], expected, rtol=2e-8)


def test_generator_against_the_nonlinear_equations():
    """Protects the linearization: differences of orbits at ±ε, by the equations with σ and τ in them."""
    kappa, epsilon = 0.7, 1e-3

    def drop(sigma, tau):
        def slope(_, w):
            a, da, z, dz = w
            push = a * (1.0 + z + 0.5 * sigma * z * z + tau * a * a)
            return [da, (push - da) / kappa, dz, (-0.5 * a * a * (1.0 + sigma * z) - dz) / kappa]

        rate = 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * kappa))
        second = -0.5 / (4.0 * kappa * rate**2 + 2.0 * rate)
        s = 1e-4
        orbit = solve_ivp(
            slope, (0.0, 150.0), [s, rate * s, second * s * s, 2.0 * rate * second * s * s],
            method="DOP853", rtol=1e-11, atol=1e-14,
        )  # fmt: skip
        end = orbit.y[2, -1] + kappa * orbit.y[3, -1]
        return -(end + 0.5 * sigma * end**2) / 2.0

    for weights in ((1.0, 0.0), (0.0, 1.0)):
        sigma, tau = epsilon * np.array(weights)
        found = (drop(sigma, tau) - drop(-sigma, -tau)) / (2.0 * epsilon)
        expected = theory.overshoot_deviation(kappa, *weights) - theory.overshoot_deviation(kappa)
        # central differences err by ε² times the third order, of size P·G²
        assert found == pytest.approx(expected, rel=1e-4)


def test_range_and_scales_are_those_of_the_generator():
    """Protects the series from being read on another range of κ, or with other powers, than it was written for."""
    from derivations import deviation_table

    assert deviation_table.TABLE == TABLE
    assert pytest.approx(np.array(deviation_table.SCALES), rel=1e-15) == SCALES
