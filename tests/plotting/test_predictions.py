"""Figures of predictions and comparisons hold what the data hold, and refuse what lacks it."""

import json

import numpy as np
import pytest
import xarray
from matplotlib.colors import to_hex

from selfstab.plotting import draw_comparison, draw_prediction
from selfstab.plotting.methods import METHOD_COLOURS, MOMENTUM_COLOURS
from selfstab.plotting.style import new_figure

# Matplotlib's releases shift antialiased pixels: 5 of 255 in the mean square hides no moved line.
IMAGE = {"tolerance": 5, "remove_text": True, "savefig_kwargs": {"dpi": 80}, "style": "default"}


def lines_of(ax):
    return {line.get_label(): line for line in ax.lines}


@pytest.fixture
def predicted():
    step = np.arange(60)
    swing = 0.1 * np.exp(-((step - 30.0) ** 2) / 50.0)
    data = xarray.Dataset(coords={"step": step})
    for of, values in (
        ("sharpness", 5.0 - 2.0 * swing),
        ("x", (-1.0) ** step * swing),
        ("loss", 0.1 + swing**2),
    ):
        data[of] = ("step", values)
        data[f"predicted_{of}"] = ("step", 1.01 * values)
        data[f"flow_{of}"] = ("step", np.linspace(5.0, 6.0, 60))
    data["max_stable_sharpness"] = ("step", np.full(60, 5.0))
    data["delta"] = ("step", np.full(60, 0.05))
    data["constrained_loss"] = ("step", np.linspace(0.1, 0.09, 60))
    data["invalid"] = ("step", np.where(step > 50, 1, 0).astype(np.int8))
    data.attrs = {"optimizer": json.dumps({"lr": 0.4, "momentum": 0.7}), "form": "basic"}
    return data


@pytest.fixture
def compared():
    dims = ("optimizer", "seed", "record")
    time = np.linspace(0.0, 100.0, 21)
    data = xarray.Dataset(
        coords={"optimizer": ["gd_steps", "gd_time", "phb"], "seed": [4, 7], "record": np.arange(21)}
    )
    rise = np.minimum(5.0, 1.0 + 0.1 * time)
    shape = np.array([1.0, 1.0, 0.8])[:, None, None] * np.array([1.0, 0.95])[:, None]
    data["sharpness"] = (dims, shape * rise)
    data["test_accuracy"] = (dims, 0.9 * np.ones((3, 2, 21)))
    data["test_accuracy"][0, 1, 3:] = np.nan
    data["effective_time"] = (("optimizer", "record"), np.array([0.2, 1.0, 1.0])[:, None] * time)
    with np.errstate(divide="ignore"):
        limits = np.maximum(5.0, 100.0 / time)
    data["max_stable_sharpness"] = (("optimizer", "record"), np.tile(limits, (3, 1)))
    return data


@pytest.mark.parametrize(
    ("of", "beside", "label"),
    [
        ("sharpness", "max_stable_sharpness", "threshold $S^*$"),
        ("x", "delta", "$\\delta$, holds $S$ at $S^*$"),
        ("loss", "constrained_loss", "constrained trajectory"),
    ],
)
def test_a_prediction_is_drawn_over_its_run(predicted, of, beside, label):
    ax = draw_prediction(predicted, of=of)
    lines = lines_of(ax)
    run = lines["run, $\\beta=0.7$"]
    assert run.get_ydata() == pytest.approx(np.abs(predicted[of].values))
    assert run.get_marker() == "."
    assert to_hex(run.get_color()) == MOMENTUM_COLOURS[0.7]
    assert lines["basic prediction"].get_ydata() == pytest.approx(np.abs(predicted[f"predicted_{of}"].values))
    assert lines[label].get_ydata() == pytest.approx(predicted[beside].values)
    assert ax.get_yscale() == ("log" if of == "loss" else "linear")
    assert "gradient flow" not in lines
    if of != "x":
        flow = lines_of(draw_prediction(predicted, of=of, flow=True))["gradient flow"]
        assert flow.get_ydata() == pytest.approx(predicted[f"flow_{of}"].values)
        assert to_hex(flow.get_color()) == METHOD_COLOURS["gradient flow"]


def test_steps_where_a_condition_fails_are_shaded(predicted):
    ax = draw_prediction(predicted)
    (shade,) = ax.patches
    assert shade.get_label() == "conditions fail (invalid)"
    assert (shade.get_x(), shade.get_width()) == (50.5, 9.0)
    assert not draw_prediction(predicted.assign(invalid=0 * predicted.invalid)).patches
    predicted["invalid"][:] = 0
    predicted["invalid"][[0, 20, 22, 59]] = [1, 2, 4, 8]
    assert [(p.get_x(), p.get_width()) for p in draw_prediction(predicted).patches] == [
        (-0.5, 1.0), (19.5, 1.0), (21.5, 1.0), (58.5, 1.0)
    ]  # fmt: skip


def test_a_prediction_that_runs_off_leaves_the_run_its_room(predicted):
    predicted["predicted_sharpness"][40:] = 1e4
    low, high = draw_prediction(predicted).get_ylim()
    values = predicted.sharpness.values
    assert low < values.min()
    assert 5.0 < high < 5.0 + 2.0 * (5.0 - values.min())


def test_a_run_that_diverges_leaves_the_prediction_its_room(predicted):
    predicted["sharpness"][50:] = 1e8
    predicted["diverged_at"] = 60
    assert draw_prediction(predicted).get_ylim()[1] < 25.0


def test_a_prediction_over_a_warmup_keeps_its_room(predicted):
    predicted["max_stable_sharpness"][:20] = np.r_[np.inf, np.linspace(100.0, 7.0, 19)]
    assert draw_prediction(predicted).get_ylim()[1] < 7.0


@pytest.mark.parametrize("of", ["sharpness", "x", "loss"])
def test_records_of_nothing_are_drawn_as_nothing(predicted, of):
    for data in (predicted.isel(step=[]), predicted.isel(step=[3]), predicted.where(predicted.step < 0)):
        assert draw_prediction(data.assign(invalid=data.invalid.fillna(0)), of=of).lines


def test_short_names_of_matplotlib_are_taken(predicted):
    line = lines_of(draw_prediction(predicted, lw=2, c="red"))["basic prediction"]
    assert (line.get_linewidth(), line.get_color()) == (2, "red")


def test_a_seed_that_diverges_leaves_the_others_their_room(compared):
    compared["sharpness"][2, 1, 5:8] = 1e5
    compared["diverged_at"] = (("optimizer", "seed"), [[np.nan, np.nan], [np.nan, np.nan], [np.nan, 40.0]])
    ax = draw_comparison(compared)
    top = ax.get_ylim()[1]
    assert top == pytest.approx(1.1 * 1.5 * 5.0)
    compared["sharpness"][2, 1, 8:] = np.nan
    cross = lines_of(draw_comparison(compared))["diverged"]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (35.0, top)
    assert to_hex(cross.get_color()) == METHOD_COLOURS["PHB"]


@pytest.mark.parametrize("of", ["sharpness", "loss"])
def test_runs_that_all_diverged_are_in_the_picture_with_words(compared, of):
    """Protects the picture of a failure: what there is lies within the axes, and words say what happened."""
    compared["loss"] = 10.0 * compared["sharpness"]
    compared[of][:, :, 0] = 40.0
    compared[of][:, :, 1:] = np.nan
    compared["diverged_at"] = (("optimizer", "seed"), np.full((3, 2), 4.0))
    ax = draw_comparison(compared, of=of)
    assert [text.get_text() for text in ax.texts] == ["all runs diverged"]
    low, high = ax.get_ylim()
    assert low < 40.0 < high
    left, right = ax.get_xlim()
    assert left < 0.0 < right < 10.0  # of 100
    assert right > 5.0  # the first record after the divergence


def test_the_picture_says_how_many_seeds_diverged(compared):
    compared["diverged_at"] = (("optimizer", "seed"), [[np.nan, np.nan], [np.nan, 9.0], [30.0, 40.0]])
    (words,) = draw_comparison(compared).texts
    assert words.get_text().splitlines() == [
        "1 of 2 seeds of GD, equal time diverged", "all seeds of PHB diverged"
    ]  # fmt: skip
    (words,) = draw_comparison(compared.isel(seed=[1])).texts
    assert words.get_text().splitlines() == ["GD, equal time diverged", "PHB diverged"]


def test_a_loss_that_diverges_leaves_the_others_their_room(compared):
    compared["loss"] = compared["sharpness"] + 0.0
    compared["loss"][2, 1, 5:8] = 1e17
    compared["loss"][2, 1, 8:] = np.nan
    compared["diverged_at"] = (("optimizer", "seed"), [[np.nan, np.nan], [np.nan, np.nan], [np.nan, 40.0]])
    assert draw_comparison(compared, of="loss").get_ylim()[1] == pytest.approx(50.0)


def test_a_comparison_of_its_own_names_its_lines(compared):
    """Protects new figures, which have a legend; axes that are given are left without one."""
    texts = [text.get_text() for text in draw_comparison(compared).get_legend().get_texts()]
    assert {"GD, equal steps", "PHB", "other seeds", "threshold $S^*$, equal time"} <= {*texts}
    one = [text.get_text() for text in draw_comparison(compared.isel(seed=[0])).get_legend().get_texts()]
    assert "other seeds" not in one
    assert draw_comparison(compared, new_figure().add_subplot()).get_legend() is None


def test_the_flow_is_drawn_if_asked_for(predicted):
    lines = lines_of(draw_prediction(predicted, flow=True, linestyle="--"))
    assert lines["gradient flow"].get_ydata() == pytest.approx(predicted.flow_sharpness.values)
    assert lines["basic prediction"].get_linestyle() == "--"


def test_a_comparison_has_every_seed_and_theorys_threshold(compared):
    ax = draw_comparison(compared)
    assert len([line for line in ax.lines if len(line.get_xdata())]) == 3 * 2 + 1
    lines = lines_of(ax)
    assert lines["PHB"].get_ydata() == pytest.approx(compared.sharpness.sel(optimizer="phb", seed=4).values)
    assert lines["GD, equal steps"].get_xdata()[-1] == pytest.approx(20.0)
    assert np.isfinite(lines["threshold $S^*$, equal time"].get_ydata()).all()
    assert ax.get_ylim() == pytest.approx((0.0, 5.5))


def test_a_comparison_of_scores_keeps_gaps(compared):
    ax = draw_comparison(compared, of="test_accuracy", against="effective_time")
    assert ax.get_ylabel() == "test accuracy"
    assert ax.get_yscale() == "linear"  # the scores lie within a decade
    assert "threshold $S^*$" not in lines_of(ax)
    assert sum(np.isnan(line.get_ydata()).sum() for line in ax.lines) == 18


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p, _: draw_prediction(p, of="weights"), ValueError, "of must be one of sharpness, x, loss"),
        (lambda p, _: draw_prediction(p, flow=1), TypeError, "flow must be True or False, got 1"),
        (lambda p, _: draw_prediction(p, of="x", flow=True), ValueError, "flow must be False where of is 'x'"),
        (
            lambda p, _: draw_prediction(p.drop_vars("invalid")),
            ValueError,
            r"data must have the variable invalid \(of predicted_dynamics\)",
        ),
        (lambda *_: draw_prediction([1.0]), TypeError, "data must be a dataset"),
        (lambda _, c: draw_comparison(c, of="loss"), ValueError, "data must have the variable loss"),
        (lambda _, c: draw_comparison(c, of=3), TypeError, "of must be the name of a variable, got 3"),
        (lambda _, c: draw_comparison(c, against="time"), ValueError, "against must be one of step, effective_time"),
        (lambda p, _: draw_comparison(p), ValueError, "data must have the variable effective_time"),
        (
            lambda _, c: draw_comparison(c.isel(optimizer=[0, 2])),
            ValueError,
            "data must hold the optimizers gd_steps, gd_time, phb and .* got gd_steps, phb and 2 seeds",
        ),
        (lambda _, c: draw_comparison(c.isel(seed=[])), ValueError, "at least one seed .* and 0 seeds"),
        (lambda _, c: draw_comparison(c.drop_vars("optimizer")), ValueError, "data must have the variable optimizer"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(predicted, compared, call, error, message):
    with pytest.raises(error, match=message):
        call(predicted, compared)


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_a_prediction(predicted):
    return draw_prediction(predicted, flow=True).figure


@pytest.mark.mpl_image_compare(**IMAGE)
def test_picture_of_a_comparison(compared):
    return draw_comparison(compared).figure
