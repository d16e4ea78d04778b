"""Gradient flow dw/dt = −∇L(w), by an explicit method that is stable however stiff it is.

A step of the optimizer is a time of η/(1 − β). So at the edge of stability the stiffest direction decays by
2(1 + β)/(1 − β) e-folds per step: 38 at β = 0.9. An ordinary explicit method would take a gradient for each of them.
The Runge-Kutta-Chebyshev method of second order [Sommeijer1997]_ takes the square root of that number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np

from selfstab.losses.base.loss import Loss
from selfstab.validation import Array

TOLERANCE: Final = 1e-6
"""Local error of one step of the method over the norm of the weights."""

_DAMPING: Final = 2.0 / 13.0
_MOST_STAGES: Final = 60
_MOST_TRIALS: Final = 10_000  # for one call; a flow that needs more runs to an infinity

KINKED_STEPS: Final = 32
"""A piece of time is taken in about so many steps where the flow has met a kink in it, if `KINKED_ERROR` allows."""

KINKED_ERROR: Final = 1e-2
"""Local error of such a step over the norm of the weights, at most: an unstable step is none to go on from."""

_MOST_KINKED: Final = 1_000  # trials in a piece of time, from the kink on

# Of the local error in the step's time: 3 where the loss is smooth (2.2 and more were measured), 1 at a kink.
_KINK_ORDER: Final = 1.6


@dataclass
class GradientFlow:
    """The flow of a loss from given weights, advanced by pieces of time.

    Parameters
    ----------
    loss
        The loss, of which only gradients are used.
    weights
        Where it starts, and then where it is, not to be set; NaN once the method has given up.
    tolerance
        Local error of a step over the norm of the weights. At kinks it is `KINKED_ERROR`.
    local_error
        The largest local error in the last piece of time, divided by the norm of the weights. It is above `tolerance`
        where a kink was met. Not to be set.
    """

    loss: Loss
    weights: Array
    tolerance: float = TOLERANCE
    local_error: float = field(default=0.0, init=False)
    _step: float = field(default=np.inf, repr=False)
    # −∇L where the last piece of time ended.
    _force: Array | None = field(default=None, init=False, repr=False)

    def advance(self, time: float, sharpness: float) -> None:
        """Advance by a time.

        Parameters
        ----------
        time
            In units of the learning rate, >= 0.
        sharpness
            The largest Hessian eigenvalue at the weights, which sets the number of stages; where it is not finite the
            method gives up.
        """
        if not np.isfinite(sharpness):
            self.weights = np.full_like(self.weights, np.nan)
            return
        w, left = self.weights, time
        stiffness = max(1.05 * sharpness, 0.0)
        shortest, self.local_error = time / KINKED_STEPS, 0.0
        rejected, trials_left = (0.0, 0.0), _MOST_TRIALS
        kinked = False
        with np.errstate(over="ignore", invalid="ignore"):
            force = -self.loss.gradient_at(w) if self._force is None else self._force
            while trials_left > 0:
                trials_left -= 1
                if left <= 0.0:
                    self.weights, self._force = w, force
                    return
                pieces = max(1.0, np.ceil(left / self._step))
                step = left / pieces
                stages = _stages(step * stiffness)
                if stages > _MOST_STAGES:
                    self._step = _reach(_MOST_STAGES - 1) / stiffness
                    shortest = min(shortest, self._step)
                    continue
                new = self._chebyshev(w, force, step, stages)
                new_force = -self.loss.gradient_at(new)
                estimate = 0.8 * (w - new) + 0.4 * step * (force + new_force)
                allowed = self.tolerance * max(float(np.linalg.norm(w)), 1e-300)
                error = float(np.linalg.norm(estimate)) / allowed
                if error > 1.0 and step < 2.0 * shortest and not kinked:
                    kinked = _order(rejected, (step, error)) < _KINK_ORDER
                    trials_left = min(trials_left, _MOST_KINKED) if kinked else trials_left
                rejected = (step, error)
                near_kink = kinked and step <= shortest and error * self.tolerance <= KINKED_ERROR
                if error <= 1.0 or near_kink:
                    self.local_error = max(self.local_error, error * self.tolerance)
                    w, force, left = new, new_force, left - step
                    if pieces == 1.0:
                        left = 0.0  # exactly, whatever the rounding
                growth = 0.8 * max(error, 1e-9) ** (-1.0 / 3.0) if np.isfinite(error) else 0.0
                longest = np.inf
                if kinked and error > 1.0:
                    growth, longest = 0.8 * KINKED_ERROR / (error * self.tolerance), shortest
                self._step = max(min(step * float(np.clip(growth, 0.1, 5.0)), longest), 1e-300)
        self.weights, self._force = np.full_like(w, np.nan), None

    def _chebyshev(self, w: Array, force: Array, step: float, stages: int) -> Array:
        """Return the weights after one step of the method."""
        first, rows = _coefficients(stages)
        older, old = w, w + first * step * force
        for mu, nu, mu_force, gamma in rows:
            new = (
                (1.0 - mu - nu) * w + mu * old + nu * older
                - mu_force * step * self.loss.gradient_at(old) + gamma * step * force
            )  # fmt: skip
            older, old = old, new
        return old


def _order(longer: tuple[float, float], shorter: tuple[float, float]) -> float:
    """Return the power of the step's time with which the error fell, from two steps and errors; 3 if unknown."""
    (step, error), (shorter_step, shorter_error) = longer, shorter
    if not (shorter_step < step and error > 1.0 and np.isfinite(error)):
        return 3.0
    return float(np.log(error / shorter_error) / np.log(step / shorter_step))


def _reach(stages: int) -> float:
    """Return the largest time times curvature at which the method of that many stages is stable."""
    return (2.0 / 3.0) * (stages**2 - 1.0) * (1.0 - 2.0 * _DAMPING / 15.0)


def _stages(stiffness: float) -> int:
    return max(2, int(np.ceil(np.sqrt(1.0 + 3.0 * stiffness / _reach(2)))))


@cache
def _coefficients(stages: int) -> tuple[float, tuple[tuple[float, float, float, float], ...]]:
    """Return the coefficient of the first stage, and (μ, ν, μ̃, γ̃) of each later one."""
    w0 = 1.0 + _DAMPING / stages**2
    value, slope, bend = [1.0, w0], [0.0, 1.0], [0.0, 0.0]  # T, T', T'' at w0
    for j in range(2, stages + 1):
        value.append(2.0 * w0 * value[-1] - value[-2])
        slope.append(2.0 * value[j - 1] + 2.0 * w0 * slope[-1] - slope[-2])
        bend.append(4.0 * slope[j - 1] + 2.0 * w0 * bend[-1] - bend[-2])
    w1 = slope[stages] / bend[stages]
    weight = [bend[j] / slope[j] ** 2 if j >= 2 else 0.0 for j in range(stages + 1)]
    weight[0] = weight[1] = weight[2]
    rows = []
    for j in range(2, stages + 1):
        mu_force = 2.0 * weight[j] * w1 / weight[j - 1]
        rows.append((
            2.0 * weight[j] * w0 / weight[j - 1], -weight[j] / weight[j - 2],
            mu_force, -(1.0 - weight[j - 1] * value[j - 1]) * mu_force,
        ))  # fmt: skip
    return weight[1] * w1, tuple(rows)
