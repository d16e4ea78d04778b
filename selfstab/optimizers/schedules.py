"""Learning rates as functions of the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from selfstab import validation
from selfstab.validation import Array


@runtime_checkable
class Schedule(Protocol):
    """What an optimizer asks of a schedule: the lr of the updates first → first + 1, ..., last − 1 → last."""

    def values(self, first: int, last: int) -> Array:
        """Return lr_t for t = first, ..., last − 1, in float64; each at least 0 and finite."""
        ...


def rates(schedule: Schedule, first: int, last: int) -> Array:
    """Return a schedule's lr_t for t = first, ..., last − 1, or raise if its numbers are not learning rates.

    Raises
    ------
    TypeError, ValueError
        If `schedule.values` does not return last − first finite numbers >= 0.
    """
    name = f"lr: values({first}, {last}) of {type(schedule).__name__}"
    values = validation.floats(name, schedule.values(first, last), shape=(last - first,))
    return validation.broadcastable(name, values, at_least=0)


def numeric_fields(schedule: object) -> dict[str, Any]:
    """Return the numbers a schedule is made of, value by name: the fields of a dataclass that are numbers.

    >>> numeric_fields(LinearWarmup(0.0, 0.4, steps=4))
    {'start': 0.0, 'end': 0.4, 'steps': 4.0}
    """
    if not is_dataclass(schedule):
        return {}
    values = {field.name: getattr(schedule, field.name) for field in fields(schedule) if field.init}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    }


def with_fields(schedule: Schedule, values: Mapping[str, float]) -> Schedule:
    """Return a schedule with other numbers; one that is an integer is replaced by integers only."""
    now = numeric_fields(schedule)
    changed = {
        name: validation.whole(name, value) if isinstance(now[name], (int, np.integer)) else value
        for name, value in values.items()
    }
    made: Any = schedule
    result: Schedule = replace(made, **changed)
    return result


@dataclass(frozen=True)
class Constant:
    """The same learning rate at every step: lr_t = lr.

    Parameters
    ----------
    lr
        Learning rate per step, > 0, in units of 1/sharpness.

    Raises
    ------
    ValueError
        If lr is not a finite number above 0.

    Examples
    --------
    >>> Constant(0.1).values(0, 3)
    array([0.1, 0.1, 0.1])
    """

    lr: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", validation.real("lr", self.lr, above=0))

    def values(self, first: int, last: int) -> Array:
        """Return lr_t for t = first, ..., last − 1; shape (last − first,)."""
        return np.full(last - first, self.lr)


@dataclass(frozen=True)
class LinearWarmup:
    """A learning rate that grows (or falls) linearly, then stays.

    lr_t = start + (end − start)·min(t/steps, 1)

    Parameters
    ----------
    start
        lr of the first update (t = 0), >= 0.
    end
        lr from t = steps on, > 0.
    steps
        Length of the ramp in steps, >= 1; a whole number or not.

    Raises
    ------
    ValueError
        If an argument is out of its range or not finite.

    Examples
    --------
    >>> LinearWarmup(0.0, 0.4, steps=4).values(0, 6)
    array([0. , 0.1, 0.2, 0.3, 0.4, 0.4])
    """

    start: float
    end: float
    steps: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", validation.real("start", self.start, at_least=0))
        object.__setattr__(self, "end", validation.real("end", self.end, above=0))
        object.__setattr__(self, "steps", validation.real("steps", self.steps, at_least=1))

    def values(self, first: int, last: int) -> Array:
        """Return lr_t for t = first, ..., last − 1; shape (last − first,)."""
        fraction = np.arange(first, last) / self.steps
        return self.start + (self.end - self.start) * np.where(fraction < 1.0, fraction, 1.0)
