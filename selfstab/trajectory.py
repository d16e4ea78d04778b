"""One run of any loss: the recorded trajectory as an xarray Dataset."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import selfstab
from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.kernels.noise import normal
from selfstab.krylov import NotFiniteError
from selfstab.losses.protocol import Initialization, Loss
from selfstab.losses.symbolic import SymbolicLoss
from selfstab.optimizers import HeavyBall
from selfstab.schedules import Constant, LinearWarmup
from selfstab.spectrum import Eigenpair
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

KEEP: Final = {
    "loss": ("L(w_t)", "loss"),
    "sharpness": ("largest Hessian eigenvalue at w_t", "1/lr"),
    "weights": ("w_t", "weight"),
    "velocity": ("v_t = w_t - w_{t-1}", "weight per step"),
    "gradient_norm": ("norm of the gradient at w_t", "loss per weight"),
    "top_eigenvector": ("unit eigenvector of the sharpness, sign continuous in t", "1"),
}
"""What a run can record: long name and unit."""

MOST_STEPS: Final = 2**53
"""Beyond it a step is not exact in float64."""

_NOISE_ROWS = 4096


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
        Any loss of this package, or one that implements :class:`selfstab.losses.protocol.Loss`.
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
        divergence. ``sharpness_residual``, ‖Hu − Su‖, stands beside the sharpness of losses that are not symbolic.
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
    if isinstance(loss, SymbolicLoss):
        data, diverged_at = _symbolic(loss, problem, every, wanted)
    else:
        data, diverged_at = _general(problem, every, wanted)
    seconds = time.perf_counter() - began
    return _dataset(problem, every, data, diverged_at, seconds)


@dataclass(frozen=True)
class Problem:
    """The validated arguments of a run."""

    loss: Loss
    optimizer: HeavyBall
    start: Array
    previous: Array
    steps: int
    escape: float
    noise: float
    seed: int

    @classmethod
    def checked(
        cls,
        loss: Any,
        optimizer: Any,
        start: Any,
        previous: Any,
        steps: Any,
        escape: Any,
        noise: Any,
        seed: Any,
    ) -> Problem:
        """Return the problem, or raise before anything runs."""
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
        if not isinstance(optimizer, HeavyBall):
            raise TypeError(f"optimizer must be a HeavyBall, got {validation.shown(optimizer)}")
        if isinstance(start, Initialization):
            start = start.weights(loss)
        first = validation.floats("start", start, shape=(loss.dimension,))
        before = (
            first.copy()
            if previous is None
            else validation.floats("previous", previous, shape=(loss.dimension,))
        )
        steps = validation.integer("steps", steps, at_least=0, at_most=MOST_STEPS)
        escape = validation.real("escape", escape, above=0)
        if np.abs(first).max() > escape:
            raise ValueError(f"start must lie within escape = {escape:g}, got {validation.shown(start)}")
        problem = cls(
            loss, optimizer, first, before,
            steps, escape,
            validation.real("noise", noise, at_least=0), validation.integer("seed", seed, at_least=0, at_most=2**63),
        )  # fmt: skip
        problem.check_rates(optimizer)
        return problem

    def check_rates(self, optimizer: HeavyBall) -> None:
        """Raise if the schedule of an optimizer, this one or another, gives a step no learning rate."""
        if not isinstance(optimizer.schedule, (Constant, LinearWarmup)):
            for t in range(0, self.steps + 1, _NOISE_ROWS):
                optimizer.rates(t, min(t + _NOISE_ROWS, self.steps + 1))

    def noise_at(self, first: int, last: int, repeat: int = 0) -> Array:
        """Return the noise of the updates first, ..., last − 1; shape (last − first, dimension)."""
        with np.errstate(over="ignore"):
            return self.noise * normal(self.seed, repeat, first, last, self.loss.dimension)

    @property
    def velocity(self) -> Array:
        """v_0 = start − previous, shape (dimension,)."""
        with np.errstate(over="ignore"):
            return self.start - self.previous


def _records(steps: int, every: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    at = np.arange(0, steps + 1, every, dtype=np.int64)
    return at if at[-1] == steps else np.append(at, np.int64(steps))


def _symbolic(
    loss: SymbolicLoss, problem: Problem, every: int, keep: tuple[str, ...]
) -> tuple[dict[str, Array], int]:
    n, steps = loss.dimension, problem.steps
    records = np.empty((len(_records(steps, every)), 2 * n))
    noisy = problem.noise > 0
    diverged_at = int(
        loss._run_entry("trace", steps)(
            problem.start, problem.velocity,
            problem.optimizer.rates(0, steps), problem.optimizer.momentum, problem.optimizer.lookahead,
            loss._values, problem.noise_at(0, steps) if noisy else np.zeros((1, n)), noisy,
            every, problem.escape, records,
        )
    )  # fmt: skip
    if diverged_at >= 0:
        records = records[: (diverged_at - 1) // every + 1]
    weights = np.ascontiguousarray(records[:, :n])
    losses, sharpnesses = loss._evaluate(weights, loss="loss" in keep, sharpness="sharpness" in keep)
    data: dict[str, Array] = {"weights": weights, "velocity": np.ascontiguousarray(records[:, n:])}
    data |= {"loss": losses, "sharpness": sharpnesses}
    if "gradient_norm" in keep:
        data["gradient_norm"] = np.array([_norm(loss._gradient(w)) for w in weights])
    if "top_eigenvector" in keep:
        vectors: list[Array] = []
        for w in weights:
            vectors.append(top_pair(loss, w, vectors[-1] if vectors else None).vector)
        data["top_eigenvector"] = np.array(vectors)
    return {name: data[name] for name in keep}, diverged_at


@dataclass(frozen=True)
class State:
    """One step of a run: w_t and v_t."""

    step: int
    weights: Array
    velocity: Array


def states(problem: Problem, repeat: int = 0) -> Iterator[State]:
    """Yield the states at steps 0, 1, ... until the end, or until before the divergence."""
    optimizer, loss = problem.optimizer, problem.loss
    w, v = problem.start, problem.velocity
    yield State(0, w, v)
    for first in range(0, problem.steps, _NOISE_ROWS):
        last = min(first + _NOISE_ROWS, problem.steps)
        lr = optimizer.rates(first, last)
        table = problem.noise_at(first, last, repeat) if problem.noise > 0 else None
        for t in range(first, last):
            # An overflow shows in the weights, and ends the run there.
            with np.errstate(all="ignore"):
                w, v = optimizer.update(
                    w, v, loss._gradient, lr[t - first], 0.0 if table is None else table[t - first]
                )
                inside = bool(np.abs(w).max() <= problem.escape)
            if not inside:
                return
            yield State(t + 1, w, v)


def top_pair(loss: Loss, w: Array, guess: Array | None) -> Eigenpair:
    """Return the top eigenpair at w; nan where the Hessian is beyond the range of float64."""
    if guess is not None and np.isnan(guess).any():
        guess = None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return loss._sharpness(w, guess)
    except NotFiniteError:
        return Eigenpair(np.nan, np.full(loss.dimension, np.nan), np.nan)


def _norm(vector: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.linalg.norm(vector))


def _general(problem: Problem, every: int, keep: tuple[str, ...]) -> tuple[dict[str, Array], int]:
    reached = 0

    def recorded() -> Iterator[State]:
        nonlocal reached
        for state in states(problem):
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
                data["loss"].append(loss._value(w))
            if "gradient_norm" in data:
                data["gradient_norm"].append(_norm(loss._gradient(w)))
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


def _dataset(
    problem: Problem, every: int, data: dict[str, Array], diverged_at: int, seconds: float
) -> xarray.Dataset:
    import xarray

    at = _records(problem.steps, every)
    at = at if diverged_at < 0 else at[at < diverged_at]
    lr = _at(problem.optimizer.rates, at)
    thresholds = _at(problem.optimizer.thresholds, at)
    out = xarray.Dataset(coords={"step": at})
    for name, values in data.items():
        out[name] = (("step", "weight")[: values.ndim], values)
    if "weight" in out.dims:
        # Strings of any length: Zarr has no specification for fixed-length ones.
        out = out.assign_coords(weight=np.array(problem.loss.weight_names, dtype=object))
    out["lr"] = ("step", lr)
    out["max_stable_sharpness"] = ("step", thresholds)
    out["diverged_at"] = ((), np.int64(diverged_at))
    described = KEEP | {
        "sharpness_residual": ("norm of H u - S u", "1/lr"),
        "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
        "max_stable_sharpness": ("2 (1 + momentum) / (lr (1 + 2 lookahead))", "1/lr"),
        "diverged_at": ("first step beyond the escape radius or not finite, -1 if none", "step"),
    }
    for name, (long_name, units) in described.items():
        if name in out:
            out[name].attrs.update(long_name=long_name, units=units)
    out["step"].attrs["long_name"] = "number of updates"
    out.attrs.update(provenance(problem, seconds), every=every)
    return out


def _at(values: Any, steps: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Array:
    """Return values(first, last) at the given steps, in pieces so that memory does not grow with the run."""
    out = np.empty(len(steps))
    rows = max(1, _NOISE_ROWS // int(steps[1] - steps[0])) if len(steps) > 1 else 1
    for k in range(0, len(steps), rows):
        part = steps[k : k + rows]
        out[k : k + rows] = values(int(part[0]), int(part[-1]) + 1)[part - part[0]]
    return out


def provenance(problem: Problem, seconds: float) -> dict[str, Any]:
    """Return a dataset's attributes: settings as JSON, versions, machine and seconds; all survive NetCDF and Zarr."""
    return {
        "loss": problem.loss.description,
        "optimizer": json.dumps(described_optimizer(problem.optimizer)),
        "steps": problem.steps,
        "escape": problem.escape,
        "noise": problem.noise,
        "seed": problem.seed,
        "start": _point(problem.start),
        "previous": _point(problem.previous),
        "versions": versions(),
        "machine": platform.machine(),
        "seconds": seconds,
    }


@cache
def versions() -> str:
    """Return the versions of this package and of those that its numbers come from, as JSON."""
    found = {name: version(name) for name in ("numpy", "numba", "scipy", "sympy", "xarray")}
    return json.dumps(found | {"selfstab": selfstab.__version__, "python": platform.python_version()})


def _point(weights: Array) -> str:
    """Return weights as JSON, or their hash where there are many."""
    if weights.size <= 64:
        return json.dumps(weights.tolist())
    return "sha256 " + hashlib.sha256(weights.astype("<f8").tobytes()).hexdigest()


def described_optimizer(optimizer: HeavyBall) -> dict[str, Any]:
    """Return the optimizer's settings in a form that JSON keeps."""
    lr = optimizer.lr
    shown = lr if isinstance(lr, float) else {"schedule": repr(lr)}
    return {"lr": shown, "momentum": optimizer.momentum, "lookahead": optimizer.lookahead}
