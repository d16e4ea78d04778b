"""The literals of the spike factor F: the generator's orbits."""

import numpy as np

from selfstab import theory


def test_spike_coefficients_are_those_of_the_generator():
    """Protects the shipped literals, between the series' nodes."""
    from derivations import spike_table

    kappa = np.geomspace(1e-3, 1e9, 37)
    rate = 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * kappa))
    expected = np.array([spike_table.spike_factor(r) for r in rate])
    np.testing.assert_allclose(theory.spike_factor(kappa), expected, rtol=1e-11)
