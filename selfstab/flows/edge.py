"""The edge flow: centre, direction and magnitude of the swing of momentum gradient descent, in continuous time.

Of [Marion2026]_ for gradient descent; with momentum derivations/a14_edge_flow.py. Centre and magnitude have heavy
ball's inertia, and with it its catapults, at inertia numbers κ > 1, too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.flows.arguments import checked, momentum_of
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.dataset import dataset, recorded_steps
from selfstab.runs.preconditioned import top_pair
from selfstab.runs.problem import Problem, StepRates
from selfstab.runs.variables import EDGE_FLOW, EDGE_FLOW_KEEP
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_SPLITS: Final = 4
"""Newton steps to the centre of a start; each gains a factor of the swing."""

_TURNS: Final = 2
"""Times that u of a start is taken at its centre; each gains a factor of the swing."""

_SMALL: Final = 1e-7
"""Of the magnitude divided by the norm of the weights: below it rounding hides the swing's own curvature."""


@dataclass(frozen=True)
class Pace:
    """A substep of ½(1 + β)F̈ + (1 − β)Ḟ = force, by central differences, or of (1 − β)Ḟ = force.

    It is F₊ = F + (p + force)/after with p₊ = before·(F₊ − F). Of second order and one to a step it is heavy ball's
    own update: after = 1, before = β.

    Parameters
    ----------
    momentum
        β.
    span
        h, the length of a substep in steps.
    order
        Of the equations in time, 1 or 2.
    """

    momentum: float
    span: float
    order: int

    @property
    def after(self) -> float:
        """What divides the force."""
        return self._friction + self._inertia if self.order == 2 else 2.0 * self._friction

    @property
    def before(self) -> float:
        """The share of a substep's change that goes on."""
        return self._inertia - self._friction if self.order == 2 else 0.0

    @property
    def _inertia(self) -> float:
        return 0.5 * (1.0 + self.momentum) / self.span**2

    @property
    def _friction(self) -> float:
        return 0.5 * (1.0 - self.momentum) / self.span

    def begun(self, change: Any, force: Any) -> Any:
        """Return p at the start, from the iterates' change before it and the force there.

        With ½(1 + β)Ḟ = β change + ½ force the flow goes where the iterates go: they take the force in at once.
        """
        if self.order == 1:
            return 0.0 * change
        return (self.momentum * change + 0.5 * force) / self.span - 0.5 * force


@dataclass
class EdgeFlow:
    """The state of the edge flow: the iterates are near c + ρu and c − ρu in turn.

    Parameters
    ----------
    loss
        L.
    centre, magnitude, direction
        c, ρ and u.
    going, growing
        What goes on of the last change of c and of ρ: p of :class:`Pace`; None at the start.
    change, growth
        What c and ρ of the iterates changed by before the start.
    """

    loss: Loss
    centre: Array
    magnitude: float
    direction: Array
    change: Array
    growth: float
    going: Array | None = None
    growing: float = 0.0

    @classmethod
    def started(cls, problem: Problem) -> EdgeFlow:
        """Return the flow at the start: the first weights, and those before them, split along u into c and ±ρu."""
        loss, w = problem.loss, problem.start
        pair, c = top_pair(loss, w, None), w
        for _ in range(_TURNS):
            c, x = _split(loss, w, pair.vector, pair.value)
            pair = top_pair(loss, c, pair.vector)
        u = pair.vector
        c, x = _split(loss, w, u, pair.value)
        change, growth = np.zeros_like(w), 2.0 * x  # at rest x_{−1} = x_0, and ρ_t = (−1)^t x_t
        if not np.array_equal(problem.previous, w):
            before, last = _split(loss, problem.previous, u, pair.value)
            change, growth = c - before, x + last
        return cls(loss, c, x, u, change, growth)

    def advance(self, lr: float, pace: Pace) -> None:
        """Go on by a substep: two gradients, and one product with the Hessian."""
        loss, c, rho, beta = self.loss, self.centre, self.magnitude, pace.momentum
        product = loss.hessian_vector_at(c, self.direction)
        sharpness = float(self.direction @ product)
        u = self._turned(product, sharpness, lr * pace.span / (1.0 + beta))
        forward, backward = loss.gradient_at(c + rho * u), loss.gradient_at(c - rho * u)
        even, odd = 0.5 * (forward + backward), 0.5 * float(u @ (forward - backward))
        if abs(rho) <= _SMALL * float(np.linalg.norm(c)):
            odd = sharpness * rho
        drift, growth = -lr * even, lr * odd - 2.0 * (1.0 + beta) * rho
        if self.going is None:
            self.going = pace.begun(self.change, drift)
            self.growing = pace.begun(self.growth, growth)
        moved = (self.going + drift) / pace.after
        moved -= (u @ moved) * u
        self.going = pace.before * moved
        if sharpness > 0.0:  # along u to where the slope of L(c + ρu) + L(c − ρu) vanishes
            moved -= ((u @ even) / sharpness) * u
        if pace.order == 2:
            grown = (self.growing + growth) / pace.after
            self.growing = pace.before * grown
        elif rho == 0.0:
            grown = 0.0
        else:
            grown = rho * float(np.expm1(growth / rho * pace.span / (1.0 - beta)))
        self.centre, self.magnitude, self.direction = c + moved, rho + grown, u

    def _turned(self, product: Array, sharpness: float, span: float) -> Array:
        """Return u after a span of Rayleigh flow u̇ = Hu − Su, exact where the other curvatures are small beside S."""
        decay = abs(sharpness) * span
        share = span * (-np.expm1(-decay) / decay if decay > 0.0 else 1.0)
        u = self.direction + share * (product - sharpness * self.direction)
        return np.asarray(u / np.linalg.norm(u))


def _split(loss: Loss, weights: Array, u: Array, sharpness: float) -> tuple[Array, float]:
    """Return c and x with c + xu the weights, and no slope along u of L(c + xu) + L(c − xu) at c."""
    c, x = weights, 0.0
    for _ in range(_SPLITS if sharpness > 0.0 else 0):
        slope = 0.5 * float(u @ (loss.gradient_at(c + x * u) + loss.gradient_at(c - x * u)))
        c, x = c - (slope / sharpness) * u, x + slope / sharpness
    return c, x


def edge_flow(
    loss: Loss,
    optimizer: HeavyBall,
    start: Any,
    steps: int,
    *,
    previous: Any = None,
    order: int = 2,
    substeps: int | None = None,
    every: int = 1,
    keep: Sequence[str] = (),
    escape: float = 1e6,
) -> xarray.Dataset:
    r"""Follow centre, direction and magnitude of the swing of momentum gradient descent in continuous time.

    .. math::
        ½(1 + β)\ddot c + (1 − β)\dot c = −½η\left[∇L(c + ρu) + ∇L(c − ρu)\right], \qquad
        \dot u = \frac{η}{1 + β}(Hu − Su), \\
        ½(1 + β)\ddot ρ + (1 − β)\dot ρ = ½η\,u·\left[∇L(c + ρu) − ∇L(c − ρu)\right] − 2(1 + β)ρ

    in time per step, with H at c and S = u·Hu; along u the centre is where the slope of L(c + ρu) + L(c − ρu)
    vanishes. With `order` 1 the second derivatives are left out. Without momentum that is the edge flow of
    [Marion2026]_, with momentum the same flow, 1/(1 − β) times as fast.

    Parameters
    ----------
    loss
        A loss with second derivatives.
    optimizer
        lr (or its schedule) and momentum; lookahead must be 0.
    start
        w_0, shape (dimension,), or an :class:`Initialization`. Without a displacement along u nothing swings.
    steps
        Number of updates, >= 0.
    previous
        w_{−1}, shape (dimension,); by default `start`, a start at rest.
    order
        Of the equations of c and ρ in time: 2, or 1.
    substeps
        Pieces of a step, >= 1. At order 2 the error is of second order in their length. One substep per step, the
        default, is heavy ball's own update of c and ρ. At order 1 it is of first order; the default is
        (1 + β)/(1 − β), rounded up, so that modes below the threshold are stable.
    every
        Records are at steps 0, every, 2·every, ... and the last.
    keep
        Any of weights (c) and direction (u), kept beside the rest.
    escape
        The flow has diverged at the first step with max(|c_i| + |ρu_i|) > escape or a number that is not finite.

    Returns
    -------
    xarray.Dataset
        Dimension step (and weight). Variables:

        - ``loss`` and ``sharpness`` at c;
        - ``averaged_loss`` of c ± ρu;
        - ``variance`` ρ² and ``magnitude`` ρ;
        - ``misalignment``: the sine of the angle between u and the top eigenvector;
        - ``lr``, ``max_stable_sharpness`` and ``diverged_at``, as in :func:`simulate`.

        Settings, versions and seconds are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range.

    Notes
    -----
    A substep takes two gradients and one Hessian-vector product. The loss needs one unstable direction: a second one
    does not swing. With a schedule, lr goes from step to step in a line.

    Examples
    --------
    A catapult of κ = 1: the sharpness falls by 2 y₀ G(1).

    >>> import numpy as np, selfstab as ss
    >>> loss, optimizer, excess = ss.CubicTaylor(1.0), ss.HeavyBall(3.8, 0.9), (0.1 / 1.9) ** 2
    >>> start, previous = ss.flip_start(loss, [0.0, excess], 1e-6)
    >>> for order in (1, 2):
    ...     flow = ss.edge_flow(loss, optimizer, start, 500, previous=previous, order=order)
    ...     print(order, round(float(flow.sharpness[0] - flow.sharpness[-1]) / (2 * excess), 1))
    1 1.0
    2 2.7
    >>> round(float(ss.theory.overshoot(1.0)), 1)
    2.7
    """
    every = validation.integer("every", every, at_least=1)
    keep = validation.some_of("keep", keep, EDGE_FLOW_KEEP)
    variables = EDGE_FLOW | EDGE_FLOW_KEEP
    recorded = [variables[name] for name in (*EDGE_FLOW, *keep)]
    problem = checked(loss, optimizer, start, previous, steps, escape, 2, every=every, variables=recorded)
    order = validation.integer("order", order, at_least=1, at_most=2)
    if substeps is None:
        momentum = momentum_of(problem)
        substeps = 1 if order == 2 else math.ceil((1.0 + momentum) / (1.0 - momentum))
    substeps = validation.integer("substeps", substeps, at_least=1, at_most=10**9)
    began = time.perf_counter()
    # One BLAS thread: the bits of a product depend on the number of threads. An overflow ends the flow.
    with one_blas_thread(), np.errstate(all="ignore"):
        data, diverged_at = _followed(problem, order, substeps, every, keep)
    out = dataset(
        problem, recorded_steps(problem.steps, every, diverged_at), data, time.perf_counter() - began,
        diverged_at=diverged_at, variables=variables,
    )  # fmt: skip
    out.attrs.update(every=every, flow="edge flow", order=order, substeps=substeps)
    return out


def _followed(
    problem: Problem, order: int, substeps: int, every: int, keep: Sequence[str]
) -> tuple[dict[str, Array], int]:
    rates = StepRates(problem.optimizer, problem.steps)
    pace = Pace(momentum_of(problem), 1.0 / substeps, order)
    data: dict[str, list[Any]] = {name: [] for name in (*EDGE_FLOW, *keep)}
    flow, guess = EdgeFlow.started(problem), None
    for t in range(problem.steps + 1):
        reach = np.abs(flow.centre) + np.abs(flow.magnitude * flow.direction)
        if not reach.max() <= problem.escape:
            return {name: np.array(values) for name, values in data.items()}, t
        if t % every == 0 or t == problem.steps:
            guess = _record(flow, guess, data)
        if t < problem.steps:
            for k in range(substeps):
                flow.advance(rates[t] + (rates[t + 1] - rates[t]) * k / substeps, pace)
    return {name: np.array(values) for name, values in data.items()}, -1


def _record(flow: EdgeFlow, guess: Array | None, data: dict[str, list[Any]]) -> Array:
    """Append what is recorded at an integer step; return the top eigenvector."""
    loss, c, d = flow.loss, flow.centre, flow.magnitude * flow.direction
    pair, here = top_pair(loss, c, guess), loss.value_at(c)
    u = pair.vector
    values = {
        "loss": here,
        "sharpness": pair.value,
        "sharpness_residual": pair.residual,
        "averaged_loss": 0.5 * (loss.value_at(c + d) + loss.value_at(c - d)),
        "variance": flow.magnitude**2,
        "magnitude": flow.magnitude,
        "misalignment": float(np.linalg.norm(flow.direction - (u @ flow.direction) * u)),
        "weights": c,
        "direction": flow.direction,
    }
    for name, series in data.items():
        series.append(values[name])
    return u
