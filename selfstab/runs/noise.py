"""Seeded normal noise that depends on (seed, repeat, step, component) and on nothing else."""

from __future__ import annotations

from typing import Final

import numpy as np

from selfstab.validation import Array

DRAWN: Final = 2**18
"""Most numbers that are drawn at once, of one step or more: this takes several times the memory of what is returned."""


def normal(seed: int, repeat: int, first: int, last: int, dimension: int) -> Array:
    """Return standard normal noise of the steps first, ..., last − 1; shape (last − first, dimension).

    Philox numbers, a whole number of counters per step, go through the inverse of the normal distribution function.
    Any range of steps gives the same numbers as the same steps of a longer one.

    Examples
    --------
    >>> bool((normal(1, 0, 2, 4, 3) == normal(1, 0, 0, 9, 3)[2:4]).all())
    True
    """
    out: Array = np.empty((last - first, dimension))
    rows = max(DRAWN // dimension, 1)
    for row in range(0, last - first, rows):
        end = min(row + rows, last - first)
        out[row:end] = _drawn(seed, repeat, first + row, first + end, dimension)
    return out


def _drawn(seed: int, repeat: int, first: int, last: int, dimension: int) -> Array:
    from scipy.special import ndtri

    counters = -(-dimension // 4)
    key = np.array([seed, repeat], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=np.array([first * counters, 0, 0, 0], dtype=np.uint64))
    raw = generator.random_raw((last - first, 4 * counters))[:, :dimension]
    # 53 bits in the middle of their cell: never 0 or 1.
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    out: Array = ndtri(uniform)
    return out
