"""Figures of recorded runs: what they mark is what the analysis found."""

import numpy as np
import pytest

from selfstab import analyze, theory
from selfstab.plotting import draw_catapults, draw_measured_overshoot, draw_spikes

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


@pytest.fixture
def seen(slow_run):
    # Two catapults of the slow limit, the second of which begins where the first has died.
    table = {name: np.tile(slow_run[name].values, 2) for name in ("sharpness", "loss")}
    return analyze(table, lr=2.0 / 0.99, momentum=0.0)


def lines_of(ax):
    return {line.get_label(): line for line in ax.lines}


def test_catapults_are_marked_from_onset_to_end_and_end_where_the_law_says(seen):
    ax = draw_catapults(seen)
    assert seen.sizes["catapult"] == 2
    bands = [patch.get_bbox() for patch in ax.patches]
    assert [(band.x0, band.x1) for band in bands] == [
        (float(a), float(b)) for a, b in zip(seen["onset"], seen["died"], strict=True)
    ]
    bars = [bar.get_segments()[0][0][1] for bar in ax.collections]
    # S* − y₀(2G − 1)
    y0, kappa = seen["peak_excess_sharpness"].values, seen["inertia_number"].values
    assert bars == pytest.approx(theory.final_sharpness(0.99, y0, kappa), rel=1e-6)
    assert set(lines_of(ax)["threshold $S^*$"].get_ydata()) == {0.99}
    assert [text.get_text() for text in ax.texts] == ["0", "1"]


def test_spikes_reach_the_predicted_bars(seen):
    ax = draw_spikes(seen)
    bars = [bar.get_segments()[0][0][1] for bar in ax.collections]
    assert len(bars) == 2
    assert bars[0] == pytest.approx(float(lines_of(ax)["loss $L$"].get_ydata().max()), rel=0.05)
    assert ax.get_yscale() == "log"


def test_the_measured_overshoot_lies_beside_the_curve_with_cautions_open(seen):
    seen["cautions"][1] = 1
    ax = draw_measured_overshoot(seen)
    lines = lines_of(ax)
    curve = lines["the law, $G(\\kappa)$"]
    assert curve.get_ydata() == pytest.approx(theory.overshoot(curve.get_xdata()))
    assert lines["measured"].get_xdata() == seen["inertia_number"].values[0]
    assert lines["measured, with cautions"].get_markerfacecolor() == "white"


def test_what_is_missing_is_named(seen):
    with pytest.raises(ValueError, match="data must have the variable loss"):
        draw_spikes(seen.drop_vars("loss"))
    with pytest.raises(TypeError, match="data must be a dataset"):
        draw_catapults({})


@pytest.mark.mpl_image_compare(**IMAGE)
def test_image_of_catapults(seen):
    return draw_catapults(seen).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_image_of_spikes(seen):
    return draw_spikes(seen).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_image_of_measured_overshoot(seen):
    return draw_measured_overshoot(seen).figure
