"""Predictions on the edge of stability hold, and fail with a wrong balance, period or growth."""

import pytest

from selfstab.verification import edge
from tests.verification.judging import assert_fail, assert_holds, entries, other_arguments, scaled


@pytest.mark.parametrize("name", entries(edge))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "edge_displacement": (lambda: scaled("edge_displacement", 1.0 + 1e-6), ["A7 balance"]),
    "cycle_period": (lambda: scaled("cycle_period", 1.01), ["A7 cycle period"]),
    "slow_period": (lambda: scaled("slow_period", 1.01), ["A3 period"]),
    "cycle_growth": (
        lambda: other_arguments("cycle_growth", lambda lr, m, alpha: (lr, m, 1.05 * alpha)), ["A7 cycle growth"]),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
