"""Cells of any loss, one at a time: what a loss without a kernel is swept by."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from selfstab.axes import Plan
from selfstab.kernels.measures import groups_of, needs_of
from selfstab.kernels.records import observe_source
from selfstab.observables import observe
from selfstab.trajectory import Problem, states, top_pair
from selfstab.validation import Array

_lock = threading.Lock()
_holders: list[Any] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread: the bits of a product depend on their number. Threads may hold it together."""
    from threadpoolctl import threadpool_limits

    with _lock:
        # The first to come sets the limit, the last to go takes it back.
        limits = _holders[0] if _holders else threadpool_limits(1, user_api="blas")
        _holders.append(limits)
    try:
        yield
    finally:
        with _lock:
            _holders.pop()
            if not _holders:
                limits.restore_original_limits()


class CellRunner:
    """Runs cells of a plan whose loss has no kernel."""

    compile_seconds = 0.0

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def source(self) -> str:
        """Text of what measures a run."""
        return observe_source(self.plan.measures)

    def prepare(self) -> None:
        """Nothing to do."""

    def run(self, cells: Array, repeat: int = 0) -> Array:
        """Return the measures of the cells with these flat indices, shape (measures, cells), in the plan's order."""
        out = np.empty((len(self.plan.measures), len(cells)))
        with one_blas_thread():
            for k, cell in enumerate(cells):
                problem, _ = self.plan.cell(int(cell))
                found = measured(problem, self.plan.measures, repeat)
                out[:, k] = [found[name] for name in self.plan.measures]
        return out


def measured(problem: Problem, measures: Sequence[str], repeat: int) -> dict[str, float]:
    """Run one cell of a loss that has no kernel, and measure it."""
    groups = groups_of(measures)
    needs = needs_of(groups)
    # A sharpness read at the end only costs one eigenproblem, not one a step.
    each = "sharpness" in needs_of(name for name in groups if name != "end_sharpness")
    loss, guess, last = problem.loss, None, None
    sharpness, values, steps2, flips2, turns = [], [], [], [], []
    for state in states(problem, repeat):
        # An overflow shows in what is measured.
        with np.errstate(over="ignore", invalid="ignore"):
            if last is not None and "motion" in needs:
                change = state.velocity - last.velocity
                steps2.append(float(state.velocity @ state.velocity))
                flips2.append(0.0625 * float(change @ change))
                turns.append(float(state.velocity @ last.velocity))
            values.append(loss._value(state.weights) if "loss" in needs else np.nan)
        last = state
        if each:
            pair = top_pair(loss, state.weights, guess)
            guess = pair.vector
            sharpness.append(pair.value)
    reached = len(values) - 1
    if not each:
        sharpness = [np.nan] * reached
        sharpness.append(
            top_pair(loss, last.weights, None).value if last and "sharpness" in needs else np.nan
        )
    if "motion" not in needs:
        steps2 = flips2 = turns = [np.nan] * reached
    ended = -1 if reached == problem.steps else reached + 1
    motion = (np.array(steps2), np.array(flips2), np.array(turns))
    thresholds = problem.optimizer.thresholds(0, reached + 1)
    return observe(measures, np.array(sharpness), np.array(values), thresholds, motion, ended)
