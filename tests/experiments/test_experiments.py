"""Matched runs and surveys: equal thresholds and times, numbers from records, presets' numbers, the same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray

import selfstab as ss
from selfstab import experiments
from selfstab.experiments import METHODS, PRESETS, Setting, SparseRegression, compare, survey, verdict

TASK = SparseRegression(samples=10, features=12, nonzeros=2, held_out=50)
SETTING = Setting(threshold=3.0, momentum=0.5, warmup=100, steps=160, scale=0.3, records=20, seeds=(0, 1))


@pytest.fixture(scope="module")
def found():
    return compare(TASK, SETTING, threads=1)


def test_thresholds_and_times_are_matched(found):
    """Protects the comparison: the same S* at the end, and at each record of equal effective time."""
    assert found["sharpness"].dims == ("optimizer", "seed", "record")
    last = found["max_stable_sharpness"].isel(record=-1)
    assert np.allclose(last, 3.0, rtol=1e-12, atol=0)
    heavy, time, steps = (found.sel(optimizer=name) for name in METHODS)
    assert np.array_equal(heavy["step"], steps["step"])
    assert np.array_equal(time["step"], 3 * heavy["step"])  # (1 + β)/(1 − β)
    # Sums over steps of different lengths: equal up to the first step's share.
    assert np.allclose(heavy["effective_time"], time["effective_time"], rtol=0.02, atol=1.0)
    assert (np.diff(found["step"].values, axis=1) % 2 == 1).all()


def test_records_are_those_of_a_run(found):
    """Protects the records: sharpness, loss and scores are those of simulate with the same arguments."""
    trial = TASK.trial(1, 0.3)
    lr = 2.0 * 1.5 / 3.0
    run = ss.simulate(
        trial.loss, ss.HeavyBall(ss.LinearWarmup(0.0, lr, 100), 0.5), trial.start, 162, every=9,
        keep=("loss", "sharpness", "weights"), noise=1e-7, seed=1,
    )  # fmt: skip
    at = found.sel(optimizer="phb", seed=1)
    for name in ("loss", "sharpness", "max_stable_sharpness"):
        assert np.array_equal(at[name], run[name])
    assert at["test_loss"].values[-1] == trial.held_out.value(run["weights"].values[-1])
    assert float(at["mean_sharpness"]) == run["sharpness"].values[run["step"].values >= 121.5].mean()
    first = int(np.argmax(run["sharpness"].values > run["max_stable_sharpness"].values))
    assert float(at["crossed_at"]) == float(run["step"][first])
    assert float(at["least_sharpness"]) == float(run["sharpness"][first:].min())


def test_the_bits_do_not_depend_on_processes(found):
    """Protects determinism: one process or two, and again."""
    again = compare(TASK, SETTING, threads=2)
    xarray.testing.assert_identical(found, again)
    assert found.attrs == again.attrs


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


def test_a_survey_is_its_comparisons():
    """Protects the grid: each cell is the comparison at its setting; with momentum, effective time stays."""
    data = survey(TASK, SETTING, {"momentum": [0.5, 0.8], "threshold": [3.0, 4.0]}, threads=1)
    assert data["mean_sharpness"].dims == ("momentum", "threshold", "optimizer", "seed")
    alone = compare(TASK, replace(SETTING, threshold=4.0, momentum=0.8, warmup=33, steps=53), threads=1)
    cell = data.sel(momentum=0.8, threshold=4.0)
    for name in ("mean_sharpness", "least_sharpness", "final_distance"):
        assert np.array_equal(cell[name], alone[name], equal_nan=True)
    assert data["lr"].sel(momentum=0.8, threshold=4.0) == pytest.approx(0.9)
    longer = survey(TASK, SETTING, {"warmup": [50, 100]}, threads=1)
    half = compare(TASK, replace(SETTING, warmup=50, steps=80), threads=1)
    assert np.array_equal(longer["mean_sharpness"].sel(warmup=50), half["mean_sharpness"], equal_nan=True)


def made_up(heavy, plain, crossed=1.0):
    shape = (("optimizer", "seed"), np.array([heavy, plain, plain], dtype=float))
    data = xarray.Dataset({"mean_sharpness": shape}, {"optimizer": list(METHODS)})
    data["crossed_at"] = (("optimizer", "seed"), np.full(shape[1].shape, crossed))
    data["diverged_at"] = data["mean_sharpness"].where(data["mean_sharpness"].isnull(), np.nan)
    return data


def test_a_verdict_needs_more_than_the_spread():
    """Protects the table: below, above, within the spread, of one seed, and not crossed."""
    assert int(verdict(made_up([0.8, 0.9, 0.85], [1.0, 1.0, 1.0])).sign) == -1
    assert int(verdict(made_up([1.2, 1.1, 1.15], [1.0, 1.0, 1.0])).sign) == 1
    mixed = verdict(made_up([0.8, 1.15, 1.0], [1.0, 1.0, 1.0]))
    assert int(mixed.sign) == 0
    assert float(mixed.difference) == pytest.approx(-0.05 / 3)
    assert float(mixed.spread) == pytest.approx(np.std([-0.2, 0.15, 0.0], ddof=1) / np.sqrt(3))
    assert int(verdict(made_up([0.8], [1.0])).sign) == 0
    assert float(mixed.crossed) == float(mixed.crossed_gd) == 1.0
    none = verdict(made_up([0.8, 0.8], [1.0, 1.0], crossed=np.nan))
    assert float(none.crossed) == float(none.crossed_gd) == 0.0
    assert int(none.compared) == 0
    assert int(none.sign) == 0


def ratio(data, number="mean_sharpness"):
    heavy, plain = (data[number].sel(optimizer=name).values for name in ("phb", "gd_time"))
    return heavy / plain - 1.0


# Chaotic runs differ from machine to machine; the bounds are the docstrings', which three or more seeds keep.
QUICK = {
    "diagonal_network": (-0.40, -0.02),
    "digits_network": (-0.45, -0.15),
    "onehot_network": (-0.05, 0.05),
    "deep_network": (-0.20, -0.03),
    "mnist_network": (-0.25, -0.05),
}
FULL = {
    "diagonal_network": (-0.40, 0.01),
    "digits_network": (-0.40, -0.10),
    "onehot_network": (-0.02, 0.02),
    "deep_network": (-0.35, -0.02),
    "mnist_network": (-0.30, -0.08),
}


@pytest.mark.parametrize(
    "name", ["diagonal_network", *(pytest.param(name, marks=pytest.mark.slow) for name in [*QUICK][1:])]
)
def test_a_quick_preset_has_its_numbers(name):
    """Protects the docstrings' numbers: heavy ball's mean sharpness over gradient descent's."""
    data = getattr(experiments, name)(quick=True, threads=1)
    low, high = QUICK[name]
    assert (low < ratio(data)).all()
    assert (ratio(data) < high).all()
    if name == "diagonal_network":
        assert (ratio(data, "final_test_loss") > 0.05).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_a_preset_has_its_numbers(name):
    """Protects the same of the presets in full."""
    data = getattr(experiments, name)()
    low, high = FULL[name]
    assert (low < ratio(data)).all()
    assert (ratio(data) < high).all()
    assert PRESETS[name].full.seeds == tuple(data["seed"].values)


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
        (lambda: compare("digits", SETTING), TypeError, "task must have a method trial"),
        (lambda: compare(TASK, 3), TypeError, "setting must be a Setting"),
        (lambda: compare(TASK, SETTING, threads=0), ValueError, "threads must be"),
        (lambda: survey(TASK, SETTING, ["warmup"]), TypeError, "axes must map names to values"),
        (lambda: survey(TASK, SETTING, {}), ValueError, "axes must hold at least one"),
        (lambda: survey(TASK, SETTING, {"lr": [1.0]}), ValueError, "threshold, momentum, warmup, scale"),
        (lambda: survey(TASK, SETTING, {"scale": [2.0, 1.0]}), ValueError, "must be ascending"),
        (lambda: survey(TASK, SETTING, {"scale": []}), ValueError, "must be ascending"),
        (lambda: survey(TASK, SETTING, {"warmup": [1.5]}), (TypeError, ValueError), "warmup must be"),
        (lambda: survey(TASK, replace(SETTING, warmup=0), {"warmup": [5]}), ValueError, "must have a warmup"),
        (lambda: verdict("data"), TypeError, "data must be what survey"),
        (lambda: verdict(made_up([1.0], [1.0]), "sharpest"), ValueError, "number must be one of"),
        (lambda: verdict(made_up([1.0], [1.0]), against="phb"), ValueError, "against must be one of"),
        (
            lambda: verdict(
                made_up([1.0], [1.0]).assign(loss=(("optimizer", "seed", "record"), np.ones((3, 1, 2)))), "loss"
            ),
            ValueError,
            "number must be one of",
        ),
        (lambda: experiments.Digits(target="labels"), ValueError, "target must be one of parity, onehot, got 'labels'"),
        (lambda: experiments.MNIST(target="foo"), ValueError, "target must be one of parity, onehot, got 'foo'"),
        (lambda: experiments.diagonal_network(quick=1), TypeError, "quick must be True or False"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message):
        call()
