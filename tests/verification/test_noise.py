"""Predictions on noisy curvature hold, and fail with a wrong growth or boundary."""

import pytest

from selfstab.verification import noise
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(noise))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "max_stable_noise": (lambda: scaled("max_stable_noise", 1.0 + 1e-6), ["A10 noise boundary"]),
    "max_stable_batch_sharpness": (
        lambda: scaled("max_stable_batch_sharpness", 1.0 + 1e-6), ["A10 batch sharpness"]),
    "mean_square_growth": (lambda: scaled("mean_square_growth", 1.0 + 1e-6), ["A10 mean-square growth"]),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
