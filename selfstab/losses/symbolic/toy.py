"""What a toy declares: its formula, its settings on a command line, and how the explorer shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from selfstab.losses.base.named_loss import NamedLoss
from selfstab.losses.symbolic.loss import SymbolicLoss


@dataclass(frozen=True)
class SliderRange:
    """A number that can be set by a slider: what it is called, and the values it takes."""

    name: str
    label: str
    low: float
    high: float
    step: float
    default: float
    whole: bool = False


@dataclass(frozen=True)
class Demonstration:
    """How the explorer shows a loss: its formula for the reader, its settings, and runs that show a catapult."""

    formula: str
    settings: tuple[SliderRange, ...] = ()
    sharpness: SliderRange | None = None
    """The sharpness of the minimum where it can be chosen."""
    start: tuple[float, ...] | None = None
    """Weights where runs start; None: the loss's own minimum."""
    weight: int = 0
    """The weight that an orbit diagram shows first."""
    steps: int = 600
    """A length that shows a catapult."""
    momentum: float = 0.9
    excess: float = 0.02
    fixed: Mapping[str, float] = field(default_factory=dict)
    """What its constructor needs and has no setting."""


def sharpness_setting(low: float, high: float, default: float) -> SliderRange:
    """Return the setting of a minimum's sharpness."""
    return SliderRange("sharpness", "sharpness of the minimum", low, high, 0.05, default)


class Toy(SymbolicLoss, NamedLoss):
    """A formula with a name: a command line, a store and the explorer know it by its class.

    A new toy is a class that hands its expression to :class:`SymbolicLoss`, and a line in
    :mod:`selfstab.losses.registry`. It declares `text_settings` if its constructor takes any, and `demonstration` if
    the explorer is to show it.
    """

    demonstration: ClassVar[Demonstration | None] = None
    """How the explorer shows it, if it does."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the toy with these parameters, which are its constructor's arguments."""
        arguments: dict[str, Any] = dict(state["parameters"])
        return cls(**arguments)
