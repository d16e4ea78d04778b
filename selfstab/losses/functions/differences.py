"""Derivatives by central differences, and how far another derivative is off them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from selfstab.validation import Array

_EPSILON: Final = float(np.finfo(np.float64).eps)

WRONG_BEYOND: Final = 1e-3
"""Relative difference from central differences beyond which a derivative is taken to be wrong."""

_STEPS: Final = {
    "float64": (1e-6, 1e-7, 1e-5, 1e-8, 1e-4),
    "float32": (1e-4, 1e-5, 1e-3, 1e-6, 1e-2),
}
"""Lengths of the displacements to try, relative to that of the weights, by the precision of the gradient."""

_AGREEMENT: Final = {"float64": WRONG_BEYOND, "float32": 2e-2}
"""Relative difference up to which a product and a difference of gradients agree."""

_SYMMETRY: Final = {"float64": WRONG_BEYOND, "float32": 5e-2}
"""Relative difference up to which two products by differences are those of one symmetric matrix."""

LENGTH: Final = {"float64": 6e-6, "float32": 3e-4}
"""Length of the displacements of a product by differences, relative to that of the weights."""

NOISE: Final = {"float64": 1e-8, "float32": 1e-3}
"""Relative error, about, of a product with the Hessian that is a difference of gradients."""

Vector = npt.NDArray[Any]


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


def generic_direction(gradient: Vector) -> Vector:
    """Return a unit vector that is along the gradient, if there is one, and along a random one: generic, and curved."""
    kind: Any = np.float64 if gradient.dtype == np.float64 else np.float32
    direction = np.random.default_rng(0).standard_normal(gradient.size, dtype=kind)
    direction /= np.linalg.norm(direction)
    largest = np.abs(gradient).max(initial=0.0)
    if largest > 0.0:
        along = gradient / largest  # whose squares are numbers
        along /= np.linalg.norm(along)
        if direction @ along < 0.0:  # a sum of opposite vectors would be 0
            direction = -direction
        direction += along
        direction /= np.linalg.norm(direction)
    return direction


@np.errstate(all="ignore")
def contradicts(
    displaced: Callable[[Vector, float], tuple[Vector, Vector]],
    product: Callable[[Vector], Vector],
    direction: Vector,
    scale: float,
) -> bool:
    """Return whether differences of gradients say that a product with the Hessian is wrong.

    A product agrees with a difference at some step: long ones meet kinks and short ones rounding, but hardly ever both
    at all steps. It is contradicted where the differences of two steps agree with each other instead.

    Parameters
    ----------
    displaced
        (unit direction, length) → the difference of the gradients at two points, and that of the points, as rounded;
        new arrays.
    product
        v → ∇²L(w) v, at the point between; a new array.
    direction
        A unit vector, of the gradient's precision.
    scale
        Norm of the weights, or another length of their scale, > 0.

    Returns
    -------
    bool
        Also False where nothing is finite or the differences are nothing but rounding.
    """
    precision = str(direction.dtype)
    wrong: list[Vector] = []
    for step in _STEPS[precision]:
        difference, displacement = displaced(direction, step * scale)
        length = float(np.linalg.norm(displacement))
        if length == 0.0:
            continue
        # In place: models are large.
        difference /= length
        displacement /= length
        image = product(displacement)
        size = float(max(np.linalg.norm(difference), np.linalg.norm(image)))
        image -= difference
        error = float(np.linalg.norm(image))
        if not np.isfinite(error + size):
            return False
        if error <= _AGREEMENT[precision] * size:
            return False
        wrong.append(difference)
    return any(
        float(np.linalg.norm(a - b)) <= 2.0 * _AGREEMENT[precision] * float(np.linalg.norm(a))
        for k, a in enumerate(wrong)
        for b in wrong[:k]
    )


@np.errstate(all="ignore")
def symmetric(product: Callable[[Vector], Vector], direction: Vector) -> bool:
    """Return whether products by differences may be those of a symmetric matrix, the derivative of a gradient.

    A·a of the direction a, and A·b of b = Aa/‖Aa‖: a symmetric matrix has a·Ab = ‖Aa‖.
    """
    image = product(direction)
    size = float(np.linalg.norm(image))
    if size == 0.0 or not np.isfinite(size):
        return True
    second = product((image / size).astype(direction.dtype))
    error = abs(float(direction @ second) - size)
    return error <= _SYMMETRY[str(direction.dtype)] * max(size, float(np.linalg.norm(second)))


@np.errstate(all="ignore")
def are_wrong(gradient: Callable[[Array], Array], product: Callable[[Array], Array], w: Array) -> bool:
    """Return whether products with the Hessian at w fail, or are no derivatives of the gradient."""
    slope = gradient(w)
    if not np.isfinite(slope).all():
        return False

    def displaced(unit: Array, length: float) -> tuple[Array, Array]:
        ahead, behind = w + length * unit, w - length * unit
        return gradient(ahead) - gradient(behind), ahead - behind

    try:
        scale = float(np.linalg.norm(w)) or 1.0
        return contradicts(displaced, product, generic_direction(slope), scale)
    except Exception:  # whatever another library raises where it has no second derivative
        return True
