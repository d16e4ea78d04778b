"""Fitted orders, domains and modes on synthetic data with known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab.verification.fits import fitted_order, largest_within, recurrence_roots


@given(order=st.floats(0.5, 5.0), coefficient=st.floats(1e-6, 1e6), smallest=st.floats(1e-6, 0.1))
def test_order_of_a_pure_power(order, coefficient, smallest):
    """Protects the fit: a power is found whatever its coefficient and range."""
    small = smallest * np.geomspace(1.0, 30.0, 5)
    assert fitted_order(small, coefficient * small**order) == pytest.approx(order, abs=1e-9)


def test_order_of_a_constant_error_is_zero():
    """Protects the verdicts: an error that does not fall cannot have the expected order."""
    assert fitted_order(np.array([0.01, 0.02]), np.array([0.3, 0.3])) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -1.0])
def test_order_without_a_power_is_nan(bad):
    """Protects against a fit through errors that are no power of anything."""
    assert np.isnan(fitted_order(np.array([0.1, 0.2, 0.4]), np.array([0.1, bad, 0.4])))


def test_domain_is_where_the_error_first_exceeds_the_level():
    """Protects the domains: interpolated on a power law, and not past a first excess."""
    small = np.geomspace(0.01, 10.0, 7)
    assert largest_within(small, 0.3 * small**2, 0.05) == pytest.approx(np.sqrt(0.05 / 0.3), rel=1e-12)
    errors = np.array([0.001, 0.002, 0.9, 0.001, 0.001, 0.001, 0.001])
    assert small[1] < largest_within(small, errors, 0.05) < small[2]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.1, 0.1, 0.1], 4.0),  # never exceeded: the largest tried
        ([0.3, 0.1, 0.1], np.nan),  # exceeded from the first
        ([0.1, np.nan, 0.1], 1.0),  # a run without an answer ends the domain
        ([0.0, 0.3, 0.1], 1.0),  # no logarithm to interpolate in
    ],
)
def test_domain_at_the_ends(errors, expected):
    """Protects the cases without a crossing to interpolate."""
    np.testing.assert_equal(largest_within(np.array([1.0, 2.0, 4.0]), np.array(errors), 0.2), expected)


@given(
    modulus=st.floats(0.3, 1.2), angle=st.floats(0.3, 2.8), phase=st.floats(0.0, 3.0),
)  # fmt: skip
def test_modes_of_a_complex_pair(modulus, angle, phase):
    """Protects the measured modes: a damped cosine has modes r e^{±iθ}."""
    t = np.arange(40.0)
    roots = recurrence_roots(modulus**t * np.cos(angle * t + phase))
    np.testing.assert_allclose(np.abs(roots), modulus, rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.angle(roots)), angle, rtol=1e-9)


@pytest.mark.parametrize("mode", [0.9, -0.7, 1.1])
def test_single_mode_is_the_larger_root(mode):
    """Protects gradient descent's case, whose other mode is 0."""
    assert recurrence_roots(mode ** np.arange(20.0))[0] == pytest.approx(mode, rel=1e-12)
