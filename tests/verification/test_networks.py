"""Momentum ends flatter on the digits; the entries fail without a margin, and say why they do not run."""

import numpy as np
import pytest

from selfstab.verification import exit_code, networks, verify
from tests.verification.judging import assert_holds, entries, verdicts


@pytest.mark.parametrize("name", entries(networks, slow=("M4",)))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


NAMES = [prediction.name for prediction in networks.PREDICTIONS]


def test_the_margins_of_the_networks_can_fail(monkeypatch):
    """Protects the comparison on the digits: equal sharpness and divergence fail, a run that never crosses says so."""

    def same(momentum, warmup, steps, every):
        time = np.linspace(0.0, steps / warmup, 50)
        return networks._Sharpness(time, np.full(50, 5.1), np.full(50, 5.0))

    monkeypatch.setattr(networks, "_trained", same)
    assert verdicts(NAMES) == dict.fromkeys(NAMES, "fails")

    def below(momentum, warmup, steps, every):
        run = same(momentum, warmup, steps, every)
        return networks._Sharpness(run.time, run.sharpness - (1.0 if momentum else 0.0), run.threshold)

    monkeypatch.setattr(networks, "_trained", below)
    data = verify(NAMES)
    assert set(data["verdict"].values.tolist()) == {"not run"}
    assert "must cross the threshold" in data["reason"].values[0]


def test_a_network_that_diverges_fails(monkeypatch):
    """Protects the comparison: a run that diverged did not end flatter."""
    run = networks.simulate
    monkeypatch.setattr(networks, "_trained", networks._trained.__wrapped__)  # past the cache
    monkeypatch.setattr(networks, "simulate", lambda loss, opt, start, *rest, **settings: run(
        loss, opt, start, *rest, escape=1.0001 * np.abs(start).max(), **settings))  # fmt: skip
    assert verdicts(NAMES) == dict.fromkeys(NAMES, "fails")


def test_without_scikit_learn_the_networks_are_not_run(monkeypatch):
    """Protects exit code 3 where the data are missing."""

    def missing(*_, **__):
        raise ImportError("digits needs scikit-learn: pip install 'selfstab[datasets]'")

    monkeypatch.setattr(networks, "digits", missing)
    monkeypatch.setattr(networks, "_trained", networks._trained.__wrapped__)  # past the cache
    data = verify(NAMES)
    assert set(data["verdict"].values.tolist()) == {"not run"}
    assert exit_code(data) == 3
    assert "scikit-learn" in data["reason"].values[0]
