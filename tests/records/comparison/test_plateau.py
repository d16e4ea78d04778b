"""Records that cannot be: a sharpness that levels off away from the threshold is told, with its likely cause."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray

import selfstab as ss
from selfstab.records.comparison.cautions import cautions_of
from selfstab.records.comparison.plateau import causes


@pytest.fixture(scope="module")
def edge():
    """Return sharpness and loss as of gradient descent at lr 2.5, S* = 0.8: a rise, cycles that die out, a flip."""
    t = np.arange(1200)
    sharpness = 0.8 * (1.0 - 0.4 * np.exp(-t / 80) + 0.05 * np.exp(-t / 300) * np.cos(t / 12))
    loss = np.exp(-t / 300) + 0.01 * np.exp(-t / 1000) * (1.0 + np.cos(t / 12)) + 0.002 * (-1.0) ** t
    return xarray.Dataset({"sharpness": ("step", sharpness), "loss": ("step", loss)}, {"step": t})


def notes_of(data):
    return json.loads(data.attrs["notes"])


def scaled(run, factor, lr=2.5, momentum=0.0, **rest):
    table = {"step": run.step.values, "sharpness": factor * run.sharpness.values, "loss": run.loss.values}
    return ss.analyze(table, lr=lr, momentum=momentum, **rest)


def test_a_run_at_the_edge_is_left_in_peace(edge):
    """Protects true records: the sharpness levels off at the threshold."""
    data = scaled(edge, 1.0)
    assert np.isnan(data.plateau_ratio)
    assert notes_of(data) == []


@pytest.mark.parametrize(
    ("factor", "cause"),
    [
        (2.0, "The Hessian's loss lacks the factor 1/2 of the trained one (ratio 2)."),
        (100.0, "a sum and the trained one a mean, of about 100 samples"),
        (7.0, "a sum and the trained one a mean, of about 7 samples"),
        (1.9, "A momentum of 0.9 is missing (ratio 1.9)."),
    ],
)
def test_a_sharpness_of_another_scale_is_told_with_its_cause(edge, factor, cause):
    """Protects whoever forgot the half of a squared error, or took a sum for a mean."""
    data = scaled(edge, factor)
    assert float(data.plateau_ratio) == pytest.approx(factor, rel=0.05)
    told = "\n".join(notes_of(data))
    assert "and the loss falls" in told
    assert cause.split(" of about")[0] in told
    assert data.sizes["catapult"] == 0


def test_averaged_momentum_is_told(edge):
    """Protects users of averaged momentum: lr and β as they gave them lie 1/(1 − β) off."""
    # GD at lr 2.5 has the threshold of averaged momentum at lr 2.5·1.9 and β = 0.9, which is 10 times heavy ball's.
    data = scaled(edge, 1.0, lr=2.5 * 1.9 * 10.0, momentum=0.9)
    assert float(data.plateau_ratio) == pytest.approx(10.0, rel=0.05)
    assert any("averages gradients" in note for note in notes_of(data))


def test_a_sharpness_below_is_told_where_the_loss_swings(edge):
    """Protects against half a Hessian: gradient descent's loss does not rise below the threshold."""
    data = scaled(edge, 0.5)
    assert float(data.plateau_ratio) == pytest.approx(0.5, rel=0.05)
    assert any("lacks the factor 1/2 of the Hessian's" in note for note in notes_of(data))


def test_what_a_catapult_leaves_below_the_threshold_is_no_plateau(edge):
    """Protects runs that converge after a catapult: the sharpness stays where it left it, and the loss still swings."""
    t = np.arange(800)
    sharpness = np.where(t < 200, 0.7 + 0.101 * t / 200, 0.58 + 1e-4 * np.cos(t / 9))
    sharpness[150:200] = 0.81
    loss = 1e-2 * np.exp(-t / 300) + 1e-4 * (1 + (-1.0) ** t) + np.exp(-(((t - 198) / 6) ** 2))
    data = ss.analyze({"sharpness": sharpness, "loss": loss}, lr=2.5, momentum=0.0)
    assert data.sizes["catapult"] == 1
    assert np.isnan(data.plateau_ratio)
    quiet = np.exp(-t / 300) + np.where(t < 500, 1e-3 * (-1.0) ** t, 0.0)  # never at the threshold
    below = ss.analyze({"sharpness": np.minimum(sharpness, 0.6), "loss": quiet}, lr=2.5, momentum=0)
    assert np.isnan(below.plateau_ratio)


def test_quiet_runs_and_warmups_are_no_plateau():
    """Protects runs that never reach the edge, and those above it that do not level off there."""
    quiet = ss.simulate(ss.Quadratic([1.0, 0.3]), ss.HeavyBall(1.0, 0.9), [1.0, 1.0], 300)
    catapult = ss.simulate(ss.Product(), ss.HeavyBall(0.97, 0.9), [1.932, 0.519], 400)
    diverging = ss.simulate(ss.Product(), ss.HeavyBall(0.9), [2.5, 0.2], 60)
    for run in (quiet, catapult, diverging):
        data = ss.analyze(run)
        assert np.isnan(data.plateau_ratio), notes_of(data)


@pytest.mark.parametrize(
    ("ratio", "momentum", "lookahead", "cause"),
    [
        (2.0, 0.0, 0.0, "lacks the factor 1/2 of the trained one"),
        (2.0, 0.9, 0.0, "lacks the factor 1/2 of the trained one"),
        (10.0, 0.9, 0.0, "averages gradients"),
        (1.0 / 2.8, 0.9, 0.0, "The momentum is Nesterov's, and its lookahead is missing"),
        (2.8, 0.9, 0.9, "The run has no lookahead"),
        (1.0 / 1.9, 0.9, 0.0, "The run has no momentum"),
        (0.02, 0.0, 0.0, "a mean and the trained one a sum, of about 50 samples"),
        (5.0, 0.9, 0.0, "Adam"),
        (1.5, 0.0, 0.0, "clipped"),
        (1.4, 0.0, 0.0, "A momentum of 0.9 is missing (ratio 1.9)"),
    ],
)
def test_each_cause_has_its_ratio(ratio, momentum, lookahead, cause):
    """Protects the table of causes against threshold formulas: S* = 2(1 + β)/(η(1 + 2γ)), and /(1 − β) if averaged."""
    assert any(cause in text for text in causes(ratio, momentum, lookahead))


def test_a_catapult_in_a_record_of_another_scale_carries_a_caution(edge):
    """Protects the law from a record that it is not of."""
    sharpness = 2.0 * edge.sharpness.values
    sharpness[400:420] = 0.5  # falls through the threshold once
    loss = edge.loss.values.copy()
    loss[395:400] += 1.0
    data = ss.analyze({"sharpness": sharpness, "loss": loss}, lr=2.5, momentum=0.0)
    assert data.sizes["catapult"] == 1
    assert "other_scale" in cautions_of(data, 0)
