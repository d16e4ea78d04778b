"""Figures of spectra: the sharpness, the others, and the threshold, on spectra in closed form."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import xarray
from matplotlib.colors import to_hex

from selfstab.plotting import draw_spectrum, spectra
from selfstab.plotting.methods import METHOD_COLOURS
from selfstab.plotting.style import THEORY_COLOUR

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


@pytest.fixture
def spectrum():
    # The sharpness rises to 2 and falls; four others, one negative, stay; the threshold comes down to 1.5.
    step = np.arange(0, 200, 2)
    top = 1.0 + np.where(step < 120, step / 120, 0.2)
    others = [np.full(step.size, value) for value in (0.8, 0.5, 0.1, -0.3)]
    data = xarray.Dataset(coords={"step": step, "rank": [0, 1, 2, -2, -1]})
    data["eigenvalue"] = (("step", "rank"), np.column_stack([top, *others]))
    with np.errstate(divide="ignore"):
        data["max_stable_sharpness"] = ("step", np.maximum(1.5, 150 / step))
    data["effective_time"] = ("step", 0.1 * step, {"long_name": "effective time", "units": "1/S"})
    data.attrs["optimizer"] = json.dumps({"lr": 1.0, "momentum": 0.9})
    return data


def test_what_is_drawn_is_what_the_data_hold(spectrum):
    """Protects values, colours and names of lines, and the threshold where it is within reach."""
    ax = draw_spectrum(spectrum)
    lines = {line.get_label(): line for line in ax.lines}
    top = lines["PHB sharpness"]
    assert np.array_equal(top.get_ydata(), spectrum.eigenvalue[:, 0])
    assert to_hex(top.get_color()) == METHOD_COLOURS["PHB"]
    grey = [line for line in ax.lines if line.get_color() == spectra.BULK_COLOUR]
    assert [line.get_ydata()[0] for line in grey] == [0.8, 0.5, 0.1, -0.3]
    limits = lines["threshold $S^*$"].get_ydata()
    assert limits.min() == 1.5
    assert limits.max() <= 1.25 * float(spectrum.eigenvalue.max())
    assert ax.get_xlabel() == "step, $t$"
    assert "1/lr" in ax.get_ylabel()


def test_time_and_what_is_left_out(spectrum):
    """Protects the choices: another horizontal axis, no threshold, no settings, a look of one's own."""
    ax = draw_spectrum(spectrum, against="effective_time", threshold=False, linewidth=3.0)
    assert ax.get_xlabel() == r"effective time, $\Sigma\eta_t/(1-\beta)$ (1/sharpness)"
    assert "threshold $S^*$" not in [line.get_label() for line in ax.lines]
    bare = spectrum.drop_vars("max_stable_sharpness")
    bare.attrs = {}
    lines = {line.get_label(): line for line in draw_spectrum(bare).lines}
    assert lines["sharpness"].get_color() == THEORY_COLOUR
    assert len(draw_spectrum(bare.isel(rank=[3, 4])).lines) == 2
    assert len(draw_spectrum(bare.isel(rank=[0])).lines) == 1


def test_a_step_without_a_hessian_is_a_gap(spectrum):
    """Protects spectra of runs that left the range of float64."""
    spectrum["eigenvalue"][50] = np.nan
    ax = draw_spectrum(spectrum)
    assert np.isfinite(ax.get_ylim()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("eigenvalue"), "data must have the variable eigenvalue (of hessian_spectrum)"),
        (lambda d: d.drop_vars("rank"), "data must have the variable rank"),
        (lambda d: d.isel(rank=0), "data must have rank along rank"),
        (lambda d: d.isel(step=slice(0)), "data must hold an eigenvalue (of hessian_spectrum), got none"),
    ],
)
def test_what_is_missing_is_named(spectrum, change, message):
    """Protects the door."""
    with pytest.raises(ValueError, match=re.escape(message)):
        draw_spectrum(change(spectrum))
    with pytest.raises(TypeError, match="data must be a dataset"):
        draw_spectrum(3)


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_a_spectrum(spectrum):
    return draw_spectrum(spectrum).figure


def test_one_point_is_shown_by_marks():
    """Protects the spectrum at one point, of which a line would show nothing."""
    data = xarray.Dataset(
        {"eigenvalue": (("step", "rank"), [[3.0, 1.0, -0.5]])}, {"step": [0], "rank": [0, 1, -1]}
    )
    assert {line.get_marker() for line in draw_spectrum(data).lines} == {"o"}
