"""Sliders of an optimizer's numbers: each stands within the range that the optimizer takes."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from selfstab.explorer.numbers import _usual, numbers_of, offered
from selfstab.optimizers.aggregated import AggregatedMomentum
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.settings import Setting
from tests.optimizers.own import Aggregated, Mixed, Moments, TwoMomenta


@pytest.mark.parametrize("kind", [HeavyBall, TwoMomenta, Moments, Mixed])
def test_each_end_of_a_slider_is_taken(kind):
    """Protects the drag to an end: the optimizer's own check takes both ends, and the start lies between them."""
    required = {"momentum": 0.5} if kind is Mixed else {}
    for number in numbers_of(kind):
        for value in (number.low, number.high, number.low + 3 * number.step):
            assert getattr(kind(0.1, **required | {number.name: value}), number.name) == value
        assert number.low <= number.default <= number.high
        assert number.step == pytest.approx((number.high - number.low) / 200)


def test_the_momentum_has_no_slider_here():
    """Protects the page: the momentum has a slider of its own; a tuple has one for each number of its default."""
    assert [(n.name, n.label, n.default) for n in numbers_of(AggregatedMomentum)] == [
        ("momenta.0", "momentum β 1", 0.0), ("momenta.1", "momentum β 2", 0.9), ("momenta.2", "momentum β 3", 0.99),
    ]  # fmt: skip
    assert [number.name for number in numbers_of(TwoMomenta)] == ["fast", "slow"]
    assert numbers_of(TwoMomenta)[0].label == "momentum of the fast state β₁"
    assert numbers_of(Mixed) == numbers_of(Aggregated) == ()


def test_optimizers_that_the_page_can_make_are_offered():
    """Protects the page from an optimizer that must be given what no widget gives: a tuple without a default."""
    names = offered()
    assert {"HeavyBall", "AggregatedMomentum", "LinearOptimizer", "SymbolicOptimizer", "Mixed"} <= {*names}
    assert "Aggregated" not in names


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-6, 1e3),
    st.sampled_from(["above", "at_least", None]),
    st.sampled_from(["below", "at_most", None]),
)
def test_the_ends_are_within_any_range(low, width, first, last):
    """Protects optimizers of one's own, however narrow a range they declare: ends in order, both within."""
    high = low + width
    bounds = {name: value for name, value in ((first, low), (last, high)) if name is not None}
    declared = Setting(**bounds)

    start, end = _usual(declared)
    assert start < end
    for value in (start, end):
        declared.checked("number", value)
