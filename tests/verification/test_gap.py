"""Predictions on the sharpness gap hold, and fail with a wrong closed form."""

import pytest

from selfstab.verification import gap
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(gap))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "sharpness_gap": (lambda: scaled("sharpness_gap", 1.06), ["A12 sharpness gap"]),
    "linear_sharpness_gap": (lambda: scaled("linear_sharpness_gap", 1.06), ["A12 gap of any optimizer"]),
    "cycle_gap": (lambda: scaled("cycle_gap", 2.0), ["A12 sharpness gap", "A12 gap of any optimizer"]),
    "edge_displacement": (lambda: scaled("edge_displacement", 1.03), ["A12 balance with noise"]),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
