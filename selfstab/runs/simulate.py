"""One run of any loss: the recorded trajectory as an xarray Dataset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import validation
from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.pairs import Eigenpair
from selfstab.losses.base.kernel import Kernel
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.dataset import KEEP, dataset, recorded_steps
from selfstab.runs.problem import Problem
from selfstab.runs.states import State, states
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray


def simulate(
    loss: Loss,
    optimizer: HeavyBall,
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
    """Run momentum gradient descent and record what is asked.

    v_{t+1} = β v_t − η_t (∇L(w_t + γ v_t) + noise_t), w_{t+1} = w_t + v_{t+1}, v_0 = start − previous.

    Parameters
    ----------
    loss
        Any loss of this package, or one of your own class, see :class:`Loss`.
    optimizer
        lr (or its schedule), momentum and lookahead.
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
    wanted = validation.some_of("keep", keep, KEEP)
    problem = Problem.checked(loss, optimizer, start, previous, steps, escape, noise, seed)
    every = validation.integer("every", every, at_least=1)
    began = time.perf_counter()
    if (kernel := loss.kernel) is not None:
        data, diverged_at = _by_kernel(kernel, problem, every, wanted)
    else:
        data, diverged_at = _general(problem, every, wanted)
    seconds = time.perf_counter() - began
    return dataset(problem, every, data, diverged_at, seconds)


def _by_kernel(
    kernel: Kernel, problem: Problem, every: int, keep: tuple[str, ...]
) -> tuple[dict[str, Array], int]:
    loss, n, steps = problem.loss, problem.loss.dimension, problem.steps
    records = np.empty((len(recorded_steps(steps, every)), 2 * n))
    noisy = problem.noise > 0
    diverged_at = int(
        kernel.run_function("trace", steps)(
            problem.start, problem.velocity,
            problem.optimizer.rates(0, steps), problem.optimizer.momentum, problem.optimizer.lookahead,
            kernel.values, problem.noise_at(0, steps) if noisy else np.zeros((1, n)), noisy,
            every, problem.escape, records,
        )
    )  # fmt: skip
    if diverged_at >= 0:
        records = records[: (diverged_at - 1) // every + 1]
    weights = np.ascontiguousarray(records[:, :n])
    losses, sharpnesses = kernel.evaluate(weights, loss="loss" in keep, sharpness="sharpness" in keep)
    data: dict[str, Array] = {"weights": weights, "velocity": np.ascontiguousarray(records[:, n:])}
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


def _general(problem: Problem, every: int, keep: tuple[str, ...]) -> tuple[dict[str, Array], int]:
    from threadpoolctl import threadpool_limits

    reached = 0

    def recorded() -> Iterator[State]:
        nonlocal reached
        for state in states(problem):
            reached = state.step
            if state.step % every == 0 or state.step == problem.steps:
                yield state

    # One BLAS thread: the bits of a product depend on the number of threads.
    with threadpool_limits(1, user_api="blas"):
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
