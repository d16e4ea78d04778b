"""Figures of runs carry theory's line: on a run that is theory's, the two coincide."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex

import selfstab as ss
from selfstab.plotting import runs
from selfstab.plotting.labels import LAWS_END
from selfstab.plotting.methods import METHOD_COLOURS
from selfstab.plotting.style import SERIES, axes_or_new

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


def lines_of(ax):
    return {line.get_label(): line for line in ax.lines}


def test_a_slow_catapult_fills_the_slow_limits_envelope(slow_run):
    ax = runs.draw_displacement(slow_run)
    lines = lines_of(ax)
    drawn, envelope = lines["GD"].get_ydata(), lines["slow limit"].get_ydata()
    assert np.abs(drawn) == pytest.approx(envelope, rel=1e-12)
    assert envelope.max() == pytest.approx(np.sqrt(2.0) * 0.01 / 2.0)  # √2 y₀/b


def test_sharpness_is_drawn_with_threshold_and_prediction(slow_run):
    ax = runs.draw_sharpness(slow_run)
    lines = lines_of(ax)
    assert set(lines["threshold $S^*$"].get_ydata()) == {0.99}
    assert lines[LAWS_END].get_ydata()[0] == 0.98
    assert "sharpness" in ax.get_ylabel()
    assert to_hex(lines["GD"].get_color()) == METHOD_COLOURS["GD"]


def test_a_threshold_of_infinity_is_not_drawn(slow_run):
    slow_run["max_stable_sharpness"][:10] = np.inf
    ax = runs.draw_sharpness(slow_run)
    assert np.isfinite(lines_of(ax)["threshold $S^*$"].get_ydata()).all()


def test_a_warmups_first_thresholds_leave_the_run_its_room(slow_run):
    slow_run["max_stable_sharpness"][:10] = np.linspace(50.0, 5.0, 10)
    ax = runs.draw_sharpness(slow_run)
    assert lines_of(ax)["threshold $S^*$"].get_xdata()[0] == 10


def test_a_single_record_is_shown_by_a_mark(slow_run):
    run = slow_run.isel(step=[3]).drop_vars("peak_excess_sharpness")
    assert lines_of(runs.draw_sharpness(run))["GD"].get_marker() == "o"
    assert lines_of(runs.draw_loss(run))["GD"].get_marker() == "o"


def test_a_flow_is_named_and_coloured_as_one(slow_run):
    ax = runs.draw_sharpness(slow_run)
    for flow in ("averaged flow", "rod flow"):
        runs.draw_sharpness(slow_run.assign_attrs(flow=flow), ax, threshold=False)
        assert to_hex(lines_of(ax)[flow].get_color()) == METHOD_COLOURS[flow]
    assert len(set(METHOD_COLOURS.values())) == len(METHOD_COLOURS)


def test_time_of_points_from_the_explicit_hessian_is_that_of_their_steps(slow_run):
    slow_run["explicit_step"] = ("explicit", [0, 400])
    slow_run["explicit_sharpness"] = ("explicit", [1.0, 0.99])
    ax = runs.draw_sharpness(slow_run, against="effective_time")
    points = next(line for line in ax.lines if line.get_marker() == ".")
    assert points.get_xdata() == pytest.approx(slow_run["effective_time"].values[[0, 400]])


def test_the_spike_of_a_slow_catapult_reaches_theorys_line(slow_run):
    lines = lines_of(runs.draw_loss(slow_run))
    assert lines["GD"].get_ydata().max() == pytest.approx(lines["slow limit"].get_ydata()[0])


def test_a_slow_orbit_lies_on_the_level_line(slow_run):
    lines = lines_of(runs.draw_orbit(slow_run))
    for name in ("GD", "slow limit"):
        y, amplitude = lines[name].get_data()
        assert y**2 + amplitude**2 == pytest.approx(np.ones(y.size))


def test_momentum_decides_the_colour(slow_run):
    slow_run.attrs["optimizer"] = json.dumps({"lr": 0.1, "momentum": 0.9})
    lines = lines_of(runs.draw_sharpness(slow_run))
    assert to_hex(lines["PHB"].get_color()) == METHOD_COLOURS["PHB"]


def test_a_diverged_run_is_marked_within_the_axes(slow_run):
    ax = axes_or_new(None)
    ax.set_ylim(0.0, 0.5)
    runs.mark_divergence(slow_run, ax, "sharpness")
    assert ax.lines[0].get_ydata() == pytest.approx([0.5])


def test_how_runs_end_never_hides_a_divergence(slow_run):
    ended = slow_run.assign(window_mean=0.98, least_after_crossing=0.97, end=0.98)
    lost = slow_run.assign(window_mean=np.nan, least_after_crossing=np.nan, end=np.nan, diverged_at=7)
    ax = runs.draw_final_sharpness({"warmup": {"gd": ended, "phb": lost}})
    assert [text.get_text() for text in ax.texts] == ["diverged"]
    assert lines_of(ax)["threshold $S^*$"].get_ydata()[0] == 0.99
    assert [label.get_text() for label in ax.get_xticklabels()] == ["warmup"]


def scan():
    import xarray

    data = xarray.Dataset(coords={"threshold": [1.0, 2.0, 3.0]})
    return data.assign(phb=("threshold", [np.nan, 1.0, 2.0]), gd_steps=("threshold", [1.0, 2.0, 2.9]))


LOOKS = {
    "phb": {"color": METHOD_COLOURS["PHB"]},
    "gd_steps": {"color": METHOD_COLOURS["GD"], "markerfacecolor": "none", "linestyle": "--"},
}


def test_what_a_name_says_is_not_read():
    """Protects drawings from meanings hidden in names: looks are what is asked for."""
    ax = runs.draw_threshold_scan(scan().rename(phb="gd_steps", gd_steps="phb"), looks={"phb": {"c": "red"}})
    lines = lines_of(ax)
    assert [to_hex(lines[name].get_color()) for name in ("gd_steps", "phb")] == [SERIES[0], "#ff0000"]
    assert lines["gd_steps"].get_markerfacecolor() == SERIES[0]
    with pytest.raises(TypeError, match="line must be properties of a Matplotlib line"):
        runs.draw_threshold_scan(scan(), looks={"phb": {"colouring": "red"}})


def test_hollow_markers_are_those_asked_for(slow_run):
    """Protects how runs end: open markers for the runs named, filled for the others."""
    ended = slow_run.assign(window_mean=0.98, least_after_crossing=0.97, end=0.98)
    ax = runs.draw_final_sharpness({"warmup": {"one_steps": ended, "other": ended}}, hollow=["other"])
    faces = [
        line.get_markerfacecolor()
        for line in ax.lines
        if len(line.get_xdata()) == 1 and line.get_marker() == "o"
    ]
    assert faces == [METHOD_COLOURS["GD"], "none"]


def test_a_scan_shows_the_edge_and_marks_what_diverged():
    ax = runs.draw_threshold_scan(scan(), words={"phb": "PHB"})
    lines = lines_of(ax)
    assert lines["threshold $S^*$"].get_slope() == 1.0
    assert "diverged" in lines
    crosses = [line for line in ax.lines if line.get_marker() == "x" and len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in crosses] == [1.0]


@pytest.mark.parametrize(
    ("draw", "missing"),
    [
        ("draw_displacement", "displacement"),
        ("draw_displacement", "peak_excess_sharpness"),
        ("draw_sharpness", "sharpness"),
        ("draw_sharpness", "max_stable_sharpness"),
        ("draw_loss", "loss"),
        ("draw_orbit", "stabilization"),
        ("draw_orbit", "excess_sharpness"),
    ],
)
def test_what_a_run_lacks_is_named(slow_run, draw, missing):
    """Protects the doors: a line that names what is missing and what is there."""
    with pytest.raises(ValueError, match=f"run must have the variable {missing} .*, got step, ") as caught:
        getattr(runs, draw)(slow_run.drop_vars(missing))
    assert "\n" not in str(caught.value)


def test_a_run_that_cannot_be_drawn_is_told_why(slow_run):
    """Protects against the wrong kind of data: a sweep, several runs, no settings, a schedule, an unknown axis."""
    with pytest.raises(ValueError, match=r"run must have sharpness along step .*, got it along step, repeat"):
        runs.draw_sharpness(slow_run.assign(sharpness=slow_run["sharpness"].expand_dims(repeat=2, axis=1)))
    with pytest.raises(ValueError, match=r"run must have the attribute optimizer .*, got none"):
        runs.draw_loss(slow_run.drop_attrs())
    with pytest.raises(ValueError, match="against must be one of step, effective_time, got 'time'"):
        runs.draw_loss(slow_run, against="time")
    with pytest.raises(ValueError, match=r"effective_time \(a run with it assigned\), got step"):
        runs.draw_loss(slow_run.drop_vars("effective_time"), against="effective_time")
    with pytest.raises(ValueError, match=r"data\['warmup'\]\['gd'\] must have the variables window_mean, "):
        runs.draw_final_sharpness({"warmup": {"gd": slow_run}})
    with pytest.raises(ValueError, match="data must have the variable threshold"):
        runs.draw_threshold_scan(slow_run)
    slow_run.attrs["optimizer"] = json.dumps({"lr": {"LinearWarmup": {}}, "momentum": 0.0})
    with pytest.raises(ValueError, match="run must have a constant learning rate, got"):
        runs.draw_displacement(slow_run)


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_an_orbit(slow_run):
    return runs.draw_orbit(slow_run).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_a_scan():
    return runs.draw_threshold_scan(scan(), looks=LOOKS).figure


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            xr.Dataset({"final_sharpness": ("lr", [1.0])}),
            r"runs by name in groups .* that of a sweep is drawn by data\.",
        ),
        (None, "got None"),
        ({}, "got {}"),
        ({"network": {}}, "got {'network': {}}"),
        ({"network": None}, r"data\['network'\] must be runs by name, got None"),
        ({"network": xr.Dataset()}, r"data\['network'\] must be runs by name"),
        ({"network": {"GD": None}}, r"data\['network'\]\['GD'\] must be a dataset"),
    ],
)
def test_final_sharpness_says_what_it_takes(data, problem):
    """Protects who expects a drawing of a sweep: the message says what is drawn, and how a sweep is."""
    with pytest.raises((TypeError, ValueError), match=problem):
        runs.draw_final_sharpness(data)


@pytest.mark.parametrize("loss", [0.0, -1.0, np.nan])
def test_a_loss_without_a_positive_value_has_a_linear_axis(loss):
    """Protects terminals from Matplotlib's warning of logarithms: a run may rest at its minimum."""
    run = ss.simulate(ss.Product(), ss.HeavyBall(0.1), [1.0, 1.5], 3)
    assert ss.plotting.draw_loss(run.assign(loss=("step", np.full(4, loss)))).get_yscale() == "linear"
    assert ss.plotting.draw_loss(run).get_yscale() == "log"
