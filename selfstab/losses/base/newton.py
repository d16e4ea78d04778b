"""Minima by damped Newton steps, isolated or in manifolds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from selfstab import validation
from selfstab.validation import Array

if TYPE_CHECKING:
    from selfstab.losses.base.loss import Loss

_ITERATIONS = 500
_STATIONARY = 1e-13
_ROUNDING = 1e-15
_FAR = 1e10
_NEGATIVE = 1e-8

_SHRINKING = 0.93
"""Newton steps to a minimum of order 2m shrink by (2m − 2)/(2m − 1); on an endless slope they do not."""

_KINK = 0.0115
"""Changes of the gradient at distances in the ratio 1/100 that shrink by less belong to no second derivative."""

_DENSE = 500
"""Up to this many weights the flattest direction is looked at."""

_NEIGHBOURS = (1e-4, 1e-6, 1e-8)
"""Distances of the points that a minimum is compared with, times max(1, max|w|)."""


def damped_newton(loss: Loss, start: Array) -> Array:
    """Return a minimum of the loss near `start` by the steps −(∇²L + μI)⁻¹∇L.

    The damping μ grows by the factor 4 after a step that lowers the loss by less than a tenth of what the quadratic
    model predicts. It also grows where ∇²L + μI is not positive definite. It falls by the factor 8 after any other
    step. It never reaches 0, so that a singular Hessian, as on the manifolds of minima of overparametrized networks,
    does no harm. Near the minimum, where values no longer resolve the descent, the gradient's norm decides instead.

    Parameters
    ----------
    loss
        The loss; its explicit Hessian is factored at each of the (tens of) steps.
    start
        Where the search starts, shape (dimension,).

    Returns
    -------
    ndarray
        Weights with ‖∇L‖ <= 1e-13·max|∇²L| there, or 1e-15·max|∇²L|·max|w| for weights up to 1e10, shape (dimension,).

    Raises
    ------
    ValueError
        If the search ends elsewhere: at a saddle, at a kink, or on a slope without an end. On such a slope the steps
        do not shrink, or 500 of them do not suffice. A slope that another direction's curvature exceeds by 10¹³ is
        beyond what float64 tells from a valley's floor.
    """
    from scipy.linalg import LinAlgError, cho_solve

    w = start
    value, gradient, hessian = loss.value_at(w), loss.gradient_at(w), loss.hessian_at(w)
    norm = _norm(gradient)
    damping = 1e-3 * (_size(hessian) or 1.0)
    before = last = 0.0
    for _ in range(_ITERATIONS):
        if norm <= _STATIONARY * _size(hessian):
            break
        try:
            factor = _cholesky(hessian, damping)
        except LinAlgError:
            damping *= 4.0
            continue
        step = -cho_solve((factor, True), gradient, check_finite=False)
        predicted = -float(gradient @ step + 0.5 * (step @ hessian @ step))
        next_value, next_gradient = loss.value_at(w + step), loss.gradient_at(w + step)
        next_norm = _norm(next_gradient)
        unresolved = predicted <= 1e-12 * abs(value)
        # A value is rounded as its terms are, which may be 1 where the value is 0: the gradient is less so.
        level = next_value - value <= 4e-16 and next_norm < 0.1 * norm
        if value - next_value >= 0.1 * predicted or level or (unresolved and next_norm < norm):
            w, value, gradient, norm = w + step, next_value, next_gradient, next_norm
            before, last = last, float(np.linalg.norm(step))
            hessian = loss.hessian_at(w)
            damping /= 8.0
        else:
            damping *= 4.0

    if not np.isfinite(_size(hessian)):
        raise _not_near(start, "the search ends where the Hessian is not finite")
    scale = max(1.0, float(np.abs(w).max()))
    # Where the weights are large, their own rounding leaves a gradient; further out they are on an endless slope.
    if not norm <= max(_STATIONARY, _ROUNDING * min(scale, _FAR)) * _size(hessian):
        raise _not_near(start, f"the gradient's norm is still {norm:.2g} after {_ITERATIONS} steps")
    try:
        if _size(hessian) > 0.0:
            _cholesky(hessian, _NEGATIVE * _size(hessian))
    except LinAlgError:
        raise _not_near(start, "the search ends at a saddle") from None
    # Damped, the first step of all ends at no minimum: it leaves a part of the way.
    if last > max(1e-6 * scale, _SHRINKING * before):
        raise _not_near(start, f"the search goes on without an end, by steps of {last:.2g}")
    _check_neighbours(loss, start, w, hessian, scale)
    return w


def _check_neighbours(loss: Loss, start: Array, w: Array, hessian: Array, scale: float) -> None:
    """Raise if the loss falls from w, or its gradient changes there otherwise than a twice differentiable loss's."""
    size = _size(hessian)
    directions = np.random.default_rng(0).standard_normal((2, w.size))
    flat = size == 0.0
    steepness: float | None = None
    directions[1] = np.linalg.eigh(hessian).eigenvectors[:, 0] if w.size <= _DENSE else directions[1]
    for direction in directions:
        direction /= np.abs(direction).max()
        changes = []
        for distance in _NEIGHBOURS:
            ahead, behind = (
                loss.gradient_at(w + side * distance * scale * direction) for side in (1.0, -1.0)
            )
            if not (np.isfinite(ahead).all() and np.isfinite(behind).all()):
                raise _not_near(start, "the search ends where the gradient is not finite on all sides")
            # Along a slope or at a saddle the loss falls to one side, by more than the gradient's rounding.
            slope = min(float(ahead @ direction), -float(behind @ direction))
            if slope < -1e-12 * scale * size * max(1.0, float(np.abs(direction).sum())):
                raise _not_near(
                    start, "the loss falls from where the search ends, at a saddle or along a slope"
                )
            changes.append(np.abs(ahead - behind))
            flat = flat and not changes[-1].any()
        # A smooth gradient changes by 100 times less at a 100 times smaller distance, or by less still.
        far, near, nearest = changes
        if steepness is None:
            # The Hessian beside a kink is as large as one likes: what the gradient resolves is not.
            steepness = min(size, _size(nearest) / (2 * _NEIGHBOURS[-1] * scale))
        seen = nearest > 1e-12 * scale * steepness
        if (seen & (near > _KINK * far) & (nearest > _KINK * near)).any():
            raise _not_near(start, "the search ends at a kink")
    if flat:
        raise _not_near(start, "the loss is flat where the search ends")


def _size(hessian: Array) -> float:
    return float(np.abs(hessian).max())


def _norm(vector: Array) -> float:
    """Return the length, also where its square is no number."""
    size = float(np.abs(vector).max())
    inside = 1e-150 < size < 1e150 or size == 0.0 or not np.isfinite(size)
    return float(np.linalg.norm(vector)) if inside else size * float(np.linalg.norm(vector / size))


def _cholesky(hessian: Array, damping: float) -> Array:
    from scipy.linalg import cholesky

    damped = hessian.copy()
    damped[np.diag_indices_from(damped)] += damping
    factor: Array = cholesky(damped, lower=True, overwrite_a=True, check_finite=False)
    return factor


def _not_near(start: Array, reason: str) -> ValueError:
    return ValueError(f"start must lie near a minimum, got {validation.shown(start)}: {reason}")
