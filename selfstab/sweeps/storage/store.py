"""A sweep kept in a Zarr store while it runs: killed at any moment, it goes on where it was.

A block is a chunk of each measure's array. A block counts as done by its row in the array ``done`` alone, which is
written last: number + 1, the milliseconds it took, and the checksum of each of its chunks. The row tells a chunk that
is damaged, missing, or of another time from the one that was meant. A file is written under another name first, so
that none is ever half there, and by one thread of one process, which holds a lock.

The folder, beside the usual files of Zarr: ``selfstab-sweep`` with the settings as attributes, the arrays among them,
and ``done``. All else follows from the settings and is written anew when it is damaged.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

import numpy as np

from selfstab import files, validation
from selfstab.kernels.measures import MEASURES
from selfstab.notices import notify
from selfstab.sweeps.plan.blocks import Block
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.protocols import Runner
from selfstab.sweeps.storage import layout
from selfstab.sweeps.storage.layout import RECORD, Chunks
from selfstab.sweeps.storage.settings import (
    Arrays,
    Identity,
    Settings,
    comparable,
    differences,
    identity_of,
    made_by,
)
from selfstab.validation import ArgumentError, Array

if TYPE_CHECKING:
    import xarray

_WAITING: Final = 2
"""Blocks that wait to be written, for each thread that computes."""

_READERS: Final = 16
"""Most threads that check what is there."""


class Store:
    """Results in a Zarr store; a context that writes while it is open."""

    def __init__(
        self, path: Path, plan: Plan, threads: int, runner: Runner, chunks: Chunks, lock: IO[bytes]
    ) -> None:
        self.path, self._plan, self._threads, self._runner = path, plan, threads, runner
        self._chunks, self._lock = chunks, lock
        self._done = path / RECORD / "done"
        self._rows: dict[int, tuple[int, ...]] = {}
        self._queue: Queue[tuple[Block, Array] | None] = Queue(_WAITING * threads)
        # A daemon: should an interrupt keep its end from it, it does not keep the process from ending.
        self._writer = threading.Thread(target=self._write_all, name="selfstab store", daemon=True)
        self._failure: BaseException | None = None
        self._last = time.perf_counter()
        self._writes = False

    @classmethod
    def opened(cls, path: str | Path, identity: Identity, threads: int, runner: Runner) -> Store:
        """Return the store of a plan: a new one, or one that holds some of its results; it is locked from now on.

        Raises
        ------
        TypeError, ValueError
            If the path is no place for a store, holds something else, or the results of another sweep, of other
            versions, or in use by another process. Nothing is changed then.
        """
        root, plan = _folder(path), identity.plan
        versions = made_by(plan, runner.source)
        _refuse_foreign(root)
        try:
            (root / RECORD / "done").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritten(root, error, False) from None
        lock = _locked(root)
        try:
            document = layout.document_of(root)
            if document is None:
                document = layout.new_document(plan, threads, runner, identity.settings, versions)
            else:
                _refuse_another(root, document, identity.settings, versions)
            store = cls(root, plan, threads, runner, layout.chunks_of(root, plan, document), lock)
            store._check(document, identity.arrays)
            store._say_labels(document)
        except BaseException:
            lock.close()
            raise
        return store

    def _say_labels(self, document: Settings) -> None:
        """Say so where labels of version 0.1 will stand beside today's."""
        old = _is_of_0_1(document) and "phase" in self._plan.measures
        if old and self._rows and next(self.missing(), None) is not None:
            notify(
                f"store {str(self.path)!r}: its finished blocks have the phases of version 0.1, which knew no "
                "stationary run, cycle or undefined loss; a new store has them everywhere"
            )

    @staticmethod
    def identity(path: str | Path) -> Identity:
        """Return the sweep that a store holds; nothing of its settings is evaluated.

        Raises
        ------
        TypeError, ValueError
            If there is no store, it is damaged, or its sweep has code of the user's own.
        """
        root = _folder(path)
        document = layout.document_of(root) if (root / RECORD).is_dir() else None
        if document is None:
            raise ArgumentError("store", f"must hold a sweep, got {str(path)!r}")
        try:
            settings = document["settings"]
            arrays = {
                name: layout.kept_array(root, name, value)
                for name, value in settings.items()
                if isinstance(value, dict)
            }
            return identity_of(settings, arrays)
        except ValueError as error:
            raise ValueError(f"store {str(path)!r} cannot be resumed by itself: {error}") from None

    # -- results --------------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """Number of cells that need not be run."""
        return sum(len(self._chunks.block(number)) for number in self._rows)

    def missing(self) -> Iterator[Block]:
        """Yield the blocks to run."""
        finished = set(self._rows)
        return (self._chunks.block(n) for n in range(len(self._chunks)) if n not in finished)

    def accept(self, block: Block, values: Array) -> None:
        """Take the values of a block, shape (measures, cells); it waits while too many are waiting to be written."""
        self._queue.put((block, values))
        if self._failure is not None:
            raise self._failure

    def dataset(self) -> xarray.Dataset:
        """Return the results, which are read from the store when they are used."""
        import xarray

        data: xarray.Dataset = xarray.open_zarr(self.path, chunks=None)[[*self._plan.measures]]
        return data

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._queue.put(None)
            self._writer.join()
            if self._failure is None:
                self._account()
        finally:
            self._lock.close()
        if kind is None and self._failure is not None:
            raise self._failure

    # -- writing --------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        # It takes blocks to the end, after a failure too, so that nobody waits forever to hand one over.
        while (item := self._queue.get()) is not None:
            if self._failure is None:
                try:
                    self._write_block(*item)
                except OSError as error:
                    self._failure = _unwritten(self.path, error, bool(self._rows))
                except BaseException as error:
                    self._failure = error

    def _write_block(self, block: Block, values: Array) -> None:
        key = self._chunks.key(block.number)
        checksums = []
        for name, row in zip(self._plan.measures, values, strict=True):
            data = self._chunks.encoded(row, MEASURES[name].dtype)
            self._write(self.path / name / key, data)
            checksums.append(layout.checksum_at_end(data))
        now = time.perf_counter()
        numbers = (block.number + 1, min(int(1e3 * (now - self._last)), 2**32 - 1), *checksums)
        self._last, self._writes = now, True
        self._write(self._row_path(block.number), layout.with_checksum(np.array(numbers, "<u4").tobytes()))
        self._rows[block.number] = numbers

    def _row_path(self, number: int) -> Path:
        return self._done / f"c.{number}.0"

    def _write(self, path: Path, data: bytes) -> None:
        # In one fixed place: a kill leaves one part of a file at most, and the next write replaces it.
        partial = self._done / "partial"
        self._set_aside(partial)
        self._set_aside(path)
        files.write_bytes(path, data, partial)

    def _set_aside(self, path: Path) -> None:
        """Move a folder that stands in a file's place to where nobody looks for one; what is in it is kept."""
        if path.is_dir():
            name = f"folder.{path.parent.name}.{path.name}"
            places = (self._done / f"{name}.{k}" for k in itertools.count())
            path.rename(next(place for place in places if not place.exists()))

    def _account(self) -> None:
        """Bring the times in the dataset's attributes up to date: those of a run that was killed are in its rows."""
        root = json.loads((self.path / "zarr.json").read_bytes())
        if not self._writes and root["attributes"]["seconds"] == self._seconds():
            return
        root["attributes"]["seconds"] = self._seconds()
        root["attributes"]["compile_seconds"] += self._runner.compile_seconds
        try:
            self._write(self.path / "zarr.json", json.dumps(root, indent=2).encode())
        except OSError as error:
            raise _unwritten(self.path, error, bool(self._rows)) from None

    def _seconds(self) -> float:
        return sum(row[1] for row in self._rows.values()) / 1e3

    # -- what is there --------------------------------------------------------------------------------------------

    def _check(self, document: Settings, arrays: Arrays) -> None:
        """Read which blocks are good, and write what is missing beside them."""
        damage: list[str] = []
        expected = layout.files_of(self._plan, self._chunks, document, arrays)
        try:
            # The arrays of the settings, then these: a folder that has them is a store, and can go on by itself.
            first = [
                name for name in expected if name.startswith(f"{RECORD}/") and name != f"{RECORD}/zarr.json"
            ]
            restored = [
                name for name in [*first, f"{RECORD}/zarr.json"] if self._restore(name, expected.pop(name))
            ]
            numbers = [*self._numbers()]
            with ThreadPoolExecutor(min(self._threads, _READERS)) as pool:
                for number, row in zip(numbers, pool.map(self._row, numbers), strict=True):
                    if isinstance(row, str):
                        damage.append(row)
                        self._set_aside(self._row_path(number))
                        self._row_path(number).unlink(missing_ok=True)
                    else:
                        self._rows[number] = row
            restored += [name for name, data in expected.items() if self._restore(name, data)]
        except OSError as error:
            raise _unwritten(self.path, error, bool(self._rows)) from None
        if _is_of_0_1(document):
            # Their phases have fewer names: today's are written.
            restored = [name for name in restored if name not in ("zarr.json", "phase/zarr.json")]
        # Before the first block a store is as a kill left it.
        if numbers and restored:
            notify(f"store {str(self.path)!r}: {restored[0]} was damaged and is written anew")
        if damage:
            notify(
                f"store {str(self.path)!r}: {len(damage)} of {len(numbers)} blocks are damaged and run again: "
                f"{damage[0]}"
            )

    def _numbers(self) -> Iterator[int]:
        for entry in os.scandir(self._done):
            word = entry.name.removeprefix("c.").removesuffix(".0")
            number = int(word) if word.isdecimal() else -1
            if 0 <= number < len(self._chunks) and entry.name == f"c.{number}.0":
                yield number

    def _row(self, number: int) -> tuple[int, ...] | str:
        """Return the row of a block whose chunks are all as it says, or what is wrong."""
        try:
            data = self._row_path(number).read_bytes()
        except OSError as error:
            return f"the row of block {number} cannot be read ({error.strerror})"
        measures = self._plan.measures
        if len(data) != 4 * (3 + len(measures)) or not layout.is_whole(data):
            return f"the row of block {number} is not as written"
        row = tuple(np.frombuffer(data[:-4], "<u4").tolist())
        if row[0] != number + 1:
            return f"the row of block {number} is that of another"
        key = self._chunks.key(number)
        for name, checksum in zip(measures, row[2:], strict=True):
            try:
                chunk = (self.path / name / key).read_bytes()
            except OSError as error:
                return f"{name}/{key} cannot be read ({error.strerror})"
            if not layout.is_whole(chunk) or layout.checksum_at_end(chunk) != checksum:
                return f"{name}/{key} is not as written"
        return row

    def _restore(self, name: str, data: bytes) -> bool:
        """Write a file unless it is there as it must be; return whether it was written."""
        path = self.path / name
        try:
            present = b"" if path.is_dir() else path.read_bytes()
        except FileNotFoundError:
            present = b""
        if present == data or (name.endswith("zarr.json") and layout.same_metadata(present, data)):
            return False
        if name == "zarr.json":
            root = json.loads(data)
            root["attributes"]["seconds"] = self._seconds()
            data = json.dumps(root, indent=2).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, data)
        return True


# -- the folder ---------------------------------------------------------------------------------------------------


def _is_of_0_1(document: Settings) -> bool:
    return "kernels" not in document["made_by"]


def _refuse_another(root: Path, document: Settings, settings: Settings, versions: Settings) -> None:
    for what, stored, asked in (
        ("settings", document["settings"], settings),
        ("versions", comparable(document["made_by"], versions), versions),
    ):
        if other := differences(stored, asked):
            more = f" (and {len(other) - 3} more)" if len(other) > 3 else ""
            raise ValueError(
                f"store {str(root)!r} holds a sweep of other {what}: {'; '.join(other[:3])}{more}; nothing was changed"
            )


def _folder(path: Any) -> Path:
    if not isinstance(path, (str, Path)):
        raise TypeError(f"store must be the path of a folder, got {validation.shown(path)}")
    if "://" in str(path) or "\0" in str(path) or not str(path):
        raise ArgumentError("store", f"must be a folder of this machine, got {validation.shown(path)}")
    root = Path(path)
    if root.exists() and not root.is_dir():
        raise ArgumentError("store", f"must be a folder, got the file {str(path)!r}")
    if not root.parent.is_dir():
        raise ArgumentError("store", f"must be in a folder that exists, got {str(path)!r}")
    return root


def _refuse_foreign(root: Path) -> None:
    if root.is_dir() and any(root.iterdir()) and not (root / RECORD / "done").is_dir():
        others = {p.name for p in root.iterdir()} - {RECORD}
        if others or any((root / RECORD).iterdir()):
            raise ArgumentError(
                "store",
                f"must be a new folder or the store of a sweep, got {str(root)!r}, which holds something else",
            )


def _locked(root: Path) -> IO[bytes]:
    """Return the lock of the store, which goes with the process that holds it, however that ends."""
    path = root / RECORD / "done" / "lock"
    try:
        file = path.open("a+b")
    except OSError as error:
        raise _unwritten(root, error, False) from None
    try:
        _lock(file)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        owner = file.read(20).decode(errors="replace")
        file.close()
        raise ArgumentError(
            "store", f"must not be in use, got {str(root)!r}, which process {owner or '?'} writes"
        ) from None
    except OSError as error:  # a file system without locks
        file.close()
        raise _unwritten(root, error, False) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> None:
        import msvcrt

        # A byte far behind the text, which others may read.
        file.seek(2**20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock(file: IO[bytes]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unwritten(root: Path, error: OSError, done: bool) -> OSError:
    good = "; the blocks that are done stay good, and the same call goes on from there" if done else ""
    return OSError(error.errno, f"store {str(root)!r} cannot be written: {error.strerror}{good}")
