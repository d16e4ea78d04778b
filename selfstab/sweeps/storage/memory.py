"""Results of a sweep in memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from selfstab.kernels.measures import MEASURES
from selfstab.runs.dataset import provenance
from selfstab.sweeps.plan.blocks import Block, cut
from selfstab.sweeps.plan.plan import Plan, described
from selfstab.sweeps.plan.protocols import Runner
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray


class Memory:
    """Results in arrays; a context, as a store is.

    Parameters
    ----------
    plan
        What is run.
    threads
        Number of threads that the blocks are shared by.
    runner
        What runs the cells.
    began
        The moment from which on the dataset's seconds count, of ``time.perf_counter``.
    """

    done = 0

    def __init__(self, plan: Plan, threads: int, runner: Runner, began: float) -> None:
        self._plan, self._runner, self._began = plan, runner, began
        shape = (plan.cells, plan.repeats)
        self._arrays = {name: np.empty(shape, MEASURES[name].dtype) for name in plan.measures}
        self._block = runner.block_size(plan.cells, plan.problem.steps, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def missing(self) -> Iterable[Block]:
        """Return the blocks to run: all of them."""
        return cut(self._plan.cells, self._plan.repeats, self._block)

    def accept(self, block: Block, values: Array) -> None:
        """Take the values of a block, shape (measures, cells · repeats)."""
        cells = slice(block.first, block.first + block.count)
        repeats = slice(block.repeat, block.repeat + block.repeats)
        for name, row in zip(self._plan.measures, values, strict=True):
            self._arrays[name][cells, repeats] = row.reshape(block.count, block.repeats)

    def dataset(self) -> xarray.Dataset:
        """Return the arrays with their coordinates and attributes."""
        plan = self._plan
        shape = (*plan.shape, plan.repeats) if plan.repeats > 1 else plan.shape
        out = described(plan, {name: array.reshape(shape) for name, array in self._arrays.items()})
        out.attrs.update(
            provenance(plan.problem, time.perf_counter() - self._began),
            compile_seconds=self._runner.compile_seconds,
            repeats=plan.repeats,
        )
        return out
