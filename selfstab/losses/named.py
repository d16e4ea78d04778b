"""Losses named in text, as a command line gives them; nothing is evaluated."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from selfstab import validation
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.named_loss import number, whole
from selfstab.losses.family import LossFamily, Maker
from selfstab.losses.registry import REGISTRY, named_class
from selfstab.losses.symbolic.loss import SymbolicLoss

NAMES: Final = tuple(REGISTRY)


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
    text = {name.lower(): name for name in REGISTRY}.get(text.lower(), text)
    if text not in REGISTRY:
        raise ValueError(
            f"loss must be one of {', '.join(NAMES)}, or a formula with its variables named, got "
            + validation.shown(text)
            + validation.like(text, NAMES)
        )
    kind = named_class(text)
    validation.some_of(f"settings of {text}", tuple(settings), kind.text_settings)
    if any(name in axes for name in kind.data_settings):
        texts = {**kind.text_settings, **settings}
        counts = {name: whole(name, texts.pop(name)) for name in kind.data_settings}
        return LossFamily(NamedMaker(text, tuple(texts.items())), **counts)
    return kind.from_text(settings)


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
