"""Losses named in text, as a command line gives them; nothing is evaluated."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.base.loss import Loss
from selfstab.losses.family import LossFamily, Maker
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.losses.toys import TOYS
from selfstab.validation import Array

_SETTINGS: Final[dict[str, dict[str, str]]] = {
    "Quadratic": {"curvatures": "2,1"},
    "CubicTaylor": {"curvature": "1", "progressive_sharpening": "0", "stabilization": "1"},
    "Product": {},
    "DoubleWell": {},
    "Minimalist": {},
    "Chain": {"depth": "3"},
    "Coupled": {"zeta": "0.5", "eps": "0.01"},
    "MLP": {
        "widths": "64,32,1",
        "samples": "500",
        "target": "parity",
        "activation": "tanh",
        "criterion": "mse",
        "weight_decay": "0",
    },
    "DiagonalNetwork": {"samples": "40", "features": "100", "nonzeros": "5", "seed": "0", "depth": "2"},
}
"""The losses known by name, with the defaults of their settings."""

NAMES: Final = tuple(_SETTINGS)

_MADE_FROM: Final[dict[str, tuple[str, ...]]] = {
    "MLP": ("samples",),
    "DiagonalNetwork": ("samples", "features", "nonzeros", "seed"),
}
"""The whole numbers that a network's data are made from."""


def named_loss(
    text: str, settings: Mapping[str, str], variables: Sequence[str] = (), axes: Container[str] = ()
) -> Loss:
    """Return the loss a text names: one of NAMES, or a formula in the given variables.

    Parameters
    ----------
    text
        A name, or a formula such as ``"(u*v - 1)**2/2"``.
    settings
        A named loss's settings, or a formula's parameters, as text by name.
    variables
        The weights' names, for a formula only.
    axes
        Names of a sweep's axes: if one is a whole number that a network's data or widths are made from, the loss is a
        family.

    Raises
    ------
    TypeError, ValueError
        If the name, a setting or the formula is not known or not in range.

    Examples
    --------
    >>> named_loss("CubicTaylor", {"curvature": "2"}).parameters["curvature"]
    2.0
    >>> named_loss("a*u**2", {"a": "3"}, ["u"]).value([2.0])
    12.0
    """
    if variables:
        return SymbolicLoss(text, variables, {name: number(name, value) for name, value in settings.items()})
    if text not in _SETTINGS:
        raise ValueError(
            f"loss must be one of {', '.join(NAMES)}, or a formula with its variables named, got "
            + validation.shown(text)
        )
    validation.some_of(f"settings of {text}", tuple(settings), _SETTINGS[text])
    chosen = _SETTINGS[text] | dict(settings)
    if any(name in axes for name in _MADE_FROM.get(text, ())):
        counts = {name: whole(name, chosen.pop(name)) for name in _MADE_FROM[text]}
        return LossFamily(NamedMaker(text, tuple(chosen.items())), **counts)
    if text == "MLP":
        from selfstab.datasets import digits
        from selfstab.losses.networks.mlp import MLP

        widths = tuple(whole("widths", part) for part in chosen["widths"].split(","))
        if chosen["criterion"] == "cross-entropy" and "target" not in settings:
            chosen["target"] = "labels"
        data = digits(whole("samples", chosen["samples"]), chosen["target"])
        decay = number("weight_decay", chosen["weight_decay"])
        return MLP(widths, *data, chosen["activation"], criterion=chosen["criterion"], weight_decay=decay)
    if text == "DiagonalNetwork":
        from selfstab.datasets import sparse_regression
        from selfstab.losses.networks.diagonal import DiagonalNetwork

        numbers_by_name = {name: whole(name, text) for name, text in chosen.items()}
        depth = numbers_by_name.pop("depth")
        return DiagonalNetwork(*sparse_regression(**numbers_by_name), depth)
    if text == "Quadratic":
        return TOYS[text](numbers("curvatures", chosen["curvatures"]))
    if text == "Chain":
        return TOYS[text](whole("depth", chosen["depth"]))
    return TOYS[text](**{name: number(name, value) for name, value in chosen.items()})


@dataclass(frozen=True)
class NamedMaker(Maker):
    """What makes a family of a loss known by name: the function of the numbers that its data are made from.

    Examples
    --------
    >>> NamedMaker("DiagonalNetwork", (("samples", "3"), ("features", "4"), ("nonzeros", "1")))(seed=2).dimension
    8
    """

    name: str
    settings: tuple[tuple[str, str], ...]

    def state(self) -> dict[str, Any]:
        """Return the name and the settings."""
        return {"maker": self.name, "settings": dict(self.settings)}

    def __call__(self, **numbers: int) -> Loss:
        """Return the loss with these numbers."""
        return named_loss(self.name, dict(self.settings) | {name: str(n) for name, n in numbers.items()})


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
