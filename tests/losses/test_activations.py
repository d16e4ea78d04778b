"""Activations against mpmath's own differentiation."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from selfstab.losses.activations import ACTIVATIONS

EXACT = {
    "tanh": mpmath.tanh,
    "gelu": lambda z: z * mpmath.ncdf(z),
    "relu": lambda z: z if z > 0 else mpmath.mpf(0),
    "linear": lambda z: z,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives(name, order):
    """Protects each formula; 1e-14 absolute, since tails underflow to relative nothing."""
    points = np.array([-4.0, -1.5, -0.3, 0.2, 1.0, 2.0, 5.0])
    with mpmath.workdps(40):
        exact = [float(mpmath.diff(EXACT[name], mpmath.mpf(point), order)) for point in points]
    assert np.allclose(ACTIVATIONS[name](points, 3)[order], exact, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_as_many_derivatives_as_asked(name, order):
    """Protects callers that unpack the list."""
    assert len(ACTIVATIONS[name](np.zeros((2, 3)), order)) == order + 1


def test_relu_at_the_kink():
    """Protects the choice made there: slope 0."""
    assert [part[0] for part in ACTIVATIONS["relu"](np.zeros(1), 3)] == [0, 0, 0, 0]
