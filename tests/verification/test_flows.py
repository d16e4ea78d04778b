"""The flows' entries hold, and fail with a flow, a rod or a threshold that is slightly wrong."""

import numpy as np
import pytest

from selfstab.verification import flows
from tests.verification.judging import assert_fail, assert_holds, entries, scaled, verdicts

LONG = ("M2 averaged digits", "M2 averaged path digits", "M2 averaged directions digits")
"""Entries of an averaged flow on 500 digits. On toys the others protect it, on a network ``tests/flows``."""


@pytest.mark.parametrize("name", entries(flows, slow=LONG))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "max_stable_sharpness": (lambda: scaled("max_stable_sharpness", 1.0 + 1e-6), ["M2 rod threshold"]),
    "growth_factor": (lambda: scaled("growth_factor", 1.0 + 1e-9), ["M2 rod rate"]),
    "edge_displacement": (
        lambda: scaled("edge_displacement", 1.01),  # σ² a percent off leaves no power of the swing
        [p.name for p in flows.PREDICTIONS if p.name.startswith("M2 averaged flow")],
    ),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)


@pytest.mark.slow
def test_a_wrong_flow_of_several_directions_fails(monkeypatch):
    """Protects its entry: a flow that goes five percent too far ends elsewhere."""
    right = flows.averaged

    def wrong(loss, optimizer, start, *rest, **settings):
        flow = right(loss, optimizer, start, *rest, **settings)
        return flow.assign(weights=start + 1.05 * (flow.weights - start))

    monkeypatch.setattr(flows, "averaged", wrong)
    name = "M2 averaged directions digits"
    assert verdicts([name]) == {name: "fails"}


def test_a_wrong_rod_flow_fails(monkeypatch):
    """Protects the spread's increment: −1.99Σ instead of −2Σ moves threshold, rates and fixed point."""
    right = flows.rod_velocity

    def wrong(loss, lr, momentum, state):
        middle = 2 if momentum else 1
        return right(loss, lr, momentum, state) + 0.01 * np.concatenate([np.zeros(middle), state[middle:]])

    monkeypatch.setattr(flows, "rod_velocity", wrong)
    names = ["M2 rod rate", "M2 rod growth", "M2 rod fixed point"]
    assert verdicts(names) == dict.fromkeys(names, "fails")


@pytest.mark.slow
def test_the_flows_on_the_digits_can_fail(monkeypatch):
    """Protects their entries: a flow without the swing's share of the loss, one too slow, a rod that does not swing."""
    right, (_, start) = flows.digits_averaged(), flows.digits_edge()
    wrong = right.assign(averaged_loss=right.loss, weights=start + 0.85 * (right.weights - start))
    monkeypatch.setattr(flows, "digits_averaged", lambda: wrong)
    rods = {momentum: flows.digits_rod(momentum, 0.25) for momentum in (0.0, 0.5)}
    monkeypatch.setattr(flows, "digits_rod", lambda momentum, share: rods[momentum].clip(max=3.0))
    names = ["M2 averaged digits", "M2 averaged path digits", "M2 rod digits"]
    assert verdicts(names) == dict.fromkeys(names, "fails")
