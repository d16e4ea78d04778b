"""The derivatives of a loss at one point, each computed when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from selfstab.eigen import pairs
from selfstab.validation import Array

if TYPE_CHECKING:
    from selfstab.losses.base.loss import Loss


@dataclass(frozen=True)
class Derivatives:
    """A loss's derivatives at one w, trusted; each is computed when first asked for.

    A loss for which they have work in common overrides this.

    Parameters
    ----------
    loss
        The loss.
    weights
        w, shape (dimension,).
    """

    loss: Loss
    weights: Array

    @cached_property
    def value(self) -> float:
        """L(w)."""
        return self.loss.value_at(self.weights)

    @cached_property
    def gradient(self) -> Array:
        """∇L(w)."""
        return self.loss.gradient_at(self.weights)

    @cached_property
    def product(self) -> Callable[[Array], Array]:
        """The function v → ∇²L(w) v."""
        return self.loss.hessian_operator_at(self.weights)

    @cached_property
    def hessian(self) -> Array:
        """∇²L(w)."""
        return self.loss.hessian_at(self.weights)

    def third(self, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return self.loss.third_at(self.weights, u, v)

    def top(self, guess: Array | None, tolerance: float, mix: float) -> pairs.Eigenpair:
        """Return the top eigenpair; tolerance and mix are an iteration's, which small losses do without."""
        if self.loss.explicit_hessian:
            return self.loss.sharpness_at(self.weights, guess)
        return pairs.top_eigenpair(
            self.product, self.loss.dimension, guess=guess, tolerance=tolerance, mix=mix
        )
