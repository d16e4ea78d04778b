"""Sweeps: theory's curve and contours, filled and open markers, and a colour for every cell."""

import numpy as np
import pytest
import xarray
from matplotlib.colors import to_hex

from selfstab import phases, theory
from selfstab.plotting import phase_diagrams, style

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


def points_of(ax, *, filled):
    lines = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    chosen = [line for line in lines if (line.get_markerfacecolor() != "none") == filled]
    return sorted((x, y) for line in chosen for x, y in zip(*line.get_data(), strict=True))


def test_markers_are_filled_where_the_law_is_to_hold(law):
    ax = phase_diagrams.draw_overshoot_law(law)
    assert [x for x, _ in points_of(ax, filled=True)] == [0.01, 0.1, 1.0, 10.0]  # ε <= 0.03
    assert points_of(ax, filled=False) == [(0.1, pytest.approx(1.1 * theory.overshoot(0.1)))]
    curve = next(line for line in ax.lines if str(line.get_label()).startswith("theory"))
    kappa, height = curve.get_data()
    assert (kappa.min(), kappa.max()) == (pytest.approx(0.01), pytest.approx(10.0))
    assert height == pytest.approx(theory.overshoot(kappa))


def test_residuals_are_relative_to_the_law(law):
    ax = phase_diagrams.draw_overshoot_residual(law)
    assert [y for _, y in points_of(ax, filled=True)] == pytest.approx([0.0] * 4, abs=1e-15)
    assert points_of(ax, filled=False)[0][1] == pytest.approx(0.1)


def test_every_cell_has_the_colour_of_its_phase(plane):
    ax = phase_diagrams.draw_phases(plane)
    mesh = ax.collections[0]
    colours = mesh.cmap(mesh.norm(mesh.get_array().ravel()))
    expected = [
        phases.COLOURS[code] for code in plane["phase"].transpose("excess", "momentum").values.ravel()
    ]
    assert [to_hex(colour) for colour in colours] == expected
    named = {line.get_label() for line in ax.lines}
    assert {"diverged", "catapult"} <= named


def test_every_phase_has_its_colour():
    """Protects phases whose codes are not in a row."""
    codes = [*phases.LABELS]
    data = xarray.Dataset(
        {"phase": (("momentum", "lr"), np.array([codes, codes], dtype=np.int8))},
        coords={"momentum": [0.0, 0.5], "lr": np.arange(1.0, 1.0 + len(codes))},
    )
    mesh = phase_diagrams.draw_phases(data, x="lr").collections[0]
    colours = mesh.cmap(mesh.norm(mesh.get_array()[0]))
    assert [to_hex(colour) for colour in colours] == [phases.COLOURS[code] for code in codes]


def test_contours_are_lines_of_equal_inertia():
    """Protects theory's lines: drawn over a fine plane, each point of a line has its κ."""
    coords = {"momentum": 1.0 - np.geomspace(1.0, 0.02, 121), "excess": np.geomspace(1e-3, 1.0, 81)}
    phase = np.full((121, 81), phases.CATAPULT, dtype=np.int8)
    ax = phase_diagrams.draw_phases(
        xarray.Dataset({"phase": (tuple(coords), phase)}, coords), contours=(0.5, 5.0)
    )
    lines = [line for line in ax.lines if line.get_color() == "white"]
    for level, line in zip((0.5, 5.0), lines, strict=True):
        x, y = line.get_data()
        assert theory.inertia_number(y, 1.0 - x) == pytest.approx(np.full(x.size, level), rel=1e-12)
    # The labels are within the axes, on their lines, and turned along them on the page.
    for level, label in zip((0.5, 5.0), ax.texts, strict=True):
        x, y = label.get_position()
        assert 0.02 < x < 1.0
        assert 1e-3 < y < 1.0
        assert theory.inertia_number(y, 1.0 - x) == pytest.approx(level)
        ends = ax.transData.transform([(s * x, level * (s * x / (2 - s * x)) ** 2) for s in (0.999, 1.001)])
        slope = np.degrees(np.arctan2(*(ends[1] - ends[0])[::-1]))
        assert (label.get_rotation() - slope + 90.0) % 180.0 - 90.0 == pytest.approx(0.0, abs=0.5)
        assert abs((label.get_rotation() + 180.0) % 360.0 - 180.0) < 90.0  # to be read from below


def test_overshoot_is_masked_where_there_is_none(plane):
    ax = phase_diagrams.draw_overshoot(plane)
    phase, overshoot = ax.collections[:2]
    assert phase.get_array().shape == (9, 7)
    hidden = np.ma.getmaskarray(overshoot.get_array())
    assert (hidden == np.isnan(plane["overshoot"].transpose("excess", "momentum").values)).all()
    assert hidden.any()


def test_one_chaotic_cell_does_not_set_the_colours(plane):
    """Protects the colours of all other cells: the scale ends with theirs, and an arrow says what is beyond."""
    usual = plane["overshoot"].where(plane["overshoot"] < 10.0)
    wild = usual.copy()
    wild[0, 0] = 107.0
    for overshoot, arrow in ((usual, False), (wild, True)):
        mesh = phase_diagrams.draw_overshoot(plane.assign(overshoot=overshoot)).collections[1]
        assert mesh.norm.vmax == float(usual.max())
        assert (mesh.colorbar.extend in ("max", "both")) == arrow
    whole = phase_diagrams.draw_overshoot(plane.assign(overshoot=wild), largest=107.0).collections[1]
    assert whole.norm.vmax == 107.0
    assert whole.colorbar.extend not in ("max", "both")


def test_momentum_is_named_on_an_axis_of_one_minus_momentum(plane):
    ax = phase_diagrams.draw_overshoot(plane)
    named = [1.0 - float(label.get_text()) for label in ax.get_xticklabels()]
    assert ax.get_xticks() == pytest.approx(named)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlim()[0] > ax.get_xlim()[1]


def test_cells_not_run_are_blank_and_named(plane):
    """Protects pictures of unfinished stores: what has not been run is not drawn as diverged."""
    plane["phase"][4:, :3] = -128  # what a store of int8 holds there
    ax = phase_diagrams.draw_phases(plane)
    hidden = np.ma.getmaskarray(ax.collections[0].get_array())
    assert (hidden == (plane["phase"].transpose("excess", "momentum").values == -128)).all()
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels == ["diverged", "catapult", "not run"]
    again = phase_diagrams.draw_phases(plane.where(plane["phase"] != -128))  # NaN, as masked by the reader
    assert (np.ma.getmaskarray(again.collections[0].get_array()) == hidden).all()


def test_a_store_without_any_overshoot_yet_is_drawn(plane):
    ax = phase_diagrams.draw_overshoot(plane.assign(overshoot=plane["overshoot"] * np.nan))
    assert len(ax.figure.axes) == 1  # no colour bar


def rates(lr):
    # Over lr and a weight at the start, neighbours with different phases.
    w = np.array([-1.0, 0.0, 1.0, 3.0])
    phase = (np.arange(lr.size)[:, None] + np.arange(w.size)) % 6 - 1
    about = {"long_name": "learning rate", "units": "1/sharpness"}
    coords = {"lr": ("lr", lr, about), "start.w": w}
    return xarray.Dataset({"phase": (("lr", "start.w"), phase.astype(np.int8))}, coords)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("geometric", [False, True])
def test_any_two_axes_are_drawn_each_cell_around_its_values(swapped, geometric):
    """Protects maps over other axes: each value lies in its cell, edges are midpoints of the axis as it is scaled."""
    lr = np.geomspace(0.1, 10.0, 5) if geometric else np.linspace(0.1, 10.0, 5)
    data = rates(lr)
    ax = phase_diagrams.draw_phases(data[{"lr": slice(None, None, -1)}], **({"x": "lr"} if swapped else {}))
    mesh = ax.collections[0]
    corners, codes = np.asarray(mesh.get_coordinates()), mesh.get_array()
    across, up = corners[0, :, 0], corners[:, 0, 1]
    at_lr, at_w = (across, up) if swapped else (up, across)
    middle = np.sqrt(lr[1:] * lr[:-1]) if geometric else 0.5 * (lr[1:] + lr[:-1])
    assert at_lr[1:-1] == pytest.approx(middle)
    assert at_w == pytest.approx([-1.5, -0.5, 0.5, 2.0, 4.0])
    expected = data["phase"].values
    assert (codes == (expected.T if swapped else expected)).all()
    names, scales = (ax.get_xlabel(), ax.get_ylabel()), (ax.get_xscale(), ax.get_yscale())
    where = 0 if swapped else 1
    assert (names[where], names[1 - where]) == (r"learning rate, $\eta$ (1/sharpness)", "start.w")
    assert (scales[where], scales[1 - where]) == ("log" if geometric else "linear", "linear")
    assert len(ax.collections) == 1  # κ means nothing here


def test_theorys_plane_is_drawn_only_as_it_is_meant(plane):
    """Protects sweeps over β and ε the other way round, or with ε below the threshold."""
    other = phase_diagrams.draw_phases(plane, x="excess")
    assert (other.get_xlabel(), other.get_ylabel()) == (r"excess, $\varepsilon$", r"momentum, $\beta$")
    assert len(other.collections) == 1
    below = phase_diagrams.draw_phases(plane.assign_coords(excess=np.linspace(-0.5, 0.5, 9)))
    assert (below.get_xlabel(), below.get_yscale()) == (r"momentum, $\beta$", "linear")


def test_one_value_along_other_axes_is_no_obstacle(plane):
    ax = phase_diagrams.draw_phases(plane.expand_dims(lookahead=[0.0]))
    assert ax.collections[0].get_array().shape == (9, 7)


@pytest.mark.parametrize(
    ("draw", "change", "match"),
    [
        ("draw_phases", lambda d: d.drop_vars("phase"), "data must have the variable phase .*got .*overshoot"),
        (
            "draw_overshoot", lambda d: d.drop_vars("overshoot"),
            r"data must have the variable overshoot \(a sweep with measures 'overshoot' and 'phase'\), got",
        ),
        (
            "draw_phases", lambda d: d.expand_dims(repeat=[0, 1]),
            r"got repeat \(2\), momentum \(7\), excess \(9\): select one value of excess, as data.isel\(excess=0\)",
        ),
        ("draw_phases", lambda d: d[{"excess": [0]}], r"two dimensions exactly, got momentum \(7\), excess \(1\)"),
        ("draw_overshoot_law", lambda d: d, "data must have the variable kappa"),
        ("draw_overshoot_residual", lambda d: d, "data must have the variable kappa"),
        (
            "draw_overshoot_law",
            lambda d: d.assign(kappa=d["overshoot"]),
            "must have kappa along momentum, point .*got it along momentum, excess",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_named(plane, draw, change, match):
    """Protects the doors: a line that names what is missing and what is there."""
    with pytest.raises(ValueError, match=match) as caught:
        getattr(phase_diagrams, draw)(change(plane))
    assert "\n" not in str(caught.value)


def test_dimensions_that_are_chosen_are_checked(plane):
    with pytest.raises(ValueError, match="x must be one of momentum, excess, got 'lr'"):
        phase_diagrams.draw_phases(plane, x="lr")
    with pytest.raises(ValueError, match="two dimensions, got excess twice"):
        phase_diagrams.draw_phases(plane, x="excess", y="excess")
    with pytest.raises(ValueError, match="select one value of repeat, as"):
        phase_diagrams.draw_phases(plane.expand_dims(repeat=[0, 1]), x="excess", y="momentum")
    with pytest.raises(TypeError, match="data must be a dataset"):
        phase_diagrams.draw_phases(plane["phase"])


def test_a_law_without_a_loss_is_named(law):
    with pytest.raises(
        ValueError, match=r"the overshoots of a loss along momentum, point .*, got kappa, excess$"
    ):
        phase_diagrams.draw_overshoot_law(law.drop_vars("CubicTaylor"))


def test_a_loss_of_any_name_is_drawn(law):
    """Protects the law's drawing for other losses: each variable along its dimensions has a marker and its name."""
    data = law.rename(CubicTaylor="mine").assign(yours=law["CubicTaylor"], other=("point", [1.0, 2.0, 3.0]))
    ax = phase_diagrams.draw_overshoot_law(data)
    markers = {
        line.get_marker() for line in ax.lines if len(line.get_xdata()) and line.get_marker() != "None"
    }
    assert markers == {"o", "s"}
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"mine", "yours"} < {*named}
    assert "other" not in named


def test_a_legend_over_dark_cells_has_a_light_ground(plane):
    """Protects legends of maps: words are dark, and so is the colour of divergence."""
    ax = style.new_figure().add_subplot()
    phase_diagrams.draw_phases(plane, ax)
    with style.paper():
        frame = ax.legend().get_frame()
    assert frame.get_visible()
    assert to_hex(frame.get_facecolor()) == to_hex(frame.get_edgecolor()) == "#ffffff"
    assert frame.get_alpha() >= 0.9


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_the_law(law):
    return phase_diagrams.draw_overshoot_law(law).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_the_overshoot(plane):
    return phase_diagrams.draw_overshoot(plane, largest=5.0).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_phases_in_theorys_plane(plane):
    plane["phase"][4:, :3] = -128
    return phase_diagrams.draw_phases(plane).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_phases_over_other_axes():
    return phase_diagrams.draw_phases(rates(np.geomspace(0.1, 10.0, 7))).figure


@pytest.mark.parametrize("swapped", [False, True])
def test_the_threshold_is_drawn_over_momentum_and_learning_rate(swapped):
    """Protects theory's line: its points have 2(1 + β)/η = S, whichever axis is upwards, and other axes are refused."""
    coords = {"momentum": [0.0, 0.5, 0.9], "lr": [0.2, 0.5, 1.0]}
    data = xarray.Dataset({"phase": (tuple(coords), np.full((3, 3), phases.CATAPULT, dtype=np.int8))}, coords)
    ax = phase_diagrams.draw_phases(data, x="momentum" if swapped else "lr", sharpness=4.0)
    (line,) = (line for line in ax.lines if str(line.get_label()).startswith("theory"))
    lr, momentum = line.get_data()[::-1] if swapped else line.get_data()
    assert 2.0 * (1.0 + momentum) / lr == pytest.approx(4.0)
    assert (momentum.min(), momentum.max()) == (0.0, 0.9)
    with pytest.raises(ValueError, match="sharpness needs the axes momentum and lr of HeavyBall, got"):
        phase_diagrams.draw_phases(data.rename(lr="excess"), sharpness=4.0)
