"""Optimizers by name: those of this folder, of installed packages, and those defined since."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from functools import cache
from typing import Any

from selfstab import validation
from selfstab.notices import notify
from selfstab.optimizers.base import REGISTERED, Optimizer


@cache
def _load_all() -> None:
    """Import the optimizers that are files of this folder, and those that installed packages announce."""
    package = importlib.import_module("selfstab.optimizers")
    for module in pkgutil.iter_modules(package.__path__, "selfstab.optimizers."):
        importlib.import_module(module.name)
    for entry in importlib.metadata.entry_points(group="selfstab.optimizers"):
        try:
            entry.load()
        except Exception as error:  # whatever another package's code raises
            notify(f"the optimizers of {entry.value} cannot be loaded: {validation.shown(error, 120)}")


def registered() -> dict[str, type[Optimizer]]:
    """Return the optimizers by name: those of this folder and of installed packages, and those defined since.

    A package announces its own by an entry point of the group ``selfstab.optimizers`` that names its module.
    """
    _load_all()
    return {name: kind for name, kind in REGISTERED.items() if not getattr(kind, "__abstractmethods__", None)}


def optimizer_named(name: Any) -> type[Optimizer]:
    """Return the optimizer of this name.

    Raises
    ------
    TypeError, ValueError
        If there is none; the message lists those there are.
    """
    known = registered()
    return known[validation.one_of("optimizer", name, known)]
