"""Matched runs: equal thresholds and times, numbers from records, the onset, the same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.experiments import METHODS, Setting, compare
from selfstab.experiments.comparison import Ending
from tests.experiments.small import SETTING, TASK


@pytest.fixture(scope="module")
def data():
    return compare(TASK, SETTING, threads=1)


def test_thresholds_and_times_are_matched(data):
    """Protects the comparison: the same S* at the end, and at each record of equal effective time."""
    assert data["sharpness"].dims == ("optimizer", "seed", "record")
    last = data["max_stable_sharpness"].isel(record=-1)
    assert np.allclose(last, 3.0, rtol=1e-12, atol=0)
    heavy, time, steps = (data.sel(optimizer=name) for name in METHODS)
    assert np.array_equal(heavy["step"], steps["step"])
    assert np.array_equal(time["step"], 3 * heavy["step"])  # (1 + β)/(1 − β)
    # Sums over steps of different lengths: equal up to the first step's share.
    assert np.allclose(heavy["effective_time"], time["effective_time"], rtol=0.02, atol=1.0)
    assert (np.diff(data["step"].values, axis=1) % 2 == 1).all()


def test_records_are_those_of_a_run(data):
    """Protects the records: sharpness, loss and scores are those of simulate with the same arguments."""
    trial = TASK.trial(1, 0.3)
    lr = 2.0 * 1.5 / 3.0
    run = ss.simulate(
        trial.loss, ss.HeavyBall(ss.LinearWarmup(0.0, lr, 100), 0.5), trial.start, 162, every=9,
        keep=("loss", "sharpness", "weights"), noise=1e-7, seed=1,
    )  # fmt: skip
    at = data.sel(optimizer="phb", seed=1)
    for name in ("loss", "sharpness", "max_stable_sharpness"):
        assert np.array_equal(at[name], run[name])
    assert at["test_loss"].values[-1] == trial.held_out.value(run["weights"].values[-1])
    assert float(at["mean_sharpness"]) == run["sharpness"].values[run["step"].values >= 121.5].mean()
    first = int(np.argmax(run["sharpness"].values > run["max_stable_sharpness"].values))
    assert float(at["crossed_at"]) == float(run["step"][first])
    assert float(at["least_sharpness"]) == float(run["sharpness"][first:].min())


def test_the_bits_do_not_depend_on_processes(data):
    """Protects determinism: one process or two, and again."""
    again = compare(TASK, SETTING, threads=2)
    xarray.testing.assert_identical(data, again)
    assert data.attrs == again.attrs


def test_a_divergence_is_a_result():
    """Protects the numbers of a run that left: NaN, its step, and records up to it."""
    data = compare(TASK, replace(SETTING, threshold=0.05, seeds=(0,)), threads=1)
    lost = data.sel(optimizer="phb", seed=0)
    assert lost["diverged_at"] > 0
    assert np.isnan(lost["mean_sharpness"])
    inside = lost["step"].values < float(lost["diverged_at"])
    assert np.array_equal(np.isfinite(lost["loss"].values), inside)


def test_the_onset_is_the_theorys():
    """Protects the predicted excess: that of the ramp, the noise and the sharpness gradient at the crossing."""
    data = compare(TASK, replace(SETTING, seeds=(0,)), threads=1).sel(optimizer="phb", seed=0)
    excess = (data["sharpness"] / data["max_stable_sharpness"] - 1.0).values
    k = int(np.argmax(excess > 0.0))
    ramp = (excess[k] - excess[k - 1]) / 9
    assert float(data["ramp"]) == pytest.approx(ramp)
    trial = TASK.trial(0, 0.3)
    lr = ss.LinearWarmup(0.0, 1.0, 100)
    w = ss.simulate(trial.loss, ss.HeavyBall(lr, 0.5), trial.start, 9 * k, keep=["weights"], noise=1e-7)[
        "weights"
    ].values[-1]
    value, top = np.linalg.eigh(trial.loss.hessian(w))
    slope = trial.loss.third(w, top[:, -1], top[:, -1])
    slope -= (slope @ top[:, -1]) * top[:, -1]
    swing = ss.theory.crossing_amplitude(1e-7, 1.0 * min(9 * k / 100, 1.0), 0.5, ramp)
    expected = ss.theory.warmup_onset(value[-1], swing, 0.5, ramp, slope @ slope)
    assert float(data["predicted_excess"]) == pytest.approx(expected, rel=1e-6)  # slope² through eigensolvers


@given(
    step=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    seed=st.integers(0, 9),
    rise=st.floats(0.0, 3.0),
)
def test_an_ending_is_read_off_step_by_step(step, seed, rise):
    """Protects the four numbers that a run ends with, against loops over its records."""
    step = np.cumsum([0, *step])
    sharpness = 2.0 + rise * np.random.default_rng(seed).standard_normal(step.size)
    threshold = np.full(step.size, 3.0)
    ending = Ending.of(step, sharpness, threshold, int(step[-1]))
    last_quarter = [s for t, s in zip(step, sharpness, strict=True) if 4 * t >= 3 * step[-1]]
    assert ending.mean == pytest.approx(sum(last_quarter) / len(last_quarter), rel=1e-12)
    assert ending.final == sharpness[-1]
    above = [k for k in range(step.size) if sharpness[k] > 3.0]
    assert ending.crossed == next(iter(above), None)
    after = [sharpness[above[0] :].tolist() for _ in above[:1]]
    assert [sharpness[ending.least] for _ in above[:1]] == [min(values) for values in after]


@given(
    momentum=st.floats(0.05, 0.97),
    threshold=st.floats(0.1, 50.0),
    warmup=st.integers(0, 400),
    steps=st.integers(1, 900),
    records=st.integers(4, 60),
)
def test_plans_are_matched(momentum, threshold, warmup, steps, records):
    """Protects the comparison's terms: one threshold, one effective time, records an odd number of steps apart."""
    setting = Setting(threshold, momentum, warmup, steps, records=records)
    plans = {method: setting.plan(method) for method in METHODS}
    for optimizer, length, every in plans.values():
        assert optimizer.thresholds(warmup * 100, warmup * 100 + 1)[0] == pytest.approx(threshold, rel=1e-12)
        assert every % 2 == 1
        assert length % every == 0
    assert len({length // every for _, length, every in plans.values()}) == 1
    assert plans["phb"][1:] == plans["gd_steps"][1:]
    stretch = (1 + momentum) / (1 - momentum)
    assert abs(plans["gd_time"][2] - stretch * plans["phb"][2]) <= 1.0 + 1e-9  # the nearest odd number
    assert plans["phb"][1] >= steps
    assert plans["phb"][1] - steps < plans["phb"][2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Setting(0.0, 0.5, 1, 1), ValueError, "threshold must be"),
        (lambda: Setting(1.0, 0.0, 1, 1), ValueError, "momentum must be"),
        (lambda: Setting(1.0, 1.0, 1, 1), ValueError, "momentum must be"),
        (lambda: Setting(1.0, 0.5, -1, 1), ValueError, "warmup must be"),
        (lambda: Setting(1.0, 0.5, 1, 0), ValueError, "steps must be"),
        (lambda: Setting(1.0, 0.5, 1, 1, seeds=()), ValueError, "seeds must be a tuple"),
        (lambda: Setting(1.0, 0.5, 1, 1, seeds=(-1,)), ValueError, "seeds must be"),
        (lambda: Setting(1.0, 0.5, 1, 1, records=3), ValueError, "records must be"),
        (lambda: compare("digits", SETTING), TypeError, "task must be a loss or have a method trial"),
        (lambda: compare(TASK, 3), TypeError, "setting must be a Setting"),
        (lambda: compare(TASK, SETTING, threads=0), ValueError, "threads must be"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message):
        call()
