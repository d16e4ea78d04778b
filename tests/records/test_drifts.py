"""Drifts: a sharpness that passes the threshold while nothing swings is named, and is no catapult."""

from __future__ import annotations

import json

import numpy as np
import pytest

import selfstab as ss
from selfstab.reports import analysis


def test_a_drift_is_named_and_is_no_catapult():
    """Protects a run that goes through the threshold and back while its loss only falls."""
    t = np.arange(400)
    sharpness = 2.0 + 0.01 * np.sin(t / 60 - 1) - 0.3 * np.clip((t - 250) / 150, 0, 1)
    seen = ss.analyze({"sharpness": sharpness, "loss": np.exp(-t / 100), "lr": 1.0}, momentum=0.0)
    assert seen.sizes["catapult"] == 0
    assert int(seen.drifts) == 1
    assert "Once the sharpness drifts through the threshold and back: no swing" in analysis.table(seen)
    assert "since the loss does not rise." in analysis.table(seen)
    assert json.loads(analysis.as_json(seen))["drifts"] == 1


def test_a_rise_of_a_drift_is_beside_its_noise():
    """Protects from "does not rise" where it does, within a noise that is independent white noise here."""
    t = np.arange(400)
    sharpness = 2.0 + 0.01 * np.sin(t / 60 - 1) - 0.3 * np.clip((t - 250) / 150, 0, 1)
    noise = 1e-3 * np.random.default_rng(3).standard_normal(t.size)
    seen = ss.analyze({"sharpness": sharpness, "loss": 1.0 + noise, "lr": 1.0}, momentum=0.0)
    assert int(seen.drifts) > 0
    assert int(seen.unclear) == 0
    assert 0.0 < float(seen.drift_rise) < 8e-3
    assert float(seen.loss_noise) == pytest.approx(1e-3, rel=0.3)
    text = analysis.table(seen)
    assert "does not rise" not in text
    assert f"rises by {float(seen.drift_rise):.2g} at most, less than 8 deviations of its noise" in text


def jittering(every):
    """Return a run whose loss alternates by a share of itself, and rises from 0.1 by half while S is above S*."""
    t = np.arange(0, 600, every)
    level = 0.1 + 0.9 * np.exp(-t / 60)
    bump = 0.05 * np.exp(-(((t - 410) / 5) ** 2))
    jitter = 0.1 * level * np.sin(1.5 * t) * (t < 380)
    sharpness = 1.9 + 0.2 * np.exp(-(((t - 405) / 8) ** 2)) - 0.1 * (t > 425)
    return {"step": t, "sharpness": sharpness, "loss": level + bump + jitter, "lr": np.ones(t.size)}


def test_a_large_rise_within_the_noise_is_no_drift():
    """Protects from "no swing" where jitter of all records hides a rise by half: the report says what is not known."""
    seen = ss.analyze(jittering(3), momentum=0.0)
    assert (int(seen.drifts), int(seen.unclear)) == (0, 1)
    assert float(seen.unclear_least_rise) == pytest.approx(0.5, abs=0.1)
    text = analysis.table(seen)
    assert "Once it is unclear whether the sharpness swings" in text
    assert (
        f"rises by {float(seen.unclear_least_rise):.0%} then, but by less than 8 deviations of its noise"
        in text
    )
    assert json.loads(analysis.as_json(seen))["unclear"] == 1


def test_a_kind_that_depends_on_the_stride_has_a_note():
    """Protects who records every third step: few records above the threshold leave the kind of a swing open."""
    assert "depends on the stride of 3" in ss.analyze(jittering(3), momentum=0.0).attrs["notes"]
    assert "depends on the stride" not in ss.analyze(jittering(1), momentum=0.0).attrs["notes"]


@pytest.mark.parametrize("shift", range(4))
def test_an_eighth_of_the_time_above_finds_the_catapult(shift):
    """Protects docs/how_to/recording.md: whatever the first record, at the stride that it names."""
    loss = ss.CubicTaylor(curvature=1.0, stabilization=4.0)
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-6)
    run = ss.simulate(loss, ss.HeavyBall(3.8 * 1.03, 0.9), start, 1000, previous=previous)
    whole = ss.analyze(run)
    stride = int(whole.steps_above[0]) // 8 | 1
    coarse = ss.analyze(run.isel(step=slice(shift, None, stride)))
    assert coarse.sizes["catapult"] == whole.sizes["catapult"] == 1
    assert float(coarse["drop"][0]) == pytest.approx(float(whole["drop"][0]), rel=0.1)


def test_catapults_and_cycles_are_no_drifts():
    """Protects swings from the name of a drift."""
    edge = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    cycling = ss.analyze(
        ss.simulate(edge, ss.HeavyBall(2.0), [0.0141, 0.005], 900, previous=[-0.0141, 0.005])
    )
    assert cycling.sizes["edge_cycle"] == 4
    assert int(cycling.drifts) == 0
    assert "drifts" not in analysis.table(cycling)
