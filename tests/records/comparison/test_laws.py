"""The laws of a recorded run's optimizer: threshold, growth and overshoot of each kind against its simulated run."""

from __future__ import annotations

import json

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.comparison.laws import HeavyBallLaws, LinearLaws, laws_of, optimizer_of
from selfstab.runs.dataset import described_optimizer

FROZEN = {"frozen_after": 0, "second_moment": 4.0, "eps": 1e-9}
KINDS = {
    "averaged": ss.AveragedHeavyBall(1.0, 0.8),
    "dampened": ss.LinearOptimizer(1.0, (0.3, 0.0), (1.0, -1.8, 0.8)),
    "quasi-hyperbolic": ss.QuasiHyperbolic(1.0, momentum=0.9, nu=0.7),
    "aggregated": ss.AggregatedMomentum(1.0, (0.0, 0.9)),
    "Adam": ss.Adam(1.0, beta1=0.8, bias_correction=False, **FROZEN),
    "RMSProp": ss.RMSProp(1.0, momentum=0.8, **FROZEN),
}
KEEP = ("loss", "sharpness", "preconditioned_sharpness")


def catapult(optimizer, excess=1.6e-3, steps=8000):
    """Return a run over the threshold on the cubic model, whose law holds there."""
    loss = ss.CubicTaylor(curvature=1.0)
    size = 2.0 if optimizer.preconditions else 1.0  # P, which divides the sharpness
    optimizer = optimizer.with_numbers({"lr": optimizer.at_excess(1.0 / size, excess)})
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-5)
    return ss.simulate(loss, optimizer, start, steps, previous=previous, keep=KEEP)


@pytest.mark.parametrize("name", KINDS)
def test_the_law_is_that_of_the_simulated_catapult(name):
    """Protects analyze on every kind of optimizer: measured drop, growth and stabilization are the predicted ones."""
    run = catapult(KINDS[name])
    seen = ss.analyze(run)
    assert seen.sizes["catapult"] == 1
    first = seen.isel(catapult=0)
    np.testing.assert_allclose(seen.max_stable_sharpness, run.max_stable_sharpness, rtol=1e-12)
    assert float(first.overshoot) == pytest.approx(float(first.predicted_overshoot), rel=2e-3)
    assert float(first.growth) == pytest.approx(float(first.predicted_growth), rel=1e-3)
    # b² of the model is 1; in weights that P stretches, 1/P³ of it.
    own = 1.0 / 8.0 if KINDS[name].preconditions else 1.0
    assert float(first.stabilization) == pytest.approx(own, rel=2e-2)
    assert float(first.loss_spike) == pytest.approx(float(first.predicted_loss_spike), rel=0.1)
    notes = json.loads(seen.attrs["notes"])
    assert any("constant preconditioner" in note for note in notes) == KINDS[name].preconditions


def test_the_matching_sharpness_is_analyzed():
    """Protects runs of Adam: excess and catapults are of the preconditioned sharpness, not of the Hessian's."""
    run = catapult(KINDS["Adam"])
    seen = ss.analyze(run)
    assert seen.max_stable_sharpness.attrs["sharpness"] == "preconditioned_sharpness"
    np.testing.assert_array_equal(seen.preconditioned_sharpness, run.preconditioned_sharpness)
    at = seen.isel(step=0)
    assert float(at.excess_sharpness / at.max_stable_sharpness) == pytest.approx(1.6e-3, rel=1e-3)
    assert ss.plotting.draw_sharpness(run).lines


def test_columns_alone_say_that_gradients_are_averaged(tmp_path):
    """Protects files without attributes: lr, beta1 and the recorded threshold say Adam's rule."""
    run = catapult(KINDS["Adam"])
    table = {name: run[name].values for name in (*KEEP, "step", "lr", "max_stable_sharpness")}
    expected = ss.analyze(run)["predicted_overshoot"].values
    for extra, given in (
        ({"beta1": np.full(run.sizes["step"], 0.8)}, {}),
        ({}, {"momentum": 0.8}),
        ({}, {"optimizer": ss.Adam(1.0, beta1=0.8)}),
    ):
        np.testing.assert_allclose(
            ss.analyze(table | extra, **given)["predicted_overshoot"], expected, rtol=1e-9
        )
    del table["max_stable_sharpness"]
    named = table | {"optimizer": np.full(run.sizes["step"], "AdamW")}
    np.testing.assert_allclose(ss.analyze(named, momentum=0.8)["predicted_overshoot"], expected, rtol=1e-9)
    with pytest.raises(ValueError, match="run must say whose preconditioned_sharpness it has"):
        ss.analyze(table, momentum=0.8)


def test_a_run_of_adam_without_its_sharpness_is_refused():
    """Protects Adam's threshold from the Hessian's sharpness, which it is not of."""
    run = catapult(KINDS["Adam"], steps=20).drop_vars("preconditioned_sharpness")
    with pytest.raises(
        ValueError, match="run must have the column preconditioned_sharpness, which the threshold of Adam"
    ):
        ss.analyze(run)
    plain = {"sharpness": np.ones(5)}
    with pytest.raises(ValueError, match="run must have the column preconditioned_sharpness"):
        ss.analyze(plain, optimizer=ss.Adam(0.1))
    with pytest.raises(ValueError, match="lr, momentum and lookahead must be left out beside optimizer"):
        ss.analyze(plain, optimizer=ss.HeavyBall(0.1), momentum=0.5)
    with pytest.raises(
        TypeError, match=r"optimizer must be one of selfstab's, such as selfstab\.Adam\(lr\), got 'Adam'"
    ):
        ss.analyze(plain, optimizer="Adam")
    given = ss.analyze(plain, optimizer=ss.HeavyBall(0.1, 0.5, 0.5))
    np.testing.assert_allclose(given.max_stable_sharpness, 15.0)


@pytest.mark.parametrize("name", KINDS)
def test_an_optimizer_is_read_as_it_is_written(name):
    """Protects the attribute of a run: every kind comes back with its numbers."""
    settings = json.loads(json.dumps(described_optimizer(KINDS[name])))
    assert optimizer_of(settings) == KINDS[name]


def test_settings_that_are_none_are_told_in_one_line():
    """Protects runs of other versions, and hostile ones: settings are parsed, never evaluated."""
    assert optimizer_of({"name": "Sophia"}) is None
    assert optimizer_of({}) is None
    for wrong in (
        {"beta1": 3.0},
        {"gamma": 1.0},
        {"beta1": "__import__('os')"},
        {"beta1": "(" * 5000},
        {"a.0": 1},
    ):
        with pytest.raises(ValueError, match="run must say settings that its optimizer has") as raised:
            optimizer_of({"name": "Adam", **wrong})
        assert "\n" not in str(raised.value)


def test_kinds_of_laws():
    """Protects the choice: what is heavy ball of another lr has its law, of swings of any size."""
    assert laws_of(KINDS["dampened"]) == HeavyBallLaws(0.0, 0.3)
    assert laws_of(KINDS["averaged"]) == laws_of(KINDS["Adam"]) == HeavyBallLaws(0.0, None)
    assert laws_of(KINDS["RMSProp"]) == HeavyBallLaws()
    assert isinstance(laws_of(KINDS["aggregated"]), LinearLaws)
