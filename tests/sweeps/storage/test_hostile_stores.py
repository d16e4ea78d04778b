"""Stores that somebody laid out: links, pipes, other names of files, sizes; what lies elsewhere stays as it is."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numcodecs.zstd import Zstd

import selfstab as ss
from selfstab.kernels import modules
from selfstab.sweeps.plan.blocks import block_size
from selfstab.sweeps.storage import access, layout
from selfstab.sweeps.storage.layout import RECORD
from selfstab.sweeps.sweep import resume
from tests.sweeps.storage.cases import plan_for

CASE = {"axes": {"lr": np.linspace(0.1, 1.0, 6)}, "start": [1.0], "steps": 2, "measure": ["final_loss"]}
LONG = CASE | {"axes": {"lr": np.linspace(0.1, 1.0, 100)}}
DONE = f"{RECORD}/done"


@pytest.fixture
def swept(plain_engine, monkeypatch):
    """Sweep in plain CPython, in blocks of two cells."""
    monkeypatch.setattr(layout, "LARGEST_CHUNK", 2)

    def call(store=None, **changes):
        case = CASE | {"store": store, "progress": False, "threads": 1} | changes
        return plain_engine(ss.sweep, ss.Quadratic([1.0]), ss.HeavyBall(0.5), **case)

    return call


@pytest.fixture
def canary(tmp_path):
    """Give a file elsewhere that must not be touched, in a folder of its own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "canary").write_text("mine")
    return folder / "canary"


def content(folder):
    """Return what is in a folder: files with their bytes, links with their targets."""

    def inside(path):
        return str(path.readlink()) if path.is_symlink() else path.is_file() and path.read_bytes()

    return {str(path.relative_to(folder)): inside(path) for path in sorted(folder.rglob("*"))}


FILES = [f"{DONE}/lock", f"{DONE}/partial", f"{DONE}/c.1.0", f"{DONE}/zarr.json", f"{RECORD}/zarr.json", "zarr.json",
         "final_loss/c.1", "final_loss/zarr.json", "lr/c.0", "lr/zarr.json", "final_loss/c.9"]  # fmt: skip
FOLDERS = [RECORD, DONE, "final_loss", "lr"]


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
@pytest.mark.parametrize("new", [False, True], ids=["of this sweep", "laid out beforehand"])
def test_a_link_is_refused_and_nothing_is_changed(swept, canary, tmp_path, name, new):
    """Protects what lies elsewhere from a store that leads there, and the store, as the message says."""
    store = tmp_path / "a.zarr"
    if new:
        (store / name).parent.mkdir(parents=True)
        (store / DONE).mkdir(parents=True, exist_ok=True)
        if name in FOLDERS:
            shutil.rmtree(store / name, ignore_errors=True)
    else:
        swept(store)
        if name in FOLDERS:
            shutil.rmtree(store / name)
        else:
            (store / name).unlink(missing_ok=True)
    (store / name).symlink_to(canary.parent if name in FOLDERS else canary)
    before, elsewhere = content(store), content(canary.parent)
    with pytest.raises(
        ValueError, match=r"hold no links, .* is one; nothing was changed|holds something else"
    ):
        swept(store)
    assert content(canary.parent) == elsewhere
    assert content(store) == before


@pytest.mark.parametrize("name", FILES[:-1])
def test_another_name_of_a_file_elsewhere_leaves_it_as_it_is(swept, canary, tmp_path, name):
    """Protects files whose second name stands in a store: they are replaced there, never written into."""
    store = tmp_path / "a.zarr"
    expected = swept(store).load()
    if (store / name).exists():
        canary.write_bytes((store / name).read_bytes()[:-1])  # damaged, so that it is written
    (store / name).unlink(missing_ok=True)
    os.link(canary, store / name)
    before = canary.read_bytes()
    if name == f"{DONE}/lock":
        with pytest.raises(ValueError, match=r"hold no links, .*lock is one; nothing was changed"):
            swept(store)
    elif name == f"{RECORD}/zarr.json":
        with pytest.raises(ValueError, match="its settings cannot be read"):
            swept(store)
    elif name.endswith("partial"):
        (store / DONE / "c.1.0").unlink()
        assert swept(store).load().equals(expected)
    else:
        with pytest.warns(UserWarning, match="damaged"):
            assert swept(store).load().equals(expected)
    assert canary.read_bytes() == before


@pytest.mark.parametrize(
    "name", [f"{DONE}/lock", f"{DONE}/partial", f"{DONE}/c.1.0", "final_loss/c.1", "zarr.json"]
)
def test_a_pipe_does_not_hang(swept, tmp_path, name):
    """Protects the one who waits: a pipe that nobody writes to is a damaged file, or is refused."""
    store = tmp_path / "a.zarr"
    expected = swept(store).load()
    (store / name).unlink(missing_ok=True)
    os.mkfifo(store / name)
    if name.endswith("lock"):
        with pytest.raises(OSError, match="lock is a pipe or a device"):
            swept(store)
    elif name.endswith("partial"):
        assert swept(store).equals(expected)
    else:
        with pytest.warns(UserWarning, match="damaged"):
            assert swept(store).load().equals(expected)


def test_the_lock_is_taken_after_the_settings_agree(swept, tmp_path):
    """Protects a store of another sweep, the text of its lock too: refused, it is as it was."""
    store = tmp_path / "a.zarr"
    swept(store)
    (store / DONE / "lock").write_text("somebody's")
    before = content(store)
    with pytest.raises(ValueError, match="other settings"):
        swept(store, steps=3)
    (store / DONE / "lock").unlink()
    with pytest.raises(ValueError, match="other settings"):
        swept(store, steps=3)
    assert content(store) == {name: data for name, data in before.items() if not name.endswith("lock")}


# -- sizes ------------------------------------------------------------------------------------------------------------


def edited(store, change):
    """Change what a store says of itself."""
    path = store / RECORD / "zarr.json"
    document = json.loads(path.read_bytes())
    change(document["attributes"])
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "chunk", [[2**40], [3000, 1000], [0, 1], ["2", 1], [1], [2**31, 2**31], None, {"a": 1}, [[1], 1]]
)
def test_chunks_of_any_shape_take_no_memory(swept, tmp_path, chunk):
    """Protects memory from a chunk of gigabytes, which the settings' axes allow but no selfstab wrote."""
    store = tmp_path / "a.zarr"
    case = {
        "axes": {"lr": np.linspace(0.1, 1.0, 3000), "momentum": np.linspace(0.0, 0.9, 1000)},
        "repeats": 2,
    }
    root = store / RECORD / "done"
    root.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        seen = {}
        patch.setattr(
            layout, "files_of", lambda plan, chunks, document, arrays: seen.update(document) or stop()
        )
        with pytest.raises(KeyboardInterrupt):
            swept(store, **case)
    seen["chunk"] = chunk
    (store / RECORD / "zarr.json").write_text(json.dumps({"attributes": seen}))
    with pytest.raises(ValueError, match=r"is damaged: chunks .*nothing was changed"):
        swept(store, **case)


def stop():
    raise KeyboardInterrupt


def test_an_array_of_the_settings_takes_what_it_may(swept, tmp_path, monkeypatch):
    """Protects memory from an axis that a few bytes say is of gigabytes, and lets its owner allow more."""
    store = tmp_path / "a.zarr"
    swept(store, **LONG)
    array = store / RECORD / "axes.lr" / "c.0"
    good = array.read_bytes()
    array.write_bytes(layout.with_checksum(Zstd(level=1).encode(bytes(2 * 10**8))))
    assert len(array.read_bytes()) < 10**6
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"its array axes\.lr is damaged"):
        resume(store)
    edited(store, lambda says: says["settings"]["axes.lr"].update(shape=[5 * 10**8]))
    with pytest.raises(ValueError, match=r"axes\.lr takes 4 GB, more than the"):
        resume(store)
    assert tracemalloc.get_traced_memory()[1] < 5 * 10**7
    tracemalloc.stop()
    array.write_bytes(good)
    edited(store, lambda says: says["settings"]["axes.lr"].update(shape=[100]))
    monkeypatch.setenv("SELFSTAB_MOST_BYTES", "100")
    with pytest.raises(
        ValueError, match=r"axes\.lr takes 8e-07 GB, more than .* SELFSTAB_MOST_BYTES sets how many"
    ):
        resume(store)
    monkeypatch.setenv("SELFSTAB_MOST_BYTES", "many")
    with pytest.raises(
        ValueError, match="SELFSTAB_MOST_BYTES must be a whole number of bytes above 0, got 'many'"
    ):
        resume(store)


@pytest.mark.parametrize("repeats", [10**9, 2**50])
def test_repeats_of_gigabytes_are_refused(swept, tmp_path, repeats):
    """Protects memory from the number of repeats, whose coordinate alone takes gigabytes; nothing is made."""
    with pytest.raises(ValueError, match=f"the coordinate of {repeats} repeats takes .* SELFSTAB_MOST_BYTES"):
        swept(tmp_path / "a.zarr", repeats=repeats)
    assert not (tmp_path / "a.zarr").exists()
    swept(tmp_path / "a.zarr")
    edited(tmp_path / "a.zarr", lambda says: says["settings"].update(repeats=repeats))
    with pytest.raises(ValueError, match=f"the coordinate of {repeats} repeats takes .* SELFSTAB_MOST_BYTES"):
        resume(tmp_path / "a.zarr", progress=False, threads=1)


def test_a_block_that_gives_more_than_its_chunk_runs_again(swept, tmp_path):
    """Protects memory from a chunk whose row and checksum are right, and which gives gigabytes."""
    store = tmp_path / "a.zarr"
    expected = swept(store).load()
    bomb = layout.with_checksum(Zstd(level=1).encode(bytes(2 * 10**8)))
    (store / "final_loss" / "c.1").write_bytes(bomb[:1000])
    row = np.array([2, 1, layout.checksum_at_end(bomb)], "<u4").tobytes()
    for data in (bomb, layout.with_checksum(Zstd().encode(bytes(17)))):
        (store / "final_loss" / "c.1").write_bytes(data)
        row = np.array([2, 1, layout.checksum_at_end(data)], "<u4").tobytes()
        (store / DONE / "c.1.0").write_bytes(layout.with_checksum(row))
        with pytest.warns(UserWarning, match=r"final_loss/c\.1 (is not as written|cannot be read)"):
            assert swept(store).load().equals(expected)


@pytest.mark.parametrize(
    "name", ["zarr.json", f"{RECORD}/zarr.json", f"{DONE}/c.1.0", "final_loss/c.1", "lr/c.0"]
)
def test_a_file_of_gigabytes_is_not_read(swept, tmp_path, name):
    """Protects memory from a sparse file: only as much is read as may be there."""
    store = tmp_path / "a.zarr"
    swept(store)
    os.truncate(store / name, 10**11)
    if name == f"{RECORD}/zarr.json":
        with pytest.raises(ValueError, match="its settings cannot be read"):
            swept(store)
    else:
        with pytest.warns(UserWarning, match="damaged"):
            swept(store)


# -- paths, locks, names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["simplecache::memory:a.zarr", "a::b.zarr", "file:a.zarr", "~a.zarr", "a%20b.zarr"]
)
def test_a_path_is_a_path(swept, tmp_path, monkeypatch, name):
    """Protects from a library that takes parts of a path for the name of a file system."""
    import fsspec

    def refused(*_, **__):
        raise AssertionError("fsspec was asked")

    monkeypatch.setattr(fsspec, "filesystem", refused)
    monkeypatch.setattr(fsspec.core, "url_to_fs", refused)
    monkeypatch.chdir(tmp_path)
    data = swept(name).load()
    assert data.equals(swept().drop_encoding())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with monkeypatch.context() as patch:
        patch.setattr(modules, "compiled", lambda source: SimpleNamespace(**modules.plain(source)))
        assert resume(name, progress=False, threads=1).load().equals(data)


@pytest.mark.parametrize("number", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EACCES", "EPERM"])
def test_a_file_system_without_locks_has_a_way_out(swept, monkeypatch, tmp_path, number):
    """Protects users of such disks: the message says what is the matter, and what to set, which works."""
    import errno

    error = OSError(getattr(errno, number), "no such thing")

    def failing(file):
        raise error

    monkeypatch.setattr(access, "_lock", failing)
    with pytest.raises(
        OSError, match=r"without locks .*or set SELFSTAB_UNLOCKED_STORES=1 if no other process"
    ):
        swept(tmp_path / "a.zarr")
    monkeypatch.setenv("SELFSTAB_UNLOCKED_STORES", "1")
    assert swept(tmp_path / "a.zarr").equals(swept())


def test_a_lock_that_names_nobody(swept, monkeypatch, tmp_path):
    """Protects the message: a lock held by a process that has not said its number yet."""

    def busy(file):
        raise BlockingIOError

    swept(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / DONE / "lock").write_text("\x1b[2J")
    monkeypatch.setattr(access, "_lock", busy)
    says = r"must not be in use, got '.*', which another process writes; set SELFSTAB_UNLOCKED_STORES=1 if no other"
    with pytest.raises(ValueError, match=says):
        swept(tmp_path / "a.zarr")
    monkeypatch.setenv("SELFSTAB_UNLOCKED_STORES", "1")
    (tmp_path / "a.zarr" / DONE / "lock").write_text("123")
    with pytest.raises(ValueError, match="which process 123 writes"):
        swept(tmp_path / "a.zarr")


def test_names_in_a_store_do_not_reach_the_terminal(swept, tmp_path):
    """Protects the screen: what a store's settings call themselves is told with its control characters escaped."""
    store = tmp_path / "a.zarr"
    swept(store)
    edited(store, lambda says: says["settings"].update({"\x1b]0;owned\x07\u202e": 1}))
    with pytest.raises(ValueError, match="other settings") as caught:
        swept(store)
    assert str(caught.value).isprintable()
    edited(
        store, lambda says: says["settings"].update({"\x9b2J": {"shape": [1], "dtype": "<f8", "sha256": ""}})
    )
    with pytest.raises(ValueError, match="cannot be resumed") as caught:
        resume(store)
    assert str(caught.value).isprintable()


# -- repeats ----------------------------------------------------------------------------------------------------------


def test_many_repeats_of_few_cells_make_few_files(swept, monkeypatch, tmp_path):
    """Protects file systems: 20,000 repeats made 60,010 files. The bits are those in memory, after a damage too."""
    monkeypatch.setattr(layout, "LARGEST_CHUNK", 2**20)
    case = {"axes": {"lr": [0.1, 0.2, 0.3]}, "noise": 0.1, "repeats": 500, "measure": ["final_loss", "phase"]}
    monkeypatch.setattr(layout, "MOST_BLOCKS", 20)
    store = tmp_path / "a.zarr"
    data = swept(store, **case).load()
    expected = swept(**case)
    assert data.equals(expected)
    assert len([*store.rglob("*")]) < 3 * 2 * 20 + 30
    (store / DONE / "c.7.0").unlink()
    (store / "phase" / "c.0.8").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1 of \d+ blocks are damaged"):
        assert swept(store, **case).load().equals(expected)
    with pytest.raises(ValueError, match="other settings: repeats"):
        swept(store, **(case | {"repeats": 499}))


def test_the_number_of_files_is_bounded_for_any_grid():
    """Protects file systems from grids of any shape, as far as a chunk may be large enough."""

    class Lanes:
        block_size = staticmethod(block_size)

    for sizes, repeats in (((3,), 20_000), ((1,), 10**6), ((1000, 1000), 1), ((7, 11, 13), 5000), ((10_007,), 97),
                           ((2, 30_011), 3), ((300, 301), 1009)):  # fmt: skip
        names = ["momentum", "lr", "start.x"][: len(sizes)]
        plan = plan_for(
            axes={n: np.linspace(0.1, 0.9, k) for n, k in zip(names, sizes, strict=True)}, repeats=repeats
        )
        document = layout.new_document(plan, 2, Lanes(), {}, {})
        axes = len(sizes)
        chunks = layout.Chunks(
            plan.shape, repeats, tuple(document["chunk"][:axes]), *document["chunk"][axes:]
        )
        assert len(chunks) <= 1200, (sizes, repeats, len(chunks))
        assert chunks.values <= layout.LARGEST_CHUNK


def test_a_store_of_one_repeat_a_chunk_goes_on(swept, monkeypatch, tmp_path):
    """Protects stores of before: their cut is theirs, and is kept."""
    monkeypatch.setattr(layout, "LARGEST_CHUNK", 2**20)
    case = {"axes": {"lr": [0.1, 0.2, 0.3]}, "noise": 0.1, "repeats": 40}
    store = tmp_path / "a.zarr"
    expected = swept(store, **case).load()  # 40 chunks, as before
    assert len([*(store / "final_loss").glob("c.*")]) == 40
    monkeypatch.setattr(layout, "MOST_BLOCKS", 5)
    (store / DONE / "c.3.0").unlink()
    assert swept(store, **case).load().equals(expected)
    assert len([*(store / "final_loss").glob("c.*")]) == 40
    assert swept(tmp_path / "b.zarr", **case).load().equals(expected)
    assert len([*(tmp_path / "b.zarr" / "final_loss").glob("c.*")]) < 10


def test_a_store_elsewhere_is_reached_by_its_path(swept, tmp_path):
    """Protects users whose path is a link of their own to another disk."""
    (tmp_path / "disk").mkdir()
    Path(tmp_path / "a.zarr").symlink_to(tmp_path / "disk")
    assert swept(tmp_path / "a.zarr").load().equals(swept())
    assert (tmp_path / "disk" / "zarr.json").is_file()


def test_settings_that_no_number_holds(swept, tmp_path):
    """Protects from integers of more digits than Python reads: the store is told as damaged, by its name."""
    store = tmp_path / "a.zarr"
    swept(store)
    (store / RECORD / "zarr.json").write_text('{"attributes": {"format": ' + "9" * 5000 + "}}")
    with pytest.raises(ValueError, match="damaged: its settings cannot be read; nothing was changed"):
        swept(store)
