"""Cells of losses without a kernel: processes change no bit, errors and interrupts come through, memory is bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import tqdm

import selfstab as ss
from selfstab.kernels.measures import MEASURES
from selfstab.observables import measures
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.request import Request
from selfstab.sweeps.runners import cells
from selfstab.sweeps.runners.cells import CellRunner

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.standard_normal((7, 8)), RNG.standard_normal(7)
LARGE = ss.MLP((8, 7, 1), INPUTS, TARGETS)  # 71 weights: the sharpness comes from an iteration
ALL = tuple(MEASURES)


def swept(loss=LARGE, threads=1, **changes):
    given = {
        "start": ss.Initialization(),
        "steps": 30,
        "measure": ALL,
        "progress": False,
        "noise": 1e-3,
        "repeats": 2,
    }
    axes = {"momentum": [0.0, 0.9], "lr": [0.1, 0.7, 90.0]}
    return ss.sweep(loss, ss.HeavyBall(0.1), axes, threads=threads, **(given | changes))


@pytest.fixture
def worth_it(monkeypatch):
    """Start processes for the smallest sweep."""
    monkeypatch.setattr(cells, "WORTH_SECONDS", 0.0)


def test_processes_change_no_bit(worth_it, same_cells):
    """Protects results from where they are computed: here, or in two or three processes."""
    here = swept()
    assert (here.diverged_at.values >= 0).any()
    for threads in (2, 3):
        same_cells(swept(threads=threads), here)


def plan_of(steps):
    optimizer, start = ss.HeavyBall(0.1), ss.Initialization()
    return Plan.checked(
        Request(
            loss=LARGE, optimizer=optimizer, axes={"lr": [0.1, 0.2]}, start=start, steps=steps, measure=ALL
        )
    )


@pytest.mark.parametrize(("steps", "started"), [(20, 0), (10**9, 2)])
def test_processes_are_started_for_long_sweeps_only(steps, started):
    """Protects a small sweep from the seconds that processes take to start."""
    runner = CellRunner(plan_of(steps), processes=2)
    runner.prepare()
    try:
        assert (runner._workers is not None) == (started > 0)
    finally:
        runner.stop()


class Failing(ss.DiagonalNetwork):
    """A network whose value is not found where momentum is high."""

    def value_at(self, w):
        if np.abs(w).max() > 50.0:
            raise ZeroDivisionError("no value there")
        return super().value_at(w)


def test_an_error_in_a_process_comes_out(worth_it):
    """Protects against silence: the exception of a cell is raised with its type and its words."""
    loss = Failing(INPUTS, TARGETS)
    with pytest.raises(ZeroDivisionError, match="no value there"):
        swept(loss, threads=2)


def test_measures_do_not_depend_on_the_parts_they_are_read_in(monkeypatch, same_cells):
    """Protects memory that does not grow with the steps: parts of any length give the measures of the whole."""
    whole = swept(steps=45)
    for part in (1, 7, 46):
        monkeypatch.setattr(measures, "_PART", part)
        same_cells(swept(steps=45), whole)


def test_what_is_read_at_the_end_is_computed_there(monkeypatch):
    """Protects sweeps of the last sharpness from an eigenproblem a step."""
    seen = []
    found = ss.MLP.sharpness_at
    monkeypatch.setattr(ss.MLP, "sharpness_at", lambda *arguments: seen.append(1) or found(*arguments))
    swept(measure=("final_sharpness", "final_loss"))
    assert len(seen) == 12


SCRIPT = """
import sys
import numpy as np
import selfstab as ss
from selfstab.sweeps.runners import cells

cells.WORTH_SECONDS = 0.0
rng = np.random.default_rng(0)
inputs, targets = rng.standard_normal((7, 8)), rng.standard_normal(7)
family = ss.LossFamily(lambda width: ss.MLP((8, width, 1), inputs, targets), width=2)
print("begins", flush=True)
data = ss.sweep(family, ss.HeavyBall(0.1), {"width": [2, 3], "lr": [0.1, 0.2]}, start=ss.Initialization(),
                steps=int(sys.argv[1]), measure=["final_loss"], threads=2, progress=False)
print(repr(data.final_loss.values.tolist()))
"""


def script(tmp_path, steps):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return [sys.executable, "-W", "error", str(path), str(steps)]


def test_a_script_needs_no_guard(tmp_path):
    """Protects scripts and notebooks: no ``if __name__``, a loss made by their own function, run once."""
    out = subprocess.run(script(tmp_path, 5), capture_output=True, text=True, timeout=300, check=False)
    assert out.returncode == 0, out.stderr
    first, values = out.stdout.splitlines()
    assert (first, out.stderr) == ("begins", "")
    for width, row in zip((2, 3), eval(values), strict=True):
        loss = ss.MLP((8, width, 1), INPUTS, TARGETS)
        for lr, value in zip((0.1, 0.2), row, strict=True):
            run = ss.simulate(loss, ss.HeavyBall(lr), ss.Initialization(), 5, keep=["loss"])
            assert value == run.loss.values[-1]


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_no_process_outlives_the_sweep(tmp_path, name):
    """Protects the machine: interrupted or killed in the midst of a cell, a sweep leaves no process computing."""
    with subprocess.Popen(
        script(tmp_path, 10**7), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "begins\n"
        deadline = time.monotonic() + 120
        busy = []
        while len(busy) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
            children = psutil.Process(run.pid).children(recursive=True)
            busy = [c for c in children if sum(c.cpu_times()[:2]) > 1.5]
        os.kill(run.pid, getattr(signal, name))
        errors = run.stderr.read()
    _, alive = psutil.wait_procs(busy, timeout=120)
    assert not alive
    assert ("KeyboardInterrupt" in errors) == (name == "SIGINT")


CALLS = {
    "sweep": lambda: swept(steps=10**8, threads=2),
    "continuation": lambda: ss.continuation(
        LARGE, ss.HeavyBall(0.1), {"lr": [0.1, 0.2]}, along="lr", start=ss.Initialization(), steps=10**8,
        measure=["final_loss"], threads=2, progress=False,
    ),
    "orbits": lambda: ss.orbits(
        LARGE, ss.HeavyBall(0.1), {"lr": [0.1, 0.2]}, start=ss.Initialization(), steps=10**8, progress=False
    ),
    "symbolic orbits": lambda: ss.orbits(
        ss.DoubleWell(), ss.HeavyBall(0.1), {"lr": [0.1, 0.2]}, start=[0.5], steps=10**13, progress=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_is_heard_in_the_midst_of_a_cell(name, monkeypatch):
    """Protects Ctrl-C: runs that would take hours end, each at its next step or part of steps."""
    monkeypatch.setattr(cells, "WORTH_SECONDS", np.inf)
    before = {*threading.enumerate()}
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            CALLS[name]()
    finally:
        timer.cancel()
    timer.join()
    left = {*threading.enumerate()} - before
    assert not [thread for thread in left if not isinstance(thread, tqdm.TMonitor)]


def test_a_continuation_in_processes_has_the_same_bits(worth_it, same_cells, monkeypatch):
    """Protects `threads`: lines in two processes give what one gives, weights and velocities handed over."""

    def made(threads):
        return ss.continuation(
            LARGE, ss.HeavyBall(0.1, 0.5), {"momentum": [0.0, 0.9], "lr": [0.1, 90.0, 0.7]}, along="lr",
            start=ss.Initialization(), steps=30, measure=ALL, noise=1e-3, threads=threads, progress=False,
        )  # fmt: skip

    here = made(1)
    assert here.restarted.any()
    monkeypatch.setattr(cells, "_continue", None)  # what runs here, not in a process, fails
    same_cells(made(2), here)


ELSEWHERE = """
import atexit, multiprocessing, sys, threading, warnings
import numpy as np
import selfstab as ss
from selfstab.sweeps.runners import cells

def swept(threads):
    cells.WORTH_SECONDS = 0.0
    rng = np.random.default_rng(0)
    loss = ss.MLP((8, 3, 1), rng.standard_normal((7, 8)), rng.standard_normal(7))
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        for _ in range(2):
            data = ss.sweep(loss, ss.HeavyBall(0.1), {"lr": [0.1, 0.2]}, start=ss.Initialization(), steps=10,
                            measure=["final_loss"], threads=threads, progress=False)
    return data.final_loss.values.tolist(), len(notices)

def late(expected):
    threading.main_thread().join()
    print(swept(2) == (expected, 1), flush=True)

if __name__ == "__main__":
    expected, _ = swept(1)
    if sys.argv[1] == "exit":
        threading.Thread(target=late, args=(expected,)).start()
    else:
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            print(pool.map(swept, [2]) == [(expected, 1)])
"""


@pytest.mark.parametrize("where", ["fork", "spawn", "exit"])
def test_where_no_process_can_be_started_cells_run_in_this_one(tmp_path, where):
    """Protects workers of a pool, which may have no children, and a thread at the interpreter's end: same bits."""
    path = tmp_path / "script.py"
    path.write_text(ELSEWHERE)
    done = subprocess.run([sys.executable, str(path), where], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


def test_a_sweep_makes_no_semaphore_of_its_own():
    """Protects workers that a signal ends: Python warns of each semaphore that such a process leaves behind."""
    script = (
        "import selfstab as ss; from tqdm.std import TqdmDefaultWriteLock as lock; "
        "ss.sweep(ss.Product(), ss.HeavyBall(0.1), {'lr': [0.1, 0.2]}, start=(2.1, 0.5), steps=3, progress=False); "
        "print(hasattr(lock, 'mp_lock'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr, done.returncode) == ("False\n", "", 0)
