"""Surveys are their comparisons, and a verdict needs more than the spread over seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray

from selfstab.experiments import METHODS, compare, comparison, survey, verdict
from selfstab.experiments.surveys import surveys, varied
from tests.experiments.small import SETTING, TASK


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


def test_surveys_of_several_grids_run_what_they_share_once(monkeypatch):
    """Protects the figures of two surveys: each is the one alone, and no run is made twice."""
    run = []
    batch = comparison.run_batch
    monkeypatch.setattr(comparison, "run_batch", lambda jobs: run.extend(jobs) or batch(jobs))
    grids = [{"threshold": [SETTING.threshold, 4.0]}, {"momentum": [SETTING.momentum, 0.8]}]
    both = surveys(TASK, SETTING, grids, threads=1)
    assert len(run) == len({(job.setting, job.method, job.seed) for job in run})
    assert len(run) == 3 * len(METHODS) * len(SETTING.seeds)
    for data, axes in zip(both, grids, strict=True):
        assert data.drop_attrs().identical(survey(TASK, SETTING, axes, threads=1).drop_attrs())


@pytest.mark.parametrize("momentum", [0.2, 0.8, 0.95])
@pytest.mark.parametrize("warmup", [50.0, 300.0])
def test_effective_time_and_share_of_warmup_stay(momentum, warmup):
    """Protects a survey's axes: what they do not vary stays, to the rounding of whole steps."""
    setting = replace(SETTING, warmup=1000, steps=1600)
    other = varied(setting, {"warmup": 10 * warmup, "momentum": momentum, "scale": 0.7})

    def effective(setting, steps):
        lr = 2.0 * (1.0 + setting.momentum) / setting.threshold
        return lr * steps / (1.0 - setting.momentum)

    one_step = effective(other, 1)
    longer = 10 * warmup / 1000
    assert abs(effective(other, other.warmup) - longer * effective(setting, setting.warmup)) <= one_step
    assert abs(effective(other, other.steps) - longer * effective(setting, setting.steps)) <= one_step
    assert (other.scale, other.threshold, other.seeds) == (0.7, setting.threshold, setting.seeds)


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


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
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
                made_up([1.0], [1.0]).assign(loss=(("optimizer", "seed", "record"), np.ones((3, 1, 2)))),
                "loss",
            ),
            ValueError,
            "number must be one of",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message):
        call()
