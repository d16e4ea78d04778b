"""Sizes that a file declares, checked before memory is taken for what it holds."""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections.abc import Callable
from typing import Any, Final

from selfstab.machine import free_memory

VARIABLE: Final = "SELFSTAB_MOST_BYTES"
"""The environment variable that sets the bound."""

_USUAL: Final = 3 * 2**30
_ZSTD_BLOCK: Final = 2**17
_PIECE: Final = 2**20
_LZMA_BYTES: Final = 2**27
"""Most memory of a decompressor, which a file declares, too."""


class TooLarge(ValueError):
    """What a file declares takes more memory than it may."""


def most_bytes() -> int:
    """Return how many bytes what is read from one file may take: $SELFSTAB_MOST_BYTES, or 3 GiB.

    No more than half of the free memory, unless it is set.

    Raises
    ------
    ValueError
        If the variable holds no whole number above 0.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return min(_USUAL, free_memory() // 2)
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or not int(text):
        raise ValueError(f"{VARIABLE} must be a whole number of bytes above 0, got {text[:40]!r}")
    return int(text)


def check(what: str, size: int) -> None:
    """Raise TooLarge if something takes more bytes than it may.

    Parameters
    ----------
    what
        What it is, for the message: a name that is shown as it is.
    size
        Its bytes, as declared.

    Examples
    --------
    >>> check("loss", 10**15)
    Traceback (most recent call last):
    ...
    selfstab.files.sizes.TooLarge: loss takes 1e+06 GB, more than the ... GB that a file may; ...
    """
    if size > (most := most_bytes()):
        raise TooLarge(
            f"{what} takes {size / 1e9:.3g} GB, more than the {most / 1e9:.3g} GB that a file may; "
            f"{VARIABLE} sets how many"
        )


def decompressed(codec: str, data: bytes, most: int) -> int:
    """Return how many bytes compressed data give, at the most; anything above `most` if they give more than that.

    Parameters
    ----------
    codec
        A key of :data:`COMPRESSORS`.
    data
        Compressed bytes.
    most
        Where to stop.

    Raises
    ------
    ValueError
        If the data are not of this form.

    Examples
    --------
    >>> decompressed("zlib", zlib.compress(bytes(1000)), 2000)
    1000
    """
    try:
        return COMPRESSORS[codec](data, most)
    except (IndexError, EOFError, OSError, MemoryError, zlib.error, lzma.LZMAError):
        raise ValueError(f"data of {codec} are damaged") from None


def _zstd(data: bytes, most: int) -> int:
    """Add up what frames declare, or where one does not, the most that its blocks can hold (RFC 8878)."""
    total, at = 0, 0
    while at < len(data) and total <= most:
        magic = int.from_bytes(_part(data, at, 4), "little")
        if 0x184D2A50 <= magic <= 0x184D2A5F:  # a frame to skip
            at += 8 + int.from_bytes(_part(data, at + 4, 4), "little")
            continue
        if magic != 0xFD2FB528:
            raise EOFError
        descriptor = data[at + 4]
        single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
        at += 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
        width = (single, 2, 4, 8)[descriptor >> 6]
        declared = int.from_bytes(_part(data, at, width), "little") + (256 if width == 2 else 0)
        at += width
        blocks, last = 0, False
        while not last:
            header = int.from_bytes(_part(data, at, 3), "little")
            last, repeated = bool(header & 1), header >> 1 & 3 == 1
            at += 3 + (1 if repeated else header >> 3)
            blocks += 1
        at += 4 * checksum
        total += declared if width else blocks * _ZSTD_BLOCK
    return total


def _part(data: bytes, at: int, length: int) -> bytes:
    part = data[at : at + length]
    if len(part) < length:
        raise EOFError
    return part


def _blosc(data: bytes, most: int) -> int:
    return int.from_bytes(_part(data, 4, 4), "little")


def _lz4(data: bytes, most: int) -> int:
    return int.from_bytes(_part(data, 0, 4), "little")


def _streamed(begin: Callable[[], Any]) -> Callable[[bytes, int], int]:
    """Return what decompresses piece by piece, keeps nothing, and stops beyond the limit."""

    def size(data: bytes, most: int) -> int:
        total, left = 0, data
        while left and total <= most:
            stream = begin()
            while not stream.eof and total <= most:
                piece = stream.decompress(left, _PIECE)
                left = getattr(stream, "unconsumed_tail", b"")
                total += len(piece)
                if not piece and not left and not stream.eof:
                    raise EOFError
            left = stream.unused_data
        return total

    return size


COMPRESSORS: Final[dict[str, Callable[[bytes, int], int]]] = {
    "blosc": _blosc,
    "bz2": _streamed(bz2.BZ2Decompressor),
    "gzip": _streamed(lambda: zlib.decompressobj(31)),
    "lz4": _lz4,
    "lzma": _streamed(lambda: lzma.LZMADecompressor(memlimit=_LZMA_BYTES)),
    "zlib": _streamed(zlib.decompressobj),
    "zstd": _zstd,
}
"""How many bytes compressed data give, by the codec's name in Zarr."""
