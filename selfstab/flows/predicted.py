"""Predicted dynamics: what swings about the constrained trajectory, beside the real run and the gradient flow.

With w† the constrained trajectory, v = w − w† and x = u·v, four closed predictions of a run:

- basic: v follows the loss's Taylor series about w†, up to the terms of second order that act on the swing and on
  sharpness. Without momentum it is the predicted dynamics of [Damian2023]_.
- generalized: the same with the loss's own gradient along u, u·∇L(w† + xu), as in their code.
- projected: basic, with the projection's own displacement in place of −½ηδ²∇S⊥, which it is on the edge only. It holds
  where w† begins below the edge, too.
- two-scale: a slow point m and a swing x along its top eigenvector obey heavy ball on one potential,
  ½[L(m + xu) + L(m − xu)] = L(m) + ½S(m)x² + c₄(m)x⁴/24 + ..., m across u and x along it. Along u the slow point is
  where the slope of the potential vanishes. It knows w† only by where it starts. It leaves out the swing's bend, which
  is odd in x, across u and of third order, and the turning of u. It follows deep swings of the sharpness.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.flows import constrained
from selfstab.flows.arguments import momentum_of
from selfstab.flows.constrained import TrajectoryStep
from selfstab.flows.gradient import GradientFlow
from selfstab.flows.projection import FINE, Accuracy, eigenpair
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.problem import Problem
from selfstab.runs.states import State, states
from selfstab.runs.variables import CONSTRAINED, PREDICTED
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

Form = Literal["basic", "generalized", "projected", "two-scale"]
"""The predictions there are."""

BESIDE: Final = ("run", "flow")
"""What can be run beside a prediction: the run itself, and the gradient flow."""

RECORDED: Final = Accuracy(1e-6, 1e-4)
"""Of the eigenpairs beside the constrained trajectory; the sharpness's error is of the residual's square."""

_SPLITS = 4  # Newton steps to the slow point of a start; each gains a factor of the swing


class PredictedMotion(Protocol):
    """The state of a prediction."""

    def weights(self, stage: TrajectoryStep) -> Array:
        """Return the predicted weights at a step."""

    def advance(self, loss: Loss, stage: TrajectoryStep, momentum: float) -> None:
        """Go from step t to t + 1, given the constrained trajectory's step t."""


@dataclass
class Expansion:
    """The basic, the generalized and the projected prediction: v = w − w† by the loss's expansion about w†.

    Parameters
    ----------
    offset, before
        v_t and v_{t−1}.
    generalized
        Whether the force along u is the loss's own, u·∇L(w† + xu), in place of Sx.
    projected
        Whether ½b²δ² is what the projection takes, in place of what it takes on the edge.
    """

    offset: Array
    before: Array
    generalized: bool = False
    projected: bool = False

    def weights(self, stage: TrajectoryStep) -> Array:
        """Return w† + v."""
        return stage.point.weights + self.offset

    def advance(self, loss: Loss, stage: TrajectoryStep, momentum: float) -> None:
        """Take v_{t+1} = v_t − η[½(x² − δ²)∇S⊥ + Hv + xyu] + β(v_t − v_{t−1})."""
        point, v = stage.point, self.offset
        u = point.top.vector
        x, y = u @ v, point.across @ v
        force = (x * y) * u
        if point.stabilization > 0.0:
            balance = stage.excess if self.projected else stage.sharpening
            force += (0.5 * x**2 - balance / point.stabilization) * point.across
        if self.generalized:
            force += (u @ loss.gradient_at(point.weights + x * u)) * u
            force += point.local.product(v - x * u)
        else:
            force += point.local.product(v)
        self.offset, self.before = v - stage.lr * force + momentum * (v - self.before), v


@dataclass
class TwoScale:
    """The two-scale prediction: a slow point and a swing along its top eigenvector.

    Parameters
    ----------
    slow, slow_before
        m_t and m_{t−1}.
    swing, swing_before
        x_t and x_{t−1}.
    vector
        u(m_{t−1}), from which the eigensolver starts.
    """

    slow: Array
    slow_before: Array
    swing: float
    swing_before: float
    vector: Array

    @classmethod
    def started(cls, loss: Loss, stage: TrajectoryStep, weights: Array, before: Array) -> TwoScale:
        """Split the first weights, and those before them, into a slow point and a swing."""
        u, path = stage.point.top.vector, stage.point.weights
        slow, swing = _split(loss, stage, weights, float(u @ (weights - path)))
        slow_before, swing_before = _split(loss, stage, before, float(u @ (before - path + stage.velocity)))
        return cls(slow, slow_before, swing, swing_before, u)

    def weights(self, stage: TrajectoryStep) -> Array:
        """Return m + xu."""
        del stage
        return self.slow + self.swing * self.vector

    def advance(self, loss: Loss, stage: TrajectoryStep, momentum: float) -> None:
        """Take a step of heavy ball on the potential, m across u and x along it."""
        top = eigenpair(loss.derivatives_at(self.slow), self.vector, FINE)
        u, m, x = top.vector, self.slow, self.swing
        forward, backward = loss.gradient_at(m + x * u), loss.gradient_at(m - x * u)
        even, odd = 0.5 * (forward + backward), 0.5 * float(u @ (forward - backward))
        moved = m - stage.lr * even + momentum * (m - self.slow_before)
        moved -= (u @ (moved - m)) * u
        if top.value > 0.0:
            moved -= ((u @ even) / top.value) * u  # to where the potential's slope along u vanishes
        self.slow, self.slow_before = moved, m
        self.swing, self.swing_before = x - stage.lr * odd + momentum * (x - self.swing_before), x
        self.vector = u


def _started(form: str, problem: Problem, stage: TrajectoryStep) -> PredictedMotion:
    """Return the state at step 0: the run's own weights and velocity."""
    w, previous = problem.start, problem.previous
    path = stage.point.weights
    offset, before = w - path, previous - (path - stage.velocity)
    if form != "two-scale":
        return Expansion(offset, before, generalized=form == "generalized", projected=form == "projected")
    return TwoScale.started(problem.loss, stage, w, previous)


def _split(loss: Loss, stage: TrajectoryStep, weights: Array, swing: float) -> tuple[Array, float]:
    """Return m and x with m + xu the weights and no slope of the potential along u at m, from a first guess of x."""
    u, sharpness = stage.point.top.vector, stage.point.top.value
    slow = weights - swing * u
    for _ in range(_SPLITS if sharpness > 0.0 else 0):
        slope = 0.5 * float(u @ (loss.gradient_at(slow + swing * u) + loss.gradient_at(slow - swing * u)))
        slow, swing = slow - (slope / sharpness) * u, swing + slope / sharpness
    return slow, swing


def predicted_dynamics(
    loss: Loss,
    optimizer: HeavyBall,
    start: Any,
    steps: int,
    *,
    previous: Any = None,
    form: Form = "basic",
    beside: Sequence[str] = BESIDE,
) -> xarray.Dataset:
    r"""Run a loss, its constrained trajectory, the predicted dynamics and the gradient flow side by side.

    .. math::
        v_{t+1} = v_t − η\left[½(x² − δ²)∇S^⊥ + ∇²L\,v + xy\,u\right] + β(v_t − v_{t−1}),
        \quad v = w − w^†,\ x = u·v,\ y = ∇S^⊥·v

    is the basic form. All derivatives are at w†, the constrained trajectory (:func:`constrained_trajectory`), and
    δ² = 2 max(α, 0)/b². Where lr has a schedule, α contains the threshold's own motion.

    Parameters
    ----------
    loss
        A loss of two weights or more, with third derivatives.
    optimizer
        lr (or its schedule) and momentum; lookahead must be 0.
    start
        w_0 of the run, shape (dimension,), near the edge of stability: best a point on it, displaced a little along the
        top eigenvector. Or an :class:`Initialization`.
    steps
        Number of updates, >= 0.
    previous
        w_{−1}, shape (dimension,); by default `start`, a start at rest.
    form
        One of four:

        - "basic";
        - "generalized", which takes the loss's own gradient along u in place of Sx;
        - "projected", basic with ½b²δ² = max(α + [S(w†_t) − S*_{t+1} − β(S(w†_{t−1}) − S(w†_t))]/η, 0). It holds where
          w† starts below the edge, too, as it does after a displacement along u;
        - "two-scale", heavy ball of a slow point m and a swing x on ½[L(m + xu) + L(m − xu)]. It follows catapults,
          too: up to κ = 1 on all networks tried, and up to about 10 where the swing stays small beside what turns u.
    beside
        What is computed as well: "run", "flow", both or neither ([]). Variables of the others are left out, with their
        time. The gradient flow is the slowest where its time per step η/(1 − β) is long.

    Returns
    -------
    xarray.Dataset
        Dimension step. Variables:

        - ``loss``, ``sharpness`` and ``x`` of the run;
        - ``predicted_loss``, ``predicted_sharpness`` and ``predicted_x``;
        - ``flow_loss`` and ``flow_sharpness`` of the gradient flow from the start, in time η/(1 − β) per step, and
          ``flow_error``, the largest local error of its last steps;
        - all of :func:`constrained_trajectory`;
        - the residual of each sharpness.

        The sign of u is free, hence of x, and continuous in t. ``diverged_at`` and ``constrained_diverged_at`` (−1 if
        never) end the records; ``predicted_diverged_at`` and ``flow_diverged_at`` are the first steps at which those
        variables are NaN. Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range, or the start's projection is not finite.

    Notes
    -----
    Without momentum the basic and the generalized form are [Damian2023]_'s; with momentum, and for the projected and
    the two-scale form, see derivations/m1_constrained.py. The flow's local error is at most
    `selfstab.flows.gradient.TOLERANCE` of the weights' norm where the loss is smooth. At a kink, as of ReLU or
    max-pooling, the flow goes on in steps of 1/`KINKED_STEPS` of an update's time. Its local error is then up to
    `KINKED_ERROR`. ``flow_error`` says where this happens, and how far the flow can be trusted. A flow that needs more
    than 1000 steps for an update from a kink on ends: its variables are NaN from ``flow_diverged_at`` on.

    Examples
    --------
    >>> import numpy as np, selfstab as ss
    >>> loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    >>> run = ss.predicted_dynamics(loss, ss.HeavyBall(3.0, 0.5), [0.02, 0.0], 200, form="projected")
    >>> bool(np.abs(run.predicted_sharpness - run.sharpness).max() < 1e-8)   # exact on the model it is made from
    True
    >>> round(float(run.delta[0]), 6)
    0.014142
    """
    recorded = [*PREDICTED.values(), *CONSTRAINED.values()]
    problem = constrained.checked(loss, optimizer, start, previous, steps, recorded)
    name = validation.one_of("form", form, get_args(Form))
    chosen = validation.some_of("beside", beside, BESIDE)
    return together(problem, (name,), chosen)[name]


def together(
    problem: Problem, forms: Sequence[str], also: Sequence[str] = BESIDE
) -> dict[str, xarray.Dataset]:
    """Return what :func:`predicted_dynamics` does for each form, with one run and one w† for all."""
    began = time.perf_counter()
    with one_blas_thread(), np.errstate(all="ignore"):
        beside = _Beside(problem, forms, also)
        recorder = constrained.TrajectoryRecord()
        run = states(problem) if "run" in also else None
        path = constrained.stages(problem)
        ended = {"diverged_at": -1, "constrained_diverged_at": -1}
        for t in range(problem.steps + 1):
            state, stage = None if run is None else next(run, None), next(path, None)
            run_ended = run is not None and state is None
            if run_ended or stage is None:
                ended["diverged_at"] = t if run_ended else -1
                ended["constrained_diverged_at"] = t if stage is None else -1
                break
            recorder.record(stage)
            beside.record(state, stage)
    seconds = time.perf_counter() - began
    if run is None:
        del ended["diverged_at"]
    out = {}
    for form in forms:
        prefixes = {"run": "", form: "predicted_", "flow": "flow_"}
        prefixes = {of: prefix for of, prefix in prefixes.items() if of == form or of in also}
        records = {
            f"{prefix}{name}": np.array(values)
            for of, prefix in prefixes.items()
            for name, values in beside.data[of].items()
        }
        if "flow" in also:
            records["flow_error"] = np.array(beside.flow_errors)
        data = {name: records[name] for name in PREDICTED if name in records}
        data |= {name: np.array(values) for name, values in recorder.data.items()}
        for name in ("predicted", "flow") if "flow" in also else ("predicted",):
            bad = np.isnan(data[f"{name}_sharpness"])
            ended[f"{name}_diverged_at"] = int(np.argmax(bad)) if bad.any() else -1
        out[form] = constrained.dataset(problem, data, PREDICTED | CONSTRAINED, ended, seconds)
        out[form].attrs["form"] = form
    return out


class _Beside:
    """The run, the predictions and the flow beside the constrained trajectory, with what is recorded of each."""

    def __init__(self, problem: Problem, forms: Sequence[str], also: Sequence[str]) -> None:
        self.problem, self.forms, self.also = problem, forms, also
        self.data: dict[str, dict[str, list[float]]] = {
            of: {name: [] for name in ("loss", "sharpness", "sharpness_residual", "x")}
            for of in ("run", "flow", *forms)
        }
        self.predictions: list[PredictedMotion] = []
        self.flow = GradientFlow(problem.loss, problem.start)
        self.flow_errors: list[float] = []
        self.last: TrajectoryStep | None = None
        self.turns: dict[str, deque[Array]] = {of: deque(maxlen=4) for of in self.data}

    def record(self, state: State | None, stage: TrajectoryStep) -> None:
        """Bring the predictions and the flow to the step, and record it."""
        if self.last is None:
            self.predictions = [_started(form, self.problem, stage) for form in self.forms]
        else:
            momentum = momentum_of(self.problem)
            for prediction in self.predictions:
                prediction.advance(self.problem.loss, self.last, momentum)
            if "flow" in self.also and not np.isnan(self.flow.weights).any():
                self.flow.advance(self.last.lr / (1.0 - momentum), self.data["flow"]["sharpness"][-1])
        self.last = stage
        if state is not None:
            self._append("run", state.weights, stage)
        if "flow" in self.also:
            self._append("flow", self.flow.weights, stage)
            ended = np.isnan(self.flow.weights).any()
            self.flow_errors.append(np.nan if ended else self.flow.local_error)
        for form, prediction in zip(self.forms, self.predictions, strict=True):
            weights = prediction.weights(stage)
            inside = bool(np.abs(weights).max() <= self.problem.escape)
            self._append(form, weights if inside else np.full_like(weights, np.nan), stage)

    def _append(self, of: str, weights: Array, stage: TrajectoryStep) -> None:
        """Record a step of one trajectory."""
        loss, u = self.problem.loss, stage.point.top.vector
        value = sharpness = residual = np.nan
        if not np.isnan(weights).any():
            local = loss.derivatives_at(weights)
            pair = eigenpair(local, u + _turn_ahead(self.turns[of]), RECORDED)
            self.turns[of].append(pair.vector - u)
            if np.isnan(pair.value):
                self.turns[of].clear()  # of the next step nothing is known again
            value, sharpness, residual = local.value, pair.value, pair.residual
        x = float(u @ (weights - stage.point.weights))
        for name, number in zip(self.data[of], (value, sharpness, residual, x), strict=True):
            self.data[of][name].append(number)


def _turn_ahead(turns: deque[Array]) -> Array | float:
    """Return how far the top eigenvector will have turned from w†'s, given how far it had, to the last step.

    What swings changes sides each step, so that it is extrapolated over every second one.
    """
    if len(turns) == 4:
        return 2.0 * turns[2] - turns[0]
    return turns[-2] if len(turns) >= 2 else 0.0
