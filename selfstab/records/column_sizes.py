"""How much memory a column of a file may take, by what the file declares."""

from __future__ import annotations

import math
from typing import Final

from selfstab.files import sizes
from selfstab.notices import printable

ROW_BYTES: Final = 280
"""Bytes that an analysis takes for each row, measured on a million rows of five columns."""

TEXT_BYTES: Final = 64
"""Bytes that a text of any length is taken to need."""

_SMALL: Final = 2**26
"""Bytes of a chunk that may be larger than its array."""


def check_array(name: str, shape: tuple[int, ...], itemsize: int, chunk: tuple[int, ...] = ()) -> None:
    """Raise unless an array may be read.

    Parameters
    ----------
    name
        Its name.
    shape
        Of at most one dimension.
    itemsize
        Bytes of a value.
    chunk
        Shape of its chunks, each of which is held whole while it is read; empty without chunks.

    Raises
    ------
    TooLarge
        If it takes more memory than it may.

    Examples
    --------
    >>> check_array("loss", (1000,), 8)
    >>> check_array("loss", (10**9,), 8)
    Traceback (most recent call last):
    ...
    selfstab.files.sizes.TooLarge: loss of 1000000000 rows takes 280 GB, more than ...
    """
    values = math.prod(shape)
    of_chunk = math.prod(chunk) * itemsize
    if of_chunk > max(_SMALL, 2 * values * itemsize):
        raise sizes.TooLarge(
            f"{printable(name)} of {values} values has chunks of {of_chunk / 1e9:.3g} GB, "
            f"more than {_SMALL / 1e9:.2g} GB"
        )
    if shape:
        sizes.check(f"{printable(name)} of {values} rows", values * max(itemsize, ROW_BYTES))
    else:
        sizes.check(printable(name), itemsize)
