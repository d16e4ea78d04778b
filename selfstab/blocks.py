"""Blocks of cells: how a grid is cut into them, and the memory its results may take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from selfstab.kernels.source import LANES
from selfstab.validation import Array

LARGEST_BLOCK: Final = 2**16
"""Most cells of a block."""

BLOCK_WORK: Final = 2**29
"""Most cells times steps of a block: about a second, so that progress shows and an interrupt is heard."""


@dataclass(frozen=True)
class Block:
    """The cells first, ..., first + count − 1 of a grid (last axis fastest), for one repeat; `number` is its place."""

    number: int
    repeat: int
    first: int
    count: int

    def __len__(self) -> int:
        return self.count


class Runner(Protocol):
    """Runs cells of a plan, in any order and company, in any number of threads at a time."""

    @property
    def compile_seconds(self) -> float:
        """Seconds that compiling took, or loading what was compiled before."""

    @property
    def source(self) -> str:
        """Text of the generated code that gives the numbers."""

    def prepare(self) -> None:
        """Do once what all cells need."""

    def stop(self) -> None:
        """End what runs beside this process, at once."""

    def run(self, cells: Array, repeat: int = 0) -> Array:
        """Return the measures of the cells with these flat indices, shape (measures, cells), in the plan's order."""


def block_size(cells: int, steps: int, threads: int) -> int:
    """Return the number of cells of a block, whole lanes: small enough to share the work evenly and to be done soon."""
    wanted = min(LARGEST_BLOCK, -(-cells // (8 * threads)), BLOCK_WORK // max(steps, 1))
    return max(LANES, -(-wanted // LANES) * LANES)


def cut(cells: int, repeats: int, size: int) -> Iterator[Block]:
    """Yield the blocks of a grid: at most `size` cells each, repeat after repeat."""
    number = 0
    for repeat in range(repeats):
        for first in range(0, cells, size):
            yield Block(number, repeat, first, min(size, cells - first))
            number += 1


def free_memory() -> int:
    """Return the bytes this process can still take: what the system has available, or what its control group allows."""
    import psutil

    free = int(psutil.virtual_memory().available)
    groups = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int((groups / limit).read_text()) - int((groups / used).read_text()))
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue
    return max(free, 0)
