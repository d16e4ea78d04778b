"""Branches of solutions: each run starts where its neighbour's ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from selfstab import validation
from selfstab.kernels.measures import MEASURES
from selfstab.losses.base.loss import Loss
from selfstab.machine import check_memory
from selfstab.optimizers.base import Optimizer
from selfstab.runs.dataset import provenance
from selfstab.sweeps.plan.blocks import Block, cut
from selfstab.sweeps.plan.plan import Plan, attributes_of, described
from selfstab.sweeps.plan.request import Request
from selfstab.sweeps.runners import pool
from selfstab.sweeps.runners.cells import CellRunner
from selfstab.sweeps.runners.lanes import LaneRunner
from selfstab.validation import Array, Integers

if TYPE_CHECKING:
    import xarray

_DIRECTIONS: Final = ("forward", "backward")


def continuation(
    loss: Loss,
    optimizer: Optimizer,
    axes: Mapping[str, Any],
    *,
    along: str,
    start: Any,
    steps: int,
    direction: str = "both",
    previous: Any = None,
    measure: Sequence[str] = ("final_loss", "final_sharpness", "min_sharpness", "diverged_at", "phase"),
    escape: float = 1e6,
    noise: float = 0.0,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = True,
) -> xarray.Dataset:
    """Sweep so that along one axis each run starts where its neighbour ended, with the optimizer's states.

    Where a run ends then depends on where it came from. Where there are two attractors, the branch followed
    forward and the one followed backward differ (hysteresis). The first run of a line starts from `start`. So does a
    run whose neighbour diverged. A run that sits on a fixed point exactly stays there, also where that is unstable: a
    small `noise` lets it leave.

    Parameters
    ----------
    loss, optimizer, axes, start, steps, previous, measure, escape, noise, seed, threads, progress
        As in :func:`sweep`, but for an axis ``excess``, which cannot be: it means the sharpness at a start. Schedules
        and noise begin anew in each run.
    along
        The axis that is followed, in the order of its values: one of `axes`, other than ``start.NAME`` and
        ``previous.NAME``.
    direction
        forward (the order of the values), backward, or both.

    Returns
    -------
    xarray.Dataset
        Dimensions: the axes' names in order, then ``direction``. Variables: the measures, and ``restarted``, whether
        the run started from `start` because its neighbour diverged. Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then.

    Examples
    --------
    The gradient stiffens, then softens: the flip at lr 2 is subcritical, and a two-cycle is stable from lr 16/9 on.

    >>> import selfstab as ss
    >>> loss = ss.SymbolicLoss("3*log(1 + w**2)/2 + 1/(1 + w**2)", "w")
    >>> axes = {"lr": [1.7, 1.8, 1.9, 2.1]}
    >>> data = ss.continuation(loss, ss.HeavyBall(1.0), axes, along="lr", start=[0.1], steps=500, noise=1e-9,
    ...                        measure=["final_loss"])
    >>> data.final_loss.sel(direction="forward").values.round(3)
    array([1.   , 1.   , 1.   , 1.633])
    >>> data.final_loss.sel(direction="backward").values.round(3)
    array([1.   , 1.275, 1.43 , 1.633])
    """
    began = time.perf_counter()
    request = Request(
        loss=loss, optimizer=optimizer, axes=axes, start=start, steps=steps, previous=previous, measure=measure,
        escape=escape, noise=noise, seed=seed,
    )  # fmt: skip
    plan = Plan.checked(request)
    # Numbers of cells, and results along both directions, which are copied into their own types.
    size = 8 * plan.cells * (3 + 2 * 2 * (1 + len(plan.measures)))
    check_memory(f"the results of {plan.cells} cells", size, "take fewer values of axes")
    plan.check_sharpness_at_start()
    _check_along(plan, along)
    directions_asked = validation.one_of("direction", direction, ("both", *_DIRECTIONS))
    directions = _DIRECTIONS if directions_asked == "both" else (directions_asked,)
    threads = pool.checked_threads(threads, progress)
    # The divergence decides where the next run starts; it is left out again if it was not asked for.
    run_plan = replace(plan, measures=tuple(dict.fromkeys([*plan.measures, "diverged_at"])))
    # Lines of cells: (place along the line, line).
    grid = np.moveaxis(np.arange(plan.cells).reshape(plan.shape), list(plan.axes).index(along), 0)
    lines = grid.reshape(len(grid), -1)
    count = lines.shape[1]
    runner: LaneRunner | CellRunner
    if (kernel := loss.kernel) is not None:
        runner = LaneRunner(run_plan, kernel, resumes=True)
    else:
        # One line is run from end to end: no more processes than lines have work.
        processes = min(threads, count * len(directions))
        runner = CellRunner(run_plan, processes, runs=plan.cells * len(directions))
    stopped = threading.Event()
    values = np.empty((len(run_plan.measures), plan.cells, len(directions)))
    restarted = np.zeros((plan.cells, len(directions)), dtype=bool)

    def work(block: Block) -> None:
        order = slice(None) if directions[block.repeat] == "forward" else slice(None, None, -1)
        part = lines[order, block.first : block.first + block.count]
        fresh = np.ones(block.count, dtype=bool)
        size = 1 + len(plan.problem.optimizer.carried)
        states = np.zeros((block.count, size * plan.problem.loss.dimension))
        for k, cells in enumerate(part):
            if stopped.is_set():
                raise CancelledError
            if fresh.any():
                states[fresh] = _first_states(plan, cells[fresh])
            restarted[cells, block.repeat] = fresh & (k > 0)
            measured, states = runner.continued(cells, states)
            values[:, cells, block.repeat] = measured
            fresh = measured[run_plan.measures.index("diverged_at")] >= 0

    def stop() -> None:
        stopped.set()
        runner.stop()

    size = runner.block_size(count, plan.problem.steps * len(lines), threads)
    with pool.progress_bar(count * len(directions), "line", progress) as bar:
        try:
            pool.prepared(runner.prepare, bar)
            pool.run_blocks(work, cut(count, len(directions), size), threads, bar, stop)
        finally:
            runner.stop()
    out = _dataset(plan, directions, dict(zip(run_plan.measures, values, strict=True)), restarted)
    out.attrs.update(
        provenance(plan.problem, time.perf_counter() - began),
        along=along, compile_seconds=runner.compile_seconds,
    )  # fmt: skip
    return out


def _check_along(plan: Plan, along: Any) -> None:
    if "excess" in plan.axes:
        raise ValueError(
            "axes must not name excess, which means the sharpness at a start; use lr, got excess"
        )
    word = validation.one_of("along", along, plan.axes)
    if word.startswith(("start.", "previous.")):
        raise ValueError(f"along must not be a start, which only the first run has, got {word!r}")
    if (other := plan.of_other_dimension()) is not None:
        raise ValueError(
            f"axes must keep the {plan.problem.loss.dimension} weights, got {other.dimension} with "
            f"{dict(other.parameters)}"
        )


def _first_states(plan: Plan, cells: Integers) -> Array:
    """Return the weights of cells that start afresh, and what is carried, shape (cells, (1 + states) · dimension)."""
    loss = plan.problem.loss
    if loss.kernel is None or len(plan.problem.optimizer.carried) > 1:
        problems = [plan.cell(int(cell))[0] for cell in cells]
        return np.array([np.concatenate([p.start, *p.carried]) for p in problems])
    index = np.unravel_index(cells, plan.shape)
    values = {name: v[at] for (name, v), at in zip(plan.axes.items(), index, strict=True)}
    weights = plan.starts(values, len(cells))
    before = weights.copy() if plan.moves_with_start else np.tile(plan.problem.previous, (len(cells), 1))
    for j, name in enumerate(loss.weight_names):
        before[:, j] = values.get(f"previous.{name}", before[:, j])
    with np.errstate(over="ignore"):
        return np.hstack([weights, weights - before])


def _dataset(
    plan: Plan, directions: Sequence[str], values: Mapping[str, Array], restarted: npt.NDArray[np.bool_]
) -> xarray.Dataset:
    dims, shape = (*plan.axes, "direction"), (*plan.shape, len(directions))
    out = described(plan, {}).assign_coords(direction=np.array(directions, dtype=object))
    for name in plan.measures:
        measure = MEASURES[name]
        out[name] = (dims, values[name].astype(measure.dtype).reshape(shape), attributes_of(plan, name))
    out["restarted"] = (
        dims, restarted.reshape(shape), {"long_name": "whether the run started afresh, its neighbour having diverged"}
    )  # fmt: skip
    return out
