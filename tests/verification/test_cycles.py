"""Predictions on two-cycles hold, and fail with a wrong amplitude, flip coefficient or growth."""

import pytest

from selfstab.verification import cycles
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(cycles))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "two_cycle_half_amplitude": (lambda: scaled("two_cycle_half_amplitude", 1.01), ["A9 half-amplitude"]),
    "flip_coefficient": (lambda: scaled("flip_coefficient", 1.001), ["A9 flip coefficient"]),
    "two_cycle_growth": (lambda: scaled("two_cycle_growth", 1.001), ["A9 cycle stability"]),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
