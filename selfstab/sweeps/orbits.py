"""Orbit diagrams: the states that runs end in, over the settings."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.kernels.measures import MEASURES
from selfstab.losses.base.kernel import Kernel
from selfstab.losses.base.loss import Loss
from selfstab.machine import check_memory
from selfstab.optimizers.base import Optimizer
from selfstab.runs.dataset import provenance
from selfstab.runs.problem import Problem
from selfstab.runs.simulate import values_at
from selfstab.runs.states import State, Tracer, states
from selfstab.runs.variables import KEEP
from selfstab.sweeps.plan.blocks import Block, block_size, cut
from selfstab.sweeps.plan.plan import Plan, described
from selfstab.sweeps.plan.request import Request
from selfstab.sweeps.runners import pool
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_KEEP: Final = ("weights", "velocity", "loss", "sharpness")


def orbits(
    loss: Loss,
    optimizer: Optimizer,
    axes: Mapping[str, Any],
    *,
    start: Any,
    steps: int,
    last: int = 64,
    previous: Any = None,
    keep: Sequence[str] = ("weights",),
    escape: float = 1e6,
    noise: float = 0.0,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = True,
) -> xarray.Dataset:
    """Run every combination of the axes' values and keep the last states of each run.

    After a transient, the states are those of the attractor. There is one at a minimum, two on a two-cycle, and a band
    of them where the run is chaotic.

    Parameters
    ----------
    loss, optimizer, axes, start, steps, previous, escape, noise, seed, threads, progress
        As in :func:`sweep`. Losses without a kernel run a cell at a time.
    last
        How many states are kept: those at the steps steps − last + 1, ..., steps; from 1 to steps + 1.
    keep
        Any of weights, velocity, loss, sharpness.

    Returns
    -------
    xarray.Dataset
        Dimensions: the axes' names in order, then step (and weight). Variables: those of `keep`, with the bits that
        :func:`simulate` records at these steps, nan from a divergence on. Of a loss without a kernel the sharpness is
        equal to rounding only. ``diverged_at`` is without the dimension step, −1 if never. Settings, versions and
        seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then.
    MemoryError
        If the states take more than half of the free memory; nothing has run then.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.SymbolicLoss("w**2/2 - w**3/3", "w")  # at momentum 0 the logistic map with r = 1 + lr
    >>> axes = {"lr": [1.9, 2.3, 2.5]}
    >>> data = ss.orbits(loss, ss.HeavyBall(1.0), axes, start=[0.1], steps=2000, last=16)
    >>> [len(set(row.round(6))) for row in data.weights.values[..., 0]]
    [1, 2, 4]
    """
    began = time.perf_counter()
    request = Request(
        loss=loss, optimizer=optimizer, axes=axes, start=start, steps=steps, previous=previous,
        measure=("diverged_at",), escape=escape, noise=noise, seed=seed,
    )  # fmt: skip
    plan = Plan.checked(request)
    plan.check_sharpness_at_start()
    names = validation.some_of("keep", keep, _KEEP)
    if not names:
        raise ValueError(f"keep must name at least one of {', '.join(_KEEP)}, got none")
    _check_dimension(plan, names)
    last = validation.integer("last", last, at_least=1, at_most=plan.problem.steps + 1)
    threads = pool.checked_threads(threads, progress)
    dimension = loss.dimension
    rows = {name: (dimension,) if name in ("weights", "velocity") else () for name in names}
    size = plan.cells * last * sum(8 * math.prod(row) for row in rows.values())
    check_memory(f"the last = {last} states of {plan.cells} cells", size, "keep fewer of them")
    states = {name: np.full((plan.cells, last, *row), np.nan) for name, row in rows.items()}
    diverged_at = np.empty(plan.cells, dtype=np.int64)
    work_steps = plan.cells * plan.problem.steps
    entry = None if loss.kernel is None else _Entries(loss.kernel, plan.problem, work_steps)

    stopped = threading.Event()

    def work(block: Block) -> None:
        for cell in range(block.first, block.first + block.count):
            problem, _ = plan.cell(cell)
            if entry is None:
                last_states, diverged_at[cell] = _general(problem, last, names, stopped)
            else:
                last_states, diverged_at[cell] = entry.states(problem, last, names, stopped)
            for name, values in last_states.items():
                if values.size:
                    states[name][cell, : len(values)] = values

    block = block_size(plan.cells, plan.problem.steps, threads, kernel=entry is not None)
    with pool.progress_bar(plan.cells, "cell", progress) as bar:
        pool.run_blocks(work, cut(plan.cells, 1, block), threads, bar, stopped.set)
    out = _dataset(plan, states, diverged_at, last)
    out.attrs.update(provenance(plan.problem, time.perf_counter() - began), last=last)
    return out


def _check_dimension(plan: Plan, keep: Sequence[str]) -> None:
    if {"weights", "velocity"} & {*keep} and (other := plan.of_other_dimension()) is not None:
        raise ValueError(
            f"keep must not name weights or velocity where their number changes, got {other.dimension} of them with "
            f"{dict(other.parameters)}, not {plan.problem.loss.dimension}"
        )


class _Entries:
    """The compiled source of single runs, with states of a run's end."""

    def __init__(self, kernel: Kernel, problem: Problem, work: int) -> None:
        # Plain CPython where there is little to do: the bits are the same.
        self._tracer = Tracer(kernel, problem, work)
        self._evaluate: Callable[..., None] = kernel.run_function("evaluate", work)

    def states(
        self, problem: Problem, last: int, keep: Sequence[str], stopped: threading.Event
    ) -> tuple[dict[str, Array], int]:
        """Return what is kept of the last states that the run reached, and the step at which it diverged."""
        kernel, n, steps = problem.loss.kernel, problem.loss.dimension, problem.steps
        assert kernel is not None
        first = steps - last + 1
        state = np.concatenate([problem.start, *problem.carried])

        def go_on() -> None:
            _go_on(stopped)

        go_on()
        if first > 0:
            ends = np.empty((2, state.size))
            diverged_at = self._tracer.record(problem, state, 0, first, first, ends, before_part=go_on)
            if diverged_at >= 0:
                return {name: np.empty(0) for name in keep}, diverged_at
            state = ends[1]
        records = np.empty((last, state.size))
        diverged_at = self._tracer.record(problem, state, first, steps, 1, records, before_part=go_on)
        reached = last if diverged_at < 0 else diverged_at - first
        weights = np.ascontiguousarray(records[:reached, :n])
        losses = np.empty(reached if "loss" in keep else 0)
        sharpnesses = np.empty(reached if "sharpness" in keep else 0)
        self._evaluate(weights, kernel.values, losses, sharpnesses)
        data = {
            "weights": weights,
            "velocity": records[:reached, n : 2 * n],
            "loss": losses,
            "sharpness": sharpnesses,
        }
        return {name: data[name] for name in keep}, diverged_at


def _go_on(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise CancelledError


def _general(
    problem: Problem, last: int, keep: Sequence[str], stopped: threading.Event
) -> tuple[dict[str, Array], int]:
    """Return the same of a loss that has no kernel."""
    reached, first = 0, problem.steps - last + 1
    window: deque[State] = deque(maxlen=last)

    def until_stopped(path: Iterable[State]) -> Iterator[State]:
        for state in path:
            _go_on(stopped)
            yield state

    with one_blas_thread():
        for state in until_stopped(states(problem)):
            reached = state.step
            if reached >= first:
                window.append(state)
        data = values_at(problem, until_stopped(window), keep, len(window))
    return {name: data[name] for name in keep}, -1 if reached == problem.steps else reached + 1


def _dataset(plan: Plan, kept: Mapping[str, Array], diverged_at: Any, last: int) -> xarray.Dataset:
    problem = plan.problem
    out = described(plan, {}).assign_coords(step=np.arange(problem.steps - last + 1, problem.steps + 1))
    for name, array in kept.items():
        dims = (*plan.axes, "step", "weight")[: len(plan.axes) + array.ndim - 1]
        out[name] = (dims, array.reshape(*plan.shape, *array.shape[1:]), KEEP[name].attributes)
    if "weight" in out.dims:
        out = out.assign_coords(weight=np.array(problem.loss.weight_names, dtype=object))
    out["diverged_at"] = (
        tuple(plan.axes),
        diverged_at.reshape(plan.shape),
        MEASURES["diverged_at"].attributes,
    )
    out["step"].attrs["long_name"] = "number of updates"
    return out
