"""The modes' diagram: boundaries are theory's, divergence has its own colour."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from selfstab import phases
from selfstab.plotting.modes import draw_modes

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


def test_boundaries_are_where_the_modes_change(modes):
    ax = draw_modes(modes)
    assert "eta S" in ax.get_xlabel()
    assert "beta" in ax.get_ylabel()
    low, high, threshold = ax.lines
    for line, sign in ((low, -1.0), (high, 1.0)):
        scaled, beta = line.get_data()
        # A double root: the discriminant of λ² − (1 + β − ηS)λ + β vanishes.
        assert (1.0 + beta - scaled) ** 2 - 4.0 * beta == pytest.approx(np.zeros(beta.size), abs=1e-12)
        assert (sign * (scaled - 1.0 - beta) >= -1e-12).all()
    scaled, beta = threshold.get_data()
    assert 1.0 + (1.0 + beta - scaled) + beta == pytest.approx(
        np.zeros(beta.size), abs=1e-12
    )  # λ = −1 is a root


def test_cells_beyond_the_threshold_are_in_the_colour_of_divergence(modes):
    ax = draw_modes(modes)
    masked = np.ma.getmaskarray(ax.collections[0].get_array()).reshape(20, 22)
    assert (masked == (modes["spectral_radius"].values > 1.0)).all()
    assert to_hex(ax.get_facecolor()) == phases.COLOURS[phases.DIVERGED]


def test_what_is_missing_is_named(modes):
    """Protects the door: a line that names what is missing and what is there."""
    with pytest.raises(ValueError, match=r"data must have the variable spectral_radius .*, got momentum, "):
        draw_modes(modes.drop_vars("spectral_radius"))
    with pytest.raises(ValueError, match="centres must be at least two"):
        draw_modes(modes.isel(momentum=[0]))


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_modes(modes):
    return draw_modes(modes).figure
