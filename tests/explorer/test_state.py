"""What the page lets one choose: ranges, axes and their places, and clear words for the rest."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from selfstab.explorer.scales import AXES, Axis
from selfstab.explorer.state import FORMULA, MODELS, PageState, drawn_axis

AXIS = st.one_of(
    st.tuples(st.just("momentum"), st.floats(0.0, 0.5), st.floats(0.6, 0.999)),
    st.tuples(st.just("excess"), st.floats(-0.9, 0.1), st.floats(0.2, 3.0)),
    st.tuples(st.just("lr"), st.floats(1e-3, 1.0), st.floats(1.5, 100.0)),
    st.tuples(st.just("warmup"), st.floats(1.0, 10.0), st.floats(20.0, 1e4)),
)


@given(AXIS, st.integers(2, 300))
def test_an_axis_places_its_values_evenly(axis, count):
    # Protects the click: the image has cells of equal size, each at its value's place.
    axis = Axis(*axis)
    assert axis.place(axis.values(count)) == pytest.approx(np.linspace(0.0, 1.0, count), abs=1e-6)


@example(("excess", -0.8409884582874464, 0.5), 1.0)
@given(AXIS, st.floats(-0.5, 1.5))
def test_a_place_and_its_value_agree(axis, place):
    # Protects the mark: it stands where one has clicked, at the end if that was beyond it.
    axis = Axis(*axis)
    value = axis.value(place)
    assert axis.low <= value <= axis.high
    assert axis.place(value) == pytest.approx(min(max(place, 0.0), 1.0), abs=1e-6)


@given(AXIS, st.integers(2, 40))
def test_the_text_of_an_axis_makes_its_values(axis, count):
    # Protects the script: the same bits as the page's.
    axis = Axis(*axis)
    made = eval(axis.text(count), {"np": np})
    assert made.tobytes() == axis.values(count).tobytes()


@given(AXIS)
def test_ticks_are_at_their_numbers(axis):
    # Protects the reader: a tick names the value at its place.
    axis = Axis(*axis)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 9
    for place, word in ticks.items():
        assert -1e-6 <= place <= 1.0 + 1e-6
        assert float(axis.place(float(word))) == pytest.approx(place, abs=1e-3)


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
    ("low", "high", "words"),
    [(0.5, 0.1, "low end must be below"), (0.5, 1.0, "high end"), (float("nan"), 0.5, "low end")],
)
def test_ends_of_an_axis_are_checked(low, high, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Axis("momentum", low, high)


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
