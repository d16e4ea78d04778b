"""The files of a sweep's store: chunks and their names, the settings, and what follows from these."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from selfstab import validation
from selfstab.files import sizes
from selfstab.files.folders import Folder
from selfstab.kernels.measures import MEASURES
from selfstab.notices import printable, unwarned
from selfstab.runs.dataset import provenance
from selfstab.sweeps.plan.blocks import Block
from selfstab.sweeps.plan.plan import Plan, described
from selfstab.sweeps.plan.protocols import Runner
from selfstab.sweeps.storage.settings import Arrays, Settings, sha256
from selfstab.validation import Array

FORMATS: Final = (1, 2)
"""In format 2 a chunk may hold several repeats; a store is of format 1 where none does."""

RECORD: Final = "selfstab-sweep"
"""The group of the settings: a name that no axis can have."""

DONE: Final = f"{RECORD}/done"
"""The array that says which blocks are done."""

MOST_BLOCKS: Final = 2**9
"""Blocks grow so that there are about as many, at most twice or so, or until they are as large as chunks may be."""

LARGEST_CHUNK: Final = 2**20
"""Most cells of a chunk, those of its repeats counted."""

_ACCEPTED: Final = 2**20
"""Most cells of a chunk of a store that is there: what is larger, no version of selfstab wrote."""

_METADATA_BYTES: Final = 2**24
"""Most bytes of a store's settings."""

_ZSTD_LEVEL: Final = 1


def missing_value(dtype: str) -> float | int:
    """Return what an array holds where nothing has been computed: NaN, or the least integer.

    >>> missing_value("int8")
    -128
    """
    return math.nan if dtype.startswith("float") else int(np.iinfo(dtype).min)


def chunk_shape(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return the shape of chunks of at most `size` cells, each a range of cells in order: (1, ..., 1, k, all, ...).

    >>> chunk_shape((100, 30, 4), 50)
    (1, 10, 4)
    """
    chunk = [1] * len(shape)
    for j in reversed(range(len(shape))):
        if shape[j] > size:
            chunk[j] = -(-shape[j] // -(-shape[j] // size)) if size > 1 else 1
            break
        chunk[j] = shape[j]
        size //= shape[j]
    return tuple(chunk)


def repeats_of_chunk(cells: int, repeats: int, size: int) -> int:
    """Return how many repeats a chunk of all cells holds, so that it has at most `size` values; at least one.

    >>> repeats_of_chunk(3, 20_000, 117)
    39
    """
    most = max(1, size // cells)
    return -(-repeats // -(-repeats // most))


class Chunks:
    """How a grid is cut into chunks, and blocks with them: for some repeats, chunk after chunk.

    Parameters
    ----------
    shape
        Number of values of each axis.
    repeats
        Number of repeats.
    chunk
        Shape of a chunk along the axes.
    together
        Repeats of a chunk.
    """

    def __init__(
        self, shape: tuple[int, ...], repeats: int, chunk: tuple[int, ...], together: int = 1
    ) -> None:
        self.shape, self.repeats, self.chunk, self.together = shape, repeats, chunk, together
        # The one axis that is cut into pieces; chunks are a single value wide before it, and whole after it.
        self._axis = next((j for j, n in enumerate(chunk) if n > 1), len(chunk) - 1)
        self._deep = math.prod(shape[self._axis + 1 :])
        self._pieces = -(-shape[self._axis] // chunk[self._axis])
        self._each = math.prod(shape[: self._axis]) * self._pieces
        if chunk != (1,) * self._axis + chunk[self._axis : self._axis + 1] + shape[self._axis + 1 :]:
            raise ValueError(f"chunks must be ranges of cells, got {chunk} of {shape}")

    def __len__(self) -> int:
        return self._each * -(-self.repeats // self.together)

    @property
    def of_arrays(self) -> tuple[int, ...]:
        """Shape of the chunks of a measure's array."""
        return (*self.chunk, self.together) if self.repeats > 1 else self.chunk

    @property
    def values(self) -> int:
        """Number of values of a chunk."""
        return math.prod(self.chunk) * self.together

    def block(self, number: int) -> Block:
        """Return the block of this number."""
        group, index = divmod(number, self._each)
        leading, piece = divmod(index, self._pieces)
        rows, k = self.shape[self._axis], self.chunk[self._axis]
        first = (leading * rows + piece * k) * self._deep
        repeat = group * self.together
        repeats = min(self.together, self.repeats - repeat)
        return Block(number, repeat, first, min(k, rows - piece * k) * self._deep, repeats)

    def key(self, number: int) -> str:
        """Return the name of the block's file in a measure's folder."""
        group, index = divmod(number, self._each)
        leading, piece = divmod(index, self._pieces)
        at = [*np.unravel_index(leading, self.shape[: self._axis])] if self._axis else []
        place = [*map(int, at), piece, *[0] * (len(self.shape) - self._axis - 1)]
        return ".".join(map(str, ["c", *place, *([group] if self.repeats > 1 else [])]))

    def encoded(self, number: int, values: Array, dtype: str) -> bytes:
        """Return the bytes of a block's file: little-endian numbers, compressed, and the checksum of that."""
        little = np.dtype(dtype).newbyteorder("<")
        whole = np.full((math.prod(self.chunk), self.together), missing_value(dtype), little)
        block = self.block(number)
        whole[: block.count, : block.repeats] = values.reshape(block.count, block.repeats)
        return with_checksum(Zstd(level=_ZSTD_LEVEL).encode(whole))

    def most_bytes(self, dtype: str) -> int:
        """Return the most bytes of a chunk's file: numbers that cannot be compressed grow a little."""
        return 2 * self.values * np.dtype(dtype).itemsize + 1024

    def fits(self, data: bytes, dtype: str) -> bool:
        """Whether a chunk's file holds as many bytes as the chunk has, told before they are decompressed."""
        size = self.values * np.dtype(dtype).itemsize
        return _decompressed(data, size) == size


def _decompressed(data: bytes, most: int) -> int:
    """Return how many bytes a file gives whose checksum is right; −1 if it cannot be decompressed."""
    try:
        return sizes.decompressed("zstd", data[:-4], most)
    except ValueError:
        return -1


def document_of(folder: Folder) -> Settings | None:
    """Return what the store says of itself, or None if nothing has been written there."""
    root, path = str(folder.path), f"{RECORD}/zarr.json"
    try:
        try:
            text = folder.read(path, _METADATA_BYTES)
        except FileNotFoundError:
            if not _holds_more(folder):
                return None
            text = folder.read(path, _METADATA_BYTES)  # another process may have written it meanwhile
        document = json.loads(text)["attributes"]
        version = document["format"]
        parts = ("settings", "made_by") if version in FORMATS else ()
        if not all(isinstance(document[name], dict) for name in parts):
            raise TypeError
    except FileNotFoundError:
        raise ValueError(
            f"store {root!r} is damaged: its settings are missing; nothing was changed"
        ) from None
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        raise ValueError(
            f"store {root!r} is damaged: its settings cannot be read; nothing was changed"
        ) from None
    if version not in FORMATS:
        raise ValueError(
            f"store {root!r} has format {validation.shown(version)}, this selfstab reads "
            f"{' and '.join(map(str, FORMATS))}"
        )
    return {name: document.get(name) for name in ("format", "settings", "made_by", "chunk")}


def _holds_more(folder: Folder) -> bool:
    """Whether a folder without settings holds what is written after them."""
    if any(name != RECORD for name in folder.names()):
        return True
    return folder.is_folder(DONE) and any(name.startswith("c.") for name in folder.names(DONE))


def new_document(plan: Plan, threads: int, runner: Runner, settings: Settings, made: Settings) -> Settings:
    """Return what a new store says of itself: the settings, what made it, and how it is cut."""
    each = runner.block_size(plan.cells, plan.problem.steps, threads)
    least = -(-plan.cells * plan.repeats // MOST_BLOCKS)
    chunk = list(chunk_shape(plan.shape, min(LARGEST_CHUNK, max(each, least))))
    # Repeats stand together only where their files would be too many: more of them are run side by side then.
    together = repeats_of_chunk(plan.cells, plan.repeats, min(LARGEST_CHUNK, least))
    return {
        "format": 1 if together == 1 else 2,
        "settings": settings,
        "made_by": made,
        "chunk": chunk if together == 1 else [*plan.shape, together],
    }


def chunks_of(folder: Folder, plan: Plan, document: Settings) -> Chunks:
    """Return how the grid of a store is cut."""
    chunk = document["chunk"]
    full = (*plan.shape, plan.repeats) if document["format"] == 2 else plan.shape
    fits = isinstance(chunk, list) and len(chunk) == len(full) and all(
        type(k) is int and 1 <= k <= n for k, n in zip(chunk, full, strict=True)
    )  # fmt: skip
    if not fits or math.prod(chunk) > _ACCEPTED:
        raise ValueError(
            f"store {str(folder.path)!r} is damaged: chunks {validation.shown(chunk)}; nothing was changed"
        )
    axes = len(plan.shape)
    return Chunks(plan.shape, plan.repeats, tuple(chunk[:axes]), *chunk[axes:])


def kept_array(folder: Folder, name: str, identity: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return an array that the settings identify, from where it is kept.

    What its own metadata say is not used: the settings tell its shape and type, and a hash of its numbers.
    """
    damaged = ValueError(
        f"its array {printable(name)} is damaged; call sweep again as before, and it is written anew"
    )
    try:
        shape, dtype = tuple(identity["shape"]), _number_type(identity["dtype"])
        size = math.prod(shape) * dtype.itemsize
        fits = all(type(n) is int and n >= 0 for n in shape) and len(shape) <= 32
    except (KeyError, TypeError, ValueError, OverflowError):
        raise damaged from None
    if not fits or not re.fullmatch(r"[\w.]+", name):  # no way out of the folder
        raise damaged
    sizes.check(name, size)
    try:
        array = _kept_numbers(folder, f"{RECORD}/{name}/{'.'.join(['c', *'0' * len(shape)])}", size, dtype)
        array = array.reshape(shape)
        whole = sha256(array) == identity["sha256"]
    except Exception:  # a damaged array is answered by any kind of error
        raise damaged from None
    if not whole:
        raise damaged
    return array


def _number_type(text: Any) -> np.dtype[Any]:
    if not isinstance(text, str) or not re.fullmatch(r"[<>|=]?[fiub][1248]", text):
        raise ValueError
    return np.dtype(text)


def _kept_numbers(folder: Folder, path: str, size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the numbers of the one chunk of an array."""
    try:
        data = folder.read(path, 2 * size + 1024)
    except FileNotFoundError:  # Zarr writes no chunk of zeros alone
        return np.zeros(size // dtype.itemsize, dtype)
    if not is_whole(data) or _decompressed(data, size) != size:
        raise ValueError
    return np.frombuffer(Zstd().decode(data[:-4]), dtype.newbyteorder("<")).astype(dtype)


def files_of(plan: Plan, chunks: Chunks, document: Settings, arrays: Arrays) -> dict[str, bytes]:
    """Return the files of a store without any results, by name."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {}
    root = zarr.create_group(MemoryStore(files), zarr_format=3)
    record = root.create_group(RECORD)

    def array(
        group: Any, name: str, shape: tuple[int, ...], dtype: Any, fill: Any = 0, **settings: Any
    ) -> Any:
        settings = {"chunks": shape, "compressors": [ZstdCodec(level=_ZSTD_LEVEL), Crc32cCodec()]} | settings
        return group.create_array(
            name, shape=shape, dtype=dtype, filters=None, fill_value=fill,
            chunk_key_encoding={"name": "default", "separator": "."}, **settings,
        )  # fmt: skip

    placeholder = np.broadcast_to(0, (*plan.shape, plan.repeats) if plan.repeats > 1 else plan.shape)
    outline = described(plan, dict.fromkeys(plan.measures, placeholder))
    for name, variable in outline.variables.items():
        about = {"dimension_names": variable.dims, "attributes": variable.attrs}
        if name in plan.measures:
            dtype = MEASURES[str(name)].dtype
            array(
                root, str(name), variable.shape, dtype, missing_value(dtype), chunks=chunks.of_arrays, **about
            )
        else:
            array(root, str(name), variable.shape, variable.dtype, **about)[...] = variable.values
    for name, values in arrays.items():
        if values.size == 0:
            continue
        array(record, name, values.shape, values.dtype)[...] = values
    columns = ["number + 1", "milliseconds", *(f"checksum of {name}" for name in plan.measures)]
    array(
        record, "done", (len(chunks), len(columns)), "uint32", chunks=(1, len(columns)), compressors=[Crc32cCodec()],
        attributes={"columns": columns},
    )  # fmt: skip
    record.attrs.update(document)
    root.attrs.update(provenance(plan.problem, 0.0), compile_seconds=0.0, repeats=plan.repeats)
    # Zarr 3 does not specify consolidated metadata yet; without them xarray warns whoever opens the store.
    with unwarned():
        zarr.consolidate_metadata(root.store)
    return {name: buffer.to_bytes() for name, buffer in files.items()}


def same_metadata(present: bytes, expected: bytes) -> bool:
    """Whether two zarr.json say the same of the arrays; a group's attributes may differ.

    Versions of Zarr differ in whether a group without members says that it has none.
    """
    try:
        one, other = _without_empty_lists(json.loads(present)), _without_empty_lists(json.loads(expected))
        if other["node_type"] == "group":
            if not other["attributes"].keys() <= one["attributes"].keys():
                return False
            one["attributes"] = other["attributes"]
        return bool(one == other)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return False


def _without_empty_lists(document: Any) -> Any:
    """Return the metadata without consolidated lists of members that are empty, at any depth."""
    if not isinstance(document, dict):
        return document
    members = document.get("consolidated_metadata")
    empty = members is None or (isinstance(members, dict) and not members.get("metadata"))
    left_out = {"consolidated_metadata"} if empty else set()
    return {key: _without_empty_lists(value) for key, value in document.items() if key not in left_out}


def with_checksum(data: bytes) -> bytes:
    """Return the data and their CRC32C, as Zarr's codec of that name writes it."""
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def checksum_at_end(data: bytes) -> int:
    """Return the checksum that a file ends with."""
    return int.from_bytes(data[-4:], "little")


def is_whole(data: bytes) -> bool:
    """Whether a file's checksum is that of its data."""
    return len(data) >= 4 and int(google_crc32c.value(data[:-4])) == checksum_at_end(data)
