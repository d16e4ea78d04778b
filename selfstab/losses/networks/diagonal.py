"""Diagonal linear networks: regression with weights u∘u − v∘v, or other powers of u and v."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import product
from math import perm, prod
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np

from selfstab import validation
from selfstab.eigen import pairs
from selfstab.losses.base.named_loss import whole
from selfstab.losses.networks.regression import Regression
from selfstab.validation import Array

_EXPLICIT_UP_TO: Final = 256
"""Weights up to which the Hessian, cheap to form here, and a dense solver are faster than an iteration."""


class DiagonalNetwork(Regression):
    r"""Mean squared error of a diagonal linear network [Phunyaphibarn2024]_ of any depth.

    .. math:: L(u, v) = \frac{1}{4n} \sum_{i=1}^n (x_i · (u^d − v^d) − y_i)^2

    The weights are u and v concatenated, powers are by component, and the factor 1/(4n) is the same at every depth d.
    Let m = u^d − v^d, g = Xᵀ(Xm − y)/(2n) and C = XᵀX/(2n). The derivatives of m along directions of the weights are
    m'(a), m''(a, b), ... Their adjoints in the last direction are S_1(·), S_2(a; ·), ... Then ∇L = S_1(g), ∇²L
    a = S_1(C m'(a)) + S_2(a; g), and so on by the product rule.

    Parameters
    ----------
    inputs
        X, shape (n, features).
    targets
        y, shape (n,).
    depth
        d, an integer >= 1; 1 is linear regression.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, empty or not finite, or the lengths differ.

    Examples
    --------
    >>> loss = DiagonalNetwork([[1.0, 0.0], [0.0, 2.0]], [1.0, 0.0])
    >>> loss.value([1.0, 0.0, 0.0, 0.0]), loss.value([0.0, 0.0, 0.0, 0.0])
    (0.0, 0.125)
    >>> loss.hessian([1.0, 0.0, 0.0, 0.0]).diagonal()
    array([1., 0., 0., 0.])
    >>> DiagonalNetwork([[1.0]], [1.0], depth=3).gradient([0.0, 1.0])
    array([-0.,  3.])
    """

    text_settings = MappingProxyType(
        {"samples": "40", "features": "100", "nonzeros": "5", "seed": "0", "depth": "2"}
    )
    data_settings = ("samples", "features", "nonzeros", "seed")

    @classmethod
    def from_text(cls, settings: Mapping[str, str]) -> Self:
        """Return the network on sparse regression."""
        from selfstab.datasets import sparse_regression

        counts = {name: whole(name, text) for name, text in {**cls.text_settings, **settings}.items()}
        depth = counts.pop("depth")
        return cls(*sparse_regression(**counts), depth)

    def __init__(self, inputs: Any, targets: Any, depth: int = 2) -> None:
        self.inputs = validation.floats("inputs", inputs, shape=(None, None))
        if 0 in self.inputs.shape:
            raise ValueError(f"inputs must not be empty, got shape {self.inputs.shape}")
        self.targets = validation.floats("targets", targets, shape=(len(self.inputs),))
        self.depth = validation.integer("depth", depth, at_least=1)
        self.features: int = self.inputs.shape[1]
        self.explicit_hessian = self.dimension <= _EXPLICIT_UP_TO

    @property
    def dimension(self) -> int:
        """Number of weights: twice the features."""
        return 2 * self.features

    @property
    def weight_names(self) -> tuple[str, ...]:
        """u0, u1, ..., v0, v1, ..."""
        return tuple(f"{half}{i}" for half in "uv" for i in range(self.features))

    @property
    def description(self) -> str:
        """The class, the depth where it is not 2, and the data by shape and a hash of the bytes."""
        return f"DiagonalNetwork({'' if self.depth == 2 else f'depth={self.depth}, '}{self.data})"

    def regressor(self, w: Any) -> Array:
        """Return u^d − v^d, the weights of the linear model that the network represents; shape (features,)."""
        return self._regressor(self.checked_weights("w", w))

    def initial_weights(self, seed: int = 0, scale: float = 1.0) -> Array:
        """Return u = v = scale in each component, where the regressor is 0; `seed` changes nothing."""
        validation.integer("seed", seed, at_least=0)
        return np.full(self.dimension, validation.real("scale", scale, at_least=0))

    # A diverging run may overflow: its result is infinity or NaN, and no warning.

    def _powers(self, w: Array, order: int) -> Array:
        """Return the derivative of the given order of u^d and of −v^d, concatenated; of rows of weights, too."""
        remaining = self.depth - order
        out = np.full(w.shape, float(perm(self.depth, order)))  # d(d − 1)⋯; 0 beyond the depth
        for _ in range(remaining):
            out *= w
        out[..., self.features :] *= -1.0
        return out

    def _regressor(self, w: Array) -> Array:
        u, v = self._powers(w, 0).reshape(2, -1)
        return u + v

    def _slope(self, w: Array) -> Array:
        """Return g = ∂L/∂m = Xᵀ(Xm − y)/(2n)."""
        return (self.inputs @ self._regressor(w) - self.targets) @ self.inputs / (2 * len(self.inputs))

    def _curved(self, m: Array) -> Array:
        """Return C m."""
        return (self.inputs @ m) @ self.inputs / (2 * len(self.inputs))

    @cached_property
    def _curvature(self) -> Array:
        return self.inputs.T @ self.inputs / (2 * len(self.inputs))

    @np.errstate(over="ignore", invalid="ignore")
    def value_at(self, w: Array) -> float:
        """Return L(w)."""
        residuals = self.inputs @ self._regressor(w) - self.targets
        return float(residuals @ residuals) / (4 * len(self.inputs))

    @np.errstate(over="ignore", invalid="ignore")
    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return self._powers(w, 1) * np.tile(self._slope(w), 2)

    def gradients_at(self, points: Array) -> Array:
        """Return ∇L at rows of `points`, shape (points, dimension)."""
        if (
            type(self).gradient_at is not DiagonalNetwork.gradient_at
        ):  # a class made from this one has its own
            return super().gradients_at(points)
        with np.errstate(over="ignore", invalid="ignore"):
            values = self._powers(points, 0)
            regressors = values[:, : self.features] + values[:, self.features :]
            # Each row times the matrix by itself, as gradient_at multiplies: one product of all has other bits.
            residuals = (self.inputs @ regressors[:, :, None])[:, :, 0] - self.targets
            slopes = (residuals[:, None, :] @ self.inputs)[:, 0] / (2 * len(self.inputs))
            gradients: Array = self._powers(points, 1)
            gradients *= np.tile(slopes, 2)
            return gradients

    @np.errstate(over="ignore", invalid="ignore")
    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w)."""
        first = self._powers(w, 1)
        # The outer product first: it is symmetric to the last bit, and so is its product with the curvature.
        hessian = np.tile(self._curvature, (2, 2)) * np.outer(first, first)
        hessian[np.diag_indices_from(hessian)] += self._bend(w)
        return hessian

    def _bend(self, w: Array) -> Array:
        """Return the diagonal of S_2(·; g)."""
        return self._powers(w, 2) * np.tile(self._slope(w), 2)

    @np.errstate(over="ignore", invalid="ignore")
    def hessian_vector_at(self, w: Array, v: Array) -> Array:
        """Return ∇²L(w) v."""
        return self._along(w, v)

    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return self._along(w, u, v)

    def fourth_at(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·)."""
        return self._along(w, u, v, z)

    @np.errstate(over="ignore", invalid="ignore")
    def _along(self, w: Array, *directions: Array) -> Array:
        """Return the derivative of the gradient S_1(g) along directions: the sum over the sets of them that move g."""
        total = np.zeros(w.size)
        powers = [self._powers(w, k) for k in range(1, len(directions) + 2)]
        for moved in product((True, False), repeat=len(directions)):
            inner = [d for d, moves in zip(directions, moved, strict=True) if moves]
            outer = [d for d, moves in zip(directions, moved, strict=True) if not moves]
            if inner:
                u, v = prod(inner, start=powers[len(inner) - 1]).reshape(2, -1)
                slope = self._curved(u + v)
            else:
                slope = self._slope(w)
            total += prod(outer, start=powers[len(outer)]) * np.tile(slope, 2)
        return total

    def sharpness_at(self, w: Array, guess: Array | None = None) -> pairs.Eigenpair:
        """Return the top eigenpair at w."""
        if self.explicit_hessian:
            return pairs.top_eigenpair(self.hessian_at(w), guess=guess, dense_up_to=_EXPLICIT_UP_TO)
        with np.errstate(over="ignore", invalid="ignore"):
            # With K = (X, X) diag(m') the Hessian is KᵀK/(2n) + S_2(·; g); K serves all products.
            features = np.tile(self.inputs, 2) * self._powers(w, 1)
            bend, samples = self._bend(w), len(self.inputs)
            return pairs.top_eigenpair(
                lambda v: ((features @ v) @ features) / (2 * samples) + bend * v, self.dimension, guess=guess
            )
