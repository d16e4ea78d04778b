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
_NEGATIVE = 1e-8


def damped_newton(loss: Loss, start: Array) -> Array:
    """Return a minimum of the loss near `start` by the steps −(∇²L + μI)⁻¹∇L.

    The damping μ grows by 4 after a step that lowers the loss by less than a tenth of what the
    quadratic model predicts, and where ∇²L + μI is not positive definite; it falls by 8 after any other
    step. It never reaches 0, so that a singular Hessian, as on the manifolds of minima of
    overparametrized networks, does no harm. Near the minimum, where values no longer resolve the
    descent, the gradient's norm decides instead.

    Parameters
    ----------
    loss
        The loss; its explicit Hessian is factored at each of the (tens of) steps.
    start
        Where the search starts, shape (dimension,).

    Returns
    -------
    ndarray
        Weights with ‖∇L‖ <= 1e-13·max(1, max|∇²L|) there, shape (dimension,).

    Raises
    ------
    ValueError
        If the search ends elsewhere: at a saddle, a kink, or on the way to a minimum at infinity.
    """
    from scipy.linalg import LinAlgError, cho_solve

    w = start
    value, gradient, hessian = loss.value_at(w), loss.gradient_at(w), loss.hessian_at(w)
    norm = float(np.linalg.norm(gradient))
    damping = 1e-3 * (_size(hessian) or 1.0)
    for _ in range(_ITERATIONS):
        if norm <= _STATIONARY * max(1.0, _size(hessian)):
            break
        try:
            factor = _cholesky(hessian, damping)
        except LinAlgError:
            damping *= 4.0
            continue
        step = -cho_solve((factor, True), gradient, check_finite=False)
        predicted = -float(gradient @ step + 0.5 * (step @ hessian @ step))
        next_value, next_gradient = loss.value_at(w + step), loss.gradient_at(w + step)
        next_norm = float(np.linalg.norm(next_gradient))
        unresolved = predicted <= 1e-12 * abs(value)
        if value - next_value >= 0.1 * predicted or (unresolved and next_norm < norm):
            w, value, gradient, norm = w + step, next_value, next_gradient, next_norm
            hessian = loss.hessian_at(w)
            damping /= 8.0
        else:
            damping *= 4.0

    if not norm <= _STATIONARY * max(1.0, _size(hessian)) < np.inf:
        raise _not_near(start, f"the gradient's norm is still {norm:.2g} after {_ITERATIONS} steps")
    try:
        _cholesky(hessian, _NEGATIVE * _size(hessian))
    except LinAlgError:
        raise _not_near(start, "the search ends at a saddle") from None
    return w


def _size(hessian: Array) -> float:
    return float(np.abs(hessian).max())


def _cholesky(hessian: Array, damping: float) -> Array:
    from scipy.linalg import cholesky

    damped = hessian.copy()
    damped[np.diag_indices_from(damped)] += damping
    factor: Array = cholesky(damped, lower=True, overwrite_a=True, check_finite=False)
    return factor


def _not_near(start: Array, reason: str) -> ValueError:
    return ValueError(f"start must lie near a minimum, got {validation.shown(start)}: {reason}")
