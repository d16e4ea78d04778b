"""Any linear optimizer in a comparison: one threshold, one effective time, the default's numbers where it is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import selfstab as ss
from selfstab.experiments import compare, survey, verdict
from selfstab.experiments.setting import effective_times
from tests.experiments.small import SETTING, TASK

SEVERAL = {
    "PHB": ss.HeavyBall(1.0, SETTING.momentum),
    "GD": ss.HeavyBall(7.0),
    "NAG": ss.HeavyBall(1.0, 0.9, 0.9),
    "QHM": ss.QuasiHyperbolic(1.0, 0.9, 0.7),
    "AggMo": ss.AggregatedMomentum(1.0, (0.0, 0.9)),
}


@pytest.fixture(scope="module")
def data():
    return compare(TASK, SETTING, optimizers=SEVERAL, threads=1)


def test_heavy_ball_and_gradient_descent_are_the_defaults(data):
    """Protects the contract: an optimizer given by itself has the bits of the method of a name."""
    usual = compare(TASK, SETTING, threads=1)
    for own, name in (("PHB", "phb"), ("GD", "gd_time")):
        for number in ("sharpness", "loss", "step", "mean_sharpness", "predicted_excess"):
            one, other = data[number].sel(optimizer=own), usual[number].sel(optimizer=name)
            # Another optimizer may have more records.
            assert np.array_equal(one.reindex_like(other), other, equal_nan=True), number


def test_all_have_one_threshold_and_one_effective_time(data):
    """Protects the comparison: S* is found from the roots of the modes, time from a run in a constant gradient."""
    assert np.allclose(data["max_stable_sharpness"].min("record"), SETTING.threshold, rtol=1e-12, atol=0)
    for name, optimizer in SEVERAL.items():
        planned, steps, every = SETTING.plan(optimizer)
        lr = float(planned.rates(steps, steps + 1)[0])
        swing = ss.simulate(
            ss.Quadratic([SETTING.threshold]), optimizer.with_numbers({"lr": lr}), [1.0], 400, previous=[-1.0],
            keep=("weights",),
        )["weights"].values[-2:, 0]  # fmt: skip
        assert np.abs(swing) == pytest.approx([1.0, 1.0], rel=1e-9), name
        # Far along, a constant gradient of 1 moves the weights by c0·lr a step.
        slope = ss.FunctionLoss(lambda w: w[0], lambda w: np.ones(1), 1, hessian_vector=lambda w, v: 0.0 * v)
        drift = ss.simulate(slope, optimizer.with_numbers({"lr": 1.0}), [0.0], 600, keep=("weights",))[
            "weights"
        ].values
        assert effective_times(optimizer.with_numbers({"lr": 1.0}), 1)[-1] == pytest.approx(
            float(drift[-2, 0] - drift[-1, 0])
        )
        ends = data["effective_time"].max("record").sel(optimizer=[name, "PHB"]).values
        # Half a record's steps, and half a step of warmup.
        rate = float(drift[-2, 0] - drift[-1, 0]) * lr
        assert abs(ends[0] - ends[1]) <= 0.5 * (every + 1) * rate
        assert planned.amplification() == pytest.approx(0.5 * SETTING.threshold * rate)


def test_a_survey_of_optimizers_is_its_comparisons(data):
    """Protects the grid over thresholds: its cell at the setting's is the comparison, and a verdict reads it."""
    grid = survey(TASK, SETTING, {"threshold": [SETTING.threshold, 4.0]}, optimizers=SEVERAL, threads=1)
    cell = grid.sel(threshold=SETTING.threshold)
    assert np.array_equal(cell["mean_sharpness"], data["mean_sharpness"], equal_nan=True)
    assert "lr" not in grid.coords
    ratio = verdict(data, against="GD", of="QHM")["difference"]
    both = data["mean_sharpness"].where(data["crossed_at"].notnull())
    assert float(ratio) == pytest.approx(
        float((both.sel(optimizer="QHM") / both.sel(optimizer="GD") - 1.0).mean())
    )


def test_adam_is_compared_by_its_preconditioned_sharpness():
    """Protects Adam's comparison: its threshold's sharpness from its own run, the Hessian's beside it, and its time."""
    setting = replace(SETTING, threshold=150.0, seeds=(0,))
    adams = {"0": ss.Adam(1.0, 0.0), "0.5": ss.Adam(1.0, 0.5), "RMSProp": ss.RMSProp(1.0)}
    data = compare(TASK, setting, optimizers=adams, threads=1)
    optimizer, steps, every = setting.plan(adams["0.5"])
    trial = TASK.trial(0, setting.scale)
    run = ss.simulate(
        trial.loss, optimizer, trial.start, steps, every=every, keep=("weights", "preconditioner"), noise=1e-7
    )
    for k in (1, -1):
        w, p = run["weights"].values[k], run["preconditioner"].values[k]
        hessian = trial.loss.hessian(w)
        at = data.sel(optimizer="0.5", seed=0)
        values = [at[name].dropna("record").values[k] for name in ("sharpness", "hessian_sharpness")]
        scaled = hessian / np.sqrt(np.outer(p, p))
        assert values == pytest.approx([np.linalg.eigvalsh(m)[-1] for m in (scaled, hessian)], rel=1e-8)
    # 2(1 + β₁)/((1 − β₁)η), and three times as many steps without momentum.
    assert optimizer.schedule.values(steps, steps + 1)[0] == pytest.approx(2.0 * 3.0 / 150.0)
    assert setting.plan(adams["0"])[1] == setting.plan(adams["RMSProp"])[1] == 3 * steps
    assert np.isnan(data["predicted_excess"]).all()


class Squared(ss.Optimizer):
    """A rule that is not linear."""

    def rule(self, weights, states, gradient, lr, step):
        return weights - lr * gradient * gradient, ()

    def begin(self, start, previous, lr):
        return ()

    def threshold_fraction(self):
        return 2.0, 1.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: compare(TASK, SETTING, optimizers={}), TypeError, "optimizers must map at least one name"),
        (
            lambda: compare(TASK, SETTING, optimizers=[ss.HeavyBall(1.0)]),
            TypeError,
            "optimizers must map at least",
        ),
        (
            lambda: compare(TASK, SETTING, optimizers={"gd": 0.1}),
            TypeError,
            "optimizers must map names to optimizers",
        ),
        (
            lambda: compare(TASK, SETTING, optimizers={1: ss.HeavyBall(1.0)}),
            TypeError,
            "optimizers must map names",
        ),
        (
            lambda: compare(TASK, SETTING, optimizers={"own": Squared(1.0)}),
            ValueError,
            "must be linear, or Adam",
        ),
        (
            lambda: survey(TASK, SETTING, {"momentum": [0.5]}, optimizers=SEVERAL),
            ValueError,
            "axes must not hold momentum where optimizers are given",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Protects the door; nothing has run then."""
    with pytest.raises(error, match=message):
        call()
