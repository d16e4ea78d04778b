"""The rod flow: midpoint and spread of two consecutive iterates of momentum gradient descent, in continuous time.

Of [Regis2026]_ for gradient descent; derivations/m2_rod_flow.py. It knows the edge of stability, and has catapults.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.flows.arguments import checked, momentum_of
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.dataset import dataset, recorded_steps
from selfstab.runs.preconditioned import top_pair
from selfstab.runs.problem import Problem, StepRates
from selfstab.runs.variables import ROD_FLOW, ROD_FLOW_KEEP
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

FULL_UP_TO: Final = 200
"""Weights up to which Σ is carried in full."""

_AXES = 1e-14
"""Axes of Σ whose variance is below this share of the largest are left out."""


@dataclass(frozen=True)
class Step:
    """The map of which the flow is made: z_{t+1} = z_t + G(z_t).

    Without momentum z = w and G = −η∇L; with it z = (w, v) and G = (βv − η∇L, −(1 − β)v − η∇L).

    Parameters
    ----------
    loss, lr, momentum
        L, η and β.
    """

    loss: Loss
    lr: float
    momentum: float

    def change(self, z: Array) -> Array:
        """Return G(z)."""
        n = self.loss.dimension
        move = -self.lr * self.loss.gradient_at(z[:n])
        return move if self.momentum == 0.0 else self._with_velocity(move, z[n:])

    def change_along(self, z: Array, along: Array) -> Array:
        """Return DG(z)·along."""
        n = self.loss.dimension
        move = -self.lr * self.loss.hessian_vector_at(z[:n], along[:n])
        return move if self.momentum == 0.0 else self._with_velocity(move, along[n:])

    def _with_velocity(self, move: Array, v: Array) -> Array:
        return np.concatenate([move + self.momentum * v, move - (1.0 - self.momentum) * v])


def velocities(step: Step, middle: Array, axes: Array) -> tuple[Array, Array, Array]:
    r"""Return dz̄/dt, the drift f, and what the step makes of each axis.

    With one axis d, f = ½(G₊ + G₋), g = ½(G₊ − G₋) and dz̄/dt = f − ¼(DG₊ + DG₋)f, where G± = G(z̄ ± d). With several
    each adds its even part: f = G + Σᵢ[½(G(z̄ + dᵢ) + G(z̄ − dᵢ)) − G], and likewise DG.

    Parameters
    ----------
    step
        The map.
    middle
        z̄, shape (m,).
    axes
        dᵢ, the axes of Σ = Σᵢ dᵢdᵢᵀ, as rows, shape (r, m).
    """
    ends = [(step.change(middle + d), step.change(middle - d)) for d in axes]
    odd = np.array([0.5 * (plus - minus) for plus, minus in ends]).reshape(-1, len(middle))
    even = [0.5 * (plus + minus) for plus, minus in ends]
    others = len(axes) - 1
    drift = np.sum(even, axis=0) if ends else step.change(middle)
    if ends and others:
        drift = drift - others * step.change(middle)
    bent = sum(
        (0.5 * (step.change_along(middle + d, drift) + step.change_along(middle - d, drift)) for d in axes),
        start=np.zeros_like(middle),
    )
    if others:
        bent = bent - others * step.change_along(middle, drift)
    return drift - 0.5 * bent, drift, odd


class Rod(Protocol):
    """The state of a rod flow as one vector, with its velocity."""

    @staticmethod
    def started(first: Array, second: Array, step: Step) -> Array:
        """Return the state of two consecutive iterates."""
        ...

    @staticmethod
    def velocity(step: Step, state: Array) -> Array:
        """Return the state's rate of change per step."""
        ...

    @staticmethod
    def spread(step: Step, state: Array) -> tuple[Array, Array]:
        """Return z̄ and the axes of Σ, as rows, the largest first."""
        ...


class FullRod:
    """z̄ and all of Σ: dΣ/dt = ½(ffᵀ + Σᵢ gᵢgᵢᵀ) − 2Σ, which is ¼(G₊G₊ᵀ + G₋G₋ᵀ) − 2Σ where Σ = ddᵀ."""

    @staticmethod
    def started(first: Array, second: Array, step: Step) -> Array:
        """Return the state of two consecutive iterates: their midpoint, and ddᵀ."""
        d = 0.5 * (first - second)
        return np.concatenate([0.5 * (first + second), np.outer(d, d).ravel()])

    @staticmethod
    def velocity(step: Step, state: Array) -> Array:
        """Return the state's rate of change per step."""
        middle, axes = FullRod.spread(step, state)
        moved, drift, odd = velocities(step, middle, axes)
        n = len(middle)
        spread = 0.5 * (np.outer(drift, drift) + odd.T @ odd) - 2.0 * state[n:].reshape(n, n)
        return np.concatenate([moved, spread.ravel()])

    @staticmethod
    def spread(step: Step, state: Array) -> tuple[Array, Array]:
        """Return z̄ and the axes of Σ, as rows, the largest first."""
        n = round(np.sqrt(state.size + 0.25) - 0.5)
        matrix = state[n:].reshape(n, n)
        if not np.isfinite(matrix).all():
            return state[:n], np.full((1, n), np.nan)
        sizes, directions = np.linalg.eigh(matrix)
        significant = sizes > max(_AXES * sizes[-1], 0.0)
        axes = np.sqrt(sizes[significant])[:, None] * directions[:, significant].T
        return state[:n], axes[::-1]


class ThinRod:
    """z̄ and one axis d: Σ = ¼ffᵀ + ddᵀ, with the drift's share at its balance.

    The rest of dΣ/dt, ½ggᵀ − 2ddᵀ, is followed as far as matrices of rank one go: projected onto their tangents
    ḋdᵀ + dḋᵀ, it is ḋ = g(g·d)/(2‖d‖²) − (1 + (g·d)²/(4‖d‖⁴))d.
    """

    @staticmethod
    def started(first: Array, second: Array, step: Step) -> Array:
        """Return the state of two consecutive iterates: their midpoint, and the half-difference without the drift's."""
        middle, d = 0.5 * (first + second), 0.5 * (first - second)
        odd = 0.5 * (step.change(middle + d) - step.change(middle - d))
        return np.concatenate([middle, -0.5 * odd])  # d = −½G₊ = −½(f + g)

    @staticmethod
    def velocity(step: Step, state: Array) -> Array:
        """Return the state's rate of change per step."""
        middle, d = state.reshape(2, -1)
        moved, _, odd = velocities(step, middle, d[None])
        size = float(np.linalg.norm(d))
        if size == 0.0:
            return np.concatenate([moved, np.zeros_like(d)])
        unit, g = d / size, odd[0] / size
        along = float(g @ unit)
        return np.concatenate([moved, size * (0.5 * along * g - (1.0 + 0.25 * along**2) * unit)])

    @staticmethod
    def spread(step: Step, state: Array) -> tuple[Array, Array]:
        """Return z̄ and the axes of Σ, as rows, the largest first."""
        middle, d = state.reshape(2, -1)
        drift = velocities(step, middle, d[None])[1]
        axes = np.array([d, 0.5 * drift])
        if not np.isfinite(axes).all():
            return middle, axes
        _, sizes, directions = np.linalg.svd(axes, full_matrices=False)
        return middle, sizes[:, None] * directions


def advanced(rod: type[Rod], step: Step, state: Array, substeps: int) -> Array:
    """Return the state one step later, by the classical Runge-Kutta method of fourth order."""
    span = 1.0 / substeps
    for _ in range(substeps):
        first = rod.velocity(step, state)
        second = rod.velocity(step, state + 0.5 * span * first)
        third = rod.velocity(step, state + 0.5 * span * second)
        fourth = rod.velocity(step, state + span * third)
        state = state + span / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
    return state


def rod_flow(
    loss: Loss,
    optimizer: HeavyBall,
    start: Any,
    steps: int,
    *,
    previous: Any = None,
    substeps: int = 4,
    every: int = 1,
    keep: Sequence[str] = (),
    escape: float = 1e6,
) -> xarray.Dataset:
    r"""Follow midpoint and spread of two consecutive iterates of momentum gradient descent in continuous time.

    .. math::
        \dot{\bar z} = f − ¼(DG_+ + DG_-)f, \quad f = ½(G_+ + G_-), \qquad
        \dot Σ = ¼(G_+G_+^T + G_-G_-^T) − 2Σ

    with z = (w, v), z_{t+1} = z_t + G(z_t), G± = G(z̄ ± d) and Σ = ddᵀ; where Σ has several axes, each adds its share.
    It begins with the iterates of steps 0 and 1; step t of the flow represents those of t and t + 1.

    Parameters
    ----------
    loss
        A loss with second derivatives.
    optimizer
        lr (or its schedule) and momentum; lookahead must be 0.
    start
        w_0, shape (dimension,), or an :class:`Initialization`.
    steps
        Number of updates, >= 0.
    previous
        w_{−1}, shape (dimension,); by default `start`, a start at rest.
    substeps
        Pieces of a step, >= 1. The error is of fourth order in their length.
    every
        Records are at steps 0, every, 2·every, ... and the last.
    keep
        Any of weights (w̄) and axis, kept beside the rest.
    escape
        The flow has diverged at the first step with max(|w̄_i| + √Σ_ii) > escape, one of the rod's ends beyond it, or
        a number that is not finite.

    Returns
    -------
    xarray.Dataset
        Dimension step (and weight): ``loss`` and ``sharpness`` at w̄; ``averaged_loss``; ``variance`` and
        ``largest_variance`` of the weights' half-difference; ``lr``, ``max_stable_sharpness`` and ``diverged_at`` as
        of :func:`simulate`. Beyond `FULL_UP_TO` weights Σ is the drift's ¼ffᵀ and one more axis, and the attribute
        ``closure`` says "rank one", else "none". Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range.

    Notes
    -----
    [Regis2026]_ for gradient descent; for any map derivations/m2_rod_flow.py. Only gradients and Hessian-vector
    products are taken. With a schedule, lr in the step from t to t + 1 is the mean of both.

    Examples
    --------
    >>> import numpy as np, selfstab as ss
    >>> loss, optimizer = ss.DoubleWell(), ss.HeavyBall(1.03 * 1.5, 0.5)  # 3% beyond the threshold of its minima
    >>> rod = ss.rod_flow(loss, optimizer, [1.001], 300, previous=[0.999])
    >>> run = ss.simulate(loss, optimizer, [1.001], 301, previous=[0.999], keep=["weights"])
    >>> swing = 0.5 * float(np.diff(run.weights.values[-2:, 0])[0])
    >>> round(float(rod.variance[-1]) / swing**2, 6)  # that of the two-cycle
    1.0
    """
    every = validation.integer("every", every, at_least=1)
    keep = validation.some_of("keep", keep, ROD_FLOW_KEEP)
    variables = ROD_FLOW | ROD_FLOW_KEEP
    recorded = [variables[name] for name in (*ROD_FLOW, *keep)]
    problem = checked(loss, optimizer, start, previous, steps, escape, 2, every=every, variables=recorded)
    substeps = validation.integer("substeps", substeps, at_least=1, at_most=10**9)
    began = time.perf_counter()
    thin = problem.loss.dimension > FULL_UP_TO
    # One BLAS thread: the bits of a product depend on the number of threads. An overflow ends the flow.
    with one_blas_thread(), np.errstate(all="ignore"):
        data, diverged_at = _followed(problem, ThinRod if thin else FullRod, substeps, every, keep)
    out = dataset(
        problem, recorded_steps(problem.steps, every, diverged_at), data, time.perf_counter() - began,
        diverged_at=diverged_at, variables=variables,
    )  # fmt: skip
    out.attrs.update(every=every, flow="rod flow", substeps=substeps, closure="rank one" if thin else "none")
    return out


def _followed(
    problem: Problem, rod: type[Rod], substeps: int, every: int, keep: Sequence[str]
) -> tuple[dict[str, Array], int]:
    loss, momentum = problem.loss, momentum_of(problem)
    rates = StepRates(problem.optimizer, problem.steps)
    data: dict[str, list[Any]] = {name: [] for name in (*ROD_FLOW, *keep)}
    step = Step(loss, rates[0], momentum)
    z = problem.start if momentum == 0.0 else np.concatenate([problem.start, problem.velocity])
    state, guess = rod.started(z, z + step.change(z), step), None
    for t in range(problem.steps + 1):
        middle, axes = rod.spread(step, state)
        if not _inside(middle, axes, loss.dimension, problem.escape):
            return {name: np.array(values) for name, values in data.items()}, t
        if t % every == 0 or t == problem.steps:
            guess = _record(loss, middle, axes, guess, data)
        if t < problem.steps:
            step = Step(loss, 0.5 * (rates[t] + rates[t + 1]), momentum)
            state = advanced(rod, step, state, substeps)
    return {name: np.array(values) for name, values in data.items()}, -1


def _inside(middle: Array, axes: Array, dimension: int, escape: float) -> bool:
    """Return whether the rod is finite and its weights' ends are within the escape radius."""
    reach = np.abs(middle[:dimension]) + np.sqrt((axes[:, :dimension] ** 2).sum(axis=0))
    return bool(reach.max() <= escape and np.isfinite(middle).all() and np.isfinite(axes).all())


def _record(loss: Loss, middle: Array, axes: Array, guess: Array | None, data: dict[str, list[Any]]) -> Array:
    """Append what is recorded at an integer step; return the top eigenvector."""
    n = loss.dimension
    w, spread = middle[:n], axes[:, :n]
    pair, here = top_pair(loss, w, guess), loss.value_at(w)
    ends = [0.5 * (loss.value_at(w + d) + loss.value_at(w - d)) - here for d in spread]
    sizes = np.linalg.svd(spread, compute_uv=False) ** 2 if spread.size else np.zeros(1)
    values = {
        "loss": here,
        "sharpness": pair.value,
        "sharpness_residual": pair.residual,
        "averaged_loss": here + sum(ends),
        "variance": float(sizes.sum()),
        "largest_variance": float(sizes[0]),
        "weights": w,
        "axis": spread[0] if len(spread) else np.zeros(n),
    }
    for name, series in data.items():
        series.append(values[name])
    return pair.vector
