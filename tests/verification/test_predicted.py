"""The predicted dynamics follow the digits' network, and fail with a force a few percent off."""

import pytest

from selfstab.flows.predicted import Expansion, TwoScale
from selfstab.verification import predicted
from tests.verification.judging import assert_holds, entries, verdicts


@pytest.mark.parametrize("name", entries(predicted, slow=("M1 digits",)))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


BRACKET = [
    prediction.name
    for prediction in predicted.PREDICTIONS
    if "basic" in prediction.name or "projected" in prediction.name
]


def _off(state, change):
    """Return a prediction's step that leaves what `change` gives of loss, stage and state, times lr."""
    right = state.advance

    def wrong(self, loss, stage, momentum):
        name, off = change(self, loss, stage)
        right(self, loss, stage, momentum)
        setattr(self, name, getattr(self, name) - stage.lr * off)

    return wrong


def _bracket_off(share, of):
    def change(state, loss, stage):
        point, v = stage.point, state.offset
        x, y = point.top.vector @ v, point.across @ v
        balance = stage.excess if state.projected else stage.sharpening
        terms = {
            "x²": 0.5 * x**2 * point.across,
            "δ²": -balance / point.stabilization * point.across,
            "xy": x * y * point.top.vector,
        }
        return "offset", share * terms[of]

    return change


def _swing_off(share):
    def change(state, loss, stage):
        ends = [loss.gradient(state.slow + sign * state.swing * state.vector) for sign in (1, -1)]
        return "swing", share * 0.5 * float(state.vector @ (ends[0] - ends[1]))

    return change


WRONG = {
    "xy": (Expansion, lambda: _bracket_off(0.05, "xy"), ["M1 digits basic β = 0"]),
    "all of x²": (Expansion, lambda: _bracket_off(0.1, "x²"), BRACKET),
    "all of δ²": (Expansion, lambda: _bracket_off(0.1, "δ²"), BRACKET),
    "all of xy": (Expansion, lambda: _bracket_off(0.1, "xy"), BRACKET),
    "swing": (TwoScale, lambda: _swing_off(0.01), ["M1 digits two-scale β = 0.9"]),
}


@pytest.mark.parametrize(
    "case", ["xy", *(pytest.param(case, marks=pytest.mark.slow) for case in [*WRONG][1:])]
)
def test_a_wrong_force_on_the_digits_fails(monkeypatch, case):
    """Protects the predicted dynamics' entries: one term a few percent off, and the sharpness is not followed."""
    state, make, names = WRONG[case]
    monkeypatch.setattr(state, "advance", _off(state, make()))
    monkeypatch.setattr(predicted, "compared", predicted.compared.__wrapped__)  # past the cache
    assert verdicts(names) == dict.fromkeys(names, "fails")
