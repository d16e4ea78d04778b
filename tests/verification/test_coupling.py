"""Predictions on a coupled sharp direction hold, and fail with a wrong drift or critical coupling."""

import pytest

from selfstab.verification import coupling
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(coupling))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "cycle_drift": (
        lambda: lambda lr, m, zeta: lr**2 * (2.0 - 9.0 * zeta**2) / (1.0 - m) ** 3,  # (1 + β)'s forgotten
        ["A7 drift growing", "A7 drift damped"],
    ),
    "critical_coupling": (lambda: scaled("critical_coupling", 1.0 + 1e-4), ["A7 critical coupling"]),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
