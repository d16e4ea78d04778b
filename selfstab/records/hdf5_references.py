"""What in an HDF5 file leads to other files: the library follows it without a word.

A file may hold links to objects of other files, data sets whose numbers are in files of any form, and data sets that
are put together from other files. Each is recognized by the bytes of its message (HDF5 File Format Specification,
version 3.0, IV.A.2). They are in the file in one piece and uncompressed, wherever that is.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_EXTERNAL: Final = 64
_LINK: Final = re.compile(rb"\x01[\x08-\x1f]\x40", re.DOTALL)
_VIRTUAL: Final = re.compile(rb"\x04\x03(?=.{6}\x00\x00)", re.DOTALL)
_MOST_HEAPS: Final = 4096


def reference(path: Path) -> str:
    """Return what in a file leads to another file, in words; nothing if there is none.

    Parameters
    ----------
    path
        A file that begins with :data:`SIGNATURE`.

    Raises
    ------
    ValueError
        If the file is none of the usual form: addresses of 8 bytes that count from its begin.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check_superblock(data)
        if any(data[at + 7 : at + 9] != b"\x00\x00" for at in _places(data, b"FRHP\x00")):
            return "a compressed list of links"
        if any(_is_external_link(data, match.start()) for match in _LINK.finditer(data)):
            return "a link to another file"
        if any(_leads_to(data, match.end(), b"GCOL") for match in _VIRTUAL.finditer(data)):
            return "data that are put together from other files"
        heaps = [
            at for at, _ in zip(_places(data, b"HEAP\x00\x00\x00\x00"), range(_MOST_HEAPS + 1), strict=False)
        ]
        if len(heaps) > _MOST_HEAPS:
            raise ValueError("it has too many groups")
        if any(
            _is_list_of_files(data, at) for heap in heaps for at in _places(data, heap.to_bytes(8, "little"))
        ):
            return "data in another file"
    return ""


def _places(data: mmap.mmap, text: bytes) -> Iterator[int]:
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + 1)


def _check_superblock(data: mmap.mmap) -> None:
    version = data[8] if len(data) > 64 else 255
    # Where the sizes of addresses and lengths stand, and the address that all others count from.
    sizes, base = {0: (13, 24), 1: (13, 28), 2: (9, 12), 3: (9, 12)}.get(version, (0, 0))
    if not sizes or data[sizes : sizes + 2] != b"\x08\x08" or data[base : base + 8] != bytes(8):
        raise ValueError("it is HDF5 of an unusual form")


def _is_external_link(data: mmap.mmap, at: int) -> bool:
    """Whether a link message of type 64 begins here: name, then the names of a file and of an object in it."""
    flags = data[at + 1]
    at += 3 + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(data[at : at + width], "little")
    at += width + length
    if length == 0 or at + 2 > len(data):
        return False
    size = int.from_bytes(data[at : at + 2], "little")
    value = data[at + 2 : at + 2 + size]
    return (
        len(value) == size > 3
        and value[:1] == b"\x00"
        and value[1:].count(b"\x00") == 2
        and value[-1:] == b"\x00"
    )


def _leads_to(data: mmap.mmap, at: int, signature: bytes) -> bool:
    address = int.from_bytes(data[at : at + 8], "little")
    return data[address : address + len(signature)] == signature


def _is_list_of_files(data: mmap.mmap, at: int) -> bool:
    """Whether the address of a heap stands in a message of external files: version 1, and slots, some of them used."""
    if at < 8 or data[at - 8 : at - 4] != b"\x01\x00\x00\x00":
        return False
    slots, used = (int.from_bytes(data[at - k : at - k + 2], "little") for k in (4, 2))
    return 1 <= used <= slots
