"""A recorder that is stopped and goes on, and what its records cost."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.recording.recorder_state import Clock, state_of

SIZE = 1500
CURVATURES = np.r_[3.0, 2.5, 2.0, np.random.default_rng(0).exponential(0.1, SIZE - 3)]


def log(recorder, steps):
    for step in steps:
        scale = 1.0 + 0.01 * step
        recorder.log(
            step, loss=0.5 * scale, hessian_vector=lambda v, s=scale: s * CURVATURES * v, dimension=SIZE
        )
    return recorder


def recorder():
    return ss.Recorder(lr=0.5, momentum=0.5, every=2, most_products=5)


def unchanged(state, tmp_path):
    return state


def through_numpy(state, tmp_path):
    np.savez(tmp_path / "state.npz", **state)
    return np.load(tmp_path / "state.npz")  # allow_pickle is False


@pytest.mark.parametrize("way", [unchanged, through_numpy])
def test_a_run_that_is_resumed_is_the_unbroken_run(way, tmp_path):
    """Protects records across a stop: the same values and products, and the check that falls due."""
    whole = log(recorder(), range(41)).dataset()
    resumed = recorder()
    resumed.load_state_dict(way(log(recorder(), range(18)).state_dict(), tmp_path))
    assert resumed.dataset().sizes["step"] == 9
    again = log(resumed, range(18, 41)).dataset()
    assert again.equals(whole)
    assert np.isfinite(whole.measured_error).sum() == 2


def test_json_keeps_all_but_the_vectors():
    """Protects states in text: without vectors the next record takes more products, and all the rest is there."""
    state = log(recorder(), range(18)).state_dict()
    del state["vectors.sharpness"]
    resumed = recorder()
    resumed.load_state_dict(json.loads(json.dumps(state)))
    products = log(resumed, range(18, 21)).dataset().products.values
    assert products[9] > 5 >= products[8]


def test_an_empty_state_is_one():
    """Protects a stop before the first record."""
    resumed = log(recorder(), [0])
    resumed.load_state_dict(recorder().state_dict())
    assert resumed.dataset().sizes["step"] == 0


GOOD = log(recorder(), range(5)).state_dict()


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (3, TypeError, "state must be a dict that state_dict returned, got 3"),
        ({}, ValueError, "state must be one that state_dict returned (format 1)"),
        (GOOD | {"format": 2}, ValueError, "state must be one that state_dict returned (format 1)"),
        (GOOD | {"step": [4, 2, 0]}, ValueError, "state must hold steps >= 0 that increase, got [4, 2, 0]"),
        (GOOD | {"step": [0, 2]}, ValueError, "state must hold numbers as lookahead"),
        (GOOD | {"step": ["a", "b", "c"]}, ValueError, "state must hold numbers as step"),
        (GOOD | {"step": [[0], [1, 2]]}, ValueError, "state must hold numbers as step"),
        (GOOD | {"step": [0.0, np.nan, 2.0]}, ValueError, "state must hold finite numbers as step"),
        (GOOD | {"records.loss": [1.0]}, ValueError, "state must hold numbers as records.loss"),
        ({k: GOOD[k] for k in GOOD if k != "clock"}, ValueError, "state must hold clock"),
        (
            {k: GOOD[k] for k in GOOD if "records" not in k},
            ValueError,
            "state must hold records of its 3 steps",
        ),
        (
            GOOD | {"vectors.sharpness": np.ones(3)},
            ValueError,
            "state must hold finite numbers by rows as vectors.sharpness",
        ),
        (
            GOOD | {"vectors.sharpness": np.array([["a"]])},
            ValueError,
            "state must hold finite numbers by rows as vectors.sharpness",
        ),
        (
            GOOD | {"vectors.sharpness": np.full((3, SIZE), np.nan)},
            ValueError,
            "state must hold finite numbers by rows as",
        ),
    ],
)
def test_what_is_no_state_is_named_and_nothing_taken_over(state, error, message):
    """Protects records from a file of something else."""
    whole = log(recorder(), range(9))
    before = whole.dataset()
    with pytest.raises(error, match=re.escape(message)) as caught:
        whole.load_state_dict(state)
    assert "\n" not in str(caught.value)
    assert whole.dataset().equals(before)


def test_the_cost_of_a_record_is_told():
    """Protects repr and attribute: products are counted, and times compared, of records that sleep."""
    steps = range(0, 8, 2)
    slow = ss.Recorder(lr=0.5, every=2)
    for step in range(8):
        time.sleep(0.004)
        slow.log(step, loss=1.0, hessian_vector=lambda v: (time.sleep(0.01), v)[1], dimension=2)
    data = slow.dataset()
    assert data.step.values.tolist() == [*steps]
    assert data.products.values.tolist() == [3.0] * 4  # the matrix and a residual
    assert re.fullmatch(r"3 products, as long as \d.* steps", data.attrs["record_cost"])
    assert data.attrs["record_cost"] in repr(slow)
    assert "costs" not in repr(ss.Recorder(lr=0.5))


def test_the_clock_compares_a_record_with_a_step(monkeypatch):
    """Protects the ratio: records of 6 s, the first of 60 s, and steps of 2 s, at times that are set."""
    now = iter([0.0, 60.0, 70.0, 76.0, 86.0, 92.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    clock = Clock()
    assert np.isnan(clock.steps_per_record())
    for step in (0, 5, 10):
        with clock.record(step):
            pass
    assert clock.steps_per_record() == pytest.approx(3.0)


def test_a_state_holds_its_parts():
    """Protects the layout of a state, which files keep."""
    state = state_of(GOOD)
    assert (state.steps, state.lookaheads) == ([0, 2, 4], [0.0] * 3)
    assert [len(vectors) for vectors, _ in state.trackers.values()] == [3]
    assert sorted(state.rows[0]) == sorted(
        ["loss", "lr", "momentum", "max_stable_sharpness", "sharpness", "sharpness_residual", "sharpness_error",
         "measured_error", "products", "second_sharpness"]
    )  # fmt: skip


def test_records_of_fewer_columns_are_gone_on_with():
    """Protects states of another version: what they lack is NaN, and what comes later is kept."""
    state = log(recorder(), range(5)).state_dict()
    del state["records.products"]
    resumed = recorder()
    resumed.load_state_dict(state)
    assert np.isnan(resumed.dataset().products).all()
    again = recorder()
    again.load_state_dict(log(resumed, range(6, 8)).state_dict())
    assert np.isnan(again.dataset().products).values.tolist() == [True] * 3 + [False]


def test_a_resumed_recorder_is_of_the_same_optimizer(tmp_path):
    """Protects what the dataset says between a stop and the next record: heavy ball was said of Adam."""
    curvatures = np.arange(1.0, 6.0)

    def adam():
        return ss.Recorder(optimizer=ss.Adam(0.01))

    whole = adam()
    whole.log(
        0, loss=1.0, hessian_vector=lambda v: curvatures * v, dimension=5, preconditioner=np.full(5, 0.5)
    )
    resumed = ss.Recorder(lr=0.1)
    resumed.load_state_dict(through_numpy(whole.state_dict(), tmp_path))
    assert resumed.dataset().attrs["optimizer"] == whole.dataset().attrs["optimizer"]
    assert '"name": "Adam"' in resumed.dataset().attrs["optimizer"]
    again = ss.Recorder(lr=0.1)
    again.load_state_dict(resumed.state_dict())  # a stop before the next record
    assert again.dataset().attrs["optimizer"] == whole.dataset().attrs["optimizer"]
    with pytest.raises(ValueError, match=r"state must hold a text as attribute\.optimizer, got 3"):
        again.load_state_dict(whole.state_dict() | {"attribute.optimizer": 3})
