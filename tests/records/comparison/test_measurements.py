"""Records whose loss and sharpness are not recorded at the same steps."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.comparison.cautions import cautions_of


@pytest.fixture(scope="module")
def run():
    """Return a catapult of κ near 1.4, from a kick of 1e-6."""
    loss = ss.CubicTaylor(curvature=1.0, stabilization=2.0)
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-6)
    return ss.simulate(loss, ss.HeavyBall(3.8 * 1.004, 0.9), start, 600, previous=previous)


def analysis(run, known):
    """Analyze a run whose sharpness is recorded at some steps, and the loss at each."""
    sharpness = np.where(known, run.sharpness.values, np.nan)
    columns = {"step": run.step.values, "sharpness": sharpness, "loss": run.loss.values}
    return ss.analyze(columns, lr=3.8 * 1.004, momentum=0.9)


@pytest.mark.parametrize("stride", [1, 7, 11])
def test_the_spike_is_the_largest_loss_of_all_steps(run, stride):
    """At records of the sharpness alone it would be 16% too small at a stride of 11."""
    data = analysis(run, run.step.values % stride == 0)
    largest = float(run.loss.values.max())
    np.testing.assert_allclose(data["loss_spike"].values, [largest], rtol=1e-6)
    assert "gap" not in cautions_of(data, 0)


def test_a_gap_in_the_swing_is_a_caution_and_hides_no_spike(run):
    """The loss's peak, at step 114, lies where the sharpness is not recorded."""
    step = run.step.values
    data = analysis(run, (step < 100) | (step >= 140))
    assert int(run.loss.values.argmax()) == 114
    np.testing.assert_allclose(data["loss_spike"].values, [run.loss.values.max()], rtol=1e-6)
    assert "gap" in cautions_of(data, 0)


def test_a_gap_far_from_the_swing_is_no_caution(run):
    """The caution is of the swing alone, and not of the record."""
    step = run.step.values
    assert "gap" not in cautions_of(analysis(run, (step < 400) | (step >= 500)), 0)
