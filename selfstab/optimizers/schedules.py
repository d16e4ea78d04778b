"""Learning rates as functions of the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, Self, dataclass_transform, runtime_checkable

import numpy as np

from selfstab import validation
from selfstab.kernels.rates import CONSTANT, TABLE, RateText
from selfstab.optimizers.settings import (
    Frozen,
    Setting,
    check_settings,
    frozen_dataclass,
    setting,
    settings_of,
)
from selfstab.validation import Array


@runtime_checkable
class Schedule(Protocol):
    """What an optimizer asks of a schedule: the lr of the updates first → first + 1, ..., last − 1 → last."""

    def values(self, first: int, last: int) -> Array:
        """Return lr_t for t = first, ..., last − 1, in float64; each at least 0 and finite."""
        ...


def is_schedule(lr: object) -> bool:
    """Return whether a learning rate is a schedule and not a number."""
    # Mappings, labelled arrays and a schedule's class have something called values, too.
    return isinstance(lr, Schedule) and callable(lr.values) and not isinstance(lr, (Mapping, type))


def refuse_several_rates(lr: object) -> None:
    """Raise TypeError for a learning rate that is a function, an array or a list: it is to be a schedule."""
    if callable(lr) or isinstance(lr, (list, tuple)) or getattr(lr, "ndim", 0) > 0:
        raise TypeError(
            f"lr must be a single number or a schedule, got {validation.shown(lr)}: take ss.LinearWarmup, or an object "
            "of a class with values(first, last) that returns lr_t for t = first, ..., last - 1"
        )


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
    owner: Any = schedule
    result: Schedule = replace(owner, **changed)
    return result


class Word(NamedTuple):
    """An option of the command line that sets a schedule's number."""

    field: str
    help: str
    metavar: str | None = None
    default: float | None = None


@dataclass_transform(frozen_default=True, field_specifiers=(setting,))
class KnownSchedule(Frozen):
    """A schedule that says of itself what others ask: its numbers, and how kernels compute it.

    A subclass is a frozen dataclass by itself, whose fields are declared by
    :func:`selfstab.optimizers.setting`. Stores know it by its name. A schedule of one's own needs none of this: kernels
    read it from a table.
    """

    settings: ClassVar[Mapping[str, Setting]] = {}
    """Its numbers by name: ranges, names and units."""

    scaled_by: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers that are learning rates."""

    rate: ClassVar[RateText] = TABLE
    """How kernels get it."""

    words: ClassVar[Mapping[str, Word]] = {}
    """Options of the command line by name; the first asks for the schedule."""

    final: ClassVar[str] = ""
    """Name of the number that --lr sets beside them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        frozen_dataclass(cls)
        cls.settings = settings_of(cls) or cls.settings
        SCHEDULES[cls.__name__] = cls

    def __post_init__(self) -> None:
        check_settings(self)

    def values(self, first: int, last: int) -> Array:
        """Return lr_t for t = first, ..., last − 1; shape (last − first,)."""
        raise NotImplementedError

    def scaled(self, factor: float) -> Self:
        """Return the schedule with every lr_t times a factor."""
        changed: Any = replace(self, **{name: getattr(self, name) * factor for name in self.scaled_by})  # type: ignore[type-var]
        return changed  # type: ignore[no-any-return]


SCHEDULES: dict[str, type[KnownSchedule]] = {}
"""The schedules that say of themselves what others ask, by name."""


def scaled(lr: float | Schedule, factor: float) -> float | Schedule:
    """Return a learning rate times a factor, at every step.

    Raises
    ------
    TypeError
        If it is a schedule that cannot be scaled.
    """
    if not isinstance(lr, Schedule):
        return lr * factor
    scale: Any = getattr(lr, "scaled", None)
    if scale is None:
        raise TypeError(
            f"lr must be a number, {', '.join(SCHEDULES)} or a schedule with .scaled(factor), got "
            + validation.shown(lr)
        )
    result: Schedule = scale(factor)
    return result


class Constant(KnownSchedule):
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

    lr: float = setting(above=0, long_name="learning rate", unit="1/sharpness")

    scaled_by = ("lr",)
    rate = CONSTANT

    def values(self, first: int, last: int) -> Array:
        """Return lr_t for t = first, ..., last − 1; shape (last − first,)."""
        return np.full(last - first, self.lr)


class LinearWarmup(KnownSchedule):
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

    start: float = setting(
        at_least=0, long_name="learning rate at the start of the warmup", unit="1/sharpness"
    )
    end: float = setting(above=0, long_name="learning rate after the warmup", unit="1/sharpness")
    steps: float = setting(at_least=1, long_name="length of the warmup", unit="step")

    scaled_by = ("start", "end")
    rate = RateText(
        "ramp",
        ("lr.start", "lr.end", "lr.steps"),
        (("lr_start", "{lr.start}"), ("lr_span", "{lr.end} - lr_start"), ("lr_steps", "{lr.steps}")),
        (
            "fraction = t / lr_steps",
            "fraction = choose(fraction < 1.0, fraction, 1.0)",
            "lr = lr_start + lr_span * fraction",
        ),
    )
    words = {  # noqa: RUF012 (the annotation would make it a field)
        "warmup": Word("steps", "Let lr grow linearly from --warmup-start.", "STEPS"),
        "warmup_start": Word("start", "lr at the warmup's start.  [default: 0]", "FLOAT", 0.0),
    }
    final = "end"

    def values(self, first: int, last: int) -> Array:
        """Return lr_t for t = first, ..., last − 1; shape (last − first,)."""
        fraction = np.arange(first, last) / self.steps
        return self.start + (self.end - self.start) * np.where(fraction < 1.0, fraction, 1.0)
