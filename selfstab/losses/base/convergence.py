"""Whether a derivative is that of the function below it: the order at which differences converge to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Final

import numpy as np
import numpy.typing as npt

from selfstab.validation import Array

LEAST_ORDER: Final = 1.5
"""Central differences converge to the derivative at order 2 or more, and to anything else at order 0."""

_LARGEST_STEP: Final = 0.25
_HALVINGS: Final = 22
_FITTED: Final = 4
_KINK: Final = 64.0
"""An error that falls by more than this in a halving of the step has left a kink behind."""

_SPACING: Final = 1e-9
_POINTS: Final = 9
_ORDER: Final = 4
_MARGIN: Final = 20.0
_EPSILON: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Convergence:
    """How differences of a function along v converge to a claimed derivative.

    Parameters
    ----------
    steps
        h, falling, shape (n,).
    errors
        ‖(f(w + hv) − f(w − hv))/2h − claimed‖, shape (n,).
    noise
        What rounding alone may make of the error, shape (n,).
    size
        ‖claimed‖, or that of the differences if larger.
    """

    steps: Array
    errors: Array
    noise: Array
    size: float

    @property
    def resolved(self) -> npt.NDArray[np.bool_]:
        """Whether each error is beyond rounding."""
        return ~(self.errors <= self.noise)

    @property
    def order(self) -> float:
        """The slope of log error in log h over the smallest steps that resolve the error.

        Infinity where fewer than three do: the differences agree to rounding.
        """
        at = np.flatnonzero(self.resolved & np.isfinite(self.errors))[-_FITTED:]
        if at.size < 3:
            return np.inf
        return float(np.polyfit(np.log(self.steps[at]), np.log(self.errors[at]), 1)[0])

    @property
    def holds(self) -> bool:
        """Whether the claim is the derivative."""
        if not np.isfinite(self.errors[-_FITTED:]).all():
            return False
        if self.order >= LEAST_ORDER:
            return True
        last = int(np.flatnonzero(self.resolved)[-1])
        return last + 1 < self.steps.size and self.errors[last] > _KINK * self.errors[last + 1]

    @property
    def relative_error(self) -> float:
        """The least error by the size of the derivative."""
        least = float(np.nanmin(self.errors, initial=np.inf))
        return least / self.size if self.size > 0.0 else least

    def __str__(self) -> str:
        order = "agrees to rounding" if np.isinf(self.order) else f"order {self.order:.2f}"
        return f"{order}, off by {self.relative_error:.1e}"


def convergence(
    function: Callable[[Array], Array], w: Array, v: Array, claimed: Array, *, allowance: float = 0.0
) -> Convergence:
    """Return how central differences of a function along v converge to its claimed derivative.

    Steps halve from 0.25·max(1, ‖w‖/√n) over 22 halvings. The noise of the function, and of the claim, is estimated
    from fourth differences at close points, as of Moré and Wild.

    Parameters
    ----------
    function
        w → f(w), of any shape.
    w
        The point, shape (n,).
    v
        The direction, of norm 1, shape (n,).
    claimed
        The derivative of f along v at w, of the shape of f.
    allowance
        Relative error that counts as rounding, for derivatives that are themselves differences.

    Examples
    --------
    >>> w, v = np.array([0.5]), np.array([1.0])
    >>> right = convergence(np.sin, w, v, np.cos(w))
    >>> right.holds, round(right.order, 1)
    (True, 2.0)
    >>> convergence(np.sin, w, v, 1.0001 * np.cos(w)).holds
    False
    """
    scale = max(1.0, float(np.linalg.norm(w)) / np.sqrt(w.size))
    steps = scale * _LARGEST_STEP * 0.5 ** np.arange(_HALVINGS + 1)
    with np.errstate(all="ignore"):
        differences = np.array([(function(w + h * v) - function(w - h * v)) / (2.0 * h) for h in steps])
        errors = np.array([float(np.linalg.norm(difference - claimed)) for difference in differences])
        size = max(float(np.linalg.norm(claimed)), float(np.linalg.norm(differences[_HALVINGS // 2])))
        noise = _MARGIN * (noise_of(function, w, v) / steps + _EPSILON * size) + allowance * size
    return Convergence(steps, errors, noise, size)


def noise_of(function: Callable[[Array], Array], w: Array, v: Array) -> float:
    """Return the rounding noise of a function near w: the root mean square of fourth differences along v.

    >>> noise_of(lambda w: np.round(w, 6), np.array([0.5]), np.array([1.0])) < 1e-6
    True
    """
    spacing = _SPACING * max(1.0, float(np.linalg.norm(w)))
    values = np.array([function(w + spacing * k * v) for k in range(_POINTS)])
    differences = np.diff(values, n=_ORDER, axis=0).reshape(_POINTS - _ORDER, -1)
    # Independent errors of variance s² have fourth differences of variance s² 8!/(4!)².
    variance = (differences**2).sum(axis=1).mean() * factorial(_ORDER) ** 2 / factorial(2 * _ORDER)
    least = _EPSILON * float(np.linalg.norm(values[0]))
    return max(float(np.sqrt(variance)), least)
