"""What the page lets one choose: ranges, axes, and clear words for the rest."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from selfstab.explorer.scales import AXES, Axis
from selfstab.explorer.setups import FORMULA, MODELS
from selfstab.explorer.state import PageState, drawn_axis


@pytest.mark.parametrize("name", MODELS)
def test_each_model_starts_above_the_threshold(name):
    # Protects the first look at a model: a start at a positive sharpness, the excess above its threshold.
    state = PageState().with_model(name)
    setup = state.setup()
    threshold = 2.0 * (1.0 + state.momentum) / state.lr
    assert setup.sharpness / threshold - 1.0 == pytest.approx(state.excess, rel=1e-9)
    assert state.shown_weight in setup.loss.weight_names


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_point_of_the_diagram_is_the_state_there(across, up):
    # Protects the click: the run that is shown is the one of the cell.
    for state in (
        PageState(),
        PageState(up=Axis("lr", 1.0, 6.0)),
        PageState(warmup=10.0, up=Axis("lr", 1.0, 6.0)),
    ):
        new = state.at_point(across, up)
        for axis, place in ((new.across, across), (new.up, up)):
            assert float(axis.place(new.value_of(axis.name))) == pytest.approx(place, abs=1e-9)


def test_with_a_warmup_the_lr_stands_for_the_excess():
    # Protects the axis: a ramp ends at one lr for a whole row, which is the excess of one momentum only.
    state = PageState(warmup=10.0)
    axis = drawn_axis(state, state.up)
    assert axis.name == "lr"
    assert axis.value(0.0) == pytest.approx((1.0 + state.up.low) / (1.0 + state.excess) * state.lr)
    assert drawn_axis(PageState(), PageState().up) == PageState().up


def test_two_axes_change_places():
    state = PageState().with_axis("across", "excess")
    assert (state.across.name, state.up.name) == ("excess", "momentum")
    assert PageState().with_axis("up", "lr").up.name == "lr"


def test_lr_and_excess_do_not_stand_together():
    # Protects the diagram: the excess sets the lr, so a sweep has one of them.
    state = PageState().with_axis("across", "lr")
    assert (state.across.name, state.up.name) == ("lr", "momentum")
    with pytest.raises(ValueError, match="learning rate and the excess"):
        PageState(across=Axis("lr", 1.0, 2.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"momentum": 1.0}, "momentum must be"),
        ({"excess": -1.0}, "excess must be"),
        ({"steps": 0}, "steps must be"),
        ({"steps": 10**7}, "steps must be"),
        ({"flip": 0.0}, "flip must be"),
        ({"warmup": -1.0}, "warmup must be"),
        ({"model": "Nonsense"}, "model must be one of"),
        ({"across": Axis("excess", 0.1, 0.2)}, "axes must be two"),
        ({"up": Axis("zeta", 0.1, 0.2)}, "axis up must be one of"),
    ],
)
def test_what_is_out_of_range_is_named(change, words):
    with pytest.raises((TypeError, ValueError), match=words):
        replace(PageState(), **change)


@pytest.mark.parametrize(
    ("formula", "variables", "at", "words"),
    [
        ("__import__('os').system('true')", "u", "1", "expression must be"),
        ("u.real", "u", "1", "expression must be"),
        ("u**2 +", "u", "1", "expression must be"),
        ("u**2/2", "", "1", "variables must name"),
        ("u**2/2", "u", "1,2", "start must have 1 numbers"),
        ("u**2/2", "u", "one", "start must be a number"),
        ("-u**2/2", "u", "1", "curved upwards"),
    ],
)
def test_a_bad_formula_is_told_in_words(formula, variables, at, words):
    # Protects the page: never a traceback, never eval.
    state = PageState(model=FORMULA, formula=formula, variables=variables, at=at)
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        state.setup()
    assert "\n" not in str(caught.value)


def test_every_axis_has_a_usual_range():
    for model in MODELS:
        state = PageState().with_model(model)
        assert set(AXES) <= set(state.axis_names)
        for name in state.axis_names:
            axis = state.usual_axis(name)
            assert axis.name == name
