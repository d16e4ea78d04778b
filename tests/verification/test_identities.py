"""The exact statements on every swing hold, and fail with a wrong weight or threshold."""

import pytest

from selfstab.verification import identities
from tests.verification.judging import assert_fail, assert_holds, entries, scaled


@pytest.mark.parametrize("name", entries(identities))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "stabilization_weight": (lambda: scaled("stabilization_weight", 1.001), ["A1 unrolled update"]),
    "max_stable_sharpness": (lambda: scaled("max_stable_sharpness", 1.0 + 1e-6), ["A2 envelope"]),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)
