"""A run whose recorded numbers are all finite may have diverged, and is then called so."""

from __future__ import annotations

import json

import numpy as np
import pytest

import selfstab as ss

NAN = float("nan")


def descent(lr, steps, start=1e-3):
    """Return the losses of gradient descent on w²/2."""
    return 0.5 * (start * (1.0 - lr) ** np.arange(steps)) ** 2


def test_a_loss_that_has_blown_up_is_a_divergence():
    """From 5e-7 to 6e16 in 80 steps is no swing without an end."""
    data = ss.analyze({"sharpness": np.ones(80), "loss": descent(2.4, 80)}, lr=2.4, momentum=0.0)
    assert int(data["diverged_at"]) == 79
    assert data.sizes["step"] == 80
    assert any("has grown 1e+23-fold" in note for note in json.loads(data.attrs["notes"]))


def test_a_loss_that_is_no_number_after_it_had_blown_up_is_a_divergence():
    """The sharpness goes on as a number; the loss is not "recorded too rarely"."""
    columns = {"sharpness": np.ones(120), "loss": np.append(descent(2.4, 80), np.full(40, NAN))}
    data = ss.analyze(columns, lr=2.4, momentum=0.0)
    assert int(data["diverged_at"]) == 80
    assert data.sizes["step"] == 80
    assert "too rarely" not in data.attrs["notes"]


@pytest.mark.parametrize("lost", [40, 100])
def test_a_loss_that_ends_early_is_told_by_its_steps(lost):
    """A loss that has not blown up says of no divergence; it is missing from a step on, and not rare."""
    columns = {"sharpness": np.ones(80 + lost), "loss": np.append(descent(0.5, 80), np.full(lost, NAN))}
    data = ss.analyze(columns, lr=0.5, momentum=0.0)
    assert int(data["diverged_at"]) == -1
    expected = f"from step 0 to 79, and the sharpness at {lost} steps beyond: the loss is not used."
    assert expected in data.attrs["notes"]


@pytest.mark.parametrize("stop", [60, 100, 114])
def test_a_catapult_that_is_cut_off_is_no_divergence(stop):
    """Its loss has grown by more than 1e12, from a kick of 1e-12, and stays small."""
    loss = ss.CubicTaylor(curvature=1.0, stabilization=2.0)
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-12)
    run = ss.simulate(loss, ss.HeavyBall(3.8 * 1.02, 0.9), start, stop, previous=previous)
    data = ss.analyze(
        {"sharpness": run.sharpness.values, "loss": run.loss.values}, lr=3.8 * 1.02, momentum=0.9
    )
    assert int(data["diverged_at"]) == -1
