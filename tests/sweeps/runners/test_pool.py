"""The progress bar: rate and time left in terminals and notebooks, nothing elsewhere, off with one flag."""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from types import SimpleNamespace

import numpy as np
import pytest

import selfstab as ss
from selfstab.cli.program import main
from selfstab.kernels import machine_code, modules
from selfstab.sweeps.runners import pool
from selfstab.sweeps.storage.store import Store

LOSS = ss.DiagonalNetwork([[1.0, 0.5], [0.0, 2.0]], [1.0, 0.0])


def swept(**changes):
    settings = {"start": [0.5] * 4, "steps": 2, "measure": ["final_loss"]} | changes
    return ss.sweep(LOSS, ss.HeavyBall(0.1), {"lr": np.linspace(0.1, 0.2, 6)}, **settings)


@pytest.fixture
def on_terminal(monkeypatch):
    """Call a function with standard error a pseudo-terminal, and return what was written to it."""

    def call(function, rows=24, columns=100):
        control, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        with os.fdopen(inside, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            function()
            stream.write("end")
            stream.flush()
            text = b""
            while not text.endswith(b"end"):
                text += os.read(control, 10_000)
        os.close(control)
        return text.decode().removesuffix("end")

    return call


def ten_seconds(total, progress, done=0):
    """Show a bar to which `progress` cells are added after ten seconds."""
    with pool.progress_bar(total, "cell", True, done) as bar:
        bar._time = lambda: bar.start_t + 10.0
        bar.update(progress)


def test_a_terminal_shows_rate_and_time_left(on_terminal):
    """Protects what a bar is for: 40 of 100 cells in 10 s are 4 a second, and the rest takes 15 s."""
    shown = on_terminal(lambda: ten_seconds(100, 40))
    assert re.search(r"40%\|.*\| 40\.0/100 \[00:10<00:15, +4\.00cell/s\]", shown)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 100), (24, 0)])
def test_a_terminal_without_a_size_shows_it_too(on_terminal, rows, columns):
    """Protects bars in terminals that were never told their size, as a container's and a cluster's often are."""
    shown = on_terminal(lambda: ten_seconds(100, 40), rows, columns)
    assert re.search(r"40%\|.*\| 40\.0/100 \[00:10<00:15, +4\.00cell/s\]", shown)


FORMULA = ss.SymbolicLoss("(w - 0.125)**2", ["w"])


def compiled_and_swept():
    return ss.sweep(
        FORMULA, ss.HeavyBall(0.1), {"lr": [0.1, 0.2]}, start=[1.0], steps=2, measure=["diverged_at"]
    )


def test_compiling_is_said_and_counted_apart(on_terminal, cold_cache, monkeypatch):
    """Protects the first half minute: it says what goes on, once, only where a kernel is compiled."""
    found = []
    shown = on_terminal(lambda: found.append(compiled_and_swept()))
    assert "compiling the kernel" in shown
    assert "compiling" not in shown.rpartition("0.00/2.00")[2]
    assert 0.0 < found[0].compile_seconds < found[0].seconds
    # From this process, then from the disk.
    for loaded in (modules.LOADED, modules.LoadedModules()):
        monkeypatch.setattr(modules, "LOADED", loaded)
        shown = on_terminal(lambda: found.append(compiled_and_swept()))
        assert "0.00/2.00" in shown
        assert "compiling" not in shown
        assert found[-1].compile_seconds == 0.0


def test_the_bar_is_there_before_anything_is_compiled(on_terminal, cold_cache, monkeypatch):
    """Protects the first half second of a long sweep: all that takes longer, compilers and xarray, comes later."""
    compile_entry = machine_code.compile_entry

    def marked(*arguments):
        sys.stderr.write("<compiled>")
        return compile_entry(*arguments)

    monkeypatch.setattr(machine_code, "compile_entry", marked)
    monkeypatch.setattr("selfstab.sweeps.runners.lanes.begin_import", lambda: sys.stderr.write("<imported>"))
    # As many cells as plain CPython would not take, all from one start.
    axes = {"momentum": np.linspace(0.0, 0.9, 70), "excess": np.linspace(0.01, 0.1, 70)}
    text = on_terminal(
        lambda: ss.sweep(
            ss.Product(), ss.HeavyBall(1.0), axes, start=[2.0, 0.6], steps=5, measure=["final_loss"]
        )
    )
    assert "compiling the kernel" in text
    first, *_ = re.split("<compiled>|<imported>", text)
    assert "0%|" in first
    assert "compiling the kernel" in first
    assert text.count("<imported>") == text.count("<compiled>") == 1


def test_the_rate_begins_after_compiling(on_terminal):
    """Protects the rate and the time left from what came before: 40 cells in 10 s, after 30 s of compiling."""

    def show():
        with pool.progress_bar(100, "cell", True) as bar:

            def prepare(compiling):
                compiling()
                bar._time = lambda: bar.start_t + 30.0

            began = bar.start_t
            pool.prepared(prepare, bar)
            bar._time = lambda: began + 40.0
            bar.update(40)

    shown = on_terminal(show)
    assert "compiling the kernel:   0%" in shown
    assert re.search(r"\r +40%\|.*\| 40\.0/100 \[00:10<00:15, +4\.00cell/s\]", shown)


def test_cells_done_before_do_not_count_in_the_rate(on_terminal):
    """Protects the time left of a resumed sweep: 900 of 1000 were there, 50 took 10 s, 50 will take 10 s."""
    shown = on_terminal(lambda: ten_seconds(1000, 50, done=900))
    assert re.search(r"90%\|.*\| 900/1\.00k \[00:00<\?, \?cell/s\]", shown)
    assert re.search(r"95%\|.*\| 950/1\.00k \[00:10<00:10, +5\.00cell/s\]", shown)


def test_a_sweep_shows_a_bar_unless_told_not_to(on_terminal):
    """Protects `progress`; the bar is wiped off when the sweep ends."""
    assert on_terminal(lambda: swept(progress=False)) == ""
    shown = on_terminal(swept)
    assert "0.00/6.00 [00:00<?, ?cell/s]" in shown
    assert re.search(r"\r +\r$", shown)


def test_the_command_shows_a_bar_unless_told_not_to(on_terminal):
    """Protects `--no-progress`."""
    words = ["sweep", "DiagonalNetwork", "-p", "samples=4", "-p", "features=3", "-p", "nonzeros=1"]
    words += ["--steps", "2", "-a", "lr=0.1,0.2"]
    assert "0.00/2.00" in on_terminal(lambda: main(words, standalone_mode=False))
    assert on_terminal(lambda: main([*words, "--no-progress"], standalone_mode=False)) == ""


def test_what_is_no_terminal_stays_empty(monkeypatch):
    """Protects logs and pipes from bars."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    swept()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("shown", [True, False])
def test_a_notebook_without_widgets_shows_text(monkeypatch, shown):
    """Protects notebooks, whose output is no terminal: a bar is there, unless it is off."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with pool.progress_bar(10, "cell", shown) as bar:
        bar.update(10)
    assert ("0.00/10.0" in stream.getvalue()) == shown


def test_a_resumed_sweep_begins_where_it_stopped(monkeypatch, tmp_path):
    """Protects the rate of a resumed sweep: what its store has is given to the bar as done, not as progress."""
    bars = []
    make = pool.progress_bar

    def watched(total, unit, shown, done=0):
        bars.append((total, done))
        return make(total, unit, shown, done)

    monkeypatch.setattr(pool, "progress_bar", watched)
    accept = Store.accept

    def interrupted(self, block, values):
        accept(self, block, values)
        if block.number == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "accept", interrupted)
        with pytest.raises(KeyboardInterrupt):
            swept(store=tmp_path / "lr.zarr", threads=1)
    swept(store=tmp_path / "lr.zarr", threads=1)
    swept(store=tmp_path / "lr.zarr", threads=1)
    assert bars == [(6, 0), (6, 4), (6, 6)]


@pytest.mark.parametrize(
    ("affinity", "quota", "count"),
    [
        (64, "max 100000", 64),
        (5, "max 100000", 5),
        (64, "300000 100000", 3),
        (64, "150000 100000", 2),
        (2, "300000 100000", 2),
    ],
)
def test_the_quota_of_a_container_limits_the_threads(monkeypatch, affinity, quota, count):
    """Protects containers: a machine of 64 CPUs may grant three, by its affinity or by the time that a group gets."""
    read, exists = open, os.path.exists
    file = "/sys/fs/cgroup/cpu.max"
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(affinity)), raising=False)
    monkeypatch.setattr(os.path, "exists", lambda path: path == file or exists(path))
    monkeypatch.setattr(
        builtins, "open", lambda path, *a, **k: io.StringIO(quota) if path == file else read(path, *a, **k)
    )
    assert pool.checked_threads(None, progress=True) == count
    assert pool.checked_threads(7, progress=True) == 7
