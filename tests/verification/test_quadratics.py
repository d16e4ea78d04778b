"""Predictions on quadratics hold, and wrong closed forms of modes, regions, threshold and growth fail."""

import pytest

from selfstab.verification import quadratics
from tests.verification.judging import assert_fail, assert_holds, entries, other_arguments, scaled


@pytest.mark.parametrize("name", entries(quadratics, slow=("Q2 threshold",)))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "spectral_radius": (lambda: scaled("spectral_radius", 1.0 + 1e-9), ["Q1 modes"]),
    "region": (lambda: other_arguments("region", lambda h, m: (1.2 * h, m)), ["Q1 regions"]),
    "max_stable_sharpness": (
        lambda: scaled("max_stable_sharpness", 1.0 + 1e-6), ["Q2 threshold Polyak", "Q2 threshold lookahead"]),
    "growth_factor": (lambda: scaled("growth_factor", 1.0 + 1e-9), ["Q3 growth exact"]),
    "stabilization_weight": (lambda: scaled("stabilization_weight", 1.001), ["Q3 growth leading"]),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
