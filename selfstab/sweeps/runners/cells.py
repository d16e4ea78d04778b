"""Cells of any loss, one at a time: what a loss without a kernel is swept by."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from multiprocessing import process
from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.kernels.measures import PRECONDITIONED, groups_of, needs_of
from selfstab.kernels.run_template import observe_source
from selfstab.notices import notify
from selfstab.observables.measures import Observer
from selfstab.runs.preconditioned import preconditioned_pair, top_pair
from selfstab.runs.problem import Problem
from selfstab.runs.states import State, states
from selfstab.sweeps.plan.blocks import block_size
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.runners.pool import threads_start
from selfstab.validation import Array, Integers, shown

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

WORTH_SECONDS: Final = 5.0
"""Work of one process from which on a sweep is worth starting others, which takes them a second or two."""

LOOK_SECONDS: Final = 1.0
"""How often a process looks whether its parent lives."""

_PROBE_STEPS = 8


class CellRunner:
    """Runs cells of a plan whose loss has no kernel.

    NumPy on small arrays holds Python's lock most of the time, so threads would wait for each other. A sweep that is
    worth it runs in processes; else cells run here, one at a time. The bits are the same.

    Parameters
    ----------
    plan
        What is run.
    processes
        Most processes.
    runs
        Number of runs, where it is not that of the plan's cells and repeats.
    first
        One of the cells that are run.
    """

    compile_seconds = 0.0

    def __init__(self, plan: Plan, processes: int = 1, *, runs: int | None = None, first: int = 0) -> None:
        self.plan, self._first = plan, first
        self._runs = plan.cells * plan.repeats if runs is None else runs
        self._processes = min(processes, self._runs)
        self._workers: ProcessPoolExecutor | None = None
        self._alone, self._stopped = threading.Lock(), threading.Event()

    @property
    def source(self) -> str:
        """Text of what measures a run."""
        return observe_source(self.plan.measures, self.plan.problem.optimizer.preconditions)

    def block_size(self, cells: int, steps: int, threads: int) -> int:
        """Return the number of cells of a block: few, for each takes its time."""
        return block_size(cells, steps, threads, kernel=False)

    def prepare(self, compiling: Callable[[], None] | None = None) -> None:
        """Start the processes if the sweep is worth it, by the time that a few steps of its first cell take."""
        if self._processes == 1 or self._workers is not None or self._expected_seconds() < WORTH_SECONDS:
            return
        import cloudpickle
        from loky import ProcessPoolExecutor

        if process.current_process().daemon:
            _tell_of_none("it is daemonic, as workers of multiprocessing.Pool and of Dask are")
            return
        if not threads_start():
            _tell_of_none("it is ending")
            return
        try:
            plan = cloudpickle.dumps(self.plan)
        except Exception as error:  # whatever what the user's code holds raises
            raise TypeError(
                f"loss must be picklable to run in processes, or threads 1: {validation.one_line(str(error))}"
            ) from error
        try:
            # Each starts as a new interpreter that does not run the user's script again.
            workers = ProcessPoolExecutor(
                self._processes, initializer=_begin_in_worker, initargs=(plan, os.getpid())
            )
            workers.submit(os.getpid)  # starts them
        except (AssertionError, RuntimeError, OSError, ImportError, NotImplementedError) as error:
            # No semaphores, or no more processes.
            _tell_of_none(shown(error, 120))
            return
        self._workers = workers

    def _expected_seconds(self) -> float:
        problem, _ = self.plan.cell(self._first)
        seconds = 0.0
        with one_blas_thread():
            for steps in (1, _PROBE_STEPS):  # the first is slow for reasons of its own
                began = time.perf_counter()
                followed(replace(problem, steps=min(steps, problem.steps)), self.plan.measures, 0)
                seconds = time.perf_counter() - began
        return seconds / _PROBE_STEPS * problem.steps * self._runs

    def run(self, cells: Integers, repeat: int = 0) -> Array:
        """Return the measures of the cells with these flat indices, shape (measures, cells), in the plan's order."""
        if self._workers is not None:
            values: Array = self._workers.submit(_run_in_worker, cells, repeat).result()
            return values
        with self._alone:
            return _run(self.plan, cells, repeat, self._stopped)

    def continued(self, cells: Integers, states: Array) -> tuple[Array, Array]:
        """Return the same as :meth:`selfstab.sweeps.runners.lanes.LaneRunner.continued`."""
        if self._workers is not None:
            values_and_ends: tuple[Array, Array] = self._workers.submit(
                _continue_in_worker, cells, states
            ).result()
            return values_and_ends
        with self._alone:
            return _continue(self.plan, cells, states, self._stopped)

    def stop(self) -> None:
        """End what runs at once, also in the midst of a cell: its processes, or with CancelledError a run here."""
        self._stopped.set()
        if self._workers is not None:
            self._workers.shutdown(wait=True, kill_workers=True)


@cache
def _tell_of_none(reason: str) -> None:
    """Tell once a process why cells do not run in others."""
    notify(f"a sweep runs in this process, which can start no others: {reason}")


def _run(plan: Plan, cells: Integers, repeat: int, stopped: threading.Event | None = None) -> Array:
    out = np.empty((len(plan.measures), len(cells)))
    with one_blas_thread():
        for k, cell in enumerate(cells):
            values, _ = followed(plan.cell(int(cell))[0], plan.measures, repeat, stopped)
            out[:, k] = [values[name] for name in plan.measures]
    return out


@dataclass(frozen=True)
class _Resumed(Problem):
    """A run that starts with states of its own, which start and previous would round."""

    resumed: tuple[Array, ...]

    @property
    def carried(self) -> tuple[Array, ...]:
        """What the optimizer carries at step 0, each of shape (dimension,)."""
        return self.resumed


def _continue(
    plan: Plan, cells: Integers, states: Array, stopped: threading.Event | None = None
) -> tuple[Array, Array]:
    out, ends = np.empty((len(plan.measures), len(cells))), np.empty_like(states)
    with one_blas_thread():
        for k, cell in enumerate(cells):
            problem, _ = plan.cell(int(cell))
            settings = {field.name: getattr(problem, field.name) for field in fields(problem)}
            start, *carried = states[k].reshape(-1, problem.loss.dimension)
            resumed = _Resumed(**(settings | {"start": start}), resumed=tuple(carried))
            values, last = followed(resumed, plan.measures, 0, stopped)
            out[:, k] = [values[name] for name in plan.measures]
            ends[k] = np.concatenate([last.weights, *last.carried])
    return out, ends


# -- in a process of its own ---------------------------------------------------------------------------------------


class _Worker:
    """What a process of its own runs: a plan, which its first cell unpacks."""

    def __init__(self) -> None:
        self._pickle = b""

    def begin(self, plan: bytes, parent: int) -> None:
        """Take the plan, and end with the parent."""
        self._pickle = plan
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    @cached_property
    def plan(self) -> Plan:
        """The plan. Unpacked as the process starts, a failure would not come out with its reason."""
        plan: Plan = pickle.loads(self._pickle)
        return plan


_WORKER: Final = _Worker()


# A bound method would travel with its object: these find the one of the process they run in.
def _begin_in_worker(plan: bytes, parent: int) -> None:
    _WORKER.begin(plan, parent)


def _run_in_worker(cells: Integers, repeat: int) -> Array:
    return _run(_WORKER.plan, cells, repeat)


def _continue_in_worker(cells: Integers, states: Array) -> tuple[Array, Array]:
    return _continue(_WORKER.plan, cells, states)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, also in the midst of a cell."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


# -- one cell ------------------------------------------------------------------------------------------------------


def followed(
    problem: Problem, measures: Sequence[str], repeat: int, stopped: threading.Event | None = None
) -> tuple[dict[str, float], State]:
    """Run one cell of a loss that has no kernel; return its measures and its last state.

    Raises
    ------
    CancelledError
        At the first step after `stopped` is set.
    """
    groups = groups_of(measures)
    optimizer = problem.optimizer
    needs = needs_of(groups, preconditions=optimizer.preconditions)
    # What is read at the end only is computed there only.
    each = needs_of(groups, at_steps=True, preconditions=optimizer.preconditions)
    loss, guess, own_guess, last = problem.loss, None, None, None
    at_last = (np.nan, np.nan, np.nan)
    observer = Observer(measures, problem.steps, optimizer.thresholds, optimizer.preconditions)
    for state in states(problem, repeat):
        if stopped is not None and stopped.is_set():
            raise CancelledError
        # An overflow shows in what is measured.
        with np.errstate(over="ignore", invalid="ignore"):
            if last is not None:
                observer.state(*at_last)
                if "motion" in needs:
                    change = state.velocity - last.velocity
                    observer.update(
                        float(state.velocity @ state.velocity), 0.0625 * float(change @ change),
                        float(state.velocity @ last.velocity),
                    )  # fmt: skip
            value = loss.value_at(state.weights) if "loss" in each else np.nan
        last = state
        sharpness = preconditioned = np.nan
        if "sharpness" in each:
            pair = top_pair(loss, state.weights, guess)
            guess, sharpness = pair.vector, pair.value
        if PRECONDITIONED in each:
            pair = preconditioned_pair(loss, optimizer, state, own_guess)
            own_guess, preconditioned = pair.vector, pair.value
        at_last = (sharpness, value, preconditioned)
    assert last is not None  # there is a state at step 0
    sharpness, value, preconditioned = at_last
    if "sharpness" in needs - each:
        sharpness = top_pair(loss, last.weights, None).value
    if PRECONDITIONED in needs - each:
        preconditioned = preconditioned_pair(loss, optimizer, last).value
    if "loss" in needs - each:
        with np.errstate(over="ignore", invalid="ignore"):
            value = loss.value_at(last.weights)
    observer.state(sharpness, value, preconditioned)
    return observer.values(-1 if last.step == problem.steps else last.step + 1), last
