"""One run of any loss: the recorded trajectory as an xarray Dataset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.pairs import Eigenpair
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.base import Optimizer
from selfstab.runs.dataset import dataset, recorded_steps
from selfstab.runs.problem import Problem
from selfstab.runs.states import State, Tracer, states
from selfstab.runs.variables import KEEP
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
    """Run an optimizer on a loss and record what is asked.

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
        Any of loss, sharpness, weights, velocity, gradient_norm, top_eigenvector; nothing else is computed.
    escape
        The run has diverged at the first step with max|w_i| > escape or a weight that is not finite.
    noise
        Standard deviation of seeded normal noise added to each gradient component at each step.
    seed
        Seed of the noise, >= 0.

    Returns
    -------
    xarray.Dataset
        Dimension step (and weight): the variables of `keep`; ``lr`` and ``max_stable_sharpness`` of the update
        t → t + 1 (of the schedule at the last step, too); ``diverged_at`` (−1 if never). Records stop before a
        divergence. ``sharpness_residual``, ‖Hu − Su‖, stands beside the sharpness of losses without a kernel.
        Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then.

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
    rates = problem.optimizer.rates(0, problem.steps + 1)
    began = time.perf_counter()
    run = _general if problem.loss.kernel is None else _by_kernel
    data, diverged_at = run(problem, every, keep, rates)
    seconds = time.perf_counter() - began
    at = recorded_steps(problem.steps, every, diverged_at)
    out = dataset(problem, at, data, seconds, diverged_at=diverged_at, rates=rates[at])
    return out.assign_attrs(every=every)


def _by_kernel(
    problem: Problem, every: int, keep: tuple[str, ...], rates: Array
) -> tuple[dict[str, Array], int]:
    loss, kernel, n, steps = problem.loss, problem.loss.kernel, problem.loss.dimension, problem.steps
    assert kernel is not None
    carried = problem.carried
    records = np.empty((len(recorded_steps(steps, every)), n * (1 + len(carried))))
    tracer = Tracer(kernel, problem, steps)
    diverged_at = tracer.run(problem, carried, problem.start, 0, rates[:-1], every, records)
    records = records[: len(recorded_steps(steps, every, diverged_at))]
    weights = np.ascontiguousarray(records[:, :n])
    losses, sharpnesses = kernel.evaluate(weights, loss="loss" in keep, sharpness="sharpness" in keep)
    data: dict[str, Array] = {"weights": weights, "velocity": np.ascontiguousarray(records[:, n : 2 * n])}
    data |= {"loss": losses, "sharpness": sharpnesses}
    if "gradient_norm" in keep:
        data["gradient_norm"] = np.array([_norm(loss.gradient_at(w)) for w in weights])
    if "top_eigenvector" in keep:
        vectors: list[Array] = []
        for w in weights:
            vectors.append(top_pair(loss, w, vectors[-1] if vectors else None).vector)
        data["top_eigenvector"] = np.array(vectors)
    return {name: data[name] for name in keep}, diverged_at


def top_pair(loss: Loss, w: Array, guess: Array | None) -> Eigenpair:
    """Return the top eigenpair at w; nan where the Hessian is beyond the range of float64."""
    if guess is not None and np.isnan(guess).any():
        guess = None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return loss.sharpness_at(w, guess)
    except NotFiniteError:
        return Eigenpair(np.nan, np.full(loss.dimension, np.nan), np.nan)


def _norm(vector: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.linalg.norm(vector))


def _general(
    problem: Problem, every: int, keep: tuple[str, ...], rates: Array
) -> tuple[dict[str, Array], int]:
    reached = 0

    def recorded() -> Iterator[State]:
        nonlocal reached
        for state in states(problem, rates=lambda first, last: rates[first:last]):
            reached = state.step
            if state.step % every == 0 or state.step == problem.steps:
                yield state

    # One BLAS thread: the bits of a product depend on the number of threads.
    with one_blas_thread():
        data = values_at(problem.loss, recorded(), keep)
    return data, -1 if reached == problem.steps else reached + 1


def values_at(loss: Loss, path: Iterable[State], keep: Sequence[str]) -> dict[str, Array]:
    """Return what is kept of the states of a loss that has no kernel; beside the sharpness its residual, too."""
    data: dict[str, list[Any]] = {name: [] for name in keep}
    if "sharpness" in keep:
        data["sharpness_residual"] = []
    guess: Array | None = None
    for state in path:
        w = state.weights
        with np.errstate(all="ignore"):
            if "loss" in data:
                data["loss"].append(loss.value_at(w))
            if "gradient_norm" in data:
                data["gradient_norm"].append(_norm(loss.gradient_at(w)))
        if "weights" in data:
            data["weights"].append(w)
        if "velocity" in data:
            data["velocity"].append(state.velocity)
        if "sharpness" in data or "top_eigenvector" in data:
            pair = top_pair(loss, w, guess)
            guess = pair.vector
            if "sharpness" in data:
                data["sharpness"].append(pair.value)
                data["sharpness_residual"].append(pair.residual)
            if "top_eigenvector" in data:
                data["top_eigenvector"].append(pair.vector)
    return {name: np.array(values) for name, values in data.items()}
