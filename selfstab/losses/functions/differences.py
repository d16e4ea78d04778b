"""Derivatives by central differences, and how far another derivative is off them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from selfstab.validation import Array

_EPSILON: Final = float(np.finfo(np.float64).eps)

WRONG_BEYOND: Final = 1e-3
"""Relative difference from central differences beyond which a derivative is taken to be wrong."""


def usual_step(w: Array) -> float:
    """Return ε^⅓·max(1, ‖w‖), the step at which a first difference's truncation is as large as its rounding."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.cbrt(_EPSILON) * max(1.0, float(np.linalg.norm(w))))


def central(function: Callable[[Array], Array], w: Array, v: Array, step: float) -> Array:
    """Return the derivative of a function along v by a central difference over ±step."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = float(np.linalg.norm(v))
        if length == 0.0:
            return np.zeros_like(w)
        move = v * (step / length)
        difference: Array = (function(w + move) - function(w - move)) * (length / (2.0 * step))
    return difference


@np.errstate(all="ignore")
def off(
    derivative: Array, function: Callable[[Array], Array], w: Array, v: Array, step: float, allowance: float
) -> float:
    """Return how far what is taken for a function's derivative along v is off its central difference.

    Parameters
    ----------
    derivative
        What is taken for it.
    function
        What it is a derivative of; w and v have its argument's shape.
    w, v
        The point, and the direction.
    step
        Of the difference.
    allowance
        Error of the function's own differences, absolute.

    Returns
    -------
    float
        Relative; 0 within the error of the difference, infinite where the derivative is not finite.
    """
    if not np.isfinite(derivative).all():
        return np.inf
    difference = central(function, w, v, step)
    # Rounding of what is subtracted: absolute, and amplified by the step.
    noise = 100.0 * _EPSILON * float(np.linalg.norm(function(w))) / step
    size = float(max(np.linalg.norm(derivative), np.linalg.norm(difference)))
    wrong = float(np.linalg.norm(difference - derivative))
    return 0.0 if wrong <= WRONG_BEYOND * size + noise + allowance else wrong / size
