"""The figures of single results: each passes its check at its quick size, and fails it when a number shown is off."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from selfstab.plotting.labels import every_label
from selfstab.plotting.style import DOUBLE_COLUMN, SINGLE_COLUMN
from selfstab.reports.companions import companion

SHOWN = {
    "thresholds": [("thresholds", "threshold", 1.01), ("thresholds", "growth", 1.0001)],
    "stages": [("GD", "excess_sharpness", 1.2), ("PHB", "excess_sharpness", 0.1), ("GD", "swing", 0.1)],
    "basin": [("GD", "phase", 2), ("PHB", "final_sharpness", 1.05)],
    "lr_phases": [("product_momentum", "phase", -1), ("cubic_taylor_warmup", "phase", 2)],
    "unrolled": [("weights", "weight", 1.001), ("small", "y", 1.1)],
    "envelope": [("envelope", "displacement", 1.0001), ("envelope", "excess_sharpness", 1.0001)],
    "slow_limit": [
        ("errors", "drop", 1.001),
        ("errors", "swing", 1.001),
        ("without_0", "excess_sharpness", 1.05),
    ],
    "inertia": [("inertia", "overshoot", 1.1)],
    "deviation": [("deviation", "overshoot", 1.01)],
    "lookahead": [("small", "ratio", 1.01), ("large", "overshoot", 1.01)],
    "linear": [("overshoots", "overshoot", 1.03), ("amplification", "amplification", 1.001)],
    "memory": [("memory", "overshoot", 1.05)],
    "plateaus": [("border", "batch_sharpness", 1.001)],
    "prolonging": [
        ("prolonging", "lifetime", 1.01),
        ("prolonging", "factor", 1.0001),
        ("network", "drop", 1.002),
        ("network", "factor", 1.002),
        ("catapults", "after_peak", 0.8),
    ],
    "edge_cycles": [("small", "growth", 1.05), ("small", "period", 1.05)],
    "edge_drift": [("edge_drift", "drift", 1.2)],
    "warmup_delay": [("drops", "drop", 1.2)],
    "two_cycles": [("beta_0", "weight", 1.001), ("beta_0.5", "weight", 1.001), ("beta_0.5", "doubling", 0.8)],
    "noise_boundary": [("noise_boundary", "deviation", 1.001)],
    "sharpness_gap": [("gap", "gap", 1.15), ("gap", "noise_gap", 1.15)],
    "minibatch_gap": [("gap", "gap", -1.0)],
    "adam": [("share", "ratio", 1.1), ("fading", "fall", 1.3), ("frozen", "preconditioned_sharpness", 1.1)],
    "spectrum": [("gd", "eigenvalue", 1.00001), ("phb", "sharpness", 0.999)],
    "constrained": [("errors", "error", 1000.0)],
    "predicted": [("errors", "error", 30.0), ("run_0.9", "two-scale sharpness", 1.05)],
    "flows": [("run_0.5", "q", 1.05), ("run_0", "y", 1.5), ("rod", "flow", 1.1)],
    "flatter_optimizers": [
        ("catapults", "overshoot", 1.05),
        ("again", "sharpness", 1.001),
        ("digits", "sharpness", 1.01),
    ],
    "digits_flows": [("averaged_0", "averaged_loss", 1.03), ("rod_0.5", "sharpness", 1.02)],
    "edge_flow": [("drops", "edge", 1.05), ("digits_0.9", "edge", 1.05)],
}
"""Of each figure: part, variable, and a factor on it that its check must refuse."""

SLOW = ("digits_flows", "edge_flow")
"""Figures of many networks, whose quick size takes a quarter of a minute."""


def marked(name, *values):
    """Return a case of a figure, marked where it is slow."""
    return pytest.param(name, *values, marks=[pytest.mark.slow] if name in SLOW else [])


def figure(name):
    return companion(f"figures.{name}")


@cache
def computed(name):
    return figure(name).compute(quick=True)


@pytest.mark.parametrize("name", [marked(name) for name in SHOWN])
def test_the_check_passes_and_the_figure_fits_the_page(name):
    # Protects the manual's pictures.
    lines = figure(name).check(computed(name))
    assert lines
    assert all(line.endswith(".") for line in lines)
    drawn = figure(name).draw(computed(name))
    assert isinstance(drawn, Figure)
    assert drawn.get_size_inches()[0] in (SINGLE_COLUMN, DOUBLE_COLUMN)
    shown = {text for ax in drawn.axes for text in (ax.get_xlabel(), ax.get_ylabel()) if text}
    assert shown <= every_label()


@pytest.mark.parametrize(
    ("name", "part", "variable", "factor"),
    [marked(name, *change) for name, changes in SHOWN.items() for change in changes],
)
@pytest.mark.parametrize("absent", [False, True], ids=["off", "absent"])
def test_the_check_refuses_a_number_that_is_off_or_absent(name, part, variable, factor, absent):
    # Protects against checks that can't fail: a comparison with nan is false.
    data = {key: value.copy(deep=True) for key, value in computed(name).items()}
    data[part][variable] = data[part][variable] * (np.nan if absent else factor)
    with pytest.raises(AssertionError):
        figure(name).check(data)


def survey_of(axes, ratio, test_loss):
    """Return a survey of two seeds: gradient descent at the threshold, heavy ball at `ratio` of it."""
    shape = (*(len(values) for values in axes.values()), 3, 2)
    dims = (*axes, "optimizer", "seed")
    data = xarray.Dataset(coords={**axes, "optimizer": ["phb", "gd_time", "gd_steps"], "seed": [0, 1]})
    threshold = data["threshold"] if "threshold" in axes else 2.2
    heavy = np.array([1.0, 0.0, 0.0])[:, None]
    blank = xarray.DataArray(np.ones(shape), dims=dims)
    for name in ("mean_sharpness", "least_sharpness", "final_sharpness"):
        data[name] = (blank * threshold).transpose(*dims) * (1.0 + heavy * (ratio - 1.0))
    for name in ("final_test_loss", "final_distance"):
        data[name] = blank * (1.0 + heavy * (test_loss - 1.0))
    data["crossed_at"], data["diverged_at"] = blank, blank * np.nan
    return data


@pytest.mark.parametrize(
    ("at_low", "at_high", "test_loss", "message"),
    [
        (1.0, 0.8, 1.5, None),
        (0.8, 0.8, 1.5, "at β = 0.5"),
        (1.0, 1.0, 1.5, "at β = 0.9"),
        (1.0, 0.8, 0.7, "its test loss is smaller"),
    ],
)
def test_the_check_of_flatter_minima(at_low, at_high, test_loss, message):
    """Protects the claims drawn: no gain at β = 0.5, a gain at 0.9, paid for by the test loss."""
    figure = companion("figures.flatter")
    low = survey_of({"momentum": [0.5], "scale": [0.1]}, at_low, 1.0)
    high = survey_of({"momentum": [0.9], "scale": [0.1]}, at_high, test_loss)
    data = {
        "lr": survey_of({"warmup": [100, 200], "threshold": [2.0, 2.4]}, at_high, test_loss),
        "start": xarray.concat([low, high], "momentum"),
    }
    if message is None:
        assert len(figure.check(data)) == 7
        return
    with pytest.raises(AssertionError, match=message):
        figure.check(data)


@pytest.mark.parametrize(
    ("at_low", "at_high", "gd", "message"),
    [
        (0.99, 0.85, 1.0, None),
        (0.9, 0.85, 1.0, "at β = 0.5 a run differs"),
        (1.0, 0.97, 1.0, "of GD's sharpness"),
        (1.0, np.nan, 1.0, "in only nan%"),
        (1.0, 0.85, 1.2, "within 5% of the threshold in only 0%"),
    ],
)
def test_the_check_of_flatter_networks(at_low, at_high, gd, message):
    """Protects the claims drawn: level at β = 0.5, flatter from 0.7 on, gradient descent at the threshold."""
    figure = companion("figures.flatter_networks")
    data = {}
    for name in figure.SHOWN:
        low, high = (
            survey_of({"momentum": [momentum], "scale": [1.0]}, ratio, 1.0)
            for momentum, ratio in ((0.5, at_low), (0.9, at_high))
        )
        data[f"{name}_start"] = xarray.concat([low, high], "momentum")
        data[f"{name}_lr"] = survey_of({"warmup": [100, 200], "threshold": [4.0, 5.0]}, at_high, 1.0)
        data[f"{name}_lr"]["mean_sharpness"] *= gd
    if message is None:
        assert len(figure.check(data)) == 2 * (4 + 2 + 1)
        assert figure.draw(data).axes
        return
    with pytest.raises(AssertionError, match=message):
        figure.check(data)


def test_the_check_of_the_networks():
    """Protects the claims drawn: ten outputs end level, one output flatter; a divergence fails."""
    figure = companion("figures.networks")

    def data(ten, one):
        found = {}
        for name in figure.SHOWN:
            run = survey_of({"scale": [1.0]}, ten if name == "onehot_network" else one, 1.0).isel(scale=0)
            run["final_test_accuracy"] = run["final_test_loss"]
            found[name] = run.assign_attrs(setting='{"threshold": 2.2, "momentum": 0.5}')
        return found

    assert len(figure.check(data(1.0, 0.8))) == 3
    for ten, one, message in ((0.8, 0.8, "differ by"), (1.0, 1.0, "of GD's"), (1.0, np.nan, "diverged")):
        with pytest.raises(AssertionError, match=message):
            figure.check(data(ten, one))
