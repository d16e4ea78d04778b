"""The axes of the explorer's diagrams: values, places, texts and ticks agree."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from selfstab.explorer.scales import Axis

AXIS = st.one_of(
    st.tuples(st.just("momentum"), st.floats(0.0, 0.5), st.floats(0.6, 0.999)),
    st.tuples(st.just("excess"), st.floats(-0.9, 0.1), st.floats(0.2, 3.0)),
    st.tuples(st.just("lr"), st.floats(1e-3, 1.0), st.floats(1.5, 100.0)),
    st.tuples(st.just("warmup"), st.floats(1.0, 10.0), st.floats(20.0, 1e4)),
)


@given(AXIS, st.integers(2, 300))
def test_an_axis_places_its_values_evenly(axis, count):
    """Protects the click: the image has cells of equal size, each at its value's place."""
    axis = Axis(*axis)
    assert axis.place(axis.values(count)) == pytest.approx(np.linspace(0.0, 1.0, count), abs=1e-6)


@example(("excess", -0.8409884582874464, 0.5), 1.0)
@given(AXIS, st.floats(-0.5, 1.5))
def test_a_place_and_its_value_agree(axis, place):
    """Protects the mark: it stands where one has clicked, at the end if that was beyond it."""
    axis = Axis(*axis)
    value = axis.value(place)
    assert axis.low <= value <= axis.high
    assert axis.place(value) == pytest.approx(min(max(place, 0.0), 1.0), abs=1e-6)


@given(AXIS, st.integers(2, 40))
def test_the_text_of_an_axis_makes_its_values(axis, count):
    """Protects the script: the same bits as the page's."""
    axis = Axis(*axis)
    made = eval(axis.text(count), {"np": np})
    assert made.tobytes() == axis.values(count).tobytes()


@given(AXIS)
def test_ticks_are_at_their_numbers(axis):
    """Protects the reader: a tick names the value at its place."""
    axis = Axis(*axis)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 9
    for place, word in ticks.items():
        assert -1e-6 <= place <= 1.0 + 1e-6
        assert float(axis.place(float(word))) == pytest.approx(place, abs=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.5, 0.1, "low end must be below"), (0.5, 1.0, "high end"), (float("nan"), 0.5, "low end")],
)
def test_ends_of_an_axis_are_checked(low, high, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Axis("momentum", low, high)


@pytest.mark.parametrize(
    ("axis", "places"),
    [
        (Axis("momentum", 0.0, 0.99), {0.0: 0.0, 0.9: 0.5, 0.99: 1.0}),
        (Axis("excess", 0.01, 1.0), {0.01: 0.0, 0.1: 0.5, 1.0: 1.0}),
        (Axis("excess", -0.5, 0.5), {-0.5: 0.0, 0.0: 0.5, 0.25: 0.75}),
        (Axis("lr", 1.0, 4.0), {1.0: 0.0, 2.5: 0.5, 4.0: 1.0}),
    ],
)
def test_the_spacing_is_the_one_promised(axis, places):
    """Protects the reading of a diagram: the momentum even in log(1 − β), wide axes above 0 in log, others in value."""
    for value, place in places.items():
        assert float(axis.place(value)) == pytest.approx(place, abs=1e-12)
    assert list(places)[1] in axis.values(9 if axis.low < 0 else 5).round(12).tolist()
