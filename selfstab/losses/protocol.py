"""The contract of a loss, and what a loss gets for free.

A new loss defines `dimension`, `value`, `gradient`, `hessian` and `third`; all else follows, but for `fourth`, which
few ask for. A loss too large for explicit Hessians overrides `hessian_vector` and sets `explicit_hessian` to False.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from selfstab import spectrum, validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.krylov import NotFiniteError
from selfstab.losses.newton import damped_newton
from selfstab.validation import Array


class Loss(ABC):
    """A function of a weight vector, with its derivatives.

    All methods take weights of shape (dimension,) in float64 and validate them; the underscored ones are called by
    our own loops and trust their argument.
    """

    explicit_hessian: bool = True
    """Whether the sharpness is taken from the explicit Hessian (else from Hessian-vector products)."""

    highest_derivative: int = 4
    """Order up to which the loss has derivatives; those beyond are refused."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Number of weights."""

    @property
    def weight_names(self) -> tuple[str, ...]:
        """One name per weight, the coordinate of the dimension `weight`."""
        return tuple(f"w{i}" for i in range(self.dimension))

    @property
    def parameters(self) -> Mapping[str, float]:
        """The loss's numeric parameters by name."""
        return {}

    @property
    def description(self) -> str:
        """One line that says which loss this is, kept in every dataset's attributes."""
        inner = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{type(self).__name__}({inner})"

    def __repr__(self) -> str:
        return self.description

    def replace(self, **parameters: float) -> Self:
        """Return the same loss with other values of its parameters."""
        validation.some_of("parameters", tuple(parameters), self.parameters)
        raise NotImplementedError  # unreachable without parameters of one's own

    # -- derivatives, trusted -------------------------------------------------------------------------------------

    @abstractmethod
    def _value(self, w: Array) -> float: ...

    @abstractmethod
    def _gradient(self, w: Array) -> Array: ...

    @abstractmethod
    def _hessian(self, w: Array) -> Array: ...

    @abstractmethod
    def _third(self, w: Array, u: Array, v: Array) -> Array: ...

    def _fourth(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        raise NotImplementedError(
            f"fourth needs the method _fourth(w, u, v, z), the array ∇⁴L(u, v, z, ·), which {type(self).__name__} "
            "does not define"
        )

    def _hessian_vector(self, w: Array, v: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            product: Array = self._hessian(w) @ v
        return product

    def _hessian_operator(self, w: Array) -> Callable[[Array], Array]:
        """Return v → ∇²L(w) v for many products at one w; what depends on w alone may be computed once."""
        return lambda v: self._hessian_vector(w, v)

    def _at(self, w: Array) -> Local:
        """Return the derivatives at one w, for a caller that needs several of them."""
        return Local(self, w)

    def _sharpness(self, w: Array, guess: Array | None = None) -> spectrum.Eigenpair:
        """Return the top eigenpair at w; `guess` is a warm start, such as the last step's eigenvector."""
        if self.explicit_hessian:
            return spectrum.top_eigenpair(self._hessian(w), guess=guess)
        return spectrum.top_eigenpair(self._hessian_operator(w), self.dimension, guess=guess)

    # -- derivatives, validated -----------------------------------------------------------------------------------

    def _weights(self, name: str, w: Any) -> Array:
        return validation.floats(name, w, shape=(self.dimension,))

    def value(self, w: Any) -> float:
        """Return L(w)."""
        return float(self._value(self._weights("w", w)))

    def gradient(self, w: Any) -> Array:
        """Return ∇L(w), shape (dimension,)."""
        return self._gradient(self._weights("w", w))

    def hessian(self, w: Any) -> Array:
        """Return ∇²L(w), shape (dimension, dimension), symmetric to the last bit."""
        return self._hessian(self._weights("w", w))

    def hessian_vector(self, w: Any, v: Any) -> Array:
        """Return ∇²L(w) v, shape (dimension,)."""
        return self._hessian_vector(self._weights("w", w), self._weights("v", v))

    def third(self, w: Any, u: Any, v: Any) -> Array:
        """Return ∇³L(w)(u, v, ·), shape (dimension,)."""
        self._check_order(3)
        return self._third(self._weights("w", w), self._weights("u", u), self._weights("v", v))

    def fourth(self, w: Any, u: Any, v: Any, z: Any) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·), shape (dimension,).

        Raises
        ------
        NotImplementedError
            If a loss of one's own does not define it.
        """
        self._check_order(4)
        directions = [self._weights(name, d) for name, d in (("u", u), ("v", v), ("z", z))]
        return self._fourth(self._weights("w", w), *directions)

    def sharpness(self, w: Any) -> tuple[float, Array]:
        """Return the largest Hessian eigenvalue at w and its unit eigenvector.

        The eigenvector's sign is free; it is chosen so that its largest component in magnitude is positive.
        """
        pair = self._top(self._weights("w", w))
        return pair.value, pair.vector

    def sharpness_gradient(self, w: Any) -> Array:
        """Return ∇S(w) = ∇³L(u, u, ·) with u the top eigenvector, shape (dimension,).

        It is the gradient of the sharpness where the top eigenvalue is simple.
        """
        self._check_order(3)
        at = self._weights("w", w)
        u = self._top(at).vector
        return self._third(at, u, u)

    def _check_order(self, order: int) -> None:
        """Refuse a derivative that the loss does not have."""
        if order > self.highest_derivative:
            raise ValueError(
                f"{type(self).__name__} must have derivatives of order {order} for this, got a loss that has them "
                f"up to order {self.highest_derivative}"
            )

    def _top(self, w: Array) -> spectrum.Eigenpair:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return self._sharpness(w)
        except NotFiniteError:
            raise ValueError(f"w must lie where the Hessian is finite, got {validation.shown(w)}") from None

    # -- where to start -------------------------------------------------------------------------------------------

    def initial_weights(self, seed: int = 0, scale: float = 1.0) -> Array:
        """Return normal random weights, `scale` times ``default_rng(seed).standard_normal(dimension)``."""
        seed = validation.integer("seed", seed, at_least=0)
        scale = validation.real("scale", scale, at_least=0)
        return scale * np.random.default_rng(seed).standard_normal(self.dimension)

    def minimum(self, start: Any) -> Array:
        """Return a minimum of the loss near `start`, found by damped Newton steps.

        Parameters
        ----------
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
        at = self._weights("start", start)
        with np.errstate(over="ignore", invalid="ignore"):
            return damped_newton(self, at)


@dataclass(frozen=True)
class Local:
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
        return self.loss._value(self.weights)

    @cached_property
    def gradient(self) -> Array:
        """∇L(w)."""
        return self.loss._gradient(self.weights)

    @cached_property
    def product(self) -> Callable[[Array], Array]:
        """The function v → ∇²L(w) v."""
        return self.loss._hessian_operator(self.weights)

    @cached_property
    def hessian(self) -> Array:
        """∇²L(w)."""
        return self.loss._hessian(self.weights)

    def third(self, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return self.loss._third(self.weights, u, v)

    def top(self, guess: Array | None, tolerance: float, mix: float) -> spectrum.Eigenpair:
        """Return the top eigenpair; tolerance and mix are an iteration's, which small losses do without."""
        if self.loss.explicit_hessian:
            return self.loss._sharpness(self.weights, guess)
        return spectrum.top_eigenpair(
            self.product, self.loss.dimension, guess=guess, tolerance=tolerance, mix=mix
        )


@dataclass(frozen=True)
class Initialization:
    """A start that the loss draws: ``loss.initial_weights(seed, scale)``.

    In a sweep its numbers may be axes, ``start.seed`` and ``start.scale``.

    Parameters
    ----------
    seed
        Seed of the draw, 0 to 2⁵³.
    scale
        Scale of the weights, >= 0; what it multiplies is the loss's choice.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> import selfstab as ss
    >>> ss.Initialization(scale=0.5).weights(ss.DiagonalNetwork([[1.0, 2.0]], [1.0]))
    array([0.5, 0.5, 0.5, 0.5])
    """

    seed: int = 0
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", validation.integer("seed", self.seed, at_least=0, at_most=2**53))
        object.__setattr__(self, "scale", validation.real("scale", self.scale, at_least=0))

    def weights(self, loss: Loss) -> Array:
        """Return the weights that the loss draws, shape (dimension,)."""
        return validation.floats(
            "initial weights", loss.initial_weights(self.seed, self.scale), shape=(loss.dimension,)
        )


def flip_start(loss: Loss, weights: Any, size: float) -> tuple[Array, Array]:
    """Return a start that swings along the top eigenvector with no net motion: the oscillating mode at rest.

    start = weights + size·u, previous = weights − size·u, with u the top eigenvector of the Hessian at `weights`.

    Parameters
    ----------
    loss
        The loss.
    weights
        The centre, usually a minimum, shape (dimension,).
    size
        Half the distance of start and previous, > 0, in units of the weights.

    Returns
    -------
    start, previous : ndarray
        Arguments of :func:`simulate` and :func:`sweep`, each of shape (dimension,).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range.

    Examples
    --------
    >>> import selfstab as ss
    >>> ss.flip_start(ss.Quadratic([2.0, 1.0]), [0.0, 0.0], size=0.5)
    (array([0.5, 0. ]), array([-0.5,  0. ]))
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
    centre = loss._weights("weights", weights)
    size = validation.real("size", size, above=0)
    with one_blas_thread():  # the bits of a product depend on the number of threads
        _, u = loss.sharpness(centre)
    return centre + size * u, centre - size * u
