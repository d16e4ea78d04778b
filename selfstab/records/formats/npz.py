"""NumPy's archives of arrays: .npz."""

from __future__ import annotations

import io
import math
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.records import spectra
from selfstab.records.column_sizes import check_array
from selfstab.records.formats.base import Column, Format, Table
from selfstab.records.formats.registry import register

if TYPE_CHECKING:
    import xarray

_HEADER_BYTES: Final = 10_000
"""Most bytes of an array's header, as NumPy has it."""

_WIDEST: Final = 100
"""Most columns of an array of eigenvalues."""

_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes; others may give any number of bytes at once."""


@register
class Npz(Format):
    """NumPy's archives of arrays."""

    name = "NumPy archive"
    suffixes = (".npz",)

    def read(self, source: Any, member: str = "") -> Table:
        """Return the arrays of an archive, of one dimension when they are used; nothing of it is unpickled."""
        columns: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        roles: dict[str, str] = {}
        notes: list[str] = []
        with _archive(source) as archive:
            for entry in archive.infolist():
                shape, dtype = _declared(archive, entry)
                name = entry.filename.removesuffix(".npy")
                if len(shape) == 1:
                    columns[name] = Column(shape[0], partial(_values, source, entry.filename))
                elif not shape and not dtype.hasobject:
                    attributes[name] = _array(archive, entry)[()]
                elif not shape:
                    notes.append(f"{name} holds objects of Python, which are not read.")
                elif len(shape) == 2 and 0 < shape[1] <= _WIDEST and spectra.is_list(name):
                    several = [f"{name}/{k}" for k in range(min(shape[1], spectra.MOST))]
                    for k, label in enumerate(several):
                        columns[label] = Column(shape[0], partial(_values, source, entry.filename, k))
                    roles |= spectra.roles_of(several)
        return Table(columns, attributes, roles, notes=tuple(notes))

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write each variable and each coordinate as an array; texts in NumPy's own form, attributes not."""
        arrays: dict[str, Any] = {
            str(name): values.astype(str) if values.dtype.kind == "O" else values
            for name, values in ((name, data[name].values) for name in data.variables)
        }
        # Through a file: NumPy would add a suffix to a name that lacks it.
        with path.open("wb") as file:
            np.savez(file, **arrays)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise ValueError("it holds no arrays of numbers") from None


def _values(path: Path, name: str, column: int | None = None) -> Any:
    with _archive(path) as archive:
        values = _array(archive, archive.getinfo(name))
    return values if column is None else values[:, column].copy()


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    """Return an array whose memory is what its header and the archive both declare."""
    shape, dtype = _declared(archive, entry)
    name = entry.filename.removesuffix(".npy")
    if dtype.hasobject:
        raise ValueError(f"{name} holds objects of Python, which are not read")
    check_array(name, shape[:1], dtype.itemsize * math.prod(shape[1:]))
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _declared(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the type of an array by its header, if the archive has as many bytes for it."""
    if entry.compress_type not in _METHODS:
        raise ValueError(f"{entry.filename} is compressed as NumPy does not")
    with archive.open(entry) as file:
        header, shape, dtype = _header(file)
    if any(n < 0 for n in shape):
        raise ValueError(f"{entry.filename} is damaged")
    size = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and entry.file_size != header + size:
        raise ValueError(f"{entry.filename} is damaged: its header is of {size} bytes")
    return shape, dtype


def _header(file: IO[bytes]) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Return the number of bytes of an array's header, the shape and the type."""
    begin = file.read(8)
    width = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}.get(begin)
    if width is None:
        raise ValueError("it holds no arrays of numbers")
    length = file.read(width)
    count = int.from_bytes(length, "little")
    # NumPy reads a header of any length before it looks at it.
    if count > _HEADER_BYTES:
        raise ValueError(f"a header has {count} bytes, more than {_HEADER_BYTES}")
    text = io.BytesIO(length + file.read(count))
    read = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(text)
    return 8 + width + count, shape, dtype
