"""A grid of runs: every combination of the axes' values, measured without keeping trajectories."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfstab.optimizers.base import Optimizer
from selfstab.sweeps.plan.blocks import Block, values_of
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.protocols import Results, Runner
from selfstab.sweeps.plan.request import Request
from selfstab.sweeps.plan.sizes import check_results
from selfstab.sweeps.runners import pool
from selfstab.sweeps.runners.cells import CellRunner
from selfstab.sweeps.runners.lanes import LaneRunner
from selfstab.sweeps.storage.memory import Memory

if TYPE_CHECKING:
    import xarray
    from distributed import Client

    from selfstab.losses.base.loss import Loss
    from selfstab.sweeps.storage.settings import Identity


def sweep(
    loss: Loss,
    optimizer: Optimizer,
    axes: Mapping[str, Any],
    *,
    start: Any,
    steps: int,
    previous: Any = None,
    measure: Sequence[str] = ("final_loss", "final_sharpness", "min_sharpness", "diverged_at", "phase"),
    escape: float = 1e6,
    noise: float = 0.0,
    seed: int = 0,
    repeats: int = 1,
    threads: int | None = None,
    store: str | Path | None = None,
    client: Client | str | None = None,
    progress: bool = True,
) -> xarray.Dataset:
    """Run every combination of the axes' values and measure each run.

    Symbolic losses run in compiled blocks of lanes on all cores. A kernel compiles in one to three seconds; later
    sweeps, in other processes too, load it from the disk. A kernel of its own is needed for another formula, a new set
    of measures, and noise or lookahead where there was none. Each kind of learning rate needs one, too: constant or an
    lr axis, excess, warmup, and any other schedule. Other numbers, axes, starts and lengths do not.

    Other losses run a cell at a time, in as many processes. Of networks, measures of the sharpness cost the most.
    final_sharpness and final_preconditioned_sharpness need one eigenproblem a run. The least and the largest of either
    sharpness, phase, overshoot, drop and peak_excess_sharpness need one a step. The measures final_loss, max_loss and
    diverged_at need none.

    A cell's numbers depend on its own values only: not on the grid around it, the
    number of threads or the other measures. (One exception: an iteration finds the sharpness of
    large networks. It begins at the last step's eigenvector if some measure needs each step's, which shows in the
    residual of 1e-10 that it leaves.)

    Parameters
    ----------
    loss
        Any loss of this package.
    optimizer
        What the axes do not set.
    axes
        Values by name, one-dimensional and finite. Names:

        - ``lr`` and the optimizer's numbers, such as ``momentum`` and ``lookahead`` of :class:`HeavyBall`;
        - ``excess``, the relative ε = S(start)/S* − 1, which sets a constant lr (:meth:`Optimizer.at_excess`). For
          :class:`HeavyBall` it is (1 + ε)·2(1 + β)/(S(start)(1 + 2γ));
        - ``lr.start``, ``lr.end``, ``lr.steps`` of a :class:`LinearWarmup`, and ``lr.NAME`` of each number of a
          schedule of your own that is a dataclass;
        - ``noise``;
        - ``start.NAME`` and ``previous.NAME`` of a weight;
        - ``start.seed`` and ``start.scale`` of an :class:`Initialization`;
        - the name of a parameter of the loss. With a :class:`LossFamily` it is any number that a loss is made from,
          such as the seed of its data.

        What is an integer where it is not an axis takes whole values only.
    start, previous
        w_0, an :class:`Initialization` or of shape (dimension,), and w_{−1} (by default `start`), where no axis sets
        them. Without `previous`, a cell starts at rest wherever it starts. From an Initialization, the losses of a
        family may differ in dimension.
    steps
        Number of updates of each run, >= 0.
    measure
        Any of final_loss, max_loss, final_sharpness, min_sharpness, max_sharpness, diverged_at, phase, overshoot,
        peak_excess_sharpness, drop, final_preconditioned_sharpness, min_preconditioned_sharpness,
        max_preconditioned_sharpness (see below); nothing else is computed.
    escape, noise, seed
        As in :func:`simulate`. The noise depends on (seed, repeat, step, component), so all cells of a repeat share it.
    repeats
        Number of noise realizations, >= 1; more than one adds the dimension ``repeat``.
    threads
        Number of threads, >= 1; by default one for each CPU. Of losses without a kernel, the number of processes
        that share a sweep of more than a few seconds.
    store
        Folder of a Zarr store, new or of this sweep, that keeps each block as soon as it is done. A sweep that was
        interrupted at any moment can be called again with the same arguments. It then computes what is missing, and
        what was damaged, with a warning. The result is bit-for-bit identical to an uninterrupted one. A store of other
        settings, of other versions or in use by another process is refused, and nothing of it changed. Where nothing
        has been computed yet, it holds NaN, or the least integer: mask it by ``data.where(data.phase != -128)``.
        ``xarray.open_zarr`` opens it, ``selfstab sweep --resume`` goes on with it.
    client
        A ``dask.distributed.Client``, or the address of a scheduler: blocks run on its workers (extra ``dask``).
    progress
        Whether to show a bar with rate and time left (in terminals and notebooks only).

    Returns
    -------
    xarray.Dataset
        Dimensions: the axes' names in order, then ``repeat`` if there is more than one. A variable per measure:

        - final_loss, final_sharpness: at the last step; max_loss, min_sharpness, max_sharpness: of all steps.
          For a run that diverged: of the steps before.
        - final_preconditioned_sharpness, min_preconditioned_sharpness, max_preconditioned_sharpness: the same of
          λ_max(P^{-1/2} H P^{-1/2}) with P what the update t → t + 1 divides by, see :func:`simulate`; of the sharpness
          where the optimizer has no preconditioner.
        - diverged_at: the first step with max|w_i| > escape or a weight not finite, −1 if none.
        - phase: int8 with CF flag attributes; the first of these that applies:

          - 8 undefined: the loss is NaN at the last weights, which have left its domain;
          - −1 diverged;
          - 7 cycle: neither settled nor cycling, but weights and states return to the last bit within 128 steps;
          - 0 undecided: neither settled nor cycling;
          - 4 edge: cycling and not settled;
          - 6 stationary: no step moved a weight, or none of the last eighth did at a sharpness above the threshold;
          - 3 catapult: the smoothed sharpness was above the threshold, then below it for good. The flip grew
            meanwhile, some step reversed, and the sharpness ended lower;
          - 2 oscillating: some step reversed, v_{t+1}·v_t < 0 by more than rounding;
          - 1 monotone.

          A run has *settled* if the largest step ‖w_{t+1} − w_t‖ of the last eighth is below 10⁻³ of the largest of
          the run. It is *cycling*, at the threshold, if its smoothed sharpness came within 10% of the threshold in the
          last quarter, and one of these holds:

          - the sharpness rose through the threshold at least twice in the second half;
          - reversals go on in the last eighth, and the largest flips ‖w_{t+1} − 2w_t + w_{t−1}‖/4 of the third and
            fourth quarter agree within 10%.
        - peak_excess_sharpness (y0): of the largest swing, the largest smoothed S − S* up to when the flip was still at
          least √10 times below its peak. drop: the fall of the sharpness from there to when the flip was least
          after the peak. overshoot: drop/(2 y0). NaN without a catapult, when diverged, or undecided. Of several
          swings it is the largest one's. Its y0 may be small, so that a chaotic run can have a very large overshoot.
          :func:`catapults` reads the same smoothed sharpness, but takes y0 by the loss, and drop to the least sharpness
          after the swing. Where much of the sharpness falls, the two can differ by a few percent.

        Some optimizers have a preconditioner, such as :class:`Adam`. Their threshold is that of the preconditioned
        sharpness, and *sharpness* in phase, peak_excess_sharpness, drop and overshoot means it. Their attribute
        ``sharpness`` says so.

        *Smoothed* is the (1, 2, 1)/4 mean of three consecutive steps (at the second step the mean of two; the first
        is no onset). For maps, mask what diverged: ``data.final_sharpness.where(data.phase != -1)``. Settings,
        versions and seconds are in attrs. With a store, values are read from it when they are used, and seconds are
        those of all runs that filled it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then.
    MemoryError
        If the results take more than half of the free memory and there is no store. If the tables of noise and of a
        schedule, which kernels read by step, take as much. Nothing has run then.
    OSError
        If the store cannot be written, as on a full disk; the blocks that are done stay good.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(curvature=1.0)
    >>> start, previous = ss.flip_start(loss, loss.minimum(), size=1e-6)
    >>> axes = {"momentum": [0.0, 0.9], "excess": [0.001]}
    >>> data = ss.sweep(loss, ss.HeavyBall(1.0), axes, start=start, previous=previous, steps=30_000,
    ...                 measure=["overshoot"])
    >>> data.overshoot.values.round(3)
    array([[1.001],
           [1.549]])
    """
    began = time.perf_counter()
    request = Request(
        loss=loss, optimizer=optimizer, axes=axes, start=start, steps=steps, previous=previous, measure=measure,
        escape=escape, noise=noise, seed=seed, repeats=repeats,
    )  # fmt: skip
    plan = Plan.checked(request)
    # What is too large to hold is refused before each start is looked at.
    if store is None:
        check_results(plan)
    plan.check_sharpness_at_start()
    with _execution(threads, client, progress) as execution:
        runner = runner_of(plan, execution.processes)
        if store is None:
            return _run(plan, runner, Memory(plan, execution.threads, runner, began), execution)
        from selfstab.sweeps.storage.settings import Identity

        return _stored(store, Identity.of(plan), runner, execution)


def resume(
    store: str | Path,
    *,
    threads: int | None = None,
    client: Client | str | None = None,
    progress: bool = True,
) -> xarray.Dataset:
    """Go on with the sweep that a store holds; its settings are in the store.

    Parameters
    ----------
    store
        Folder of a store that ``sweep(..., store=...)`` made.
    threads, client, progress
        As in :func:`sweep`.

    Returns
    -------
    xarray.Dataset
        What the sweep returns.

    Raises
    ------
    TypeError, ValueError
        If there is no such store, or its loss or schedule is a class of your own, which :func:`sweep` must be given.

    Examples
    --------
    >>> import tempfile
    >>> import selfstab as ss
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = ss.sweep(ss.DoubleWell(), ss.HeavyBall(0.1), {"start.w": [0.5, 2.0]}, start=[1.0], steps=9,
    ...                     measure=["final_loss"], store=folder + "/wells.zarr").load()
    ...     resume(folder + "/wells.zarr").load().equals(data)
    True
    """
    from selfstab.sweeps.storage.store import Store

    identity = Store.identity(store)
    with _execution(threads, client, progress) as execution:
        return _stored(store, identity, runner_of(identity.plan, execution.processes), execution)


@dataclass(frozen=True)
class _Execution:
    """Where a plan runs: on so many threads of this process, or of a cluster's workers."""

    threads: int
    workers: Client | None
    progress: bool

    @property
    def processes(self) -> int:
        """Most processes that a runner here may start; workers start none."""
        return 1 if self.workers else self.threads


@contextmanager
def _execution(threads: int | None, client: Client | str | None, progress: bool) -> Iterator[_Execution]:
    """Check where a plan is to run, and connect to the cluster if it is one."""
    count = pool.checked_threads(threads, progress)
    if client is None:
        yield _Execution(count, None, progress)
        return
    if threads is not None:
        raise ValueError(
            f"threads must be left out beside a client, whose workers have their own, got {threads!r}"
        )
    from selfstab.sweeps.runners import cluster

    with cluster.connected(client) as workers:
        yield _Execution(cluster.threads(workers), workers, progress)


def _stored(store: str | Path, identity: Identity, runner: Runner, execution: _Execution) -> xarray.Dataset:
    """Run what a store lacks of a sweep."""
    from selfstab.sweeps.storage.store import Store

    results = Store.opened(store, identity, execution.threads, runner)
    return _run(identity.plan, runner, results, execution)


def runner_of(plan: Plan, processes: int = 1, *, runs: int | None = None, first: int = 0) -> Runner:
    """Return what runs the cells of a plan: lanes for a loss with a kernel, else a cell at a time in some processes.

    Where only some of the cells are run, `runs` is their number, and `first` is one of them.
    """
    kernel = plan.problem.loss.kernel
    if kernel is not None:
        return LaneRunner(plan, kernel)
    return CellRunner(plan, processes, runs=runs, first=first)


def _run(plan: Plan, runner: Runner, results: Results, execution: _Execution) -> xarray.Dataset:
    """Run the blocks that are missing, hand over what they give, and return the dataset."""
    total = plan.cells * plan.repeats
    with results, pool.progress_bar(total, "cell", execution.progress, done=results.done) as bar:
        if results.done < total:
            if execution.workers is not None:
                from selfstab.sweeps.runners import cluster

                cluster.run_blocks(execution.workers, plan, runner_of, results.accept, results.missing(), bar)
            else:
                _run_here(plan, runner, results, execution.threads, bar)
    return results.dataset()


def _run_here(plan: Plan, runner: Runner, results: Results, threads: int, bar: Any) -> None:
    """Run the blocks that are missing on threads of this process."""
    pool.prepared(runner.prepare, bar)
    # A block of a store may take long: in pieces of about a second an interrupt is heard.
    piece = runner.block_size(8 * plan.cells, plan.problem.steps, 1)
    stopped = threading.Event()

    def work(block: Block) -> None:
        results.accept(block, values_of(runner.run, block, piece, stopped))

    def stop() -> None:
        stopped.set()
        runner.stop()

    try:
        pool.run_blocks(work, results.missing(), threads, bar, stop)
    finally:
        runner.stop()
