"""Numbers declared once: their ranges as text and as checks, their names and their values."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.optimizers.settings import (
    Setting,
    check_settings,
    numbers_of,
    recorded_settings,
    setting,
    settings_of,
    with_numbers,
)
from tests.optimizers.own import Aggregated, Moments, TwoMomenta


def test_numbers_are_those_declared():
    """Protects axes: names, values and ranges come from the fields, those of a tuple one by one."""
    optimizer = Aggregated(0.1, momenta=[0, 0.5])
    assert optimizer.momenta == (0.0, 0.5)
    assert optimizer.numbers == {"momenta.0": 0.0, "momenta.1": 0.5}
    assert optimizer.with_numbers({"momenta.1": 0.75, "lr": 0.2}) == Aggregated(0.2, momenta=(0.0, 0.75))
    assert Moments(0.1, corrected=False).numbers == {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert ss.HeavyBall(0.1, 0.5).setting_of("momentum").interval == "in [0, 1)"
    for call, match in (
        (lambda: TwoMomenta(0.1, fast=1.0), r"fast must be in \[0, 1\), got 1.0"),
        (lambda: TwoMomenta(0.0), r"lr must be in \(0, inf\)"),
        (lambda: Aggregated(0.1, momenta=(0.0, 2.0)), r"momenta\[1\] must be in"),
        (lambda: Aggregated(0.1, momenta=()), "momenta must hold at least one number, got none"),
        (lambda: Aggregated(0.1, momenta=0.5), "momenta must be a tuple of numbers"),
        (lambda: Moments(0.1, eps=0), r"eps must be in \(0, inf\), got 0.0"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            call()
    with pytest.raises(TypeError, match="momenta"):
        Aggregated(0.1)


BOUND = st.none() | st.integers(-3, 3).map(float)


def accepts(call, *arguments):
    """Return whether a call raises no ValueError."""
    try:
        call(*arguments)
    except ValueError:
        return False
    return True


@given(
    left=st.sampled_from(["above", "at_least"]), right=st.sampled_from(["below", "at_most"]), low=BOUND, high=BOUND,
    value=st.integers(-8, 8).map(lambda k: k / 2.0),
)  # fmt: skip
def test_a_number_is_taken_where_it_lies_in_the_range(left, right, low, high, value):
    """Protects the door and axes alike: the comparison that the bound's name says, one by one."""
    known = Setting(**{left: low, right: high})
    fits = (low is None or value > low or (left == "at_least" and value == low)) and (
        high is None or value < high or (right == "at_most" and value == high)
    )
    assert accepts(known.checked, "x", value) == fits
    tuples = Setting(several=True, **{left: low, right: high})
    assert accepts(tuples.checked, "x", [value, value]) == fits


def test_a_range_as_text():
    """Protects help and messages: one-sided ranges have a sign, others are intervals."""
    assert Setting(at_least=0).interval == ">= 0"
    assert Setting(above=0).interval == "> 0"
    assert Setting(above=0, at_most=1).interval == "in (0, 1]"
    assert Setting(below=1).interval == "in (-inf, 1)"
    assert Setting().interval == "a finite number"


@dataclasses.dataclass(frozen=True)
class Rule:
    """Two numbers, a tuple of them, and what is no number."""

    rate: float = setting(above=0)
    shares: tuple[float, ...] = setting(several=True, at_least=0)
    length: float = setting(default=3, at_least=1)
    label: str = "a"

    settings = {}  # noqa: RUF012 (the annotation would make it a field)

    def __post_init__(self):
        check_settings(self)


Rule.settings = settings_of(Rule)


@given(
    rate=st.floats(0.1, 9), shares=st.lists(st.floats(0, 9), min_size=1, max_size=12), length=st.integers(1, 9),
    other=st.floats(0.1, 9), place=st.integers(0, 11),
)  # fmt: skip
def test_numbers_change_by_their_names(rate, shares, length, other, place):
    """Protects axes of tuples: one number changes, by the place in its name, and the rest stays as it is."""
    rule, place = Rule(rate, shares, length, "b"), place % len(shares)
    expected = {"rate": rate, **{f"shares.{k}": v for k, v in enumerate(shares)}, "length": float(length)}
    assert numbers_of(rule, Rule.settings) == expected
    changed = dataclasses.replace(
        rule, **with_numbers({f"shares.{place}": other, "rate": other}, rule, Rule.settings)
    )
    assert changed.shares == (*shares[:place], other, *shares[place + 1 :])
    assert (changed.rate, changed.length, changed.label) == (other, length, "b")
    assert rule.shares == tuple(shares)


def test_fields_that_are_no_numbers_are_no_settings():
    """Protects flags and labels from becoming axes, and the order of columns and options."""
    assert [*settings_of(Rule)] == ["rate", "shares", "length"]
    assert [*settings_of(TwoMomenta)] == ["fast", "slow"]
    assert isinstance(Rule(1, [0, 1]).rate, float)
    with pytest.raises(TypeError, match="missing"):
        Rule()


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", "{", 3])
def test_settings_of_a_dataset_that_are_none_are_refused(text):
    """Protects pictures of datasets of others: no RecursionError, no bare error of JSON."""
    with pytest.raises(ValueError, match="attribute optimizer must be the optimizer's settings as JSON, got"):
        recorded_settings({"optimizer": text})
    run = ss.simulate(ss.Product(), ss.HeavyBall(0.1), [1.0, 1.0], 2).assign_attrs(optimizer=text)
    for draw in (ss.plotting.draw_loss, ss.plotting.draw_sharpness):
        with pytest.raises(ValueError, match="attribute optimizer"):
            draw(run)
