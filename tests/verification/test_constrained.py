"""Predictions of the swing about the constrained trajectory hold, and fail with a wrong balance."""

import pytest

from selfstab.verification import constrained
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(constrained))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


def test_a_wrong_balance_fails(monkeypatch):
    """Protects δ in the predicted dynamics: a percent off leaves no power of the swing."""
    names = [prediction.name for prediction in constrained.PREDICTIONS]
    assert_fail(monkeypatch, "edge_displacement", scaled("edge_displacement", 1.01), names)
