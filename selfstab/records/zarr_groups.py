"""Zarr groups of others: what they declare, checked before any codec is made, and the bytes of one array at a time.

Zarr itself gets what was checked, in memory. So no link of the group is followed, no name in it leads elsewhere, and
nobody can change it between a check and its use.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from selfstab.files import sizes
from selfstab.files.folders import Folder, NotPlain
from selfstab.notices import printable
from selfstab.records.column_sizes import TEXT_BYTES, check_array

_METADATA_BYTES: Final = 2**24
_FEWEST_CHUNKS: Final = 2**14
"""An array may have so many chunks whether their files are there or not."""

_NUMBERS_2: Final = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_TYPES_2: Final = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,9}|[mM]8(\[\w{1,5}\])?)")
_TYPES_3: Final = {
    "bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "float16": 2, "float32": 4, "float64": 8, "string": TEXT_BYTES, "variable_length_utf8": TEXT_BYTES,
    "numpy.datetime64": 8, "numpy.timedelta64": 8,
}  # fmt: skip
_TYPES_3_SIZED: Final = ("fixed_length_utf32", "null_terminated_bytes")
_FILTERS_2: Final = ("bitround", "delta", "fixedscaleoffset", "shuffle")
_BYTES_3: Final = ("bytes", "transpose")
_COMPRESSORS_3: Final = ("blosc", "gzip", "zstd")
_TEXTS: Final = "vlen-utf8"


class GroupError(ValueError):
    """A group, or an array of it, that is not read; the message says which and why."""


@dataclass(frozen=True)
class Declared:
    """An array as its metadata declare it, checked.

    Parameters
    ----------
    name
        The array's folder.
    documents
        Its files of metadata, by their names in the folder.
    shape, chunk
        Of at most one dimension.
    itemsize
        Bytes of a value in memory.
    dimension
        Name of its dimension; empty where it has none, or does not name it.
    text
        Whether it holds texts of any length.
    compressor
        A key of ``sizes.COMPRESSORS``; empty for none.
    checksums
        Bytes of checksums after the compressed ones.
    prefix, separator
        What the names of chunks begin with, and what stands between that and a number.
    """

    name: str
    documents: Mapping[str, bytes]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    itemsize: int
    dimension: str
    text: bool
    compressor: str
    checksums: int
    prefix: str
    separator: str

    @property
    def keys(self) -> list[str]:
        """Names of the chunks' files in the array's folder."""
        if not self.shape:
            return [self.prefix or "0"]
        begin = f"{self.prefix}{self.separator}" if self.prefix else ""
        return [f"{begin}{k}" for k in range(self.chunks)]

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return math.prod(-(-n // k) for n, k in zip(self.shape, self.chunk, strict=True))


@dataclass(frozen=True)
class Group:
    """A group's own metadata, and its arrays.

    Parameters
    ----------
    path
        Its folder.
    version
        Zarr's format, 2 or 3.
    attributes
        Of the group.
    arrays
        Arrays of at most one dimension by name, or why one is not read.
    """

    path: Path
    version: int
    attributes: dict[str, Any]
    arrays: dict[str, Declared | GroupError]

    @classmethod
    def at(cls, path: Path) -> Group:
        """Return the group in a folder.

        Raises
        ------
        GroupError
            If it is none, or its metadata are damaged.
        OSError
            If it cannot be read.
        """
        if not path.is_dir():
            raise GroupError("it is no folder")
        with Folder(path) as folder:
            document = _document(folder, "zarr.json")
            if document is not None:
                if document.get("node_type") != "group":
                    raise GroupError("it is no Zarr group")
                version, attributes = 3, document.get("attributes", {})
            elif _document(folder, ".zgroup") is not None:
                version, attributes = 2, _document(folder, ".zattrs") or {}
            else:
                raise GroupError("it is no Zarr group")
            if not isinstance(attributes, dict):
                raise GroupError("its attributes are damaged")
            names = [name for name in folder.names() if folder.is_folder(name)]
            arrays = {name: array for name in names if (array := _array(folder, name, version)) is not None}
        return cls(path, version, attributes, arrays)

    def files_of(self, name: str) -> dict[str, bytes]:
        """Return a group of one array alone, all its files by name; their sizes have been checked.

        Raises
        ------
        GroupError
            If the array is not read, or a chunk of it is damaged.
        TooLarge
            If it takes more memory than it may.
        OSError
            If it cannot be read.
        """
        array = self.arrays[name]
        if isinstance(array, GroupError):
            raise array
        check_array(name, array.shape, array.itemsize, array.chunk)
        root = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        files = {"zarr.json": json.dumps(root).encode()}
        if self.version == 2:
            files = {".zgroup": b'{"zarr_format": 2}', ".zattrs": b"{}"}
        files |= {f"{name}/{file}": text for file, text in array.documents.items()}
        with Folder(self.path) as folder:
            present = {*folder.names(name)}
            if (
                array.separator == "/"
                and array.prefix in present
                and folder.is_folder(f"{name}/{array.prefix}")
            ):
                present |= {f"{array.prefix}/{inner}" for inner in folder.names(f"{name}/{array.prefix}")}
            if array.chunks > max(_FEWEST_CHUNKS, 2 * len(present)):
                raise GroupError(
                    f"{printable(name)} declares {array.chunks} chunks, and has {len(present)} files"
                )
            total = 0
            for key in array.keys:
                if key not in present:
                    continue
                data = folder.read(f"{name}/{key}", sizes.most_bytes())
                total += len(data)
                sizes.check(printable(name), total)
                _check_chunk(array, data)
                files[f"{name}/{key}"] = data
        return files


def _check_chunk(array: Declared, data: bytes) -> None:
    """Raise unless a chunk's file gives no more than the chunk holds."""
    size = math.prod(array.chunk) * array.itemsize
    if array.checksums:
        data = data[: -array.checksums]
    if array.compressor:
        most = sizes.most_bytes() if array.text else size
        if sizes.decompressed(array.compressor, data, most) > most:
            raise GroupError(f"a chunk of {printable(array.name)} gives more than the {size} bytes it may")
    if array.text:
        if array.compressor:
            from numcodecs import get_codec

            data = bytes(get_codec({"id": array.compressor}).decode(data))
        # Places for so many texts are made before any is read.
        if int.from_bytes(data[:4], "little") > math.prod(array.chunk):
            raise GroupError(f"a chunk of {printable(array.name)} is damaged")
    elif not array.compressor and len(data) > size:
        raise GroupError(f"a chunk of {printable(array.name)} has more than the {size} bytes it may")


def _document(folder: Folder, name: str) -> dict[str, Any] | None:
    """Return a file of metadata; None if there is none."""
    try:
        document = json.loads(folder.read(name, _METADATA_BYTES))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise GroupError(f"{printable(name)} is damaged") from None
    if not isinstance(document, dict):
        raise GroupError(f"{printable(name)} is damaged")
    return document


def _array(folder: Folder, name: str, version: int) -> Declared | GroupError | None:
    """Return an array of at most one dimension, or why it is not read; None if there is none."""
    try:
        document = _document(folder, f"{name}/{'zarr.json' if version == 3 else '.zarray'}")
        if document is None or (version == 3 and document.get("node_type") != "array"):
            return None
        shape = document["shape"]
        if len(shape) > 1:
            return None
        if version == 3:
            return _of_version_3(name, document)
        return _of_version_2(name, document, _document(folder, f"{name}/.zattrs") or {})
    except GroupError as error:
        return error
    except NotPlain as error:
        return GroupError(printable(str(error.strerror)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        return GroupError(f"the metadata of {printable(name)} are damaged")


def _lengths(shape: Any, chunk: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape, chunk = tuple(shape), tuple(chunk)
    if len(shape) != len(chunk) or any(type(n) is not int for n in shape + chunk):
        raise ValueError
    if any(n < 0 for n in shape) or any(n < 1 for n in chunk):
        raise ValueError
    return shape, chunk


def _refused(name: str, what: str, value: Any) -> GroupError:
    return GroupError(f"{printable(name)} has the {what} {printable(str(value))[:60]}, which is not read")


def _of_version_2(name: str, document: dict[str, Any], attributes: dict[str, Any]) -> Declared:
    shape, chunk = _lengths(document["shape"], document["chunks"])
    codecs = [*(document.get("filters") or []), *filter(None, [document.get("compressor")])]
    ids = [codec["id"] for codec in codecs]
    text = document["dtype"] == "|O" and ids[:1] == [_TEXTS]
    if not text and not (isinstance(document["dtype"], str) and _TYPES_2.fullmatch(document["dtype"])):
        raise _refused(name, "type", document["dtype"])
    compressed = document.get("compressor") is not None
    compressor = ids.pop() if compressed else ""
    if compressed and compressor not in sizes.COMPRESSORS:
        raise _refused(name, "codec", compressor)
    for codec in ids[1:] if text else ids:
        if codec not in _FILTERS_2:
            raise _refused(name, "codec", codec)
    for codec in codecs:
        for setting in ("dtype", "astype"):
            if setting in codec and not _NUMBERS_2.fullmatch(codec[setting]):
                raise _refused(name, "type", codec[setting])
    itemsize = _text_bytes(document) if text else _itemsize_2(document["dtype"])
    dimensions = attributes.get("_ARRAY_DIMENSIONS") or [""]
    documents = {".zarray": json.dumps(document).encode(), ".zattrs": json.dumps(attributes).encode()}
    separator = document.get("dimension_separator") or "."
    return Declared(
        name, documents, shape, chunk, itemsize, str(dimensions[0]) if shape else "", text, compressor, 0, "", separator
    )  # fmt: skip


def _text_bytes(document: dict[str, Any]) -> int:
    """Return the bytes that a text of an array is taken to need; what stands for missing ones is copied to each."""
    return max(TEXT_BYTES, 4 * len(str(document.get("fill_value"))))


def _itemsize_2(text: str) -> int:
    number = re.search(r"\d+", text)
    assert number is not None  # the pattern of types has one
    return int(number.group()) * (4 if "U" in text else 1)


def _of_version_3(name: str, document: dict[str, Any]) -> Declared:
    if document["chunk_grid"]["name"] != "regular":
        raise _refused(name, "grid", document["chunk_grid"]["name"])
    if document.get("storage_transformers"):
        raise _refused(name, "transformer", document["storage_transformers"])
    shape, chunk = _lengths(document["shape"], document["chunk_grid"]["configuration"]["chunk_shape"])
    kind = document["data_type"]
    settings = kind.get("configuration") or {} if isinstance(kind, dict) else {}
    kind = kind["name"] if isinstance(kind, dict) else kind
    if kind in _TYPES_3_SIZED:
        itemsize = settings["length_bytes"]
        if type(itemsize) is not int or itemsize < 0:
            raise ValueError
    elif kind in _TYPES_3:
        itemsize = _TYPES_3[kind]
    else:
        raise _refused(name, "type", kind)
    text = kind in ("string", "variable_length_utf8")
    if text:
        itemsize = _text_bytes(document)
    codecs = [codec["name"] if isinstance(codec, dict) else codec for codec in document["codecs"]]
    checksums, rest = 0, [*codecs]
    while rest and rest[-1] == "crc32c":
        checksums += 4
        rest.pop()
    compressor = rest.pop() if rest and rest[-1] in _COMPRESSORS_3 else ""
    for codec in rest:
        if codec not in ((_TEXTS, "transpose") if text else _BYTES_3):
            raise _refused(name, "codec", codec)
    keys = document["chunk_key_encoding"]
    prefix = {"default": "c", "v2": ""}[keys["name"]]
    separator = (keys.get("configuration") or {}).get("separator", "/" if prefix else ".")
    if separator not in ("/", "."):
        raise ValueError
    dimensions = document.get("dimension_names") or [""]
    documents = {"zarr.json": json.dumps(document).encode()}
    return Declared(
        name, documents, shape, chunk, itemsize, str(dimensions[0] or "") if shape else "", text, compressor, checksums,
        prefix, separator,
    )  # fmt: skip
