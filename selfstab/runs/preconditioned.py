"""The top eigenpair of a Hessian along a run, as it is and divided by an optimizer's preconditioner."""

from __future__ import annotations

import numpy as np

from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.pairs import Eigenpair, top_eigenpair
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.base import Optimizer
from selfstab.runs.states import State
from selfstab.validation import Array


def top_pair(loss: Loss, w: Array, guess: Array | None) -> Eigenpair:
    """Return the top eigenpair at w; nan where the Hessian is beyond the range of float64."""
    if guess is not None and np.isnan(guess).any():
        guess = None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return loss.sharpness_at(w, guess)
    except NotFiniteError:
        return Eigenpair(np.nan, np.full(loss.dimension, np.nan), np.nan)


def preconditioner(loss: Loss, optimizer: Optimizer, state: State) -> Array:
    """Return P of each weight, by which the update from a state divides; 1 of an optimizer without one."""
    if not optimizer.preconditions:
        return np.ones(loss.dimension)
    with np.errstate(all="ignore"):
        gradient = loss.gradient_at(state.weights)
        size = optimizer.preconditioner(optimizer.of_carried(state.carried), gradient, state.step)
        return np.array(np.broadcast_to(size, state.weights.shape), np.float64)


def preconditioned_pair(
    loss: Loss, optimizer: Optimizer, state: State, guess: Array | None = None
) -> Eigenpair:
    """Return the top eigenpair of P^{-1/2} H P^{-1/2} at a state; nan where it is beyond the range of float64.

    The vector is P^{1/2} times the direction in which the weights swing.
    """
    if not optimizer.preconditions:
        return top_pair(loss, state.weights, guess)
    w = state.weights
    root = 1.0 / np.sqrt(preconditioner(loss, optimizer, state))
    if guess is not None and np.isnan(guess).any():
        guess = None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(root).all():
                raise NotFiniteError("the preconditioner is not finite")
            if loss.explicit_hessian:
                return top_eigenpair(root[:, None] * loss.hessian_at(w) * root, guess=guess)
            product = loss.hessian_operator_at(w)
            return top_eigenpair(lambda v: root * product(root * v), loss.dimension, guess=guess)
    except NotFiniteError:
        return Eigenpair(np.nan, np.full(loss.dimension, np.nan), np.nan)
