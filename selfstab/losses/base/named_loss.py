"""Losses known by name, made from text as a command line gives it, or from what a store kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from selfstab.losses.base.loss import Loss
from selfstab.validation import Array


class NamedLoss(Loss):
    """A loss that a command line and a store know by the name of its class, see :mod:`selfstab.losses.registry`."""

    text_settings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The settings that a command line may give, with their defaults, as text."""

    data_settings: ClassVar[tuple[str, ...]] = ()
    """Those of them that its data are made from, whole numbers: along an axis of one the loss is a family."""

    @classmethod
    def from_text(cls, settings: Mapping[str, str]) -> Self:
        """Return the loss with these settings, the others at their defaults.

        By default each setting is a number, an argument of the constructor by its name.

        Raises
        ------
        TypeError, ValueError
            If a setting is no number, or out of its range.
        """
        arguments: dict[str, Any] = {
            name: number(name, text) for name, text in {**cls.text_settings, **settings}.items()
        }
        return cls(**arguments)

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the loss that has this :meth:`state`, as a store kept it."""


def number(name: str, text: str) -> float:
    """Return the number a text writes."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None


def whole(name: str, text: str) -> int:
    """Return the whole number a text writes."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} must be a whole number, got {text!r}") from None


def numbers(name: str, text: str) -> Array:
    """Return the numbers a text writes, separated by commas."""
    return np.array([number(name, part) for part in text.split(",")])
