"""Differences of gradients: the direction along which products are tried."""

import numpy as np
import pytest

from selfstab.losses.functions import differences


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("values", [[1.0], [-1.0], [0.0], [1e-42], [3e38, -3e38], [0.0, 0.0, 2.0]])
def test_a_generic_direction_is_of_length_one(kind, values):
    """Protects one weight, whose random direction may be opposite to its gradient, and gradients of any size."""
    direction = differences.generic_direction(np.array(values, dtype=kind))
    assert direction.dtype == kind
    assert np.linalg.norm(direction) == pytest.approx(1.0, rel=1e-6)
