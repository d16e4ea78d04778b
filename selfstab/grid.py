"""A grid of runs: every combination of the axes' values, measured without keeping trajectories."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import outcomes, validation
from selfstab.axes import LONG_NAMES, Plan
from selfstab.kernels import modules, pool
from selfstab.kernels.measures import MEASURES, groups_of, needs_of
from selfstab.kernels.source import LANES, Variant
from selfstab.losses.symbolic import SymbolicLoss
from selfstab.observables import observe
from selfstab.optimizers import HeavyBall
from selfstab.schedules import LinearWarmup
from selfstab.trajectory import Problem, provenance, states, top_pair
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

    from selfstab.losses.protocol import Loss

LARGEST_BLOCK: Final = 2**16


def sweep(
    loss: Loss,
    optimizer: HeavyBall,
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
    progress: bool = True,
) -> xarray.Dataset:
    """Run every combination of the axes' values and measure each run.

    Symbolic losses run in compiled blocks of lanes on all cores; the first sweep of a loss with a new set of measures
    compiles (about ten seconds), later ones, in other processes too, load that from the disk. Other losses run a cell
    at a time. A cell's numbers
    depend on its own values only: not on the grid around it, the number of threads or the other measures.

    Parameters
    ----------
    loss
        Any loss of this package.
    optimizer
        What the axes do not set.
    axes
        Values by name, one-dimensional and finite. Names: ``momentum``, ``lookahead``, ``lr``; ``excess``, the relative
        ε = S(start)/S* − 1, which sets a constant lr = (1 + ε)·2(1 + β)/(S(start)(1 + 2γ)); ``lr.start``, ``lr.end``,
        ``lr.steps`` of a :class:`LinearWarmup`; ``start.NAME`` and ``previous.NAME`` of a weight; a loss parameter's
        name.
    start, previous
        w_0 and w_{−1} (by default `start`), shape (dimension,), where no axis sets them. Without `previous`, a cell
        starts at rest wherever it starts.
    steps
        Number of updates of each run, >= 0.
    measure
        Any of final_loss, max_loss, final_sharpness, min_sharpness, max_sharpness, diverged_at, phase, overshoot,
        peak_excess, drop (see below); nothing else is computed.
    escape, noise, seed
        As in :func:`simulate`. The noise depends on (seed, repeat, step, component), so all cells of a repeat share it.
    repeats
        Number of noise realizations, >= 1; more than one adds the dimension ``repeat``.
    threads
        Number of threads, >= 1; by default one for each CPU.
    progress
        Whether to show a bar (in terminals and notebooks only).

    Returns
    -------
    xarray.Dataset
        Dimensions: the axes' names in order, then ``repeat`` if there is more than one. A variable per measure:

        - final_loss, final_sharpness: at the last step; max_loss, min_sharpness, max_sharpness: over all steps.
          For a run that diverged: over the steps before.
        - diverged_at: the first step with max|w_i| > escape or a weight not finite, −1 if none.
        - phase: int8 with CF flag attributes; the first that applies of
          −1 diverged;
          0 undecided: neither settled nor cycling, where *settled* means that the largest step ‖w_{t+1} − w_t‖ of the
          last eighth is below 10⁻³ of the largest of the run, and *cycling* that the smoothed sharpness came within
          10% of the threshold in the last quarter, and either rose through it at least twice in the second half, or
          reversals go on in the last eighth and the largest flips ‖w_{t+1} − 2w_t + w_{t−1}‖/4 of the third and
          fourth quarter agree within 10%;
          4 edge: cycling and not settled;
          3 catapult: the smoothed sharpness was above the threshold, then below it for good, the flip grew meanwhile,
          and the sharpness ended lower;
          2 oscillating: some step reversed, v_{t+1}·v_t < 0 by more than rounding;
          1 monotone.
        - peak_excess (y0): of the largest swing, the largest smoothed S − S* up to when the flip was still at least √10
          times below its peak. drop: the fall of the sharpness from there to when the flip was least after the peak.
          overshoot: drop/(2 y0). NaN without a catapult, when diverged, or undecided.

        *Smoothed* is the (1, 2, 1)/4 mean of three consecutive steps (at the second step the mean of two; the first
        is no onset). For maps, mask what diverged: ``data.final_sharpness.where(data.phase != -1)``. Settings,
        versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then.

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
    plan = Plan.checked(loss, optimizer, axes, start, steps, previous, measure, escape, noise, seed, repeats)
    threads = (
        pool.available_threads() if threads is None else validation.integer("threads", threads, at_least=1)
    )
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be True or False, got {validation.shown(progress)}")
    if isinstance(loss, SymbolicLoss):
        flat, compile_seconds = _lanes(loss, plan, threads, progress)
    else:
        flat, compile_seconds = _cells(plan, threads, progress), 0.0
    return _dataset(plan, flat, time.perf_counter() - began, compile_seconds)


def _lanes(loss: SymbolicLoss, plan: Plan, threads: int, progress: bool) -> tuple[dict[str, Array], float]:
    """Run the grid in compiled blocks of lanes; return flat outputs by measure, repeats first, and compile seconds."""
    problem, optimizer = plan.problem, plan.problem.optimizer
    lookahead = optimizer.lookahead > 0 or "lookahead" in plan.axes
    # In one order, so that a set of measures has one kernel.
    measures = tuple(name for name in MEASURES if name in plan.measures)
    variant = Variant(measures, plan.rate, lookahead, problem.noise > 0)
    inputs = variant.inputs(loss.formulas)
    place = _places(loss, inputs)
    fixed = np.zeros(len(inputs))
    fixed[: len(loss.parameters)] = loss._values
    ramp = optimizer.lr if isinstance(optimizer.lr, LinearWarmup) else None
    settings = {
        "momentum": optimizer.momentum,
        "lookahead": optimizer.lookahead,
        "lr": optimizer.rates(0, 1)[0],
    }
    settings |= {} if ramp is None else {"lr.start": ramp.start, "lr.end": ramp.end, "lr.steps": ramp.steps}
    for name, setting in settings.items():
        if name in place:
            fixed[place[name]] = setting
    n = loss.dimension
    fixed[-2 * n :] = [*problem.start, *problem.previous]
    targets = [place[name] for name in plan.axes]
    shape, axes = list(plan.shape), list(plan.axes.values())
    offsets = [0, *np.cumsum(shape)[:-1]]
    follow = [(place[name] + n, k) for k, name in enumerate(plan.axes) if name.startswith("start.")]
    module = modules.compiled(loss.sweep_source(variant))
    table = optimizer.rates(0, problem.steps + 1) if plan.rate == "table" else np.zeros(1)
    flat = {name: np.empty(plan.cells * plan.repeats, MEASURES[name].dtype) for name in plan.measures}
    follows = np.full(len(shape), -1)
    if plan.moves_with_start:
        for target, k in follow:
            if f"previous.{list(plan.axes)[k][6:]}" not in plan.axes:
                follows[k] = target
    compile_seconds = 0.0
    block = _block(plan.cells, threads)
    for repeat in range(plan.repeats):
        noise = problem.noise_at(0, problem.steps, repeat) if variant.noise else np.zeros((1, 1))
        arguments = (
            np.array(shape), np.array(targets), follows, np.array(offsets), np.concatenate(axes), fixed, table, noise,
            problem.steps, problem.escape,
        )  # fmt: skip
        if repeat == 0:
            began = time.perf_counter()
            module.run(0, 0, *arguments, np.empty((len(measures), 0)))
            compile_seconds = time.perf_counter() - began
        base = repeat * plan.cells

        def work(first: int, count: int, arguments: tuple[Any, ...] = arguments, base: int = base) -> None:
            out = np.empty((len(measures), count))
            module.run(first, count, *arguments, out)
            for k, name in enumerate(measures):
                flat[name][base + first : base + first + count] = out[k]

        pool.run_blocks(work, plan.cells, block, threads, progress=progress)
    return flat, compile_seconds


def _places(loss: SymbolicLoss, inputs: Sequence[str]) -> dict[str, int]:
    """Return where a kernel keeps each input, by the axis that sets it."""
    public = dict(zip(loss.formulas.parameters, loss.parameters, strict=True))
    for word in ("start", "previous"):
        public |= {
            f"{word}.{w}": f"{word}.{n}"
            for w, n in zip(loss.formulas.weights, loss.weight_names, strict=True)
        }
    return {public.get(name, name): k for k, name in enumerate(inputs)}


def _block(cells: int, threads: int) -> int:
    """Return a block size, whole lanes: small enough to share the work evenly, at most LARGEST_BLOCK."""
    wanted = min(LARGEST_BLOCK, -(-cells // (8 * threads)))
    return max(LANES, -(-wanted // LANES) * LANES)


def _cells(plan: Plan, threads: int, progress: bool) -> dict[str, Array]:
    """Run the grid a cell at a time; return flat outputs by measure, repeats first."""
    from threadpoolctl import threadpool_limits

    flat = {name: np.empty(plan.cells * plan.repeats, MEASURES[name].dtype) for name in plan.measures}

    def work(first: int, count: int) -> None:
        for k in range(first, first + count):
            problem, _ = plan.cell(k % plan.cells)
            for name, value in _measured(problem, plan.measures, k // plan.cells).items():
                flat[name][k] = value

    with threadpool_limits(1, user_api="blas"):
        pool.run_blocks(work, plan.cells * plan.repeats, 1, threads, progress=progress)
    return flat


def _measured(problem: Problem, measures: Sequence[str], repeat: int) -> dict[str, float]:
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


def _dataset(plan: Plan, flat: dict[str, Array], seconds: float, compile_seconds: float) -> xarray.Dataset:
    import xarray

    dims = [*plan.axes, "repeat"] if plan.repeats > 1 else [*plan.axes]
    out = xarray.Dataset(coords=dict(plan.axes))
    if plan.repeats > 1:
        out = out.assign_coords(repeat=np.arange(plan.repeats))
    for name, values in flat.items():
        grid = np.moveaxis(values.reshape(plan.repeats, *plan.shape), 0, -1)
        out[name] = (dims, np.ascontiguousarray(grid) if plan.repeats > 1 else grid[..., 0])
        out[name].attrs.update(MEASURES[name].attributes)
        if name == "phase":
            out[name].attrs.update(outcomes.flag_attributes())
    for name in plan.axes:
        long_name, units = LONG_NAMES.get(name, (name, "1"))
        out[name].attrs.update(long_name=long_name, units=units)
    out.attrs.update(provenance(plan.problem, seconds), compile_seconds=compile_seconds, repeats=plan.repeats)
    return out
