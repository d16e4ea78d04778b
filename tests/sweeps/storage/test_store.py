"""Stores: what they keep, what they refuse, how they mend; kills by signal are in test_store_killed.py."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import click
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings

import selfstab as ss
from selfstab import provenance
from selfstab.cli.program import main
from selfstab.files import folders
from selfstab.losses import family
from selfstab.losses.base.loss import Loss
from selfstab.sweeps.runners.cells import CellRunner
from selfstab.sweeps.runners.lanes import LaneRunner
from selfstab.sweeps.storage import access, layout
from selfstab.sweeps.storage.layout import RECORD
from selfstab.sweeps.storage.settings import Identity
from selfstab.sweeps.storage.store import Store
from selfstab.sweeps.sweep import resume, runner_of
from tests.sweeps.storage.cases import AXES, CUBIC, JSON, LR, NET, START, plan_for


@pytest.fixture
def swept(plain_engine, monkeypatch):
    """Sweep in plain CPython, in blocks of at most `block` cells."""

    def call(store=None, *, loss=CUBIC, optimizer=LR, axes=AXES, block=8, **changes):
        monkeypatch.setattr(layout, "LARGEST_CHUNK", block)
        return plain_engine(
            ss.sweep,
            loss,
            optimizer,
            axes,
            store=store,
            **(START | {"progress": False, "threads": 2} | changes),
        )

    return call


@pytest.fixture
def runs(monkeypatch):
    """Return the first cells of the blocks that are run, in order."""
    seen = []
    run = LaneRunner.run

    def counted(self, cells, repeat=0):
        seen.append((repeat, int(cells[0])))
        return run(self, cells, repeat)

    monkeypatch.setattr(LaneRunner, "run", counted)
    return seen


def files(root):
    """Return everything in a folder but the lock, whose text is the last owner's."""
    return {p: p.read_bytes() for p in sorted(Path(root).rglob("*")) if p.is_file() and p.name != "lock"}


def rows(root):
    return sorted((root / RECORD / "done").glob("c.*"), key=lambda p: int(p.name.split(".")[1]))


def without_seconds(data):
    return data.assign_attrs(seconds=0.0, compile_seconds=0.0)


# -- what a store holds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("block", "repeats"), [(1, 1), (3, 3), (8, 1), (1000, 3)])
def test_a_store_holds_what_a_sweep_returns(swept, tmp_path, block, repeats):
    """Protects values, coordinates, attributes and dtypes, in blocks of any size, read by xarray without a warning."""
    changes = {"noise": 0.01, "repeats": repeats, "seed": 5}
    expected = swept(**changes)
    data = swept(tmp_path / "a.zarr", block=block, threads=1 + block % 4, **changes)
    xr.testing.assert_identical(without_seconds(data), without_seconds(expected))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for consolidated in (None, True, False):
            with xr.open_zarr(tmp_path / "a.zarr", chunks=None, consolidated=consolidated) as plain:
                xr.testing.assert_identical(plain[[*expected]], data)
    assert data.phase.dtype == np.int8
    assert data.diverged_at.dtype == np.int64


def test_values_are_read_when_they_are_used(swept, tmp_path):
    """Protects the memory of a large diagram: nothing is loaded before it is asked for."""
    data = swept(tmp_path / "a.zarr")
    assert not any(data[name].variable._in_memory for name in data.data_vars)
    before = float(data.final_loss[0, 0])
    data.final_loss.load()
    assert float(data.final_loss[0, 0]) == before


def test_what_is_not_computed_yet_is_seen(swept, tmp_path):
    """Protects a look into an unfinished store: NaN and the least integers, where nothing is done."""
    swept(tmp_path / "a.zarr", block=7)
    rows(tmp_path / "a.zarr")[1].unlink()
    for name in ("final_loss", "phase", "diverged_at"):
        (tmp_path / "a.zarr" / name / "c.1.0").unlink()
    with xr.open_zarr(tmp_path / "a.zarr", chunks=None) as data:
        assert np.isnan(data.final_loss.values).sum(axis=1).tolist() == [0, 7, 0, 0, 0]
        assert (data.phase.values == -128).sum() == 7
        assert (data.diverged_at.values == np.iinfo(np.int64).min).sum() == 7


# -- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_sweep_goes_on(swept, runs, monkeypatch, same_cells, tmp_path, ends):
    """Protects resuming: what was done is not run again, what is missing is, with other threads and blocks too."""
    store = tmp_path / "a.zarr"
    run = LaneRunner.run

    def broken(self, cells, repeat=0):
        if len(runs) == 3:
            raise ends
        return run(self, cells, repeat)

    with monkeypatch.context() as patch:
        patch.setattr(LaneRunner, "run", broken)
        with pytest.raises(ends):
            swept(store, threads=1, block=4)
    first = list(runs)
    assert len(first) == len(rows(store)) == 3
    data = swept(store, threads=3, block=1000)
    assert sorted(runs) == sorted(set(runs))
    assert len(runs) == 10
    same_cells(data, swept())
    runs.clear()
    same_cells(swept(store), data)
    assert not runs


def test_seconds_are_those_of_all_runs(swept, monkeypatch, tmp_path):
    """Protects the time in the attributes: a second run adds its own, and one with nothing to do adds nothing."""
    store = tmp_path / "a.zarr"
    first = swept(store, block=7).seconds
    rows(store)[2].unlink()
    run = LaneRunner.run
    monkeypatch.setattr(LaneRunner, "run", lambda *a: (time.sleep(0.05), run(*a))[1])
    second = swept(store).seconds
    assert second > first - 0.5 + 0.04
    assert swept(store).seconds == second
    # Killed after the last block, before the attributes were written.
    root = json.loads((store / "zarr.json").read_bytes())
    root["attributes"]["seconds"] = 0.0
    (store / "zarr.json").write_text(json.dumps(root))
    assert swept(store).seconds == second
    assert json.loads((store / "zarr.json").read_bytes())["attributes"]["seconds"] == second


def test_few_blocks_wait_to_be_written(swept, monkeypatch, tmp_path):
    """Protects memory: a slow disk holds the computation back."""
    held, most, lock = 0, 0, threading.Lock()
    accept, write = Store.accept, Store._write_block

    def counted(self, block, values):
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        accept(self, block, values)

    def slow(self, block, values):
        nonlocal held
        time.sleep(0.005)
        write(self, block, values)
        with lock:
            held -= 1

    monkeypatch.setattr(Store, "accept", counted)
    monkeypatch.setattr(Store, "_write_block", slow)
    swept(tmp_path / "a.zarr", block=1, threads=2)
    # Two wait for each thread, each thread holds one, and one is being written.
    assert most <= 2 * 2 + 2 + 1


def test_the_rate_of_blocks_is_not_that_of_threads(swept, tmp_path):
    """Protects a resume on another machine: the blocks are the store's."""
    swept(tmp_path / "a.zarr", block=4, threads=1)
    kept = len(rows(tmp_path / "a.zarr"))
    swept(tmp_path / "a.zarr", block=9, threads=4)
    assert len(rows(tmp_path / "a.zarr")) == kept == 10


# -- another sweep ----------------------------------------------------------------------------------------------------

OTHER = [
    ({"loss": ss.CubicTaylor(1.5, 0.01)}, "loss.parameters.curvature is 1.0 there and 1.5 here"),
    ({"loss": ss.Coupled(0.5, 0.01)}, 'loss is "CubicTaylor" there and "Coupled" here'),
    ({"optimizer": ss.HeavyBall(0.25)}, "optimizer.lr is 0.5 there and 0.25 here"),
    ({"optimizer": ss.HeavyBall(0.5, lookahead=0.1)}, "optimizer.lookahead is 0.0 there and 0.1 here"),
    ({"axes": {**AXES, "lr": np.linspace(0.1, 2.4, 7)}}, "axes.lr is [0.1, "),
    ({"axes": dict(reversed(AXES.items()))}, 'axes is ["momentum", "lr"] there and ["lr", "momentum"] here'),
    ({"axes": {"lr": AXES["lr"]}}, 'axes is ["momentum", "lr"] there and ["lr"] here'),
    ({"start": [0.1, -0.0]}, "start is [0.1, 0.0] there and [0.1, -0.0] here"),
    ({"previous": [0.1, 0.0]}, "moves_with_start is true there and false here"),
    ({"steps": 13}, "steps is 12 there and 13 here"),
    ({"escape": 100.0}, "escape is 1000000.0 there and 100.0 here"),
    ({"noise": 0.5}, "noise is 0.0 there and 0.5 here"),
    ({"seed": 1}, "seed is 0 there and 1 here"),
    ({"repeats": 2}, "repeats is 1 there and 2 here"),
    ({"measure": ["final_loss"]}, "measures is "),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a finished store."""
    path = tmp_path_factory.mktemp("made") / "a.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "LARGEST_CHUNK", 7)
        patch.setattr(ss.kernels.modules, "compiled", _plain)
        ss.sweep(CUBIC, ss.HeavyBall(0.5), AXES, store=path, progress=False, **START)
    return path


def _plain(source):
    from types import SimpleNamespace

    return SimpleNamespace(**ss.kernels.modules.plain(source))


@pytest.mark.parametrize(("changes", "says"), OTHER, ids=[says.split()[0] for _, says in OTHER])
def test_a_store_of_other_settings_is_refused(swept, made, changes, says):
    """Protects against mixing: each setting is compared, to the last bit, and named; the store stays as it is."""
    before = files(made)
    with pytest.raises(ValueError, match="holds a sweep of other settings") as caught:
        swept(made, **changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(made) == before


@pytest.mark.parametrize("what", ["numpy", "llvmlite", "bits_since", "machine", "kernel"])
def test_a_store_of_other_versions_is_refused(swept, made, monkeypatch, what):
    """Protects bit equality: versions, the machine and the generated source decide the bits."""
    version = provenance.version
    if what == "bits_since":
        monkeypatch.setattr(provenance, "BITS_SINCE", "9.9")
    elif what == "machine":
        monkeypatch.setattr(provenance.platform, "machine", lambda: "pdp11")
    elif what == "kernel":
        monkeypatch.setattr(LaneRunner, "source", "another")
    else:
        monkeypatch.setattr(provenance, "version", lambda name: "9.9" if name == what else version(name))
    before = files(made)
    with pytest.raises(ValueError, match=rf"holds a sweep of other versions: {what} is .* there and .* here"):
        swept(made)
    assert files(made) == before


def test_a_store_goes_on_with_another_version_of_selfstab(swept, made, monkeypatch, same_cells):
    """Protects results across releases: only a version that changes bits refuses a store; files stay as they are."""
    before = files(made)
    expected = swept(made).load()
    monkeypatch.setattr(ss, "__version__", "9.9")
    same_cells(swept(made), expected)
    assert files(made) == before


def test_another_data_set_is_another_loss(swept, tmp_path):
    """Protects losses on data: one number of an array changed, or the way to the sharpness."""
    case = {"axes": {"lr": [0.1, 0.2]}, "start": NET.initial_weights(), "steps": 2, "measure": ["final_loss"]}
    swept(tmp_path / "a.zarr", loss=NET, **case)
    inputs = NET.inputs.copy()
    inputs[3, 1] = np.nextafter(inputs[3, 1], 9.0)
    with pytest.raises(ValueError, match=r"loss\.inputs"):
        swept(tmp_path / "a.zarr", loss=ss.MLP((2, 3, 1), inputs, NET.targets), **case)
    other = ss.MLP((2, 3, 1), NET.inputs, NET.targets)
    other.explicit_hessian = not NET.explicit_hessian
    with pytest.raises(ValueError, match="explicit_hessian is true there and false here"):
        swept(tmp_path / "a.zarr", loss=other, **case)


# -- damage -----------------------------------------------------------------------------------------------------------


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(path):
    """Put another block's file in its place: whole, but not the one that was written."""
    path.write_bytes(path.with_name("c.3.0").read_bytes())


def folder(path):
    """Put a folder, and something in it, in the file's place."""
    path.unlink()
    path.mkdir()
    (path / "notes.txt").write_text("mine")


HARM = {
    "flipped": flip,
    "folder": folder,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
    "another": swap,
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", ["final_loss", "min_sharpness", f"{RECORD}/done"])
def test_a_damaged_block_runs_again(swept, runs, made, same_cells, tmp_path, harm, name):
    """Protects against damage: the block runs again, with a word, and only that one; the bits are as before."""
    store = shutil.copytree(made, tmp_path / "a.zarr")
    expected = swept()
    runs.clear()
    HARM[harm](store / name / "c.1.0")
    if harm == "gone" and name.endswith("done"):
        data = swept(store)  # a block that is not done yet
    else:
        with pytest.warns(
            UserWarning, match=r"1 of 5 blocks are damaged and run again: .*(c\.1\.0|block 1)"
        ) as told:
            data = swept(store)
        assert told[0].filename == str(Path(__file__).parents[2] / "conftest.py")
    assert runs == [(0, 7)]
    assert len([*store.rglob("notes.txt")]) == (harm == "folder")
    same_cells(data, expected)
    runs.clear()
    same_cells(swept(store), expected)
    assert not runs


def test_a_chunk_of_nothing_but_fill_is_there(swept, made, tmp_path):
    """Protects blocks whose values are all NaN: their file says that they are done, and its loss is seen."""
    store = tmp_path / "a.zarr"
    changes = {"axes": {"lr": [0.1, 0.2, 0.3]}, "loss": ss.Quadratic([1.0, 0.5]), "measure": ["overshoot"]}
    assert np.isnan(swept(store, **changes).overshoot.values).all()
    (store / "overshoot" / "c.0").unlink()
    with pytest.warns(UserWarning, match=r"overshoot/c\.0 cannot be read"):
        swept(store, **changes)


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "folder"])
@pytest.mark.parametrize(
    "name", ["zarr.json", "phase/zarr.json", "lr/zarr.json", "lr/c.0", f"{RECORD}/done/zarr.json"]
)
def test_what_follows_from_the_settings_is_written_anew(swept, runs, made, same_cells, tmp_path, harm, name):
    """Protects values from damage beside them: metadata and coordinates are mended, with a word, and nothing runs."""
    store = shutil.copytree(made, tmp_path / "a.zarr")
    before = files(store)
    expected = swept()
    runs.clear()
    HARM[harm](store / name)
    with pytest.warns(UserWarning, match=f"{name} was damaged and is written anew"):
        data = swept(store)
    same_cells(data, expected)
    assert not runs
    after = {p: data for p, data in files(store).items() if p.name != "notes.txt"}
    assert after.keys() == before.keys()
    assert all(after[p] == before[p] for p in before if p != store / "zarr.json")
    assert data.attrs["seconds"] == json.loads(before[store / "zarr.json"])["attributes"]["seconds"]


@pytest.mark.parametrize("harm", ["cut", "empty", "gone", "folder"])
def test_a_store_without_its_settings_is_refused(swept, made, tmp_path, harm):
    """Protects finished blocks: where nobody can tell whose they are, nothing is overwritten."""
    store = shutil.copytree(made, tmp_path / "a.zarr")
    HARM[harm](store / RECORD / "zarr.json")
    before = files(store)
    with pytest.raises(
        ValueError, match=r"is damaged: its settings (cannot be read|are missing); nothing was changed"
    ):
        swept(store)
    with pytest.raises(ValueError, match=r"its settings (cannot be read|are missing)"):
        resume(store)
    assert files(store) == before


def test_what_is_no_store_is_left_alone(swept, tmp_path):
    """Protects other people's folders and files."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("all of it")
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    (tmp_path / "file").write_text("text")
    before = files(tmp_path)
    for path, match in (
        (full, "holds something else"), (tmp_path / "other.zarr", "holds something else"),
        (tmp_path / "file", "must be a folder, got the file"), (tmp_path / "no" / "a.zarr", "a folder that exists"),
        ("s3://bucket/a.zarr", "a folder of this machine"), ("", "a folder of this machine"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            swept(path)
    with pytest.raises(TypeError, match="store must be the path of a folder, got 3"):
        swept(3)
    for path in (full, tmp_path / "nothing", tmp_path / "other.zarr"):
        with pytest.raises(ValueError, match="store must hold a sweep"):
            resume(path)
    assert files(tmp_path) == before
    assert sorted(p.name for p in full.iterdir()) == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    swept(tmp_path / "empty")


def test_one_process_writes(swept, made):
    """Protects against two writers: the second is refused while the first is at work, and told which it is."""
    plan = plan_for(measure=("final_loss", "final_sharpness", "min_sharpness", "diverged_at", "phase"))
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(made / RECORD / "done" / "lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(
            ValueError, match=f"store must not be in use, got '.*', which process {child.pid} writes"
        ):
            swept(made)
    finally:
        child.kill()
        child.communicate()
    with (
        Store.opened(made, Identity.of(plan), 1, runner_of(plan)),
        pytest.raises(ValueError, match="must not be in use"),
    ):
        swept(made)
    swept(made)


def test_a_file_system_without_locks_is_not_in_use(swept, monkeypatch, tmp_path):
    """Protects the message: no other process writes where the system has no locks, and nothing is written there."""

    def failing(file):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(access, "_lock", failing)
        with pytest.raises(
            OSError, match=r"store '.*' is on a file system without locks \(No locks available\)"
        ):
            swept(tmp_path / "a.zarr")
    assert not list((tmp_path / "a.zarr").rglob("zarr.json"))
    swept(tmp_path / "a.zarr")


_HOLD = """
import os, sys, time
from pathlib import Path
from selfstab.files.folders import Folder
from selfstab.sweeps.storage import access
held = access.locked(Folder(Path(sys.argv[1]).parents[2]))
print("held", flush=True)
time.sleep(60)
"""


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 4, 14, 25, 43])
def test_a_full_disk_is_told_and_costs_nothing(swept, monkeypatch, same_cells, tmp_path, at):
    """Protects finished blocks: the error says what happened, and the same call goes on."""
    write, count = folders.write_all, 0

    def filling(file, data):
        nonlocal count
        count += 1
        if count >= at:
            write(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(folders, "write_all", filling)
        with pytest.raises(OSError, match="cannot be written: No space left on device") as caught:
            swept(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr" / RECORD / "done" / "partial").exists()
    done = len(rows(tmp_path / "a.zarr"))
    assert (done > 0) == (at > 14)  # 14 files are the store's own, before the first block's
    assert ("the blocks that are done stay good" in str(caught.value)) == (done > 0)
    same_cells(swept(tmp_path / "a.zarr"), swept())


_LIMITED = """
import resource, sys
import numpy as np
import selfstab as ss
rng = np.random.default_rng(0)
loss = ss.DiagonalNetwork(rng.standard_normal((4, 2)), rng.standard_normal(4))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
ss.sweep(loss, ss.HeavyBall(0.1), {"lr": np.linspace(0.01, 0.2, 9)}, start=[0.5] * 4, steps=2, store=sys.argv[1],
         measure=["final_loss"], progress=False, threads=1)
"""


def test_a_file_that_the_system_refuses(tmp_path):
    """Protects the same against the system itself: a limit on the size of files, met in a process of its own."""
    for limit in (100, 5000):
        command = [sys.executable, "-c", _LIMITED, str(tmp_path / "a.zarr"), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "cannot be written: File too large" in done.stderr
        assert "blocks that are done" not in done.stderr  # there are none
    with resume(tmp_path / "a.zarr", progress=False) as data:
        assert np.isfinite(data.final_loss.values).all()


# -- the settings again -----------------------------------------------------------------------------------------------


class Steps:
    """A schedule of one's own."""

    def __init__(self, rate=0.5):
        self.rate = rate

    def values(self, first, last):
        return np.where(np.arange(first, last) < 5, self.rate, 0.1)


def test_a_store_goes_on_by_itself(swept, plain_engine, same_cells, tmp_path):
    """Protects --resume on real stores: long axes and data are read from the store."""
    cases = {
        "long": {"axes": {"lr": np.linspace(0.1, 1.0, 100)}, "steps": 3},
        "data": {"loss": NET, "axes": {"lr": [0.1, 0.2]}, "start": NET.initial_weights(), "steps": 2},
    }
    for name, case in cases.items():
        store = tmp_path / f"{name}.zarr"
        expected = swept(store, **case).load()
        rows(store)[0].unlink()
        same_cells(plain_engine(resume, store, progress=False), expected)
    array = next(p for p in (tmp_path / "data.zarr" / RECORD).glob("problem.loss.inputs/c*"))
    flip(array)
    with pytest.raises(ValueError, match=r"its array problem\.loss\.inputs is damaged; call sweep again"):
        resume(tmp_path / "data.zarr")
    with pytest.warns(UserWarning, match=f"{array.parent.name}/.* was damaged and is written anew"):
        swept(tmp_path / "data.zarr", **cases["data"])
    resume(tmp_path / "data.zarr", progress=False)


def test_code_of_ones_own_resumes_by_the_same_call_only(swept, runs, tmp_path):
    """Protects stores from holding code: a schedule's numbers identify it, and only its owner can give it."""
    store = tmp_path / "a.zarr"
    case = {"axes": {"momentum": [0.0, 0.5]}}
    swept(store, optimizer=ss.HeavyBall(Steps()), **case)
    rows(store)[0].unlink()
    runs.clear()
    with pytest.raises(ValueError, match="'Steps, a schedule of your own': call sweep again as before"):
        resume(store)
    with pytest.raises(ValueError, match=r"optimizer\.lr\.rates is .sha256"):
        swept(store, optimizer=ss.HeavyBall(Steps(0.25)), **case)
    swept(store, optimizer=ss.HeavyBall(Steps()), **case)
    assert len(runs) == 1


@dataclasses.dataclass(frozen=True)
class Floor:
    """A schedule of one's own whose numbers decide what it gives only where an axis sets others."""

    peak: float = 1.0
    floor: float = 0.05
    of: object = None

    def values(self, first, last):
        return np.maximum(self.peak * 0.9 ** np.arange(first, last), self.floor)


class Mode:
    """A value of no kind that a store knows."""

    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"floor": 0.1}, r"lr\.floor is 0\.05 there and 0\.1 here"),
        ({"of": Mode("b")}, r"lr\.of is .sha256 .* there and .sha256"),
        ({"of": "a"}, r"lr\.of is .* there and .a. here"),
    ],
)
def test_every_field_of_a_schedule_of_ones_own_is_a_setting(swept, tmp_path, changes, says):
    """Protects schedules whose rates at their own numbers are the same, and at the axis's values are not."""
    store, case = tmp_path / "a.zarr", {"axes": {"lr.peak": [0.1, 0.2, 0.3]}, "measure": ["final_loss"]}
    one, two = Floor(of=Mode("a")), Floor(**{"of": Mode("a"), **changes})
    assert (one.values(0, 13) == two.values(0, 13)).all()
    swept(store, optimizer=ss.HeavyBall(one), **case)
    with pytest.raises(ValueError, match=says):
        swept(store, optimizer=ss.HeavyBall(two), **case)
    swept(store, optimizer=ss.HeavyBall(dataclasses.replace(one, of=Mode("a"))), **case)


FLOOR = [0.05]


@dataclasses.dataclass(frozen=True)
class Outside:
    """A schedule that reads a number from elsewhere: no field and no code tells it."""

    peak: float = 1.0

    def values(self, first, last):
        return np.maximum(self.peak * 0.9 ** np.arange(first, last), self.least())

    def least(self):
        return sys.modules[type(self).__module__].FLOOR[0]


def test_rates_along_an_axis_are_compared(swept, monkeypatch, tmp_path):
    """Protects schedules that depend on what is not in them: the rates at the axis's values tell it."""
    case = {"optimizer": ss.HeavyBall(Outside()), "axes": {"lr.peak": [1.0, 0.1]}, "measure": ["final_loss"]}
    swept(tmp_path / "a.zarr", **case)
    monkeypatch.setitem(globals(), "FLOOR", [0.1])
    with pytest.raises(ValueError, match=r"optimizer\.lr\.rates along lr\.peak is "):
        swept(tmp_path / "a.zarr", **case)


class Bowl(Loss):
    """A loss of one's own."""

    def __init__(self, matrix):
        self.matrix = np.asarray(matrix)

    dimension = 2

    def value_at(self, w):
        return float(w @ self.matrix @ w) / 2

    def gradient_at(self, w):
        return self.matrix @ w

    def hessian_at(self, w):
        return self.matrix

    def third_at(self, w, u, v):
        return np.zeros(2)


def test_a_family_resumes_by_the_same_call(tmp_path):
    """Protects the way on from a store of losses that a function makes."""
    family = ss.LossFamily(lambda scale: ss.DiagonalNetwork([[scale]], [1.0]), scale=1)

    def kept():
        return ss.sweep(family, ss.HeavyBall(0.1), {"scale": [1, 2]}, start=[0.5, 0.5], steps=2,
                        measure=["final_loss"], store=tmp_path / "a.zarr", progress=False)  # fmt: skip

    kept()
    with pytest.raises(ValueError, match=r"a LossFamily: the same sweep\(...\) call goes on") as caught:
        resume(tmp_path / "a.zarr")
    assert "of your own" not in str(caught.value)
    kept()


def test_a_loss_of_ones_own(swept, tmp_path):
    """Protects losses of users: their arrays are compared, and the call that made the store goes on with it."""
    store = tmp_path / "a.zarr"
    case = {"axes": {"lr": [0.1, 0.2]}, "measure": ["final_loss"]}
    swept(store, loss=Bowl([[2.0, 0.0], [0.0, 1.0]]), **case)
    swept(store, loss=Bowl([[2.0, 0.0], [0.0, 1.0]]), **case)
    with pytest.raises(ValueError, match=r"loss\.matrix"):
        swept(store, loss=Bowl([[2.0, 0.0], [0.0, 1.5]]), **case)
    with pytest.raises(ValueError, match="'Bowl', a loss of your own: call sweep again as before"):
        resume(store)


FACTORS = {0: 1.0, 1: 2.0, 2: 3.0}


def bowls(seed):
    return Bowl(np.diag([1.0, FACTORS[seed]]))


def test_losses_along_an_axis_are_compared(swept, monkeypatch, tmp_path):
    """Protects families: what a maker reads from its module shows in the losses made, at any value of the axis."""
    case = {"loss": ss.LossFamily(bowls, seed=0), "axes": {"seed": [0, 1, 2]}, "measure": ["final_loss"]}
    swept(tmp_path / "a.zarr", **case)
    swept(tmp_path / "a.zarr", **(case | {"loss": ss.LossFamily(bowls, seed=0)}))
    monkeypatch.setitem(FACTORS, 2, 3.5)
    family._made.cache_clear()
    with pytest.raises(ValueError, match=r"other settings: loss\.made along seed is "):
        swept(tmp_path / "a.zarr", **case)


_TYPED = """
class Base(Loss):
    dimension = 2
    def value_at(self, w):
        return SCALE * float(w @ w)
    def gradient_at(self, w):
        return slope(w)
    def hessian_at(self, w):
        return 2.0 * SCALE * np.eye(2)
    def third_at(self, w, u, v):
        return np.zeros(2)

def slope(w):
    return 2.0 * SCALE * w

class Typed(Base):
    pass
"""


def test_code_that_was_typed_in_is_compared(swept, tmp_path):
    """Protects losses of notebooks, where no file holds the source: the bases, functions and numbers used count."""

    def typed(code, scale=1.0):
        names = {"Loss": Loss, "np": np, "SCALE": scale, "__name__": "__main__"}
        exec(code, names)
        return {"loss": names["Typed"](), "axes": {"lr": [0.1, 0.2]}, "measure": ["final_loss"]}

    swept(tmp_path / "a.zarr", **typed(_TYPED))
    swept(tmp_path / "a.zarr", **typed("\n\n" + _TYPED))
    for other in (
        typed(_TYPED.replace("float(w @ w)", "float(w @ w) + 1.0")),
        typed(_TYPED.replace("return 2.0 * SCALE * w", "return 3.0 * SCALE * w")),
        typed(_TYPED, scale=2.0),
    ):
        with pytest.raises(ValueError, match=r"holds a sweep of other settings: loss\.code is "):
            swept(tmp_path / "a.zarr", **other)


# -- settings that somebody changed -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_a_store_that_says_anything_is_an_error(made, tmp_path_factory, document):
    """Protects resume: whatever stands where the settings were."""
    store = tmp_path_factory.mktemp("says") / "a.zarr"
    shutil.copytree(made, store)
    (store / RECORD / "zarr.json").write_text(json.dumps({"attributes": document}))
    with pytest.raises(ValueError, match=r"damaged|format"):
        resume(store)


@pytest.mark.parametrize(
    "chunk", [None, [], [1], [1, 8], [0, 7], [2, 3], [True, 7], [-1, 7], ["1", 7], [1.0, 7]]
)
def test_chunks_that_somebody_changed(swept, made, tmp_path, chunk):
    """Protects the cut of a store: one that the sweep could not have made is refused."""
    store = shutil.copytree(made, tmp_path / "a.zarr")
    path = store / RECORD / "zarr.json"
    document = json.loads(path.read_bytes())
    document["attributes"]["chunk"] = chunk
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"is damaged: chunks|chunks must be ranges"):
        swept(store)


def test_an_array_is_looked_for_in_the_store_only(made, tmp_path):
    """Protects files elsewhere: a name that leads out of the store is no array's."""
    store = shutil.copytree(made, tmp_path / "a.zarr")
    path = store / RECORD / "zarr.json"
    document = json.loads(path.read_bytes())
    array = {"shape": [3], "dtype": "<f8", "sha256": "0"}
    document["attributes"]["settings"]["../../b.zarr/a"] = array
    path.write_text(json.dumps(document))
    xr.Dataset({"a": ("x", [1.0, 2.0, 3.0])}).to_zarr(tmp_path / "b.zarr", consolidated=False)
    with pytest.raises(ValueError, match=r"its array \.\./\.\./b\.zarr/a is damaged"):
        resume(store)


# -- the command line -------------------------------------------------------------------------------------------------

_COMMAND = ("DiagonalNetwork", "-p", "samples=4", "-p", "features=3", "-p", "nonzeros=1", "--start", "initial:0.5",
            "--steps", "3", "-a", "lr=0.1,0.2", "-m", "final_loss")  # fmt: skip


def command(*arguments):
    return CliRunner().invoke(main, ["sweep", *map(str, arguments)])


def test_the_command_line_keeps_and_resumes(tmp_path):
    """Protects --store and --resume: the same table, nothing else to give, damage told in one line."""
    store = tmp_path / "a.zarr"
    first = command(*_COMMAND, "--store", store)
    assert first.exit_code == 0, first.output
    flip(store / "final_loss" / "c.1")
    again = command("--resume", store, "--no-progress", "-o", tmp_path / "a.nc")
    assert again.exit_code == 0, again.output
    assert (
        again.stderr
        == f"note: store '{store}': 1 of 2 blocks are damaged and run again: final_loss/c.1 is not as written\n"
    )
    assert again.stdout.splitlines()[1:-1] == first.output.splitlines()[1:]
    with xr.open_dataset(tmp_path / "a.nc") as written, xr.open_zarr(store, chunks=None) as kept:
        xr.testing.assert_identical(written, kept)


def test_the_command_line_tells_of_damage_before_it_runs(tmp_path, monkeypatch):
    """Protects the one who waits: the line is there when the first cell runs, and no warning's display is replaced."""
    store = tmp_path / "a.zarr"
    assert command(*_COMMAND, "--store", store).exit_code == 0
    flip(store / "final_loss" / "c.1")
    lines, at_first_cell = [], []
    monkeypatch.setattr("selfstab.cli.sweeps._note", lines.append)
    show, run = warnings.showwarning, CellRunner.run

    def running(self, cells, repeat=0):
        at_first_cell.append((len(lines), warnings.showwarning is show))
        return run(self, cells, repeat)

    monkeypatch.setattr(CellRunner, "run", running)
    assert command("--resume", store, "--no-progress").exit_code == 0
    assert at_first_cell == [(1, True)]


def test_reading_beside_resume_leaves_the_command_as_it_was(made):
    """Protects the next call: parameters that are required stay so while and after a store is resumed."""
    sweep = main.commands["sweep"]
    required = {p.name: p.required for p in sweep.params}
    assert required["loss"]
    resuming = sweep._resuming(click.Context(sweep))
    assert not any(parameter.required for parameter in resuming.params)
    assert {p.name for p in resuming.params} >= {p.name for p in sweep.params}
    assert not {id(p) for p in resuming.params} & {id(p) for p in sweep.params}
    assert "got --steps beside it" in command("--resume", made, "--steps", "3").output
    assert {p.name: p.required for p in sweep.params} == required


@pytest.mark.parametrize(
    ("settings", "axis"),
    [
        (("DiagonalNetwork", "-p", "samples=4", "-p", "features=3", "-p", "nonzeros=1"), "seed=0,1"),
        (("MLP", "-p", "widths=64,2,1"), "samples=4,5"),
    ],
)
def test_a_family_of_a_named_loss_resumes_by_itself(tmp_path, settings, axis):
    """Protects --resume where an axis is what the data are made from: the name and its settings make it again."""
    store = tmp_path / "a.zarr"
    first = command(
        *settings, "-a", axis, "--start", "initial:0.5", "--steps", 3, "--store", store, "--lr=0.1"
    )
    assert first.exit_code == 0, first.output
    expected = xr.load_dataset(store, engine="zarr", chunks=None)
    for row in rows(store):
        row.unlink()
    again = command("--resume", store, "--no-progress", "-o", tmp_path / "a.nc")
    assert again.exit_code == 0, again.output
    with xr.open_dataset(tmp_path / "a.nc") as written:
        xr.testing.assert_identical(without_seconds(written), without_seconds(expected))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--resume", "STORE", "--steps", "3"),
            "--resume must be without settings of the sweep, got --steps beside it",
        ),
        (
            ("Product", "--resume=STORE"),
            "--resume must be without settings of the sweep, got LOSS beside it",
        ),
        (("--resume", "STORE", "--store", "STORE"), "got --store beside it"),
        (("--resume", "nowhere.zarr"), "--resume's store must hold a sweep, got 'nowhere.zarr'"),
        (("--store", "STORE"), "Missing argument 'LOSS'"),
        ((*_COMMAND, "--seed", "4", "--store", "STORE"), "holds a sweep of other settings"),
    ],
)
def test_bad_resumes_are_one_line(made, arguments, says):
    """Protects the command line's answer to what it cannot resume: one line, exit code 2."""
    result = command(
        *(str(made) if word == "STORE" else word.replace("STORE", str(made)) for word in arguments)
    )
    assert result.exit_code == 2
    assert says in result.output
    assert len(result.output.splitlines()) == 1
