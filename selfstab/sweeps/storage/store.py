"""A sweep kept in a Zarr store while it runs: killed at any moment, it goes on where it was.

A block is a chunk of each measure's array. A block counts as done by its row in the array ``done`` alone, which is
written last. The row has number + 1, the milliseconds it took, and the checksum of each of its chunks. The row tells a
chunk that is damaged, missing, or of another time from the one that was meant. A file is written under another name
first, so that no file is ever incomplete. One thread of one process, which holds a lock, writes it.

The folder may be somebody else's. No link in it is followed, and no file of it is written into but the lock, which
must have one name. What its metadata declare is checked before memory is taken.

The folder, beside the usual files of Zarr: ``selfstab-sweep`` with the settings as attributes, the arrays among them,
and ``done``. All else follows from the settings and is written anew when it is damaged.
"""

from __future__ import annotations

import errno
import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Self

import numpy as np

from selfstab.files import sizes
from selfstab.files.folders import Folder, NotPlain
from selfstab.kernels.measures import MEASURES
from selfstab.notices import notify, printable
from selfstab.sweeps.plan.blocks import Block
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.protocols import Runner
from selfstab.sweeps.storage import access, layout
from selfstab.sweeps.storage.layout import DONE, RECORD, Chunks
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

_ROOT_BYTES: Final = 2**24
"""Most bytes by which a file of metadata may be longer than expected: groups may say more."""

_PARTIAL: Final = f"{DONE}/partial"


class Store:
    """Results in a Zarr store; a context that writes while it is open."""

    def __init__(
        self, folder: Folder, plan: Plan, threads: int, runner: Runner, chunks: Chunks, lock: IO[bytes]
    ) -> None:
        self.path, self._folder = folder.path, folder
        self._plan, self._threads, self._runner = plan, threads, runner
        self._chunks, self._lock = chunks, lock
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
            If the path is no place for a store, holds something else, or is in use by another process. If it holds the
            results of another sweep or of other versions. Nothing is changed then.
        """
        root, plan = access.checked_path(path), identity.plan
        sizes.check(f"the coordinate of {plan.repeats} repeats", 8 * plan.repeats)
        versions = made_by(plan, runner.source)
        folder = access.opened(root, new=True)
        try:
            access.refuse_foreign(folder)
            places = ["", RECORD, DONE, *plan.measures, *plan.axes, "repeat"]
            access.refuse_links(folder, [*places, *(f"{RECORD}/{name}" for name in identity.arrays)])
            # Nothing is locked or changed before the settings agree; another process may write them meanwhile.
            _agreed(folder, identity, versions)
            try:
                folder.make(DONE)
            except OSError as error:
                raise access.unwritten(root, error, False) from None
            lock = access.locked(folder)
            try:
                document = _agreed(folder, identity, versions)
                if document is None:
                    document = layout.new_document(plan, threads, runner, identity.settings, versions)
                chunks = layout.chunks_of(folder, plan, document)
                store = cls(folder, plan, threads, runner, chunks, lock)
                store._check(document, identity.arrays)
                store._say_labels(document)
            except BaseException:
                lock.close()
                raise
        except BaseException:
            folder.close()
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
        root = access.checked_path(path)
        if not (root / RECORD).is_dir():
            raise ArgumentError("store", f"must hold a sweep, got {str(path)!r}")
        with access.opened(root) as folder:
            access.refuse_links(folder, ["", RECORD])
            document = layout.document_of(folder)
            if document is None:
                raise ArgumentError("store", f"must hold a sweep, got {str(path)!r}")
            settings = document["settings"]
            names = [name for name, value in settings.items() if isinstance(value, dict)]
            try:
                arrays = {name: layout.kept_array(folder, name, settings[name]) for name in names}
                return identity_of(settings, arrays)
            except ValueError as error:
                raise ValueError(
                    f"store {str(path)!r} cannot be resumed by itself: {printable(str(error))}"
                ) from None

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
        from zarr.storage import LocalStore

        # Not by the path as a text, in which "::" would name a file system of fsspec's.
        data: xarray.Dataset = xarray.open_zarr(LocalStore(self.path, read_only=True), chunks=None)
        return data[[*self._plan.measures]]

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
            self._folder.close()
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
                    self._failure = access.unwritten(self.path, error, bool(self._rows))
                except BaseException as error:
                    self._failure = error

    def _write_block(self, block: Block, values: Array) -> None:
        key = self._chunks.key(block.number)
        checksums = []
        for name, row in zip(self._plan.measures, values, strict=True):
            data = self._chunks.encoded(block.number, row, MEASURES[name].dtype)
            self._write(f"{name}/{key}", data)
            checksums.append(layout.checksum_at_end(data))
        now = time.perf_counter()
        numbers = (block.number + 1, min(int(1e3 * (now - self._last)), 2**32 - 1), *checksums)
        self._last, self._writes = now, True
        self._write(_row_name(block.number), layout.with_checksum(np.array(numbers, "<u4").tobytes()))
        self._rows[block.number] = numbers

    def _write(self, name: str, data: bytes) -> None:
        # In one fixed place: a kill leaves one part of a file at most, and the next write removes it.
        self._set_aside(_PARTIAL)
        self._set_aside(name)
        self._folder.write(name, data, _PARTIAL)

    def _set_aside(self, name: str) -> None:
        """Move a folder that stands in a file's place to where nobody looks for one; what is in it is kept."""
        if self._folder.is_folder(name):
            places = (f"{DONE}/folder.{name.replace('/', '.')}.{k}" for k in itertools.count())
            self._folder.rename(name, next(place for place in places if self._folder.status(place) is None))

    def _account(self) -> None:
        """Bring the times in the dataset's attributes up to date: those of a run that was killed are in its rows."""
        root = json.loads(self._folder.read("zarr.json", _ROOT_BYTES))
        if not self._writes and root["attributes"]["seconds"] == self._seconds():
            return
        root["attributes"]["seconds"] = self._seconds()
        root["attributes"]["compile_seconds"] += self._runner.compile_seconds
        try:
            self._write("zarr.json", json.dumps(root, indent=2).encode())
        except OSError as error:
            raise access.unwritten(self.path, error, bool(self._rows)) from None

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
                        self._set_aside(_row_name(number))
                        self._folder.remove(_row_name(number))
                    else:
                        self._rows[number] = row
            restored += [name for name, data in expected.items() if self._restore(name, data)]
        except OSError as error:
            raise access.unwritten(self.path, error, bool(self._rows)) from None
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
        for name in self._folder.names(DONE):
            word = name.removeprefix("c.").removesuffix(".0")
            number = int(word) if word.isdecimal() and len(word) < 20 else -1
            if 0 <= number < len(self._chunks) and name == f"c.{number}.0":
                yield number

    def _row(self, number: int) -> tuple[int, ...] | str:
        """Return the row of a block whose chunks are all as it says, or what is wrong."""
        measures = self._plan.measures
        try:
            data = self._folder.read(_row_name(number), 2**12)
        except OSError as error:
            return f"the row of block {number} cannot be read ({error.strerror})"
        if len(data) != 4 * (3 + len(measures)) or not layout.is_whole(data):
            return f"the row of block {number} is not as written"
        row = tuple(np.frombuffer(data[:-4], "<u4").tolist())
        if row[0] != number + 1:
            return f"the row of block {number} is that of another"
        key = self._chunks.key(number)
        for name, checksum in zip(measures, row[2:], strict=True):
            dtype = MEASURES[name].dtype
            try:
                chunk = self._folder.read(f"{name}/{key}", self._chunks.most_bytes(dtype))
            except OSError as error:
                return f"{name}/{key} cannot be read ({error.strerror})"
            whole = layout.is_whole(chunk) and layout.checksum_at_end(chunk) == checksum
            if not whole or not self._chunks.fits(chunk, dtype):
                return f"{name}/{key} is not as written"
        return row

    def _restore(self, name: str, data: bytes) -> bool:
        """Write a file unless it is there as it must be; return whether it was written."""
        try:
            present = self._folder.read(name, 2 * len(data) + _ROOT_BYTES)
        except FileNotFoundError:
            present = b""
        except OSError as error:
            if not isinstance(error, NotPlain) and error.errno != errno.EFBIG:
                raise
            present = b""
        if present == data or (name.endswith("zarr.json") and layout.same_metadata(present, data)):
            return False
        if name == "zarr.json":
            root = json.loads(data)
            root["attributes"]["seconds"] = self._seconds()
            data = json.dumps(root, indent=2).encode()
        if "/" in name:
            self._folder.make(name.rpartition("/")[0])
        self._write(name, data)
        return True


# -- the folder ---------------------------------------------------------------------------------------------------


def _is_of_0_1(document: Settings) -> bool:
    return "kernels" not in document["made_by"]


def _row_name(number: int) -> str:
    return f"{DONE}/c.{number}.0"


def _agreed(folder: Folder, identity: Identity, versions: Settings) -> Settings | None:
    """Return what a store says of itself, which must be what is asked for; None if it says nothing yet."""
    document = layout.document_of(folder)
    if document is not None:
        _refuse_another(folder.path, document, identity.settings, versions)
        layout.chunks_of(folder, identity.plan, document)
    return document


def _refuse_another(root: Path, document: Settings, settings: Settings, versions: Settings) -> None:
    for what, stored, asked in (
        ("settings", document["settings"], settings),
        ("versions", comparable(document["made_by"], versions), versions),
    ):
        if other := differences(stored, asked):
            more = f" (and {len(other) - 3} more)" if len(other) > 3 else ""
            raise ValueError(
                f"store {str(root)!r} holds a sweep of other {what}: {printable('; '.join(other[:3]))}{more}; "
                "nothing was changed"
            )
