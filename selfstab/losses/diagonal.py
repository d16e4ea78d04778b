"""Diagonal linear networks: regression with weights u∘u − v∘v."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np

from selfstab import spectrum, validation
from selfstab.losses.regression import Regression
from selfstab.validation import Array

_EXPLICIT_UP_TO: Final = 256
"""Weights up to which the Hessian, cheap to form here, and a dense solver are faster than an iteration."""


class DiagonalNetwork(Regression):
    r"""Mean squared error of a two-layer diagonal linear network [Phunyaphibarn2024]_.

    .. math:: L(u, v) = \frac{1}{4n} \sum_{i=1}^n (x_i · (u∘u − v∘v) − y_i)^2

    The weights are u and v concatenated. With m = u∘u − v∘v, g = Xᵀ(Xm − y)/(2n), C = XᵀX/(2n), s = (u, −v):
    ∇L = 2(u∘g, −v∘g),  ∇²L = 4 diag(s) [[C, C], [C, C]] diag(s) + 2 diag(g, −g).

    Parameters
    ----------
    inputs
        X, shape (n, features).
    targets
        y, shape (n,).

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
    """

    def __init__(self, inputs: Any, targets: Any) -> None:
        self.inputs = validation.floats("inputs", inputs, shape=(None, None))
        if 0 in self.inputs.shape:
            raise ValueError(f"inputs must not be empty, got shape {self.inputs.shape}")
        self.targets = validation.floats("targets", targets, shape=(len(self.inputs),))
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
        """The class, and the data by shape and a hash of the bytes."""
        return f"DiagonalNetwork({self.data})"

    def regressor(self, w: Any) -> Array:
        """Return u∘u − v∘v, the weights of the linear model the network stands for; shape (features,)."""
        return self._regressor(self._weights("w", w))

    def initial_weights(self, seed: int = 0, scale: float = 1.0) -> Array:
        """Return u = v = scale in each component, where the regressor is 0; `seed` changes nothing."""
        validation.integer("seed", seed, at_least=0)
        return np.full(self.dimension, validation.real("scale", scale, at_least=0))

    # A diverging run may overflow: its result is infinity or NaN, and no warning.

    def _regressor(self, w: Array) -> Array:
        u, v = w.reshape(2, -1)
        return u * u - v * v

    def _slope(self, w: Array) -> Array:
        """Return ∂L/∂m = Xᵀr/(2n)."""
        return (self.inputs @ self._regressor(w) - self.targets) @ self.inputs / (2 * len(self.inputs))

    def _curved(self, m: Array) -> Array:
        """Return C m."""
        return (self.inputs @ m) @ self.inputs / (2 * len(self.inputs))

    @cached_property
    def _curvature(self) -> Array:
        return self.inputs.T @ self.inputs / (2 * len(self.inputs))

    @np.errstate(over="ignore", invalid="ignore")
    def _value(self, w: Array) -> float:
        residuals = self.inputs @ self._regressor(w) - self.targets
        return float(residuals @ residuals) / (4 * len(self.inputs))

    @np.errstate(over="ignore", invalid="ignore")
    def _gradient(self, w: Array) -> Array:
        return 2.0 * _spread(w, self._slope(w))

    @np.errstate(over="ignore", invalid="ignore")
    def _hessian(self, w: Array) -> Array:
        u, v = w.reshape(2, -1)
        signed = np.concatenate([u, -v])
        slope = self._slope(w)
        # The outer product first: it is symmetric to the last bit, and so is its product with the curvature.
        hessian = 4.0 * np.tile(self._curvature, (2, 2)) * np.outer(signed, signed)
        hessian[np.diag_indices_from(hessian)] += 2.0 * np.concatenate([slope, -slope])
        return hessian

    @np.errstate(over="ignore", invalid="ignore")
    def _hessian_vector(self, w: Array, v: Array) -> Array:
        return 2.0 * (_spread(w, self._curved(_first(w, v))) + _spread(v, self._slope(w)))

    def _sharpness(self, w: Array, guess: Array | None = None) -> spectrum.Eigenpair:
        if self.explicit_hessian:
            return spectrum.top_eigenpair(self._hessian(w), guess=guess, dense_up_to=_EXPLICIT_UP_TO)
        with np.errstate(over="ignore", invalid="ignore"):
            # With K = (X diag(u), −X diag(v)) the Hessian is (2/n) KᵀK + 2 diag(g, −g); K serves all products.
            u, v = w.reshape(2, -1)
            features = np.concatenate([self.inputs * u, -self.inputs * v], axis=1)
            slope = self._slope(w)
            bend, share = 2.0 * np.concatenate([slope, -slope]), 2.0 / len(self.inputs)
            return spectrum.top_eigenpair(
                lambda v: share * ((features @ v) @ features) + bend * v, self.dimension, guess=guess
            )

    @np.errstate(over="ignore", invalid="ignore")
    def _third(self, w: Array, u: Array, v: Array) -> Array:
        return 2.0 * (
            _spread(w, self._curved(_first(u, v)))
            + _spread(u, self._curved(_first(w, v)))
            + _spread(v, self._curved(_first(w, u)))
        )


def _spread(w: Array, slope: Array) -> Array:
    """Return (u∘slope, −v∘slope)."""
    u, v = w.reshape(2, -1)
    return np.concatenate([u * slope, -v * slope])


def _first(w: Array, direction: Array) -> Array:
    """Return the derivative of u∘u − v∘v along a direction; it is symmetric in its arguments."""
    u, v = w.reshape(2, -1)
    du, dv = direction.reshape(2, -1)
    return 2.0 * (u * du - v * dv)
