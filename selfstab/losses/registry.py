"""The losses that a command line, a store and the explorer know by name: one line each.

A new one is a class made from :class:`selfstab.losses.symbolic.toy.Toy` or
:class:`selfstab.losses.base.named_loss.NamedLoss`, and its line here. Nothing is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from selfstab.losses.base.named_loss import NamedLoss

REGISTRY: Final[dict[str, tuple[str, str]]] = {
    "Quadratic": ("toys", ""),
    "CubicTaylor": ("toys", ""),
    "Product": ("toys", ""),
    "DoubleWell": ("toys", ""),
    "Minimalist": ("toys", ""),
    "Chain": ("toys", ""),
    "Coupled": ("toys", ""),
    "MLP": ("networks.mlp", "on scikit-learn's digits"),
    "DiagonalNetwork": ("networks.diagonal", "on sparse regression"),
}
"""Class by name: its module in this folder, and what a command line's help adds to the name."""


def named_class(name: str) -> type[NamedLoss]:
    """Return the class of a loss by its name.

    >>> named_class("Product").__name__
    'Product'
    """
    module: Any = import_module(f"selfstab.losses.{REGISTRY[name][0]}")
    kind: type[NamedLoss] = getattr(module, name)
    return kind
