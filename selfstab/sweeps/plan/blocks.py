"""Blocks of cells: how a grid is cut into them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from selfstab.kernels.writer import LANES

LARGEST_BLOCK: Final = 2**16
"""Most cells of a block."""

BLOCK_WORK: Final = 2**29
"""Most cells times steps of a block: about a second, so that progress shows and an interrupt is heard."""

CELL_WORK: Final = 2**10
"""The same without a kernel, where a step takes a millisecond or so."""


@dataclass(frozen=True)
class Block:
    """The cells first, ..., first + count − 1 of a grid (last axis fastest), for one repeat; `number` is its place."""

    number: int
    repeat: int
    first: int
    count: int

    def __len__(self) -> int:
        return self.count


def block_size(cells: int, steps: int, threads: int, *, kernel: bool = True) -> int:
    """Return the number of cells of a block: small enough to share the work evenly and to be done soon.

    Those that a kernel runs are whole lanes.
    """
    lanes, work = (LANES, BLOCK_WORK) if kernel else (1, CELL_WORK)
    cells_of_block = min(LARGEST_BLOCK, -(-cells // (8 * threads)), work // max(steps, 1))
    return max(lanes, -(-cells_of_block // lanes) * lanes)


def cut(cells: int, repeats: int, size: int) -> Iterator[Block]:
    """Yield the blocks of a grid: at most `size` cells each, repeat after repeat."""
    number = 0
    for repeat in range(repeats):
        for first in range(0, cells, size):
            yield Block(number, repeat, first, min(size, cells - first))
            number += 1
