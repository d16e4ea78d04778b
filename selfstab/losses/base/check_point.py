"""A loss at a point, as its checks see it, and what a check shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from selfstab.losses.base.loss import Loss
from selfstab.validation import Array

EXPLICIT_UP_TO: Final = 400
"""Weights up to which the explicit Hessian is formed and compared."""

EXACT: Final = 1e-9
"""Relative difference of two ways to one derivative that rounding may make."""

BY_DIFFERENCES: Final = 1e-5
"""The same where one of them is taken by differences."""


@dataclass(frozen=True)
class CheckResult:
    """What one check of a loss has shown.

    Parameters
    ----------
    name
        The check.
    outcome
        "holds", "fails" or "not tried".
    detail
        What was measured, or what is wrong and what to do.
    """

    name: str
    outcome: str
    detail: str


class Failure(Exception):
    """What a check found wrong."""


class CheckPoint:
    """A loss, a point and directions."""

    def __init__(self, loss: Loss, at: Array | None) -> None:
        self.loss, self._at = loss, at

    @cached_property
    def w(self) -> Array:
        """The point, shape (dimension,)."""
        if self._at is not None:
            return self._at
        initial = np.asarray(self.loss.initial_weights(0), dtype=np.float64)
        return initial + 0.3 * np.random.default_rng(1).standard_normal(initial.shape)

    @cached_property
    def directions(self) -> tuple[Array, Array, Array]:
        """Three random directions of norm 1, each of shape (dimension,)."""
        draws = np.random.default_rng(2).standard_normal((3, self.loss.dimension))
        u, v, z = draws / np.linalg.norm(draws, axis=1)[:, None]
        return u, v, z

    @property
    def explicit(self) -> bool:
        """Whether the Hessian is formed."""
        return self.loss.explicit_hessian or self.loss.dimension <= EXPLICIT_UP_TO

    def arguments(self, name: str) -> tuple[Array, ...]:
        """Return copies of what a derivative is called with."""
        count = {"value": 0, "gradient": 0, "hessian": 0, "hessian_vector": 1, "third": 2, "fourth": 3}[name]
        return tuple(array.copy() for array in (self.w, *self.directions[:count]))

    def call(self, name: str, *arguments: Array) -> Any:
        """Return a derivative by its trusted method."""
        with np.errstate(all="ignore"):
            return getattr(self.loss, f"{name}_at")(*(arguments or self.arguments(name)))

    def bits(self, loss: Loss | None = None) -> dict[str, bytes]:
        """Return the bits of all derivatives, of this loss or another at the same point."""
        other = CheckPoint(self.loss if loss is None else loss, self.w)
        return {name: np.asarray(other.call(name)).tobytes() for name in self.names()}

    def names(self) -> Iterator[str]:
        """Yield the derivatives that the loss has."""
        yield "value"
        yield "gradient"
        yield "hessian_vector"
        if self.explicit:
            yield "hessian"
        if self.loss.highest_derivative >= 3:
            yield "third"
        if self.loss.highest_derivative >= 4 and self.has_fourth():
            yield "fourth"

    def has_fourth(self) -> bool:
        """Whether the loss defines its fourth derivative."""
        try:
            self.call("fourth")
        except NotImplementedError:
            return False
        return True

    def tolerance(self, *names: str) -> float:
        """Return the relative difference that two ways to a derivative may have."""
        return BY_DIFFERENCES if {*names} & {*self.loss.differences} else EXACT

    def compare(self, what: str, one: Any, other: Any, tolerance: float, remedy: str) -> str:
        """Return the relative difference as text; a failure if it is beyond the tolerance."""
        one, other = np.asarray(one), np.asarray(other)
        if one.shape != other.shape:
            raise Failure(f"{what} have shapes {one.shape} and {other.shape}: {remedy}")
        size = max(float(np.abs(one).max()), float(np.abs(other).max()), np.finfo(float).tiny)
        difference = float(np.abs(one - other).max()) / size
        if not difference <= tolerance:
            raise Failure(f"{what} differ by {difference:.1e}, allowed {tolerance:.0e}: {remedy}")
        return f"off by {difference:.1e}"


@dataclass(frozen=True)
class Check:
    """A check: its name, those that must hold for it to be tried, and the function that measures."""

    name: str
    function: Callable[[CheckPoint], str]
    needs: tuple[str, ...] = ()

    def result(self, point: CheckPoint) -> CheckResult:
        """Return what the check shows; whatever the user's code raises is a failure."""
        try:
            return CheckResult(self.name, "holds", self.function(point))
        except Failure as failure:
            return CheckResult(self.name, "fails", str(failure))
        except Exception as error:  # the user's code may raise anything
            text = " ".join(str(error).split())
            return CheckResult(self.name, "fails", f"raised {type(error).__name__}: {text[:200]}")
