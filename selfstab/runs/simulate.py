"""One run of any loss: the recorded trajectory as an xarray Dataset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.eigen.pairs import DENSE_UP_TO, continuous_in_sign, dense_top_vectors
from selfstab.kernels.machine_code import heard
from selfstab.kernels.measures import PRECONDITIONED
from selfstab.kernels.subnormals import normal, without_subnormals
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.base import Optimizer
from selfstab.runs.dataset import begin_import, check_records, dataset, number_of_records, recorded_steps
from selfstab.runs.preconditioned import preconditioned_pair, preconditioner, top_pair
from selfstab.runs.problem import Problem
from selfstab.runs.states import State, Tracer, states
from selfstab.runs.variables import KEEP, OF_EVERY_RUN
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray


def simulate(
    loss: Loss,
    optimizer: Optimizer,
    start: Any,
    steps: int,
    *,
    previous: Any = None,
    every: int = 1,
    keep: Sequence[str] = ("loss", "sharpness"),
    escape: float = 1e6,
    noise: float = 0.0,
    seed: int = 0,
) -> xarray.Dataset:
    """Run an optimizer on a loss, and record the variables in `keep`.

    With :class:`HeavyBall`, v_{t+1} = β v_t − η_t (∇L(w_t + γ v_t) + noise_t), w_{t+1} = w_t + v_{t+1} and
    v_0 = start − previous.

    Parameters
    ----------
    loss
        Any loss of this package, or one of your own class, see :class:`Loss`.
    optimizer
        :class:`HeavyBall`, or another :class:`Optimizer`.
    start
        w_0, shape (dimension,), or an :class:`Initialization`.
    steps
        Number of updates, >= 0; step 0 is the start.
    previous
        w_{−1}, shape (dimension,); by default `start`, a start at rest. It is never recorded.
    every
        Records are at steps 0, every, 2·every, ... and the last.
    keep
        Any of loss, sharpness, weights, velocity, gradient_norm, top_eigenvector, preconditioned_sharpness,
        preconditioner; nothing else is computed. The preconditioned sharpness is λ_max(P^{-1/2} H P^{-1/2}) with H the
        Hessian at w_t. P is the preconditioner that the update t → t + 1 divides by, without noise. It is 1 where the
        optimizer has none.
    escape
        The run has diverged at the first step with max|w_i| > escape or a weight that is not finite.
    noise
        Standard deviation of seeded normal noise added to each gradient component at each step.
    seed
        Seed of the noise, >= 0.

    Returns
    -------
    xarray.Dataset
        Dimension step (and weight). Variables: those of `keep`; ``lr`` and ``max_stable_sharpness`` of the update
        t → t + 1 (of the schedule at the last step, too); ``diverged_at`` (−1 if never). Records stop before a
        divergence. Losses without a kernel have ``sharpness_residual``, ‖Hu − Su‖, as well.
        Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then.
    MemoryError
        If the records take more than half of the free memory; nothing has run then. It is a ValueError, too.

    Notes
    -----
    Memory grows with the number of records, not with that of steps: learning rates and noise are made a part at a time.

    Examples
    --------
    >>> import selfstab as ss
    >>> run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(lr=0.5), [1.0], 3, keep=["weights"])
    >>> run.weights.values[:, 0]
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    keep = validation.some_of("keep", keep, KEEP)
    problem = Problem.checked(loss, optimizer, start, previous, steps, escape, noise, seed)
    every = validation.integer("every", every, at_least=1)
    # A kernel's run holds the weights and what the optimizer carries, and copies of them.
    beside = 0 if loss.kernel is None else loss.dimension * (2 + len(optimizer.carried))
    check_records(problem, every, [KEEP[name] for name in keep], beside)
    problem.check_rates(problem.optimizer)
    began = time.perf_counter()
    run = _general if problem.loss.kernel is None else _by_kernel
    with heard(begin_import):
        recorded = run(problem, every, keep)
    seconds = time.perf_counter() - began
    at = recorded_steps(problem.steps, every, recorded.diverged_at)
    out = dataset(
        problem, at, recorded.values, seconds, diverged_at=recorded.diverged_at, rates=recorded.rates
    )
    return out.assign_attrs(every=every)


@dataclass(frozen=True)
class _Recorded:
    """What a run recorded: values by name, the step of divergence, and the learning rates if they are known."""

    values: dict[str, Array]
    diverged_at: int
    rates: Array | None = None


def _by_kernel(problem: Problem, every: int, keep: tuple[str, ...]) -> _Recorded:
    loss, kernel, n, steps = problem.loss, problem.loss.kernel, problem.loss.dimension, problem.steps
    assert kernel is not None
    state = np.concatenate([problem.start, *problem.carried])
    count = number_of_records(steps, every)
    records, rates = np.empty((count, state.size)), np.empty(count)
    tracer = Tracer(kernel, problem, steps)
    diverged_at = tracer.record(problem, state, 0, steps, every, records, lr=rates)
    if diverged_at >= 0:
        count = number_of_records(steps, every, diverged_at)
        records, rates = records[:count], rates[:count].copy()
    weights = np.ascontiguousarray(records[:, :n])
    data = {"weights": weights} if "weights" in keep else {}
    if "velocity" in keep:
        data["velocity"] = np.ascontiguousarray(records[:, n : 2 * n])
    of_hessian = "sharpness" in keep
    if {PRECONDITIONED, "preconditioner"} & {*keep}:
        if problem.optimizer.preconditions:
            data[PRECONDITIONED], data["preconditioner"] = without_subnormals(kernel.evaluate_preconditioned)(
                problem.optimizer, records, recorded_steps(steps, every, diverged_at),
                sharpness=PRECONDITIONED in keep, sizes="preconditioner" in keep,
            )  # fmt: skip
        else:
            of_hessian = of_hessian or PRECONDITIONED in keep
            data["preconditioner"] = np.ones((count, n))
    del records
    data["loss"], data["sharpness"] = without_subnormals(
        replace(kernel, values=normal(kernel.values)).evaluate
    )(normal(weights), loss="loss" in keep, sharpness=of_hessian)
    data.setdefault(PRECONDITIONED, data["sharpness"])
    if "gradient_norm" in keep:
        data["gradient_norm"] = norms(loss.gradients_at(weights))
    if "top_eigenvector" in keep:
        data["top_eigenvector"] = top_eigenvectors(loss, weights)
    return _Recorded({name: data[name] for name in keep}, diverged_at, rates)


def norms(vectors: Array) -> Array:
    """Return the lengths of rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        # A product of each row with itself, which NumPy sums as it does for one vector.
        squares: Array = (vectors[:, None, :] @ vectors[:, :, None])[:, 0, 0]
        return np.sqrt(squares)


def top_eigenvectors(loss: Loss, points: Array) -> Array:
    """Return the top eigenvector at each row of `points`, as :func:`top_pair` does with the row before as a guess."""
    out = np.empty(points.shape)
    if loss.dimension > DENSE_UP_TO:
        guess: Array | None = None
        for k, w in enumerate(points):
            out[k] = guess = top_pair(loss, w, guess).vector
        return out
    first = 0
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        for hessians in loss.hessian_blocks_at(points):
            out[first : first + len(hessians)] = dense_top_vectors(hessians)
            first += len(hessians)
        return continuous_in_sign(out)


def _general(problem: Problem, every: int, keep: tuple[str, ...]) -> _Recorded:
    reached = 0

    def recorded() -> Iterator[State]:
        nonlocal reached
        for state in states(problem):
            reached = state.step
            if state.step % every == 0 or state.step == problem.steps:
                yield state

    # One BLAS thread: the bits of a product depend on the number of threads.
    with one_blas_thread():
        values = values_at(problem, recorded(), keep, number_of_records(problem.steps, every))
    return _Recorded(values, -1 if reached == problem.steps else reached + 1)


def values_at(problem: Problem, path: Iterable[State], keep: Sequence[str], most: int) -> dict[str, Array]:
    """Return what is kept of the states of a run whose loss has no kernel; beside a sharpness its residual, too.

    `most` is the most states that there may be.
    """
    loss, optimizer = problem.loss, problem.optimizer
    names = [*keep, *(f"{name}_residual" for name in ("sharpness", PRECONDITIONED) if name in keep)]
    known = KEEP | OF_EVERY_RUN
    data = {
        name: np.empty((most, loss.dimension) if "weight" in known[name].dims else most) for name in names
    }
    guess: Array | None = None
    preconditioned_guess: Array | None = None
    k = 0
    for k, state in enumerate(path, start=1):
        w = state.weights
        row: dict[str, Array | float] = {"weights": w, "velocity": state.velocity}
        with np.errstate(all="ignore"):
            if "loss" in data:
                row["loss"] = loss.value_at(w)
            if "gradient_norm" in data:
                row["gradient_norm"] = float(norms(loss.gradient_at(w)[None])[0])
        if "sharpness" in data or "top_eigenvector" in data:
            pair = top_pair(loss, w, guess)
            guess = pair.vector
            row |= {
                "sharpness": pair.value, "sharpness_residual": pair.residual, "top_eigenvector": pair.vector
            }  # fmt: skip
        if PRECONDITIONED in data:
            pair = preconditioned_pair(loss, optimizer, state, preconditioned_guess)
            preconditioned_guess = pair.vector
            row |= {PRECONDITIONED: pair.value, f"{PRECONDITIONED}_residual": pair.residual}
        if "preconditioner" in data:
            row["preconditioner"] = preconditioner(loss, optimizer, state)
        for name, values in data.items():
            values[k - 1] = row[name]
    return {name: values[:k].copy() if k < most else values for name, values in data.items()}
