"""Points of a loss with the derivatives the theory needs, and their projection onto {S ≤ S*, u·∇L = 0}."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from selfstab.eigen import pairs as eigenpairs
from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.pairs import Eigenpair
from selfstab.losses.base.derivatives import Derivatives
from selfstab.losses.base.loss import Loss
from selfstab.validation import Array

PROJECTIONS: Final = 3
"""Linearized projections after a step, as in [Damian2023]_."""

_SHIFTS = 20  # to find a second eigenvalue that lies far below −S


class Accuracy(NamedTuple):
    """How exact an eigenpair is: its residual over the eigenvalue, and the share of a random vector in its start."""

    tolerance: float
    mix: float


ROUGH: Final = Accuracy(1e-5, 1e-6)
"""Of the eigenpairs that a projection starts from: the next one mends what they leave."""

FINE: Final = Accuracy(1e-8, 1e-4)
"""Of the top eigenpairs on the constrained trajectory; the eigenvalue's error is of the residual's square."""

SECOND: Final = Accuracy(1e-6, 1e-2)
"""Of the second ones; they are searched most widely, and so find a top eigenvalue that was missed."""


@dataclass(frozen=True)
class Point:
    """Weights, and the derivatives there that the theory needs.

    Parameters
    ----------
    local
        The loss's derivatives at w.
    top
        S(w) and u(w), with the residual.
    across
        ∇S⊥(w), the gradient of sharpness without its part along u.
    """

    local: Derivatives
    top: Eigenpair
    across: Array

    @classmethod
    def at(cls, loss: Loss, weights: Array, guess: Array | None, accuracy: Accuracy) -> Point:
        """Evaluate the derivatives at the weights; `guess` is near u."""
        local = loss.derivatives_at(weights)
        top = eigenpair(local, guess, accuracy)
        u = top.vector
        growth = local.third(u, u)
        return cls(local, top, growth - (u @ growth) * u)

    @property
    def weights(self) -> Array:
        """w, shape (dimension,)."""
        return self.local.weights

    @property
    def gradient(self) -> Array:
        """∇L(w)."""
        return self.local.gradient

    @property
    def sharpening(self) -> float:
        """α = −∇L·∇S⊥."""
        return -float(self.gradient @ self.across)

    @cached_property
    def stabilization(self) -> float:
        """b² = ‖∇S⊥‖²."""
        return float(self.across @ self.across)

    @property
    def slope(self) -> float:
        """u·∇L."""
        return float(self.top.vector @ self.gradient)

    def projected(self, threshold: float) -> Point:
        """Return the point after the linearized projections onto {S ≤ S*, u·∇L = 0}.

        As in [Damian2023]_ each takes S − S* as it was before Newton's step along u, and leaves what that changed to
        the next. After a step of the trajectory, O(δ²), k of them leave O(δ^{2k}).
        """
        point = self
        for k in range(PROJECTIONS):
            point = point._projected_once(threshold, FINE if k == PROJECTIONS - 1 else ROUGH)
        return point

    def _projected_once(self, threshold: float, accuracy: Accuracy) -> Point:
        top, moved = self.top, self.weights
        if top.value > 0.0:
            moved = moved - (self.slope / top.value) * top.vector  # Newton's step along u
        if top.value > threshold and self.stabilization > 0.0:
            moved = moved - ((top.value - threshold) / self.stabilization) * self.across
        return Point.at(self.local.loss, moved, top.vector, accuracy)


def eigenpair(local: Derivatives, guess: Array | None, accuracy: Accuracy) -> Eigenpair:
    """Return the top eigenpair at some weights; NaN where they or the Hessian are beyond the range of float64.

    A guess that is NaN, as it is after such a pair, gives NaN, too: what follows it has lost its direction.
    """
    if guess is None or np.isfinite(guess).all():
        try:
            return local.top(guess, *accuracy)
        except NotFiniteError:
            pass
    return Eigenpair(np.nan, np.full_like(local.weights, np.nan), np.nan)


def second_pair(point: Point, guess: Array | None) -> Eigenpair:
    """Return the second largest eigenvalue at a point, with its vector."""
    if point.local.loss.explicit_hessian:
        pairs = eigenpairs.top_eigenpairs(point.local.hessian, 2)
        return Eigenpair(float(pairs.values[1]), pairs.vectors[1], float(pairs.residuals[1]))
    # The first is known: the largest without u takes fewer products than two pairs together.
    product, u, shift = point.local.product, point.top.vector, 2.0 * abs(point.top.value)

    def deflated(v: Array) -> Array:
        return product(v) - (shift * (u @ v)) * u

    pair = eigenpairs.top_eigenpair(deflated, len(u), guess=guess, **SECOND._asdict())
    for _ in range(_SHIFTS):
        if not abs(u @ pair.vector) > 0.5:
            break
        shift *= 10.0  # at a saddle all others lie below S − shift, and u came first again
        pair = eigenpairs.top_eigenpair(deflated, len(u), **SECOND._asdict())
    return pair
