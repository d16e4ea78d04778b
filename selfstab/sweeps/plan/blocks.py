"""Blocks of cells: how a grid is cut into them, and the memory its results may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from selfstab.kernels.writer import LANES
from selfstab.validation import Array, Integers

LARGEST_BLOCK: Final = 2**16
"""Most cells of a block."""

BLOCK_WORK: Final = 2**29
"""Most cells times steps of a block: about a second, so that progress shows and an interrupt is heard."""

CELL_WORK: Final = 2**10
"""The same without a kernel, where a step takes a millisecond or so."""

# Where a process sees its control groups, and how either version of them says its limit, use and cached files.
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")
_V2: Final = ("", "memory.max", "memory.current", "\ninactive_file")
_V1: Final = ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "\ntotal_inactive_file")


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
        """Seconds that compiling took; 0 for what had been compiled before."""

    @property
    def source(self) -> str:
        """Text of the generated code that gives the numbers."""

    def prepare(self, compiling: Callable[[], None] | None = None) -> None:
        """Do once what all cells need; `compiling` is called if a kernel is compiled for it."""

    def stop(self) -> None:
        """End what runs beside this process, at once."""

    def run(self, cells: Integers, repeat: int = 0) -> Array:
        """Return the measures of the cells with these flat indices, shape (measures, cells), in the plan's order."""


def block_size(cells: int, steps: int, threads: int, *, kernel: bool = True) -> int:
    """Return the number of cells of a block: small enough to share the work evenly and to be done soon.

    Those that a kernel runs are whole lanes.
    """
    lanes, work = (LANES, BLOCK_WORK) if kernel else (1, CELL_WORK)
    wanted = min(LARGEST_BLOCK, -(-cells // (8 * threads)), work // max(steps, 1))
    return max(lanes, -(-wanted // lanes) * lanes)


def cut(cells: int, repeats: int, size: int) -> Iterator[Block]:
    """Yield the blocks of a grid: at most `size` cells each, repeat after repeat."""
    number = 0
    for repeat in range(repeats):
        for first in range(0, cells, size):
            yield Block(number, repeat, first, min(size, cells - first))
            number += 1


def free_memory() -> int:
    """Return the bytes this process can still take: what the system has available, or what its control groups allow."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # no control groups
        return free
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = _V1 if "memory" in controllers.split(",") else _V2 if controllers == "" else None
        if names is None:
            continue
        folder, limit, used, cached = names
        own = PurePosixPath(path)
        # Groups above it limit it, too. In a container its own may be hidden, and the root is what it may use.
        for group in (own, *own.parents):
            at = _GROUPS / folder / group.relative_to("/")
            try:
                left = int((at / limit).read_text()) - int((at / used).read_text())
                # Files that were read or written count as used, but give way.
                left += int((at / "memory.stat").read_text().split(f"{cached} ")[1].split()[0])
            except (OSError, ValueError, IndexError):  # no such group, or no limit ("max")
                continue
            free = min(free, left)
    return max(free, 0)
