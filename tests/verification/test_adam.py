"""Predictions on Adam's catapults hold, and fail with a wrong rate, share or inertia."""

import pytest

from selfstab import theory
from selfstab.verification import adam
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(adam))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "fading_rate": (lambda: scaled("fading_rate", 1.02), ["A13 fading preconditioner"]),
    "preconditioner_share": (
        lambda: scaled("preconditioner_share", 1.05),
        ["A13 share of the preconditioner", "A13 overshoot with a moving P"],
    ),
    "adaptive_inertia_number": (
        lambda: lambda excess, momentum, share: theory.inertia_number(excess, momentum),  # P frozen
        ["A13 overshoot with a moving P"],
    ),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
