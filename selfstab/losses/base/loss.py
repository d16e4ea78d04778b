"""The contract of a loss, and what a loss gets for free."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

import numpy as np

from selfstab import validation
from selfstab.eigen import pairs
from selfstab.eigen.krylov import NotFiniteError
from selfstab.losses.base.derivatives import Derivatives
from selfstab.losses.base.fingerprint import hash_of
from selfstab.losses.base.former_names import alias_former_names
from selfstab.losses.base.kernel import Kernel
from selfstab.losses.base.newton import damped_newton
from selfstab.machine import check_memory
from selfstab.validation import Array

HESSIAN_NUMBERS: Final = 2**18
"""Most entries of Hessians that are held at a time."""


class Loss(ABC):
    """A function of a weight vector, with its derivatives: the base class of every loss.

    A class of your own defines :attr:`dimension` and four methods, whose names end in ``_at``:

    ``value_at(w)``
        L(w), a float.
    ``gradient_at(w)``
        ∇L(w), shape (dimension,).
    ``hessian_at(w)``
        ∇²L(w), shape (dimension, dimension), symmetric to the last bit.
    ``third_at(w, u, v)``
        ∇³L(w)(u, v, ·), shape (dimension,).

    They are trusted: w, u and v come as float64 arrays of shape (dimension,), checked before. They return float64,
    the same bits for the same weights, in arrays of their own, and leave their arguments as they are. Where numbers
    leave the range of float64 they return infinity or NaN, and do not raise. The public methods :meth:`value`,
    :meth:`gradient`, ... check their arguments and call them. :func:`check_loss` tests all of this.

    A class may define more:

    ``fourth_at(w, u, v, z)``
        ∇⁴L(w)(u, v, z, ·), shape (dimension,), which few functions ask for.
    ``hessian_vector_at(w, v)``, ``hessian_operator_at(w)``
        ∇²L(w) v, and the function v → ∇²L(w) v. With `explicit_hessian` False the sharpness is taken from them, and
        hessian_at is called by few.
    ``sharpness_at(w, guess)``
        The top eigenpair of the Hessian, where it has a faster way than those of ``selfstab.eigen.pairs``.
    ``derivatives_at(w)``
        Several derivatives at one w, where they have work in common.
    ``gradients_at(points)``, ``hessian_blocks_at(points)``
        Gradients and Hessians at many w, with the bits of those at one.
    :attr:`parameters` and :meth:`replace`
        Numbers that a sweep may vary. `domain` bounds those of a loss with a kernel.
    :attr:`weight_names`, :attr:`description`, :meth:`initial_weights`, :meth:`minimum`, `highest_derivative`
        What is known better than by default.
    :attr:`differences`
        Which derivatives are taken by differences, and thus are right to fewer digits.

    Examples
    --------
    ½k‖w‖² + ¼Σwᵢ⁴, with k as a parameter that a sweep may vary:

    >>> import numpy as np
    >>> import selfstab as ss
    >>> class Quartic(ss.Loss):
    ...     dimension = 2
    ...
    ...     def __init__(self, k=1.0):
    ...         self.k = k
    ...
    ...     @property
    ...     def parameters(self):
    ...         return {"k": self.k}
    ...
    ...     def replace(self, k):
    ...         return Quartic(k)
    ...
    ...     def value_at(self, w):
    ...         return float(self.k * (w @ w) / 2 + (w**4).sum() / 4)
    ...
    ...     def gradient_at(self, w):
    ...         return self.k * w + w**3
    ...
    ...     def hessian_at(self, w):
    ...         return np.diag(self.k + 3 * w**2)
    ...
    ...     def third_at(self, w, u, v):
    ...         return 6 * w * u * v
    >>> Quartic(k=2.0).sharpness([0.0, 1.0])
    (5.0, array([0., 1.]))
    >>> run = ss.simulate(Quartic(), ss.HeavyBall(0.1, 0.9), [1.0, 0.5], steps=300)
    >>> round(float(run.sharpness[-1]), 6)
    1.0
    """

    domain: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    """Bounds of parameters, each alone, by ``above``, ``at_least``, ``below``, ``at_most``: ``{"b": {"above": 0}}``."""

    explicit_hessian: bool = True
    """Whether the sharpness is taken from the explicit Hessian (else from Hessian-vector products)."""

    highest_derivative: int = 4
    """Order up to which the loss has derivatives; those beyond are refused."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a class written for version 0.1 go on: its ``_value`` is ``value_at`` now, and so on."""
        super().__init_subclass__(**options)
        alias_former_names(cls)

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
    def differences(self) -> tuple[str, ...]:
        """Names of the derivatives that are taken by differences: :func:`check_loss` allows for their errors."""
        return ()

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

    def state(self) -> dict[str, Any]:
        """Return all that the loss is made of, by name: what a store knows it by.

        By default it is a hash of the class's code, the parameters, and whatever else the object holds, but for what
        :func:`functools.cached_property` has derived.
        """
        derived = {
            name
            for kind in type(self).__mro__
            for name, member in vars(kind).items()
            if isinstance(member, cached_property)
        }
        own = {name: value for name, value in vars(self).items() if name not in derived}
        return {"code": hash_of(type(self)), "parameters": self.parameters, **own}

    @property
    def kernel(self) -> Kernel | None:
        """The compiled code of the loss; None for a loss that is run by its methods, one step at a time."""
        return None

    # -- derivatives, trusted -------------------------------------------------------------------------------------

    @abstractmethod
    def value_at(self, w: Array) -> float:
        """Return L(w)."""

    @abstractmethod
    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w), shape (dimension,)."""

    @abstractmethod
    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w), shape (dimension, dimension), symmetric to the last bit."""

    @abstractmethod
    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·), shape (dimension,)."""

    def fourth_at(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·), shape (dimension,)."""
        raise NotImplementedError(
            f"fourth needs the method fourth_at(w, u, v, z), the array ∇⁴L(u, v, z, ·), which {type(self).__name__} "
            "does not define"
        )

    def hessian_vector_at(self, w: Array, v: Array) -> Array:
        """Return ∇²L(w) v, shape (dimension,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            product: Array = self.hessian_at(w) @ v
        return product

    def hessian_operator_at(self, w: Array) -> Callable[[Array], Array]:
        """Return v → ∇²L(w) v for many products at one w; what depends on w alone may be computed once."""
        return lambda v: self.hessian_vector_at(w, v)

    def gradients_at(self, points: Array) -> Array:
        """Return ∇L at rows of `points`, shape (points, dimension)."""
        return np.array([self.gradient_at(w) for w in points]).reshape(points.shape)

    def hessian_blocks_at(self, points: Array) -> Iterator[Array]:
        """Yield ∇²L at rows of `points` in order, some at a time, shape (rows, dimension, dimension)."""
        size = max(1, HESSIAN_NUMBERS // self.dimension**2)
        for k in range(0, len(points), size):
            yield np.array([self.hessian_at(w) for w in points[k : k + size]])

    def derivatives_at(self, w: Array) -> Derivatives:
        """Return the derivatives at one w, for a caller that needs several of them."""
        return Derivatives(self, w)

    def sharpness_at(self, w: Array, guess: Array | None = None) -> pairs.Eigenpair:
        """Return the top eigenpair at w; `guess` is a warm start, such as the last step's eigenvector."""
        if self.explicit_hessian:
            return pairs.top_eigenpair(self.hessian_at(w), guess=guess)
        return pairs.top_eigenpair(self.hessian_operator_at(w), self.dimension, guess=guess)

    # -- derivatives, validated -----------------------------------------------------------------------------------

    def checked_weights(self, name: str, w: Any) -> Array:
        """Return weights as a float64 array of shape (dimension,); errors call them `name`."""
        return validation.floats(name, w, shape=(self.dimension,))

    def value(self, w: Any) -> float:
        """Return L(w)."""
        return float(self.value_at(self.checked_weights("w", w)))

    def gradient(self, w: Any) -> Array:
        """Return ∇L(w), shape (dimension,)."""
        return self.gradient_at(self.checked_weights("w", w))

    def hessian(self, w: Any) -> Array:
        """Return ∇²L(w), shape (dimension, dimension), symmetric to the last bit."""
        at = self.checked_weights("w", w)
        check_memory(
            f"the entries of the Hessian of {at.size} weights", 16 * at.size**2, "use hessian_vector"
        )
        return self.hessian_at(at)

    def hessian_vector(self, w: Any, v: Any) -> Array:
        """Return ∇²L(w) v, shape (dimension,)."""
        return self.hessian_vector_at(self.checked_weights("w", w), self.checked_weights("v", v))

    def third(self, w: Any, u: Any, v: Any) -> Array:
        """Return ∇³L(w)(u, v, ·), shape (dimension,)."""
        self.check_order(3)
        return self.third_at(
            self.checked_weights("w", w), self.checked_weights("u", u), self.checked_weights("v", v)
        )

    def fourth(self, w: Any, u: Any, v: Any, z: Any) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·), shape (dimension,).

        Raises
        ------
        NotImplementedError
            If a loss of one's own does not define it.
        """
        self.check_order(4)
        directions = [self.checked_weights(name, d) for name, d in (("u", u), ("v", v), ("z", z))]
        return self.fourth_at(self.checked_weights("w", w), *directions)

    def sharpness(self, w: Any) -> tuple[float, Array]:
        """Return the largest Hessian eigenvalue at w and its unit eigenvector.

        The eigenvector's sign is free; it is chosen so that its largest component in magnitude is positive.
        """
        pair = self._top(self.checked_weights("w", w))
        return pair.value, pair.vector

    def sharpness_gradient(self, w: Any) -> Array:
        """Return ∇S(w) = ∇³L(u, u, ·) with u the top eigenvector, shape (dimension,).

        It is the gradient of the sharpness where the top eigenvalue is simple.
        """
        self.check_order(3)
        at = self.checked_weights("w", w)
        u = self._top(at).vector
        return self.third_at(at, u, u)

    def check_order(self, order: int) -> None:
        """Refuse a derivative that the loss does not have."""
        if order > self.highest_derivative:
            raise ValueError(
                f"{type(self).__name__} must have derivatives of order {order} for this, got a loss that has them "
                f"up to order {self.highest_derivative}"
            )

    def _top(self, w: Array) -> pairs.Eigenpair:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return self.sharpness_at(w)
        except NotFiniteError:
            raise ValueError(f"w must lie where the Hessian is finite, got {validation.shown(w)}") from None

    # -- where to start -------------------------------------------------------------------------------------------

    def initial_weights(self, seed: int = 0, scale: float = 1.0) -> Array:
        """Return normal random weights, `scale` times ``default_rng(seed).standard_normal(dimension)``."""
        seed = validation.integer("seed", seed, at_least=0)
        scale = validation.real("scale", scale, at_least=0)
        check_memory(f"{self.dimension} weights", 16 * self.dimension, "take a loss of fewer")
        return scale * np.random.default_rng(seed).standard_normal(self.dimension)

    def minimum(self, start: Any) -> Array:
        """Return a minimum of the loss near `start`, by ``selfstab.losses.base.newton.damped_newton``."""
        try:
            at = self.checked_weights("start", start)
        except ValueError as error:
            if isinstance(start, (int, float)) and "sharpness" in inspect.signature(self.minimum).parameters:
                raise ValueError(
                    f"{error}; for a minimum of a given sharpness write sharpness={start}"
                ) from None
            raise
        check_memory(
            f"the entries of the Hessian of {at.size} weights", 16 * at.size**2, "find the minimum by a run"
        )
        with np.errstate(over="ignore", invalid="ignore"):
            return damped_newton(self, at)


alias_former_names(Loss)
