"""A run's dataset: recorded steps by brute force, rates in pieces, attributes that tell the run again."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.runs import dataset as module
from selfstab.runs.problem import Problem
from selfstab.runs.variables import BESIDE_CONSTRAINED, KEEP
from tests.optimizers.own import Aggregated, Moments


def problem_of(loss, optimizer, start, **changes):
    arguments = {"previous": None, "steps": 20, "escape": 1e6, "noise": 0.0, "seed": 0} | changes
    return Problem.checked(loss, optimizer, start, **arguments)


def test_xarray_is_imported_beside_what_is_compiled(monkeypatch):
    """Protects a first run: the import is another thread's, what fails there stays there, and none begins in vain."""
    threads = []

    def importing(name):
        threads.append((name, threading.current_thread()))
        raise ImportError

    monkeypatch.setattr(module, "import_module", importing)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "xarray", module)
        module.begin_import()
        assert not threads
        patch.delitem(sys.modules, "xarray")
        module.begin_import()
        while not threads or threads[0][1].is_alive():
            time.sleep(0.001)
    [(name, thread)] = threads
    assert name == "xarray"
    assert thread is not threading.main_thread()


@given(steps=st.integers(0, 60), every=st.integers(1, 70), diverged_at=st.integers(-1, 60))
def test_recorded_steps(steps, every, diverged_at):
    """Protects the step coordinate: multiples of `every` and the last, and none from the divergence on."""
    expected = [t for t in range(steps + 1) if t % every == 0 or t == steps]
    expected = [t for t in expected if diverged_at < 0 or t < diverged_at]
    got = module.recorded_steps(steps, every, diverged_at)
    assert got.tolist() == expected
    assert got.dtype == np.int64


@pytest.mark.parametrize(("every", "rows"), [(1, 4), (3, 7), (7, 4), (100, 5)])
def test_rates_do_not_depend_on_the_pieces(monkeypatch, every, rows):
    """Protects long runs, whose rates are asked for in pieces: each is the schedule's at its step."""
    monkeypatch.setattr(module, "NOISE_ROWS", rows)
    problem = problem_of(ss.Quadratic([1.0]), ss.HeavyBall(ss.LinearWarmup(0.1, 0.9, 16), 0.5), [1.0])
    at = module.recorded_steps(20, every)
    data = module.dataset(problem, at, {"loss": np.zeros(at.size)}, 0.5, diverged_at=-1)
    expected = 0.1 + 0.8 * np.minimum(at / 16, 1.0)
    assert data.lr.values == pytest.approx(expected, rel=1e-14)
    assert data.max_stable_sharpness.values == pytest.approx(3.0 / expected, rel=1e-14)
    assert data.step.values.tolist() == at.tolist()
    assert data.attrs["seconds"] == 0.5


def test_several_divergences_stand_by_name():
    """Protects trajectories beside a run: each has its own step of divergence, an integer."""
    problem = problem_of(ss.Product(), ss.HeavyBall(0.1), [1.0, 2.0])
    ends = {"diverged_at": 3, "flow_diverged_at": -1}
    known = {**KEEP, **BESIDE_CONSTRAINED}
    weights, rates = np.arange(6.0).reshape(3, 2), np.full(3, 0.1)
    data = module.dataset(
        problem, np.arange(3), {"weights": weights}, 0.0, diverged_at=ends, rates=rates, variables=known
    )
    assert {name: int(data[name]) for name in ends} == ends
    assert data.diverged_at.dtype == np.int64
    assert data.weight.values.tolist() == ["u", "v"]
    assert data.weights.dims == ("step", "weight")


def test_attributes_tell_the_run_again():
    """Protects stored runs: the start to the last bit, the noise, and the optimizer with its numbers and flags."""
    start = [1 / 3, -1e-300]
    problem = problem_of(
        ss.Product(), Moments(0.1, corrected=False), start, noise=0.25, seed=7, previous=[0.0, -0.0]
    )
    attributes = module.provenance(problem, 1.5)
    assert json.loads(attributes["start"]) == start
    assert [struct.pack("<d", x) for x in json.loads(attributes["previous"])] == [
        struct.pack("<d", x) for x in (0.0, -0.0)
    ]
    told = json.loads(attributes["optimizer"])
    assert told.pop("name") == "Moments"
    assert Moments(**told) == problem.optimizer
    assert [attributes[name] for name in ("steps", "escape", "noise", "seed", "seconds")] == [
        20,
        1e6,
        0.25,
        7,
        1.5,
    ]


@dataclass(frozen=True)
class Falling:
    """A schedule of one's own."""

    peak: float = 0.5

    def values(self, first, last):
        return self.peak / (1.0 + np.arange(first, last))


def test_optimizers_are_described_in_json():
    """Protects files of every optimizer: schedules by their text, numbers of tuples one by one."""
    described = [
        module.described_optimizer(optimizer)
        for optimizer in (
            ss.HeavyBall(0.1, 0.5), ss.HeavyBall(Falling()), Aggregated(0.1, momenta=(0.0, 0.5)),
        )
    ]  # fmt: skip
    assert json.loads(json.dumps(described)) == [
        {"name": "HeavyBall", "lr": 0.1, "momentum": 0.5, "lookahead": 0.0},
        {"name": "HeavyBall", "lr": {"schedule": "Falling(peak=0.5)"}, "momentum": 0.0, "lookahead": 0.0},
        {"name": "Aggregated", "lr": 0.1, "momenta.0": 0.0, "momenta.1": 0.5},
    ]


@pytest.mark.parametrize("size", [64, 65])
def test_many_weights_are_told_by_a_hash(size):
    """Protects attributes from growing with the loss: 64 numbers are listed, more are the hash of their bytes."""
    start = np.linspace(-1.0, 1.0, size)
    told = module.provenance(problem_of(ss.Quadratic(np.ones(size)), ss.HeavyBall(0.1), start), 0.0)["start"]
    digest = hashlib.sha256(struct.pack(f"<{size}d", *start)).hexdigest()
    assert told == (json.dumps(start.tolist()) if size == 64 else f"sha256 {digest}")
