"""Predictions on a catapult's end below the threshold hold, and fail with wrong closed forms."""

import pytest

from selfstab.verification import prolonging
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(prolonging))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "oscillation_lifetime": (lambda: scaled("oscillation_lifetime", 1.0 + 1e-6), ["A6 lifetime"]),
    "prolonged_depths": (
        lambda: lambda momentum: (0.25 * (1.0 - momentum), 1.0 - 0.25 * (1.0 - momentum)), ["A6 prolonged depths"]),
    "prolonging_factor": (lambda: scaled("prolonging_factor", 1.0 + 1e-6), ["A6 prolonging factor"]),
    "remaining_drop": (lambda: scaled("remaining_drop", 1.001), ["A6 remaining drop"]),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
