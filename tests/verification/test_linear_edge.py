"""Predictions on the edge of linear optimizers hold, and fail with wrong periods, inertias, amplitudes or borders."""

import numpy as np
import pytest

from selfstab import theory
from selfstab.theory import transfer
from selfstab.verification import linear_edge
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(linear_edge))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


def weighed_as_in_a_catapult():
    """Return the growth of cycles whose inertia were (κ_x + 2κ_y)/3."""

    def wrong(optimizer, alpha):
        omega = 2.0 * np.pi / theory.linear_cycle_period(optimizer, alpha)
        known = transfer.expansions(transfer.transfer_function(optimizer))
        kappa = omega * (known.swing[0] + 2.0 * known.sharpness[0]) / 3.0
        return np.exp(2.0 * np.pi * kappa)

    return wrong


WRONG = {
    "linear_cycle_period": (lambda: scaled("linear_cycle_period", 1.001), ["A11 cycle period"]),
    "linear_cycle_growth": (weighed_as_in_a_catapult, ["A11 cycle growth"]),
    "linear_crossing_amplitude": (
        lambda: scaled("linear_crossing_amplitude", 1.001),
        ["A11 crossing amplitude"],
    ),
    "linear_batch_sharpness": (lambda: scaled("linear_batch_sharpness", 1.0 + 1e-6), ["A11 noise boundary"]),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or weight in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
