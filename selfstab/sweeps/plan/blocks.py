"""Blocks of cells: how a grid is cut into them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Final

import numpy as np

from selfstab.kernels.writer import LANES
from selfstab.validation import Array, Integers

LARGEST_BLOCK: Final = 2**16
"""Most cells that are run in one call."""

BLOCK_WORK: Final = 2**29
"""Most cells times steps of a block: about a second, so that progress shows and an interrupt is heard."""

SHORT_WORK: Final = 2**22
"""Cells times steps of a block that takes long beside what a call costs, and ends soon: some milliseconds."""

CELL_WORK: Final = 2**10
"""The same without a kernel, where a step takes a millisecond or so."""


@dataclass(frozen=True)
class Block:
    """The cells first, ..., first + count − 1 of a grid (last axis fastest), for some repeats; `number` is its place.

    The repeats are repeat, ..., repeat + repeats − 1.
    """

    number: int
    repeat: int
    first: int
    count: int
    repeats: int = 1

    def __len__(self) -> int:
        return self.count * self.repeats


def values_of(
    run: Callable[[Integers, int], Array],
    block: Block,
    most: int = LARGEST_BLOCK,
    stopped: threading.Event | None = None,
) -> Array:
    """Run a block in pieces; return its measures, shape (measures, cells · repeats), the repeats of a cell in a row.

    Parameters
    ----------
    run
        Measures of cells for one repeat: ``Runner.run``.
    block
        What is run.
    most
        Most cells of a piece, >= 1.
    stopped
        Ends it between two pieces.

    Raises
    ------
    CancelledError
        If `stopped` is set before the last piece is begun.
    """
    cells = np.arange(block.first, block.first + block.count)
    if block.repeats == 1 and block.count <= most:
        return run(cells, block.repeat)
    repeats = []
    for repeat in range(block.repeat, block.repeat + block.repeats):
        pieces = []
        for first in range(0, block.count, most):
            if stopped is not None and stopped.is_set():
                raise CancelledError
            pieces.append(run(cells[first : first + most], repeat))
        repeats.append(np.concatenate(pieces, axis=1))
    values: Array = np.stack(repeats, axis=2).reshape(len(repeats[0]), -1)
    return values


def block_size(cells: int, steps: int, threads: int, *, kernel: bool = True) -> int:
    """Return the number of cells of a block: small enough to share the work evenly and to be done soon.

    Those that a kernel runs are whole lanes.
    """
    lanes, work = (LANES, BLOCK_WORK) if kernel else (1, CELL_WORK)
    # The last blocks leave threads idle for half a block or so: many share the work more evenly.
    evenly = max(-(-cells // (32 * threads)), SHORT_WORK // max(steps, 1)) if kernel else cells
    cells_of_block = min(LARGEST_BLOCK, -(-cells // (8 * threads)), evenly, work // max(steps, 1))
    return max(lanes, -(-cells_of_block // lanes) * lanes)


def cut(cells: int, repeats: int, size: int) -> Iterator[Block]:
    """Yield the blocks of a grid: at most `size` cells each, repeat after repeat."""
    number = 0
    for repeat in range(repeats):
        for first in range(0, cells, size):
            yield Block(number, repeat, first, min(size, cells - first))
            number += 1
