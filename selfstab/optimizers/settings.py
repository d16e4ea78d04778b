"""The numbers of an optimizer or a schedule, declared once: axes, options and sliders follow from them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from functools import wraps
from inspect import signature
from typing import Any, Final

from selfstab import validation

_MISSING: Final = dataclasses.MISSING


@dataclass(frozen=True)
class Setting:
    """What is known of a number beside its value.

    Parameters
    ----------
    above, at_least, below, at_most
        Its range; None is no bound.
    symbol
        Its symbol, such as β.
    long_name, unit
        For data's attributes and labels.
    shifts_gradient
        Whether it decides only where the gradient is taken, and at 0 leaves it at the weights.
    several
        Whether it is a tuple of such numbers.
    note
        What its option's help says beside the range.
    usual
        The range over which a slider shows it; by default its bounds, with 1 in place of none.
    """

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    symbol: str = ""
    long_name: str = ""
    unit: str = "1"
    shifts_gradient: bool = False
    several: bool = False
    usual: tuple[float, float] | None = None
    note: str = ""

    @property
    def bounds(self) -> dict[str, Any]:
        """The range, as :func:`selfstab.validation.real` takes it."""
        bounds = {name: getattr(self, name) for name in ("above", "at_least", "below", "at_most")}
        return {name: value for name, value in bounds.items() if value is not None}

    @property
    def interval(self) -> str:
        """The range as text, such as in [0, 1)."""
        if set(self.bounds) == {"at_least"}:
            return f">= {self.at_least:g}"
        if set(self.bounds) == {"above"}:
            return f"> {self.above:g}"
        return validation.interval(**self.bounds)

    def checked(self, name: str, value: Any) -> float | tuple[float, ...]:
        """Return a value in the form that the optimizer keeps, or raise.

        Raises
        ------
        TypeError, ValueError
            If it is not a number, or a tuple of them, in the range.
        """
        if not self.several:
            return validation.real(name, value, **self.bounds)
        if isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a tuple of numbers, such as ({value!r},), got {value!r}")
        values = validation.floats(name, value, shape=(None,))
        if values.size == 0:
            raise ValueError(f"{name} must hold at least one number, got none")
        return tuple(validation.real(f"{name}[{k}]", v, **self.bounds) for k, v in enumerate(values))


class Frozen:
    """An object whose fields its constructor sets, and nobody else."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


def frozen_dataclass(kind: type[Frozen]) -> None:
    """Make a class a frozen dataclass, in a way that lets the decorator do it again, as version 0.1 asked."""
    written = set(vars(kind))
    dataclass(frozen=True)(kind)
    # What dataclass writes here, the decorator would refuse to find; Frozen has the same.
    for name in ("__setattr__", "__delattr__"):
        delattr(kind, name)
    if "__init__" not in written:
        type.__setattr__(kind, "__init__", _refusing_unknown_words(vars(kind)["__init__"]))
    # A store tells a class of the user's by what the user wrote.
    type.__setattr__(kind, "__generated__", {n: v for n, v in vars(kind).items() if n not in written})


def _refusing_unknown_words(init: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor whose message names the words that it takes, which Python's own does not."""
    known = list(signature(init).parameters)[1:]

    @wraps(init)
    def checked(self: object, *args: Any, **kwargs: Any) -> None:
        if unknown := [name for name in kwargs if name not in known]:
            raise TypeError(
                f"{type(self).__name__} takes {', '.join(known)}, got {unknown[0]}{validation.like(unknown[0], known)}"
            )
        init(self, *args, **kwargs)

    return checked


def setting(*, default: Any = _MISSING, **known: Any) -> Any:
    """Return a field of a dataclass that is a number with a range, a name and a unit.

    Parameters
    ----------
    default
        Its value where none is given; without it, it must be given.
    known
        What :class:`Setting` takes: above, at_least, below, at_most, symbol, long_name, unit, shifts_gradient,
        several, usual, note.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Ramp:
    ...     steps: float = setting(at_least=1, long_name="length of the ramp", unit="step")
    >>> settings_of(Ramp)["steps"].interval
    '>= 1'
    """
    return field(default=default, metadata={"setting": Setting(**known)})


@dataclass(frozen=True)
class RuleField:
    """What is known of a field that decides which rule an optimizer has; it is no axis.

    Parameters
    ----------
    kind
        How text writes it: ``numbers`` such as 1,-0.5, ``text``, ``whole`` for a whole number, or ``settings`` such as
        beta=0.9,nu=0.5.
    note
        What its option's help says.
    option
        The option's name, where the field's is another option's.
    example
        The text that a page begins with.
    """

    kind: str
    note: str
    option: str = ""
    example: str = ""

    def read(self, name: str, text: str) -> Any:
        """Return the value that a text writes.

        Raises
        ------
        ValueError
            If it writes none; the message begins with `name`.

        Examples
        --------
        >>> RuleField("numbers", "").read("numerator", "1,-0.5"), RuleField("settings", "").read("parameters", "nu=0.5")
        ((1.0, -0.5), {'nu': 0.5})
        """
        if self.kind == "text":
            return text
        if self.kind == "whole":
            if not re.fullmatch(r"\s*[+-]?\d{1,18}\s*", text, re.ASCII):
                raise ValueError(f"{name} must be a whole number, got {validation.shown(text)}")
            return int(text)
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if self.kind == "numbers":
            return tuple(_number(name, part) for part in parts)
        pairs = [part.partition("=") for part in parts]
        for key, sign, _ in pairs:
            if not sign:
                raise ValueError(f"{name} must be NAME=VALUE, separated by commas, got {key!r}")
        return {key.strip(): _number(f"{name}: {key.strip()}", value) for key, _, value in pairs}


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None


def rule_field(kind: str, note: str, *, default: Any = _MISSING, option: str = "", example: str = "") -> Any:
    """Return a field of a dataclass that decides which rule an optimizer has, and is an option of the command line.

    Parameters
    ----------
    kind, note, option, example
        As :class:`RuleField` takes them.
    default
        Its value where none is given; without it, it must be given.
    """
    return field(default=default, metadata={"rule_field": RuleField(kind, note, option, example)})


def rule_fields_of(kind: Any) -> dict[str, RuleField]:
    """Return the fields that a dataclass declares by :func:`rule_field`, by name and in order."""
    return {
        known.name: known.metadata["rule_field"]
        for known in dataclasses.fields(kind)
        if "rule_field" in known.metadata
    }


def settings_of(kind: Any) -> dict[str, Setting]:
    """Return the numbers that a dataclass declares by :func:`setting`, by name and in order."""
    return {
        known.name: known.metadata["setting"]
        for known in dataclasses.fields(kind)
        if "setting" in known.metadata
    }


def check_settings(owner: Any) -> None:
    """Check a frozen dataclass's numbers and give them the form that is kept, or raise TypeError or ValueError."""
    for name, known in type(owner).settings.items():
        object.__setattr__(owner, name, known.checked(name, getattr(owner, name)))


def numbers_of(owner: Any, settings: Mapping[str, Setting]) -> dict[str, float]:
    """Return the numbers of an object by name; those of a tuple are called name.0, name.1, ..."""
    numbers: dict[str, float] = {}
    for name, known in settings.items():
        value = getattr(owner, name)
        if known.several:
            numbers |= {f"{name}.{k}": float(v) for k, v in enumerate(value)}
        else:
            numbers[name] = float(value)
    return numbers


def with_numbers(values: Mapping[str, Any], owner: Any, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return what the fields of an object become with other numbers, named as :func:`numbers_of` does."""
    changed: dict[str, Any] = {}
    for name, value in values.items():
        field_name, _, place = name.partition(".")
        if settings[field_name].several:
            own = list(changed.get(field_name, getattr(owner, field_name)))
            own[int(place)] = value
            changed[field_name] = tuple(own)
        else:
            changed[field_name] = value
    return changed


def recorded_settings(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimizer's settings that the attributes of a run or a sweep hold as JSON; none where they hold none.

    Raises
    ------
    ValueError
        If the attribute holds something else: a dataset may come from a file of somebody's.

    Examples
    --------
    >>> recorded_settings({"optimizer": '{"name": "HeavyBall", "momentum": 0.9}'})
    {'name': 'HeavyBall', 'momentum': 0.9}
    """
    text = attributes.get("optimizer", "{}")
    try:
        settings = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(
            f"the attribute optimizer must be the optimizer's settings as JSON, got {validation.shown(text)}"
        )
    return settings
