"""Activations against mpmath's own differentiation."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from selfstab.losses.networks.activations import ACTIVATIONS, SMOOTHNESS

EXACT = {
    "tanh": mpmath.tanh,
    "gelu": lambda z: z * mpmath.ncdf(z),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "relu": lambda z: z if z > 0 else mpmath.mpf(0),
    "linear": lambda z: z,
}


ORDERS = [(name, order) for name in ACTIVATIONS for order in range(SMOOTHNESS.get(name, 4) + 1)]


@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_derivatives(name, order):
    """Protects each formula; 1e-14 absolute, since tails underflow to relative nothing."""
    points = np.array([-4.0, -1.5, -0.3, 0.2, 1.0, 2.0, 5.0])
    with mpmath.workdps(40):
        exact = [float(mpmath.diff(EXACT[name], mpmath.mpf(point), order)) for point in points]
    assert np.allclose(ACTIVATIONS[name](points, order)[order], exact, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_as_many_derivatives_as_asked(name, order):
    """Protects callers that unpack the list."""
    assert len(ACTIVATIONS[name](np.zeros((2, 3)), order)) == order + 1


@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_far_out_they_are_those_of_the_asymptotes(name, order):
    """Protects large preactivations: no NaN and no overflow, at either end."""
    left, right = {"tanh": ([-1, 0], [1, 0]), "linear": (["z", 1], ["z", 1])}.get(name, ([0, 0], ["z", 1]))
    with np.errstate(all="raise", under="ignore"):
        found = ACTIVATIONS[name](np.array([-1e100, -800.0, 800.0, 1e100]), order)[order]
    for z, end, value in zip([-1e100, -800.0, 800.0, 1e100], [left, left, right, right], found, strict=True):
        expected = end[order] if order < 2 else 0
        assert value == (z if expected == "z" else expected)


def test_tails_of_softplus_keep_their_digits():
    """Protects 1 − σ and its kin from cancelling: relative precision far out."""
    points = np.array([-30.0, 30.0])
    with mpmath.workdps(60):
        exact = [
            [float(mpmath.diff(EXACT["softplus"], point, order)) for point in points] for order in (2, 3, 4)
        ]
    assert np.allclose(ACTIVATIONS["softplus"](points, 4)[2:], exact, rtol=1e-14, atol=0)


def test_relu_at_the_kink():
    """Protects the choice made there: slope 0."""
    assert [part[0] for part in ACTIVATIONS["relu"](np.zeros(1), 2)] == [0, 0, 0]
