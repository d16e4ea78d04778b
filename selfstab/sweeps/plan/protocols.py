"""What runs the cells of a sweep, and what takes their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from selfstab.sweeps.plan.blocks import Block
from selfstab.validation import Array, Integers

if TYPE_CHECKING:
    import xarray


class Runner(Protocol):
    """Runs cells of a plan, in any order and company, in any number of threads at a time."""

    @property
    def compile_seconds(self) -> float:
        """Seconds that compiling took; 0 for what had been compiled before."""

    @property
    def source(self) -> str:
        """Text of the generated code that gives the numbers."""

    def block_size(self, cells: int, steps: int, threads: int) -> int:
        """Return the number of cells of a block, of a grid of `cells` runs of so many steps."""

    def prepare(self, compiling: Callable[[], None] | None = None) -> None:
        """Do once what all cells need; `compiling` is called if a kernel is compiled for it."""

    def stop(self) -> None:
        """End what runs beside this process, at once."""

    def run(self, cells: Integers, repeat: int = 0) -> Array:
        """Return the measures of the cells with these flat indices, shape (measures, cells), in the plan's order."""


class Results(Protocol):
    """Takes the results of blocks, each once, from any thread; a context that is entered before the first.

    A new kind of store is a class with these members, beside ``sweeps/storage/memory.py`` and ``store.py``.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def done(self) -> int:
        """Number of cells that need not be run."""

    def missing(self) -> Iterable[Block]:
        """Return the blocks to run."""

    def accept(self, block: Block, values: Array) -> None:
        """Take the values of a block, shape (measures, cells · repeats), the repeats of a cell in a row."""

    def dataset(self) -> xarray.Dataset:
        """Return the results, once all blocks have been taken."""
