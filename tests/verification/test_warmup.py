"""Predictions on warmup hold, and fail with wrong closed forms and with the other limit's law."""

import pytest

from selfstab.verification import warmup
from tests.verification.judging import assert_fail, assert_holds, entries, scaled, verdicts


@pytest.mark.parametrize("name", entries(warmup, slow=("A8 drop", "A8 slow ramps")))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "crossing_amplitude": (lambda: scaled("crossing_amplitude", 1.001), ["A8 crossing amplitude"]),
    "ramp_amplitude": (lambda: scaled("ramp_amplitude", 1.01), ["A8 growth on a ramp"]),
    "onset_excess": (lambda: scaled("onset_excess", 1.001), ["A8 onset"]),
    "warmup_drop": (lambda: scaled("warmup_drop", 1.002), ["A8 drop", "A8 drop from noise"]),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)


def test_a_rival_law_of_the_length_fails(monkeypatch):
    """Protects the drop's exponents: the other limit's law, W^{−2/3} on slow ramps and W^{−1.1} on fast ones fail."""
    slow, fast = warmup.slow_drop, warmup.fast_drop
    for rival in (fast, lambda m, ramp, gain: slow(m, ramp, gain) ** (4.0 / 3.0)):
        monkeypatch.setattr(warmup, "slow_drop", rival)
        assert verdicts(["A8 slow ramps"]) == {"A8 slow ramps": "fails"}
    for rival in (slow, lambda m, ramp, gain: fast(m, ramp, gain) ** 0.99):
        monkeypatch.setattr(warmup, "fast_drop", rival)
        assert verdicts(["A8 fast ramps"]) == {"A8 fast ramps": "fails"}
