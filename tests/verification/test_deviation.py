"""Predictions on the overshoot's deviation from its law hold; the law alone fails them."""

import pytest

from selfstab import theory
from selfstab.verification import deviation
from tests.verification.judging import assert_fail, assert_holds, entries


@pytest.mark.parametrize("name", entries(deviation, slow=("A5 deviation",)))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "overshoot_on_loss": (
        lambda: lambda excess, momentum, *numbers: theory.overshoot(theory.inertia_number(excess, momentum)),
        ["A5 deviation without momentum", "A5 deviation product"],
    ),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
