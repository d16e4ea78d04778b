"""Losses that a function of one's own makes from numbers: a sweep's axes may then be what a loss is built with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FunctionType, MappingProxyType
from typing import Any, Final, Self

import numpy as np

from selfstab import validation
from selfstab.eigen import pairs
from selfstab.losses.base.derivatives import Derivatives
from selfstab.losses.base.fingerprint import closure_of, hash_of
from selfstab.losses.base.loss import Loss
from selfstab.losses.symbolic.loss import RESERVED
from selfstab.validation import Array

_KEPT: Final = 16
"""Losses kept for the next cell that asks for the same numbers."""

_FIXED: Final = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    tuple,
    frozenset,
    np.ndarray,
    FunctionType,
)


class Maker(ABC):
    """A function that makes losses, and has plain values that tell which function it is."""

    @abstractmethod
    def __call__(self, **numbers: int) -> Loss:
        """Return the loss with these numbers."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the plain values by name."""


class LossFamily(Loss):
    """The losses that a function makes from numbers, such as a data seed or a width.

    It is the loss ``make(**parameters)``; :meth:`replace` gives another of the family, and the parameters may be axes
    of a sweep.

    Parameters
    ----------
    make
        A function of the parameters, by name, that returns a loss: the same for the same numbers.
    parameters
        The numbers of this loss. Where one is an integer, so are all values it may be replaced by.

    Raises
    ------
    TypeError
        If `make` is not a function or returns no loss, or a parameter is not a number.
    ValueError
        If there are no parameters, or one is named like a sweep's axis or measure.

    Examples
    --------
    >>> import selfstab as ss
    >>> def regression(seed):
    ...     return ss.DiagonalNetwork(*ss.datasets.sparse_regression(samples=3, features=4, nonzeros=1, seed=seed))
    >>> family = ss.LossFamily(regression, seed=0)
    >>> data = ss.sweep(family, ss.HeavyBall(0.1), {"seed": [0, 1, 2]}, start=ss.Initialization(scale=0.1), steps=50,
    ...                 measure=["diverged_at"], progress=False)
    >>> data.diverged_at.values
    array([-1, -1, -1])
    """

    def __init__(self, make: Callable[..., Loss], /, **parameters: float) -> None:
        if not callable(make):
            raise TypeError(f"make must be a function that returns a loss, got {validation.shown(make)}")
        if not parameters:
            raise ValueError("parameters must name at least one number, got none")
        for name, value in parameters.items():
            if name in RESERVED and name != "seed":
                raise ValueError(
                    f"parameters must not be named like a sweep's axes and measures, got {name!r}"
                )
            validation.real(name, value)
        self.make = make
        self._parameters = {
            name: int(value) if isinstance(value, (int, np.integer)) else float(value)
            for name, value in parameters.items()
        }
        self.explicit_hessian = self.made.explicit_hessian
        self.highest_derivative = self.made.highest_derivative

    @property
    def made(self) -> Loss:
        """The loss itself."""
        return _made(self.make, tuple((name, type(v), v) for name, v in self._parameters.items()))

    @property
    def parameters(self) -> Mapping[str, float]:
        """Value by name, read-only; :meth:`replace` changes them."""
        return MappingProxyType(self._parameters)

    def replace(self, **parameters: float) -> Self:
        """Return the loss made from other numbers.

        Raises
        ------
        TypeError, ValueError
            If a name is not a parameter's, or a value is not a number, or not a whole one where one is needed.
        """
        validation.some_of("parameters", tuple(parameters), self._parameters)
        changed = dict(self._parameters)
        for name, value in parameters.items():
            number = validation.real(name, value)
            whole = isinstance(changed[name], int)
            changed[name] = validation.whole(name, number) if whole else number
        return type(self)(self.make, **changed)

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return self.made.dimension

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of the loss's weights."""
        return self.made.weight_names

    @property
    def description(self) -> str:
        """The function by its name and a hash of its code, the parameters, and the loss made."""
        inner = ", ".join(f"{name}={value!r}" for name, value in self._parameters.items())
        return f"LossFamily({self.maker}; {inner}): {self.made.description}"

    @property
    def maker(self) -> str:
        """The name of the function, and the first digits of a hash of its code, defaults and closure.

        Lists, dictionaries and sets, which the function may change, and variables of its module are not in it: stores
        know these by the losses made.
        """
        name = getattr(self.make, "__qualname__", type(self.make).__qualname__)
        state: Any = self.make
        if isinstance(state, FunctionType):
            numbers = [
                *(state.__defaults__ or ()),
                *(state.__kwdefaults__ or {}).values(),
                *closure_of(state),
            ]
            state = (state.__code__, [v for v in numbers if isinstance(v, _FIXED)])
        try:
            return f"{name}, {hash_of(state)[:19]}"
        except TypeError:  # a callable with a state that cannot be told
            return name

    def state(self) -> dict[str, Any]:
        """Return what makes the loss and its parameters; the loss made, too, if code of the user's own makes it."""
        if isinstance(self.make, Maker):
            return {**self.make.state(), "parameters": self.parameters}
        return {"maker": self.maker, "parameters": self.parameters, "made": self.made}

    def initial_weights(self, seed: int = 0, scale: float = 1.0) -> Array:
        """Return the initial weights of the loss made."""
        return self.made.initial_weights(seed, scale)

    def minimum(self, start: Any) -> Array:
        """Return a minimum of the loss made near `start`."""
        return self.made.minimum(start)

    def value_at(self, w: Array) -> float:
        """Return L(w)."""
        return self.made.value_at(w)

    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return self.made.gradient_at(w)

    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w)."""
        return self.made.hessian_at(w)

    def hessian_vector_at(self, w: Array, v: Array) -> Array:
        """Return ∇²L(w) v."""
        return self.made.hessian_vector_at(w, v)

    def hessian_operator_at(self, w: Array) -> Callable[[Array], Array]:
        """Return the function v → ∇²L(w) v."""
        return self.made.hessian_operator_at(w)

    def derivatives_at(self, w: Array) -> Derivatives:
        """Return the derivatives at one w."""
        return self.made.derivatives_at(w)

    def check_order(self, order: int) -> None:
        """Refuse a derivative that the loss does not have."""
        self.made.check_order(order)

    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return self.made.third_at(w, u, v)

    def fourth_at(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·)."""
        return self.made.fourth_at(w, u, v, z)

    def sharpness_at(self, w: Array, guess: Array | None = None) -> pairs.Eigenpair:
        """Return the top eigenpair at w."""
        return self.made.sharpness_at(w, guess)


@lru_cache(maxsize=_KEPT)
def _made(make: Callable[..., Loss], parameters: tuple[tuple[str, type, float], ...]) -> Loss:
    loss = make(**{name: value for name, _, value in parameters})
    if not isinstance(loss, Loss):
        raise TypeError(f"make must return a selfstab loss, got {validation.shown(loss)}")
    return loss
