"""The law on several losses: every cell has its marker, and what has no overshoot is a cross."""

import numpy as np
import pytest
import xarray
from matplotlib.colors import to_hex

from selfstab import phases, theory
from selfstab.plotting import methods, style, universality

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


@pytest.fixture
def cells():
    # Two losses, one on the law and one off it by −2 or +1 parts in a hundred; a run diverged, one was not made.
    coords = {"loss": ["Cubic", "Other"], "momentum": [0.0, 0.9], "kappa": [0.01, 0.1, 1.0]}
    deviation = np.array([[[0.0] * 3] * 2, [[-0.02, -0.02, 0.01], [-0.02, 0.01, -0.02]]])
    overshoot = theory.overshoot(coords["kappa"]) * (1.0 + deviation)
    steps, phase = np.full((2, 2, 3), 9), np.full((2, 2, 3), phases.CATAPULT)
    overshoot[1, 0, 2], phase[1, 0, 2] = np.nan, phases.DIVERGED
    overshoot[0, 0, 0], phase[0, 0, 0], steps[0, 0, 0] = np.nan, phases.UNDECIDED, 0
    data = xarray.Dataset(coords=coords)
    for name, values in {"overshoot": overshoot, "steps": steps, "phase": phase}.items():
        data[name] = (tuple(coords), values)
    data["first_order"] = ((*coords, "cause"), np.stack([0.75 * deviation, 0.25 * deviation], axis=-1))
    data["sigma"], data["tau"] = ("loss", [0.0, 1.5]), ("loss", [0.0, -0.25])
    return data


def drawn(ax, marker):
    return [line for line in ax.lines if line.get_marker() == marker and len(line.get_xdata())]


def points(lines):
    return sorted((x, y) for line in lines for x, y in zip(*line.get_data(), strict=True))


def test_the_law_has_a_marker_for_each_overshoot(cells):
    ax = universality.draw_universality(cells)
    for k, marker in enumerate(style.MARKERS[:2]):
        values = cells["overshoot"].values[k]
        at = np.broadcast_to(cells["kappa"].values, values.shape)
        shown = np.isfinite(values)
        assert points(drawn(ax, marker)) == sorted(zip(at[shown], values[shown], strict=True))
    curve = next(line for line in ax.lines if str(line.get_label()).startswith("theory"))
    kappa, height = curve.get_data()
    assert (kappa.min(), kappa.max()) == pytest.approx((0.01, 1.0))
    assert height == pytest.approx(theory.overshoot(kappa))


def test_the_laws_points_have_the_colours_of_their_momenta(cells):
    """Protects one colour for each momentum: points of several losses and the key's entry have that of the table."""
    ax = universality.draw_universality(cells)
    for momentum in cells["momentum"].values.tolist():
        colour = methods.MOMENTUM_COLOURS[momentum]
        (named,) = (line for line in ax.lines if line.get_label() == rf"$\beta={momentum:g}$")
        assert to_hex(named.get_color()) == colour
        values = cells["overshoot"].sel(momentum=momentum).values
        own = [line for line in ax.lines if len(line.get_xdata()) and to_hex(line.get_color()) == colour]
        assert sorted(y for line in own for y in line.get_ydata() if line.get_marker() != "x") == sorted(
            values[np.isfinite(values)].tolist()
        )


def test_a_run_that_diverged_is_a_cross_and_one_not_made_is_nothing(cells):
    for ax in (
        universality.draw_universality(cells),
        universality.draw_universality_deviation(cells.isel(loss=1)),
    ):
        (cross,) = drawn(ax, "x")
        assert cross.get_xdata().tolist() == [1.0]
        assert to_hex(cross.get_color()) == phases.COLOURS[phases.DIVERGED].lower()
    assert not drawn(universality.draw_universality_deviation(cells.isel(loss=0)), "x")


def test_deviations_are_filled_where_the_overshoot_is_less_than_the_law(cells):
    ax = universality.draw_universality_deviation(cells.isel(loss=1))
    dots = drawn(ax, "o")
    filled = [line for line in dots if line.get_markerfacecolor() != "none"]
    hollow = [line for line in dots if line.get_markerfacecolor() == "none"]
    assert points(filled) == [
        (0.01, pytest.approx(0.02)), (0.01, pytest.approx(0.02)), (0.1, pytest.approx(0.02)), (1.0, pytest.approx(0.02))
    ]  # fmt: skip
    assert points(hollow) == [(0.1, pytest.approx(0.01))]
    assert ax.get_title("left") == "Other"


def test_lines_are_the_sum_of_the_causes(cells):
    ax = universality.draw_universality_deviation(cells.isel(loss=1))
    lines = [line for line in ax.lines if line.get_marker() == "None" and len(line.get_xdata()) == 3]
    assert lines[1].get_ydata() == pytest.approx([0.02, 0.01, 0.02])


def test_the_key_names_losses_momenta_and_what_was_lost(cells):
    ax = universality.draw_universality_key(cells)
    named = {text.get_text() for legend in ax.artists for text in legend.get_texts()}
    assert {"Cubic", "Other", r"$\beta=0$", r"$\beta=0.9$", "less than $G$", "diverged"} <= named
    assert "undecided" not in named


def test_what_is_missing_is_named(cells):
    """Protects the doors: a line that names what is missing and what is there."""
    with pytest.raises(ValueError, match=r"data must have the variable phase .*, got loss, momentum, kappa"):
        universality.draw_universality(cells.drop_vars("phase"))
    with pytest.raises(
        ValueError, match=r"data must have the variable overshoot .*, got loss, momentum, kappa"
    ):
        universality.draw_universality_key(cells.drop_vars("overshoot"))
    with pytest.raises(
        ValueError, match=r"data must have the variable excess .*, with kappa or excess\), got loss"
    ):
        universality.draw_universality(cells.rename(kappa="k"))
    with pytest.raises(
        ValueError, match=r"data must be of one loss, got 2: select one, as data\.isel\(loss=0\)$"
    ):
        universality.draw_universality_deviation(cells)


def test_a_sweep_over_momentum_and_excess_is_drawn(plane):
    """Protects the drawings' generality: κ is that of β and ε, whatever the order of the axes, without a loss named."""
    cells = plane["overshoot"].transpose("excess", "momentum")
    for data in (plane, plane.transpose("excess", "momentum"), plane.assign_coords(loss="Cubic")):
        ax = universality.draw_universality(data)
        assert str(data.get("loss", xarray.DataArray("measured")).values) in {
            line.get_label() for line in ax.lines
        }
        lines = drawn(ax, "o")
        assert len(lines) == data.sizes["momentum"]
        kappa, overshoot = np.hstack([line.get_data() for line in lines])
        assert overshoot == pytest.approx(theory.overshoot(kappa))
        assert len(kappa) == int(np.isfinite(cells).sum())
    one = plane.isel(momentum=2)
    (line,) = drawn(universality.draw_universality(one), "o")
    assert line.get_ydata() == pytest.approx(one["overshoot"].values[np.isfinite(one["overshoot"])])
    ax = universality.draw_universality_deviation(plane.assign(overshoot=1.5 * plane["overshoot"]))
    assert {round(y, 12) for _, y in points(drawn(ax, "o"))} == {0.5}


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_universality(cells):
    return universality.draw_universality(cells).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_a_deviation(cells):
    return universality.draw_universality_deviation(cells.isel(loss=1)).figure
