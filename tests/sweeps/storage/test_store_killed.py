"""A sweep that is killed again and again ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import selfstab as ss
from selfstab.sweeps.storage.layout import RECORD
from selfstab.sweeps.sweep import resume

LOSS = ss.CubicTaylor(1.0, 0.01)
OPTIMIZER = ss.HeavyBall(0.5)
AXES = {"momentum": np.linspace(0.0, 0.95, 12), "lr": np.linspace(0.1, 2.5, 8)}
SETTINGS = {
    "start": [0.1, 0.0], "steps": 6, "measure": ["final_loss", "overshoot", "phase"], "noise": 0.01, "repeats": 2,
    "progress": False,
}  # fmt: skip
BLOCKS = 24
WRITES = 12 + BLOCKS * 4 + 1
"""Files that a whole run writes: settings, metadata and coordinates; arrays and a row of each block; the seconds."""

_PARENT = """
import json, os, signal, sys, threading, time
from types import SimpleNamespace
sys.path[:0] = [sys.argv[1]]
from tests.sweeps.storage import test_store_killed as case
import tqdm
import zarr
import selfstab as ss
from selfstab.sweeps.storage import layout
from selfstab.sweeps.storage import store
from selfstab.kernels import modules
from selfstab.sweeps.runners.lanes import LaneRunner

modules.compiled = lambda source: SimpleNamespace(**modules.plain(source))
layout.LARGEST_CHUNK = 8
tqdm.tqdm.monitor_interval = 0  # a thread of its own would be in the way of a fork
ss.sweep(case.LOSS, case.OPTIMIZER, case.AXES, **case.SETTINGS)
write, run, writes, runs = store.Store._write, LaneRunner.run, 0, 0

def sweep(path, at, how):
    def counted(self, name, data):
        global writes
        writes += 1
        if writes != at:
            return write(self, name, data)
        if how == 1:
            (self.path / layout.DONE / "partial").write_bytes(data[: len(data) // 2])
        if how == 2:
            write(self, name, data)
        os.kill(os.getpid(), signal.SIGKILL)

    def run_counted(self, cells, repeat=0):
        global runs
        runs += 1
        return run(self, cells, repeat)

    store.Store._write, LaneRunner.run = counted, run_counted
    ss.sweep(case.LOSS, case.OPTIMIZER, case.AXES, store=path, threads=1 + at % 3, **case.SETTINGS)

assert threading.active_count() == 1
for line in sys.stdin:
    path, at, how, after = json.loads(line)
    read, told = os.pipe()
    child = os.fork()
    if child == 0:
        sweep(path, at, how)
        os.write(told, str(runs).encode())
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(told)
    print(json.dumps([code, os.read(read, 9).decode()]), flush=True)
    os.close(read)
"""


@pytest.fixture(scope="module")
def unbroken():
    """Return the sweep in memory, in plain CPython as the children's."""
    from types import SimpleNamespace

    from selfstab.kernels import modules

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "compiled", lambda source: SimpleNamespace(**modules.plain(source)))
        return ss.sweep(LOSS, OPTIMIZER, AXES, **SETTINGS)


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    """Run the sweep in a process of its own, a fork of one that has imported everything; return how it ended."""
    errors = tmp_path_factory.mktemp("child") / "errors"
    with errors.open("w") as file:
        parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(Path(__file__).parents[3])], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=file, text=True,
        )  # fmt: skip

    def run(store: Path, at: int = 0, how: int = 0, after: float | None = None) -> int:
        before = done(store)
        assert parent.stdin is not None
        assert parent.stdout is not None
        print(json.dumps([str(store), at, how, after]), file=parent.stdin, flush=True)
        answer = parent.stdout.readline()
        assert errors.read_text() == ""
        code, runs = json.loads(answer)
        if code == 0:
            assert int(runs) == BLOCKS - before  # what was missing, and nothing else
        return code

    yield run
    parent.kill()
    parent.communicate()


def done(store: Path) -> int:
    return len(list((store / RECORD / "done").glob("c.*")))


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_change_no_bit(child, unbroken, same_cells, tmp_path, kills):
    """Protects resuming: SIGKILL at random moments, between two arrays of a block and while a store is made, too."""
    moment = random.Random(kills)
    count, stores = 0, 0
    while count < kills:
        store = tmp_path / f"{stores}.zarr"
        stores += 1
        # A few kills a store, at a write (before, amid or after it) or a time; then it is left to end.
        for _ in range(min(moment.randint(2, 8), kills - count)):
            before = done(store)
            if moment.random() < 0.7:
                code = child(store, moment.randint(1, WRITES - 4 * before), moment.randrange(3))
            else:
                code = child(store, after=moment.uniform(0.0, 1.0))
            assert code in (0, -signal.SIGKILL)
            assert done(store) >= before
            count += code != 0
        assert child(store) == 0
        assert not (store / RECORD / "done" / "partial").exists()
        with xr.open_zarr(store, chunks=None) as data:
            same_cells(data, unbroken)
            assert data.attrs["seconds"] > 0


@pytest.mark.parametrize("how", [0, 1, 2])
@pytest.mark.parametrize(
    "at", [1, 14, pytest.param(3, marks=pytest.mark.slow), pytest.param(16, marks=pytest.mark.slow)]
)
def test_kills_at_each_kind_of_write(child, unbroken, same_cells, tmp_path, at, how):
    """Protects moments that chance may miss: the settings, metadata, an array and the row of the first block."""
    assert child(tmp_path / "a.zarr", at, how) == -signal.SIGKILL
    assert child(tmp_path / "a.zarr") == 0
    with xr.open_zarr(tmp_path / "a.zarr", chunks=None) as data:
        same_cells(data, unbroken)


def test_an_interrupt_leaves_a_store_to_go_on_with(same_cells, tmp_path):
    """Protects Ctrl-C on the command line: one line, exit code 130, and --resume needs nothing else."""
    store = tmp_path / "a b.zarr"
    command = [
        sys.executable, "-m", "selfstab.cli", "sweep", "DiagonalNetwork", "-p", "samples=4", "-p", "features=3",
        "-p", "nonzeros=1", "--start", "initial:0.5", "--steps", "100", "-a", "lr=lin:0.01:0.2:60",
        "-m", "final_sharpness", "--store", str(store),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while done(store) < 3:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    out, errors = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert errors == (
        f"stopping after the blocks under way ...\ninterrupted; selfstab sweep --resume '{store}' goes on\n"
    )
    before = done(store)
    data = resume(store, progress=False)
    assert 3 <= before < done(store)
    x, y = ss.datasets.sparse_regression(samples=4, features=3, nonzeros=1, seed=0)
    loss = ss.DiagonalNetwork(x, y)
    expected = ss.sweep(
        loss, ss.HeavyBall(1.0), {"lr": np.linspace(0.01, 0.2, 60)}, start=loss.initial_weights(scale=0.5), steps=100,
        measure=["final_sharpness"], progress=False,
    )  # fmt: skip
    same_cells(data, expected)
