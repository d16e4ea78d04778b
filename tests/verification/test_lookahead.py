"""Predictions on catapults with lookahead hold, and fail with wrong inertias or a wrong swing."""

import pytest

from selfstab import theory
from selfstab.verification import lookahead
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(lookahead))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "envelope_momentum": (lambda: scaled("envelope_momentum", 1.0 + 1e-6), ["A5b envelope"]),
    "lookahead_displacement": (lambda: scaled("lookahead_displacement", 1.01), ["A5b largest swing"]),
    "lookahead_inertia_number": (
        lambda: lambda excess, momentum, lookahead: theory.inertia_number(excess, momentum),  # one inertia for both
        ["A5b overshoot by κ_e"],
    ),
    "lookahead_overshoot": (lambda: scaled("lookahead_overshoot", 1.0 + 1e-5), ["A5b overshoot with both inertias"]),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
