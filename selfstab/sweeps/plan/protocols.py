"""What runs the cells of a sweep, and what takes their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from selfstab.sweeps.plan.blocks import Block
from selfstab.validation import Array, Integers


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


class Results(Protocol):
    """Takes the results of blocks, each once, from any thread."""

    @property
    def done(self) -> int:
        """Number of cells that need not be run."""

    def missing(self) -> Iterable[Block]:
        """Return the blocks to run."""

    def accept(self, block: Block, values: Array) -> None:
        """Take the values of a block, shape (measures, cells)."""
