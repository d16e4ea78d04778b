"""The files of a sweep's store: chunks and their names, the settings, and what follows from these."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from selfstab import validation
from selfstab.kernels.measures import MEASURES
from selfstab.machine import free_memory
from selfstab.notices import unwarned
from selfstab.runs.dataset import provenance
from selfstab.sweeps.plan.blocks import LARGEST_BLOCK, Block
from selfstab.sweeps.plan.plan import Plan, described
from selfstab.sweeps.plan.protocols import Runner
from selfstab.sweeps.storage.settings import Arrays, Settings, sha256
from selfstab.validation import Array

FORMAT: Final = 1

RECORD: Final = "selfstab-sweep"
"""The group of the settings: a name that no axis can have."""

MOST_BLOCKS: Final = 2**13
"""Blocks grow so that there are no more than these, or until they are as large as blocks may be."""

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


class Chunks:
    """How a grid is cut into chunks, and blocks with them: for each repeat, chunk after chunk."""

    def __init__(self, shape: tuple[int, ...], repeats: int, chunk: tuple[int, ...]) -> None:
        self.shape, self.repeats, self.chunk = shape, repeats, chunk
        # The one axis that is cut into pieces; chunks are a single value wide before it, and whole after it.
        self._axis = next((j for j, n in enumerate(chunk) if n > 1), len(chunk) - 1)
        self._deep = math.prod(shape[self._axis + 1 :])
        self._pieces = -(-shape[self._axis] // chunk[self._axis])
        self._each = math.prod(shape[: self._axis]) * self._pieces
        if chunk != (1,) * self._axis + chunk[self._axis : self._axis + 1] + shape[self._axis + 1 :]:
            raise ValueError(f"chunks must be ranges of cells, got {chunk} of {shape}")

    def __len__(self) -> int:
        return self._each * self.repeats

    def block(self, number: int) -> Block:
        """Return the block of this number."""
        repeat, index = divmod(number, self._each)
        leading, piece = divmod(index, self._pieces)
        rows, k = self.shape[self._axis], self.chunk[self._axis]
        first = (leading * rows + piece * k) * self._deep
        return Block(number, repeat, first, min(k, rows - piece * k) * self._deep)

    def key(self, number: int) -> str:
        """Return the name of the block's file in a measure's folder."""
        repeat, index = divmod(number, self._each)
        leading, piece = divmod(index, self._pieces)
        at = [*np.unravel_index(leading, self.shape[: self._axis])] if self._axis else []
        place = [*map(int, at), piece, *[0] * (len(self.shape) - self._axis - 1)]
        return ".".join(map(str, ["c", *place, *([repeat] if self.repeats > 1 else [])]))

    def encoded(self, values: Array, dtype: str) -> bytes:
        """Return the bytes of a chunk's file: little-endian numbers, compressed, and the checksum of that."""
        little = np.dtype(dtype).newbyteorder("<")
        whole = np.full(math.prod(self.chunk), missing_value(dtype), little)
        whole[: values.size] = values
        return with_checksum(Zstd(level=_ZSTD_LEVEL).encode(whole))


def document_of(root: Path) -> Settings | None:
    """Return what the store says of itself, or None if nothing has been written there."""
    path = root / RECORD / "zarr.json"
    if not path.exists():
        done = root / RECORD / "done"
        if any(p.name != RECORD for p in root.iterdir()) or any(done.glob("c.*")):
            raise ValueError(f"store {str(root)!r} is damaged: its settings are missing; nothing was changed")
        return None
    try:
        document = json.loads(path.read_bytes())["attributes"]
        if document["format"] != FORMAT:
            raise ValueError(
                f"store {str(root)!r} has format {document['format']!r}, this selfstab reads {FORMAT}"
            )
        if not all(isinstance(document[name], dict) for name in ("settings", "made_by")):
            raise TypeError
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        raise ValueError(
            f"store {str(root)!r} is damaged: its settings cannot be read; nothing was changed"
        ) from None
    return {name: document.get(name) for name in ("format", "settings", "made_by", "chunk")}


def new_document(plan: Plan, threads: int, runner: Runner, settings: Settings, made: Settings) -> Settings:
    """Return what a new store says of itself: the settings, what made it, and how it is cut."""
    each = runner.block_size(plan.cells, plan.problem.steps, threads)
    size = min(LARGEST_BLOCK, max(each, -(-plan.cells * plan.repeats // MOST_BLOCKS)))
    return {
        "format": FORMAT,
        "settings": settings,
        "made_by": made,
        "chunk": list(chunk_shape(plan.shape, size)),
    }


def chunks_of(root: Path, plan: Plan, document: Settings) -> Chunks:
    """Return how the grid of a store is cut."""
    chunk = document["chunk"]
    fits = isinstance(chunk, list) and len(chunk) == len(plan.shape) and all(
        type(k) is int and 1 <= k <= n for k, n in zip(chunk, plan.shape, strict=True)
    )  # fmt: skip
    if not fits:
        raise ValueError(
            f"store {str(root)!r} is damaged: chunks {validation.shown(chunk)}; nothing was changed"
        )
    return Chunks(plan.shape, plan.repeats, tuple(chunk))


def kept_array(root: Path, name: str, identity: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return an array that the settings identify, from where it is kept."""
    import zarr

    try:
        if not re.fullmatch(r"[\w.]+", name):  # no way out of the folder
            raise ValueError
        stored = zarr.open_array(root / RECORD / name, mode="r", zarr_format=3)
        shape, dtype = tuple(identity["shape"]), np.dtype(identity["dtype"])
        fits = stored.shape == shape and stored.dtype == dtype and dtype.kind in "fiub"
        if not fits or math.prod(shape) * dtype.itemsize > free_memory() // 2:
            raise ValueError
        array = np.asarray(stored[...])
        if sha256(array) != identity["sha256"]:
            raise ValueError
    except Exception:  # a damaged array is answered by any kind of error
        raise ValueError(
            f"its array {name} is damaged; call sweep again as before, and it is written anew"
        ) from None
    return array


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
            chunk = (*chunks.chunk, 1) if plan.repeats > 1 else chunks.chunk
            array(root, str(name), variable.shape, dtype, missing_value(dtype), chunks=chunk, **about)
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
