"""The arguments of closed forms: a range for each, declared once; arguments broadcast, scalars come back as floats.

A closed form is a plain formula of arrays of one shape. Its declaration checks the arguments:

    @closed_form(excess=REAL, momentum=MOMENTUM)
    def inertia_number(excess, momentum):
        return excess * ((1.0 + momentum) / (1.0 - momentum)) ** 2
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, cast

import numpy as np

from selfstab import validation
from selfstab.validation import Array

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """The real numbers that an argument may hold.

    >>> Range(at_least=0, below=1).checked("momentum", [0, 0.9])
    array([0. , 0.9])
    """

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    finite: bool = True
    """Whether infinity is refused; NaN is always."""
    whole: bool = False
    """Whether fractions are refused."""

    def checked(self, name: str, value: Any) -> Array:
        """Return the value as a float64 array, or raise TypeError or ValueError that names the argument."""
        array = validation.broadcastable(
            name, value, above=self.above, at_least=self.at_least, below=self.below, at_most=self.at_most,
            finite=self.finite,
        )  # fmt: skip
        if self.whole and (fractions := array[np.floor(array) != array]).size:
            least = "" if self.at_least is None else f" >= {self.at_least:g}"
            raise ValueError(f"{name} must be whole numbers{least}, got {float(fractions[0])!r}")
        return array


REAL: Final = Range()
POSITIVE: Final = Range(above=0)
NOT_NEGATIVE: Final = Range(at_least=0)
MOMENTUM: Final = Range(at_least=0, below=1)
"""β of every closed form."""


def closed_form(**ranges: Range) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that checks a formula's arguments, broadcasts them, and returns numbers for scalars.

    The formula is called with float64 arrays of one shape. What overflows in it is infinity and what is undefined NaN,
    without a warning. The signature stays; the docstring gets its "Raises", unless it has one.

    Parameters
    ----------
    **ranges
        The range of each of the formula's parameters, in the order in which they are checked.

    Returns
    -------
    callable
        The decorator.

    Raises
    ------
    TypeError
        By the decorator, if the ranges are not those of the formula's parameters.

    Examples
    --------
    >>> @closed_form(lr=POSITIVE, momentum=MOMENTUM)
    ... def effective_lr(lr, momentum):
    ...     return lr / (1.0 - momentum)
    >>> effective_lr(0.1, [0.0, 0.5])
    array([0.1, 0.2])
    >>> effective_lr(0.1, 1.0)
    Traceback (most recent call last):
    ...
    ValueError: momentum must be in [0, 1), got 1.0
    """

    def decorate(formula: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(formula)
        if {*ranges} != {*signature.parameters}:
            raise TypeError(
                f"{formula.__name__} must declare a range for each of {', '.join(signature.parameters)}, "
                f"got {', '.join(ranges) or 'none'}"
            )

        @functools.wraps(formula)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                values = signature.bind(*args, **kwargs)
            except TypeError:
                values = None
            if values is None:
                return formula(*args, **kwargs)  # raises: Python's own error says which argument does not fit
            values.apply_defaults()
            values.arguments |= joined(
                {name: allowed.checked(name, values.arguments[name]) for name, allowed in ranges.items()}
            )
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                result = formula(*values.args, **values.kwargs)
            return cast("R", tuple(map(plain, result)) if isinstance(result, tuple) else plain(result))

        checked.__doc__ = _with_raises(formula.__doc__, [*ranges])
        return checked

    return decorate


def _with_raises(doc: str | None, names: list[str]) -> str | None:
    """Return a docstring with the section on errors before its notes."""
    if doc is None or re.search(r"^ *Raises\n *-{6}$", doc, re.MULTILINE):
        return doc
    notes = re.search(r"^( *)Notes\n *-{5}$", doc, re.MULTILINE)
    if notes is None:
        return doc
    sentence = (
        "If an argument is not real, out of range or not finite, or the shapes do not broadcast."
        if len(names) > 1
        else f"If {names[0]} is not real, out of range or not finite."
    )
    margin = notes[1]
    lines = ("Raises", "------", "TypeError, ValueError", f"    {sentence}", "")
    section = "".join(f"{margin}{line}".rstrip() + "\n" for line in lines)
    return doc[: notes.start()] + section + doc[notes.start() :]


def joined(arguments: dict[str, Array]) -> dict[str, Array]:
    """Return the arguments broadcast to one shape.

    Raises
    ------
    ValueError
        If the shapes do not broadcast together.

    >>> arguments = joined({"lr": np.ones(3), "momentum": np.array(0.9)})
    >>> [values.shape for values in arguments.values()]
    [(3,), (3,)]
    """
    try:
        return dict(zip(arguments, np.broadcast_arrays(*arguments.values()), strict=True))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arguments.items())
        raise ValueError(f"the arguments' shapes must broadcast together, got {shapes}") from None


def plain(result: Any) -> Any:
    """Return a Python number for a result without dimensions, else the array itself.

    >>> plain(np.array(0.5))
    0.5
    """
    array = np.asarray(result)
    return array.item() if array.ndim == 0 else array
