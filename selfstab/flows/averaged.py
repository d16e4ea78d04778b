"""The averaged flow: the path about which momentum gradient descent swings at the edge of stability.

Of [Cohen2025]_ (there: central flow) for gradient descent; for heavy ball derivations/m2_averaged_flow.py. The swing
has the covariance Σ, the least that keeps all Hessian eigenvalues at or below S*.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from selfstab import validation
from selfstab.eigen import pairs
from selfstab.eigen.blas import one_blas_thread
from selfstab.eigen.krylov import NotFiniteError
from selfstab.flows.arguments import checked, momentum_of
from selfstab.flows.complementarity import balance, packed, unpacked
from selfstab.flows.gradient import GradientFlow
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.dataset import dataset, recorded_steps
from selfstab.runs.problem import Problem, StepRates
from selfstab.runs.variables import AVERAGED_FLOW, AVERAGED_FLOW_KEEP
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

NEAR: Final = 0.1
"""Directions are carried whose eigenvalue is within this share of S*, and above it."""

MARGIN: Final = 0.05
"""The first eigenvalue that is not carried is near where it is within this share of S*."""

_BEYOND = 1e-2  # of (S − S*)/S*: more than what the discretization leaves
_EIGENPAIR_MET = 1e-6  # of the residual over S
_BALANCE_MET = 1e-6
_ACTIVE = 1e-9  # of the largest eigenvalue of Σ
_RESIDUAL = 1e-8  # of an eigenpair over its value; the value's error is of its square

TOLERANCE: Final = 1e-7
"""Local error of the gradient flow between corrections, over the norm of the weights."""

INVALID: Final = {
    1: "more_eigenvalues_near_threshold_than_carried",
    2: "sharpness_above_threshold",
    4: "eigenpair_not_converged",
    8: "complementarity_not_met",
}
"""Bits of the variable ``invalid``, and what they mean."""


@dataclass(frozen=True)
class Edge:
    """The top of the Hessian's spectrum at a point.

    Parameters
    ----------
    values
        The largest eigenvalues, descending, shape (carried + 1,), or all there are.
    vectors
        Their unit eigenvectors, as rows.
    residual
        The largest residual of these pairs.
    """

    values: Array
    vectors: Array
    residual: float

    @classmethod
    def at(cls, loss: Loss, w: Array, count: int, guess: Array | None) -> Edge:
        """Return the `count` largest eigenpairs at w, NaN beyond float64's range; `guess`: rows near the vectors."""
        if guess is not None and np.isnan(guess).any():
            guess = None
        dense = loss.explicit_hessian
        try:
            matrix = loss.hessian_at(w) if dense else loss.hessian_operator_at(w)
            spectrum = pairs.top_eigenpairs(matrix, count, len(w), guess=guess, tolerance=_RESIDUAL)
        except NotFiniteError:
            return cls(np.full(count, np.nan), np.full((count, len(w)), np.nan), np.nan)
        return cls(spectrum.values, spectrum.vectors, float(spectrum.residuals.max()))


@dataclass(frozen=True)
class Swing:
    """The swing over a piece of time: Σ on the carried directions, and what it pushes with.

    Parameters
    ----------
    covariance
        Σ in the basis of the carried eigenvectors, shape (k, k).
    push
        ½∇³L:Σ, shape (dimension,).
    residual
        Violation of the complementarity conditions, relative to the largest distance to S*.
    """

    covariance: Array
    push: Array
    residual: float


@dataclass(frozen=True)
class FlowStep:
    """The flow at an integer step.

    Parameters
    ----------
    step, threshold
        t and S*_t.
    weights
        w, shape (dimension,).
    edge
        The top of the spectrum there.
    swing
        Σ over the piece of time that follows; at the last step, that came before.
    """

    step: int
    threshold: float
    weights: Array
    edge: Edge
    swing: Swing


def stages(problem: Problem, directions: int, substeps: int) -> Iterator[FlowStep]:
    """Yield the averaged flow at steps 0, 1, ...; it ends early where the weights leave the escape radius."""
    flow = _Flow(problem.loss, min(directions, problem.loss.dimension))
    w = problem.start
    rates = StepRates(problem.optimizer, problem.steps)
    momentum = momentum_of(problem)
    with np.errstate(all="ignore"):  # an overflow shows in the weights, and ends the flow there
        edge = flow.edge(w, None)
        swing = flow.still(w)
        for t in range(problem.steps):
            here, first = (w, edge), None
            for k in range(substeps):
                # lr is what moves the iterates in this step; the threshold slides to the next one's.
                ends = [
                    _threshold(problem, rates[t] + (rates[t + 1] - rates[t]) * (k + part) / substeps)
                    for part in (0.5, 1.0)
                ]
                w, edge, swing = flow.advance(
                    w, edge, rates[t] / ((1.0 - momentum) * substeps), ends[0], ends[1]
                )
                first = swing if first is None else first
            assert first is not None
            yield FlowStep(t, _threshold(problem, rates[t]), here[0], here[1], first)
            if not np.abs(w).max() <= problem.escape:
                return
        yield FlowStep(problem.steps, _threshold(problem, rates[problem.steps]), w, edge, swing)


def _threshold(problem: Problem, lr: float) -> float:
    return float(problem.optimizer.thresholds_of(np.float64(lr)))


@dataclass(frozen=True)
class _Flow:
    """One substep of the flow: a half-explicit midpoint rule.

    Half a step with the swing of its beginning leads to the midpoint. The whole step is then made with the swing of
    the midpoint, and its push. In both the swing is what holds the spectrum, linearized, at S* at the end of the
    piece. The gradient flow between is :class:`selfstab.flows.gradient.GradientFlow`'s, with a local error of
    `TOLERANCE`.
    """

    loss: Loss
    directions: int

    def edge(self, w: Array, guess: Array | None) -> Edge:
        return Edge.at(self.loss, w, min(self.directions + 1, len(w)), guess)

    def still(self, w: Array) -> Swing:
        return Swing(np.zeros((0, 0)), np.zeros_like(w), 0.0)

    def advance(
        self, w: Array, edge: Edge, span: float, halfway: float, threshold: float
    ) -> tuple[Array, Edge, Swing]:
        """Return the weights and the spectrum after a time, in units of lr, and the swing meanwhile."""
        top = float(edge.values[0])
        if top < (1.0 - 2.0 * NEAR) * threshold:
            after = self._drift(w, None, span, top)
            between, swing = edge, self.still(w)
        else:
            middle, _ = self._along_edge(w, 0.5 * span, top, w, edge, halfway)
            if not np.isfinite(middle).all():
                return middle, edge, self.still(w)
            between = self.edge(middle, edge.vectors)
            after, swing = self._along_edge(w, span, top, middle, between, threshold)
        if not np.isfinite(after).all():
            return after, edge, swing
        return after, self.edge(after, between.vectors), swing

    def _along_edge(
        self, w: Array, span: float, sharpness: float, at: Array, edge: Edge, threshold: float
    ) -> tuple[Array, Swing]:
        """Return the weights after a time of the flow, held at the edge, and the swing.

        The spectrum and its slopes are taken at the weights `at`, of which `edge` tells.
        """
        free = self._drift(w, None, span, sharpness)
        carried = edge.values[: self.directions]
        near = int(np.sum(carried >= (1.0 - NEAR) * threshold))
        if near == 0 or not np.isfinite(free).all():
            return free, self.still(w)
        u = edge.vectors[:near]
        rows, columns = np.triu_indices(near)
        weight = np.where(rows == columns, 1.0, np.sqrt(2.0))
        slopes = weight[:, None] * np.array(
            [self.loss.third_at(at, u[i], u[j]) for i, j in zip(rows, columns, strict=True)]
        )
        deficit = threshold * np.eye(near) - np.diag(carried[:near]) - unpacked(slopes @ (free - at))
        if float(np.linalg.eigvalsh(deficit)[0]) >= 0.0:
            return free, self.still(w)
        # What a constant push changes by the end of the piece: −span·φ(span·H)·push, φ(x) = (1 − e^{−x})/x; on the
        # carried directions φ is known, and across them 1 stands for it.
        along = slopes @ u.T
        decay = span * carried[:near]
        share = np.where(np.abs(decay) > 1e-8, -np.expm1(-decay) / np.where(decay == 0.0, 1.0, decay), 1.0)
        operator = 0.5 * span * (slopes @ slopes.T - (along * (1.0 - share)) @ along.T)
        balanced = balance(deficit, operator)
        push = 0.5 * packed(balanced.matrix) @ slopes
        return self._drift(w, push, span, sharpness), Swing(balanced.matrix, push, balanced.residual)

    def _drift(self, w: Array, push: Array | None, span: float, sharpness: float) -> Array:
        """Return the weights after a time of ẇ = −∇L − push; NaN where they leave float64's range."""
        if span == 0.0:
            return w
        loss = self.loss if push is None else cast("Loss", _Pushed(self.loss, push))
        flow = GradientFlow(loss, w, TOLERANCE)
        flow.advance(span, sharpness)
        return flow.weights


@dataclass(frozen=True)
class _Pushed:
    """The gradient of a loss with a constant push."""

    loss: Loss
    push: Array

    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return self.loss.gradient_at(w) + self.push


def averaged_flow(
    loss: Loss,
    optimizer: HeavyBall,
    start: Any,
    steps: int,
    *,
    directions: int = 3,
    substeps: int = 1,
    every: int = 1,
    keep: Sequence[str] = (),
    escape: float = 1e6,
) -> xarray.Dataset:
    r"""Follow the path about which momentum gradient descent swings at the edge of stability.

    .. math::
        \dot w = −\frac{η}{1 − β}\left[∇L + ½∇^3L : Σ\right], \qquad
        Σ ⪰ 0, \quad S^* − H ⪰ 0, \quad ⟨Σ, S^* − H⟩ = 0

    in time per step. Below the edge Σ = 0: gradient flow. Where one eigenvalue is at S*, Σ = σ²uuᵀ with
    σ² = −2∇L·∇S/‖∇S‖², or 0 if that is negative.

    Parameters
    ----------
    loss
        A loss with third derivatives.
    optimizer
        lr (or its schedule) and momentum; lookahead must be 0.
    start
        w at step 0, shape (dimension,), at the edge or below; or an :class:`Initialization`. A start somewhat
        beyond the edge returns to it at once; from far beyond the first substeps may leap.
    steps
        Number of updates, >= 0.
    directions
        How many directions may swing, >= 1: the top eigenvectors.
    substeps
        Pieces of a step, >= 1. The error is of second order in their length, of first order in the step in which a
        direction starts or ends to swing. A step is 1/(1 − β) long in the flow's time. At β = 0.9 on a small network,
        S passed S* by 1% with one piece, by 0.2% with four and by 0.03% with sixteen.
    every
        Records are at steps 0, every, 2·every, ... and the last.
    keep
        Any of weights and gradient_norm, kept beside the rest.
    escape
        The flow has diverged at the first step with max|w_i| > escape or a weight that is not finite.

    Returns
    -------
    xarray.Dataset
        Dimension step (and direction, eigenvalue, weight). Variables:

        - ``loss``, ``sharpness`` and ``hessian_eigenvalues`` on the flow;
        - ``variance``, ``active`` and ``covariance_eigenvalues``: trace, rank and eigenvalues of Σ in the substep that
          follows;
        - ``averaged_loss``;
        - ``complementarity``: the violation of the conditions on Σ;
        - ``invalid``: its bits say why the flow does not apply (0 where it does);
        - ``lr``, ``max_stable_sharpness`` and ``diverged_at``, as in :func:`simulate`.

        Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range, or the loss has no third derivative.

    Notes
    -----
    [Cohen2025]_ for gradient descent; with momentum, and for the assumptions, derivations/m2_averaged_flow.py. The
    average has no catapults: where the inertia number κ is not small, the iterates leave the flow.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(1.0, progressive_sharpening=0.01, stabilization=4.0)
    >>> flow = ss.averaged_flow(loss, ss.HeavyBall(2.0), [0.0, -0.1], 20)
    >>> flow.sharpness.values[[0, 5, 20]].round(3)
    array([0.8, 0.9, 1. ])
    >>> round(float(flow.variance[-1]), 6)  # δ² = 2α/b²
    0.005
    """
    every = validation.integer("every", every, at_least=1)
    keep = validation.some_of("keep", keep, AVERAGED_FLOW_KEEP)
    variables = AVERAGED_FLOW | AVERAGED_FLOW_KEEP
    recorded = [variables[name] for name in (*AVERAGED_FLOW, *keep)]
    problem = checked(loss, optimizer, start, None, steps, escape, 3, every=every, variables=recorded)
    directions = validation.integer("directions", directions, at_least=1)
    substeps = validation.integer("substeps", substeps, at_least=1, at_most=10**9)
    began = time.perf_counter()
    data: dict[str, list[Any]] = {name: [] for name in (*AVERAGED_FLOW, *keep, "invalid")}
    reached = -1
    with one_blas_thread():  # the bits of a product depend on the number of threads
        for stage in stages(problem, directions, substeps):
            reached = stage.step
            if stage.step % every == 0 or stage.step == problem.steps:
                _record(problem.loss, stage, directions, data)
    diverged_at = -1 if reached == problem.steps else reached + 1
    out = dataset(
        problem, recorded_steps(problem.steps, every, diverged_at), {k: np.array(v) for k, v in data.items()},
        time.perf_counter() - began, diverged_at=diverged_at, variables=variables,
    )  # fmt: skip
    masks = {
        "flag_masks": np.array(list(INVALID), dtype=np.int8),
        "flag_meanings": " ".join(INVALID.values()),
    }
    out["invalid"] = (
        out["invalid"].astype(np.int8).assign_attrs(masks, long_name="why the flow does not apply")
    )
    out.attrs.update(every=every, flow="averaged flow", directions=directions, substeps=substeps)
    return out


def _record(loss: Loss, stage: FlowStep, directions: int, data: dict[str, list[Any]]) -> None:
    """Append what is recorded at an integer step."""
    edge, swing, threshold = stage.edge, stage.swing, stage.threshold
    count = min(directions, loss.dimension)
    sizes = np.zeros(count)
    if swing.covariance.size:
        sizes[: len(swing.covariance)] = np.linalg.eigvalsh(swing.covariance)[::-1]
    variance, value = float(sizes.sum()), loss.value_at(stage.weights)
    with np.errstate(all="ignore"):
        # Where Σ is not 0, HΣ = S*Σ.
        values = {
            "loss": value,
            "sharpness": edge.values[0],
            "averaged_loss": value + (0.5 * threshold * variance if variance > 0.0 else 0.0),
            "variance": variance,
            "active": int(np.sum(sizes > _ACTIVE * sizes[0])) if sizes[0] > 0.0 else 0,
            "covariance_eigenvalues": sizes,
            "hessian_eigenvalues": edge.values,
            "sharpness_residual": edge.residual,
            "complementarity": swing.residual,
            "invalid": (
                1 * bool(len(edge.values) > count and edge.values[-1] > (1.0 - MARGIN) * threshold)
                + 2 * bool(edge.values[0] > (1.0 + _BEYOND) * threshold)
                + 4 * (not edge.residual <= _EIGENPAIR_MET * abs(edge.values[0]))
                + 8 * (not swing.residual <= _BALANCE_MET)
            ),
            "weights": stage.weights,
            "gradient_norm": float(np.linalg.norm(loss.gradient_at(stage.weights))),
        }
    for name, series in data.items():
        series.append(values[name])
