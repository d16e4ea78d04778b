"""Predictions on catapults of linear optimizers hold, and fail with wrong inertias, growth, amplification or flows."""

import pytest

from selfstab import theory
from selfstab.transfer_functions import Inertia
from selfstab.verification import linear
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(linear))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


def one_inertia(*, swing, sharpness):
    """Return inertia numbers whose effective one weighs swing and sharpness otherwise."""
    right = theory.inertia

    def wrong(optimizer, excess):
        known = right(optimizer, excess)
        return Inertia(known.swing, known.sharpness, swing * known.swing + sharpness * known.sharpness)

    return wrong


WRONG = {
    "growth": (lambda: scaled("growth", 1.0 + 1e-8), ["A11 growth"]),
    "amplification": (lambda: scaled("amplification", 1.0 + 1e-6), ["A11 amplification"]),
    "inertia": (
        lambda: one_inertia(swing=0.5, sharpness=0.5),  # as at the edge, not in a catapult
        ["A11 overshoot by κ_e", "A11 second order"],
    ),
    "linear_overshoot": (lambda: scaled("linear_overshoot", 1.0 + 1e-5), ["A11 third order"]),
    "slow_overshoot": (lambda: scaled("slow_overshoot", 1.0 + 1e-4), ["A11 slow flow"]),
    "memory_overshoot": (lambda: scaled("memory_overshoot", 1.01), ["A11 memory flow"]),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or weight in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
