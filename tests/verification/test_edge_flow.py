"""The edge flow's entries hold, and fail with another law, another inertia, or a swing that does not grow."""

import pytest

from selfstab.flows.edge import Pace
from selfstab.verification import edge_flow
from tests.verification.judging import assert_fail, assert_holds, entries, scaled, verdicts


@pytest.mark.parametrize("name", entries(edge_flow))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "overshoot": (lambda: scaled("overshoot", 1.01), ["A14 overshoot κ = 1", "A14 overshoot κ = 10"]),
    "inertia_number": (
        lambda: scaled("inertia_number", 1.05),
        ["A14 overshoot κ = 1", "A14 overshoot κ = 10"],
    ),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)


def test_a_wrong_inertia_fails(monkeypatch):
    """Protects ½(1 + β): a percent off, and neither heavy ball nor the law comes out."""
    right = Pace._inertia
    monkeypatch.setattr(Pace, "_inertia", property(lambda pace: 1.01 * right.fget(pace)))
    names = ["A14 whole steps", "A14 overshoot κ = 1", "A14 overshoot κ = 10"]
    assert verdicts(names) == dict.fromkeys(names, "fails")


def test_the_flow_on_the_digits_can_fail(monkeypatch):
    """Protects its entries: the flow of first order misses the catapult."""
    right = edge_flow.digits_flow
    monkeypatch.setattr(edge_flow, "digits_flow", lambda momentum, steps: right(momentum, steps, order=1))
    names = ["A14 digits β = 0.7", "A14 digits β = 0.9"]
    assert verdicts(names) == dict.fromkeys(names, "fails")
