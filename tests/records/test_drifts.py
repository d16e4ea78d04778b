"""Drifts: a sharpness that passes the threshold while nothing swings is named, and is no catapult."""

from __future__ import annotations

import json

import numpy as np

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
    assert json.loads(analysis.as_json(seen))["drifts"] == 1


def test_catapults_and_cycles_are_no_drifts():
    """Protects swings from the name of a drift."""
    edge = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    cycling = ss.analyze(
        ss.simulate(edge, ss.HeavyBall(2.0), [0.0141, 0.005], 900, previous=[-0.0141, 0.005])
    )
    assert cycling.sizes["edge_cycle"] == 4
    assert int(cycling.drifts) == 0
    assert "drifts" not in analysis.table(cycling)
