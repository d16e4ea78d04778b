"""The constrained trajectory: momentum projected after each step onto weights at the edge of stability or below.

Written w†. Each step is heavy ball's, with the velocity w†_t − w†_{t−1} of the projected weights, and is then projected
onto {S ≤ S*, u·∇L = 0} by linearized projections (derivations/m1_constrained.py). Without momentum it is the
constrained trajectory of [Damian2023]_.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import theory, validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.eigen.pairs import Eigenpair
from selfstab.flows import arguments
from selfstab.flows.projection import ROUGH, Point, second_pair
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.dataset import dataset as run_dataset
from selfstab.runs.problem import Problem, StepRates
from selfstab.runs.variables import BESIDE_CONSTRAINED, CONSTRAINED, CONSTRAINED_KEEP, Variable
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

MARGIN: Final = 0.05
"""The second eigenvalue is near where it is within this share of what it is compared with."""

# Of (S − S*)/S*, and of Newton's step along u over the length S/b on which S changes.
_CONSTRAINTS_MET = 1e-3
_EIGENPAIR_MET = 1e-6  # of the residual over S

INVALID: Final = {
    1: "second_eigenvalue_near_threshold",
    2: "top_eigenvalue_nearly_degenerate",
    4: "eigenpair_not_converged",
    8: "constraints_not_met",
}
"""Bits of the variable ``invalid``, and what they mean."""


@dataclass(frozen=True)
class TrajectoryStep:
    """One step of the constrained trajectory.

    Parameters
    ----------
    step, lr, threshold
        t, η_t and S*_t.
    point
        w†_t.
    velocity
        w†_t − w†_{t−1}.
    sharpening
        ½b²δ², per η, of a trajectory on the edge: α, or 0 where α is negative. With a threshold that moves it is
        α + (S*_t − S*_{t+1} − β(S*_{t−1} − S*_t))/η_t.
    excess
        How fast the projection of the step to come holds sharpness back, per η. On the edge it is `sharpening`.
        Elsewhere it is α + (S(w†_t) − S*_{t+1} − β(S(w†_{t−1}) − S(w†_t)))/η_t: by what sharpness would exceed the
        threshold, to first order, over η_t; and 0 where it would not exceed it.
    """

    step: int
    lr: float
    threshold: float
    point: Point
    velocity: Array
    sharpening: float
    excess: float


def stages(problem: Problem) -> Iterator[TrajectoryStep]:
    """Yield the constrained trajectory's steps 0, 1, ...; it ends early where the weights leave float64's range.

    It starts at the start, projected, with the part of the start's velocity that is tangent to the constraints.
    """
    loss, beta = problem.loss, arguments.momentum_of(problem)
    rates = StepRates(problem.optimizer, problem.steps)

    def threshold_at(step: int) -> float:
        return float(problem.optimizer.thresholds_of(rates[step]))

    with np.errstate(all="ignore"):  # an overflow shows in the sharpness, and ends the trajectory there
        point = Point.at(loss, problem.start, None, ROUGH).projected(threshold_at(0))
        velocity = _tangent(problem.velocity, point, threshold_at(0))
        before, last = point.top.value, point.top.vector
        for t in range(problem.steps + 1):
            if not (np.isfinite(point.top.value) and np.abs(point.weights).max() <= problem.escape):
                if t == 0:
                    raise ValueError(
                        f"start must lie where its projection onto sharpness <= {threshold_at(0):g} is finite, "
                        f"got {validation.shown(problem.start.tolist())}"
                    )
                return
            threshold = threshold_at(t)
            lr, now, later = rates[t], point.top.value, threshold_at(min(t + 1, problem.steps))
            earlier = threshold_at(max(t - 1, 0))
            sharpening = excess = 0.0
            if lr > 0.0:
                sharpening = point.sharpening + (threshold - later - beta * (earlier - threshold)) / lr
                excess = point.sharpening + (now - later - beta * (before - now)) / lr
            yield TrajectoryStep(t, lr, threshold, point, velocity, max(sharpening, 0.0), max(excess, 0.0))
            if t < problem.steps:
                moved = point.weights + beta * velocity - lr * point.gradient
                ahead = 2.0 * point.top.vector - last
                after = Point.at(loss, moved, ahead, ROUGH).projected(later)
                velocity, before, last, point = after.weights - point.weights, now, point.top.vector, after


def _tangent(velocity: Array, point: Point, threshold: float) -> Array:
    """Return the part of a velocity that keeps u·∇L = 0 and, at the edge, S = S*, to leading order."""
    u, across = point.top.vector, point.across
    tangent = velocity - (u @ velocity) * u
    if point.top.value >= threshold * (1.0 - _CONSTRAINTS_MET) and point.stabilization > 0.0:
        tangent = tangent - ((across @ tangent) / point.stabilization) * across
    return tangent


@dataclass
class TrajectoryRecord:
    """What is recorded along the constrained trajectory, by name; call it once a step."""

    data: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in (*CONSTRAINED, "invalid")}
    )
    second_guess: Array | None = None

    def record(self, stage: TrajectoryStep) -> None:
        """Record a step."""
        point = stage.point
        second = second_pair(point, self.second_guess)
        self.second_guess = second.vector
        values = {
            "constrained_loss": point.local.value,
            "constrained_sharpness": point.top.value,
            "constrained_slope": point.slope,
            "progressive_sharpening": point.sharpening,
            "stabilization": point.stabilization,
            "delta": _delta(point),
            "second_eigenvalue": second.value,
            "constrained_sharpness_residual": point.top.residual,
            "second_eigenvalue_residual": second.residual,
            "invalid": _invalid(stage, second),
        }
        for name, value in values.items():
            self.data[name].append(value)


def _delta(point: Point) -> float:
    return (
        float(np.sqrt(2.0 * max(point.sharpening, 0.0) / point.stabilization))
        if point.stabilization > 0
        else 0.0
    )


def _invalid(stage: TrajectoryStep, second: Eigenpair) -> int:
    """Return the bits of `INVALID` that hold."""
    point, threshold = stage.point, stage.threshold
    sharpness, b = point.top.value, np.sqrt(point.stabilization)
    met = sharpness <= threshold * (1.0 + _CONSTRAINTS_MET) and (
        abs(point.slope) * b <= _CONSTRAINTS_MET * abs(sharpness) ** 2
    )
    return (
        1 * (second.value > (1.0 - MARGIN) * threshold)
        + 2 * (second.value > (1.0 - MARGIN) * sharpness)
        + 4 * (not all(pair.residual <= _EIGENPAIR_MET * abs(sharpness) for pair in (point.top, second)))
        + 8 * (not met)
    )


def checked(
    loss: Any, optimizer: Any, start: Any, previous: Any, steps: Any, variables: Sequence[Variable] = ()
) -> Problem:
    """Return the arguments of a constrained trajectory, validated; `variables` are recorded at each step."""
    problem = arguments.checked(
        loss, optimizer, start, previous, steps, escape=1e6, order=3, variables=variables
    )
    if problem.loss.dimension < 2:
        raise ValueError(f"loss must have two weights or more, got {problem.loss.dimension}")
    return problem


def constrained_trajectory(
    loss: Loss, optimizer: HeavyBall, start: Any, steps: int, *, keep: Sequence[str] = ()
) -> xarray.Dataset:
    r"""Follow momentum gradient descent projected onto weights at the edge of stability or below.

    .. math::
        w^†_{t+1} = \mathrm{proj}\left[w^†_t − η∇L(w^†_t) + β(w^†_t − w^†_{t−1})\right]
        \text{ onto } \{S ≤ S^*_{t+1},\ u·∇L = 0\}

    The projection is three linearized ones, each a Newton step along u and, where S > S*, a step along ∇S⊥. It starts
    at `start`, projected, at rest.

    Parameters
    ----------
    loss
        A loss of two weights or more, with third derivatives.
    optimizer
        lr (or its schedule) and momentum; lookahead must be 0.
    start
        Weights, shape (dimension,), or an :class:`Initialization`.
    steps
        Number of updates, >= 0.
    keep
        Any of weights, top_eigenvector and sharpness_gradient (across u), kept beside the rest.

    Returns
    -------
    xarray.Dataset
        Dimension step. Variables:

        - ``constrained_loss``, ``constrained_sharpness``, ``constrained_slope`` (u·∇L);
        - ``progressive_sharpening`` α, ``stabilization`` b², ``delta`` δ and ``second_eigenvalue`` there;
        - ``edge_inertia_number``: κ of the cycles that α drives. It is NaN (unknown) where α <= 0, and means something
          only where ``invalid`` is 0;
        - residuals of the eigenpairs;
        - ``invalid``: its bits say which of the theory's conditions fails at a step (0: none). 1: the second
          eigenvalue is within 5% of the threshold. 2: it is within 5% of S. 4: an eigenpair has not converged. 8: the
          constraints are not met.

        ``lr`` and ``max_stable_sharpness`` of the update t → t + 1; ``constrained_diverged_at`` (−1 if never), before
        which records stop. Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range, or the start's projection is not finite.

    Notes
    -----
    Without momentum it is the constrained trajectory of [Damian2023]_; with momentum, see
    derivations/m1_constrained.py.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(1.0, progressive_sharpening=0.01, stabilization=4.0)
    >>> path = ss.constrained_trajectory(loss, ss.HeavyBall(2.0), [0.0, -0.1], 20)
    >>> path.constrained_sharpness.values[[0, 10, 20]].round(3)
    array([0.8, 1. , 1. ])
    >>> round(float(path.delta[-1]), 4)
    0.0707
    """
    keep = validation.some_of("keep", keep, CONSTRAINED_KEEP)
    recorded = [*CONSTRAINED.values(), *(CONSTRAINED_KEEP[name] for name in keep)]
    problem = checked(loss, optimizer, start, None, steps, recorded)
    began = time.perf_counter()
    recorder = TrajectoryRecord()
    vectors: dict[str, list[Array]] = {name: [] for name in keep}
    with one_blas_thread():  # the bits of a product depend on the number of threads
        for stage in stages(problem):
            recorder.record(stage)
            point = stage.point
            steps_vectors = (point.weights, point.top.vector, point.across)
            for name, value in zip(CONSTRAINED_KEEP, steps_vectors, strict=True):
                if name in vectors:
                    vectors[name].append(value)
    data = {name: np.array(values) for name, values in (recorder.data | vectors).items()}
    reached = len(data["invalid"])
    diverged = {"constrained_diverged_at": reached if reached <= problem.steps else -1}
    return dataset(problem, data, CONSTRAINED | CONSTRAINED_KEEP, diverged, time.perf_counter() - began)


def dataset(
    problem: Problem,
    data: Mapping[str, Array],
    variables: Mapping[str, Variable],
    diverged: Mapping[str, int],
    seconds: float,
) -> xarray.Dataset:
    """Return the records as a dataset, with the rates, thresholds, flags and settings."""
    reached = len(data["invalid"])
    rates = problem.optimizer.rates(0, reached) if reached else np.empty(0)
    # Without progressive sharpening nothing drives a cycle, and there is no κ: 0 would read as a small one. Arguments
    # of theory's function are above 0, and where lr is 0 the formula is 0.
    alpha = data["progressive_sharpening"]
    driven = (alpha > 0.0) & (rates > 0.0)
    kappa = np.where((alpha > 0.0) & (rates == 0.0), 0.0, np.nan)
    kappa[driven] = theory.edge_inertia_number(rates[driven], arguments.momentum_of(problem), alpha[driven])
    out = run_dataset(
        problem, np.arange(reached), {**data, "edge_inertia_number": kappa}, seconds,
        diverged_at=diverged, variables={**variables, **BESIDE_CONSTRAINED}, rates=rates,
    )  # fmt: skip
    out["invalid"] = out["invalid"].astype(np.int8)
    out["invalid"].attrs.update(
        long_name="why the theory does not apply at a step, 0 where it does",
        flag_masks=np.array(list(INVALID), dtype=np.int8), flag_meanings=" ".join(INVALID.values()),
    )  # fmt: skip
    return out
