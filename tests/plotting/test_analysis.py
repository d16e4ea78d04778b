"""Figures of recorded runs: what they mark is what the analysis found."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from selfstab import CubicTaylor, HeavyBall, analyze, simulate, theory
from selfstab.plotting import draw_catapults, draw_measured_overshoot, draw_spikes
from selfstab.plotting.style import new_figure
from selfstab.records.comparison.cautions import CAUTIONS

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


def test_a_law_that_does_not_apply_is_not_drawn(seen):
    """Protects the axes: a prediction beyond the sharpness would squeeze what is measured."""
    seen["cautions"][1] = 2 ** list(CAUTIONS).index("beyond_sharpness")
    for draw in (draw_catapults, draw_spikes):
        assert len(draw(seen).collections) == 1
        plt.close("all")
    assert [text.get_text() for text in draw_measured_overshoot(seen).texts] == ["0"]


def test_the_second_eigenvalue_and_cycles_at_the_edge_are_drawn():
    loss = CubicTaylor(1.0, progressive_sharpening=1e-4)
    run = simulate(loss, HeavyBall(2.0), [0.0141, 0.005], 900, previous=[-0.0141, 0.005])
    run["second_sharpness"] = 0.5 * run["sharpness"]
    cycling = analyze(run)
    ax = draw_catapults(cycling)
    assert lines_of(ax)["second eigenvalue"].get_ydata() == pytest.approx(0.5 * run["sharpness"].values)
    bands = [(patch.get_bbox().x0, patch.get_bbox().x1) for patch in ax.patches]
    assert bands == [
        *zip(cycling["edge_cycle_onset"].values, cycling["edge_cycle_crossing"].values, strict=True)
    ]


def test_one_record_far_above_all_others_is_an_arrowhead():
    """Protects the rest of the record: Adam's first preconditioned sharpness is ten times the threshold."""
    sharpness = np.r_[23000.0, np.linspace(500.0, 1500.0, 99)]
    ax = draw_catapults(analyze({"sharpness": sharpness}, lr=0.001, momentum=0.0))
    assert 2000.0 < ax.get_ylim()[1] < 3000.0
    (arrow,) = [line for line in ax.lines if line.get_marker() == "^"]
    assert arrow.get_xdata().tolist() == [0]
    assert arrow.get_label() == "above the axis, up to 2.3e+04"
    assert arrow.get_ydata()[0] < ax.get_ylim()[1]
    plt.close("all")
    whole = draw_catapults(analyze({"sharpness": np.r_[2500.0, sharpness[1:]]}, lr=0.001, momentum=0.0))
    assert whole.get_ylim()[1] > 2500.0


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (draw_catapults, {"sharpness $S$", "threshold $S^*$", "catapult"}),
        (draw_spikes, {"loss $L$", "catapult", "predicted spike"}),
        (draw_measured_overshoot, {"measured", "the law, $G(\\kappa)$"}),
    ],
)
def test_a_figure_of_its_own_has_a_legend(seen, draw, words):
    """Protects new figures, whose lines are named; axes that are given are left without a legend."""
    seen["cautions"][:] = 0
    ax = draw(seen)
    (legend,) = [*ax.figure.legends, *filter(None, [ax.get_legend()])]
    assert words <= {text.get_text() for text in legend.get_texts()}
    own = draw(seen, new_figure().add_subplot())
    assert own.get_legend() is None
    assert not own.figure.legends


@pytest.mark.mpl_image_compare(**IMAGE)
def test_image_of_catapults(seen):
    return draw_catapults(seen).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_image_of_spikes(seen):
    return draw_spikes(seen).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_image_of_measured_overshoot(seen):
    return draw_measured_overshoot(seen).figure
