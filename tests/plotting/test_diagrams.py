"""Sweeps: theory's curve and contours, filled and open markers, and a colour for every cell."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from selfstab import outcomes, theory
from selfstab.plotting import diagrams

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


def points_of(ax, *, filled):
    lines = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    chosen = [line for line in lines if (line.get_markerfacecolor() != "none") == filled]
    return sorted((x, y) for line in chosen for x, y in zip(*line.get_data(), strict=True))


def test_markers_are_filled_where_the_law_is_to_hold(law):
    ax = diagrams.draw_overshoot_law(law)
    assert [x for x, _ in points_of(ax, filled=True)] == [0.01, 0.1, 1.0, 10.0]  # ε <= 0.03
    assert points_of(ax, filled=False) == [(0.1, pytest.approx(1.1 * theory.overshoot(0.1)))]
    curve = next(line for line in ax.lines if str(line.get_label()).startswith("theory"))
    kappa, height = curve.get_data()
    assert (kappa.min(), kappa.max()) == (pytest.approx(0.01), pytest.approx(10.0))
    assert height == pytest.approx(theory.overshoot(kappa))


def test_residuals_are_relative_to_the_law(law):
    ax = diagrams.draw_overshoot_residual(law)
    assert [y for _, y in points_of(ax, filled=True)] == pytest.approx([0.0] * 4, abs=1e-15)
    assert points_of(ax, filled=False)[0][1] == pytest.approx(0.1)


def test_every_cell_has_the_colour_of_its_outcome(plane):
    ax = diagrams.draw_phases(plane)
    mesh = ax.collections[0]
    colours = mesh.cmap(mesh.norm(mesh.get_array().ravel()))
    expected = [
        outcomes.COLOURS[code] for code in plane["phase"].transpose("excess", "momentum").values.ravel()
    ]
    assert [to_hex(colour) for colour in colours] == expected
    named = {line.get_label() for line in ax.lines}
    assert {"diverged", "catapult"} <= named


def test_contours_are_lines_of_equal_inertia(plane):
    ax = diagrams.draw_phases(plane, contours=(1.0,))
    contour = ax.collections[-1]
    momentum = 1.0 - plane["momentum"].values
    for x, y in np.concatenate([path.vertices for path in contour.get_paths()]):
        # Interpolated within cells half a decade wide, along one axis at a time.
        nearest = momentum[np.abs(momentum - x).argmin()]
        if np.isclose(x, nearest):
            assert theory.inertia_number(y, 1.0 - x) == pytest.approx(1.0, rel=0.2)


def test_overshoot_is_masked_where_there_is_none(plane):
    ax = diagrams.draw_overshoot(plane)
    outcome, overshoot = ax.collections[:2]
    assert outcome.get_array().shape == (9, 7)
    hidden = np.ma.getmaskarray(overshoot.get_array())
    assert (hidden == np.isnan(plane["overshoot"].transpose("excess", "momentum").values)).all()
    assert hidden.any()


def test_momentum_is_named_on_an_axis_of_one_minus_momentum(plane):
    ax = diagrams.draw_overshoot(plane)
    named = [1.0 - float(label.get_text()) for label in ax.get_xticklabels()]
    assert ax.get_xticks() == pytest.approx(named)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlim()[0] > ax.get_xlim()[1]


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_the_law(law):
    return diagrams.draw_overshoot_law(law).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_the_overshoot(plane):
    return diagrams.draw_overshoot(plane, largest=5.0).figure
