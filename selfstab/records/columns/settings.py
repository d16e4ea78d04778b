"""Settings of a whole recorded run: numbers and names that hold at every step, among a table's attributes."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.notices import printable
from selfstab.optimizers.registry import registered
from selfstab.records.columns.roles import ALIASES, key, rank, words
from selfstab.records.formats.base import Table

OTHERS: Final = r"ada|rmsprop|lion|lamb|shampoo|muon|lbfgs"
"""Words in the names of optimizers of another kind."""

_OPTIMIZER: Final = frozenset(("optimizer", "optimiser", "optim", "opt", "algorithm"))
_KIND: Final = frozenset(("name", "class", "type", "target"))

_SCHEDULE: Final = frozenset((
    "warmup", "schedule", "scheduler", "decay", "anneal", "annealing", "milestones",
))  # fmt: skip
"""Words of settings by which a learning rate changes."""

_NOT_OF_LR: Final = frozenset(("weight", "ema", "wd", "momentum", "epochs_per"))

_LONGEST: Final = 1 << 16
"""Of a text that describes an optimizer."""

_NOTHING: Final = frozenset(
    ("", "none", "null", "false", "constant", "no", "0", "0.0", "[]", "{}", "1", "1.0")
)
"""Values of such a setting that leave the learning rate as it is."""


def setting(table: Table, role: str) -> float | None:
    """Return a number that holds for the whole run, or None.

    Parameters
    ----------
    table
        What a format reads.
    role
        A role of a column, or the name of an attribute.

    Raises
    ------
    ValueError
        If it is no number, or two names say different ones.

    Examples
    --------
    >>> setting(Table({"sharpness": [1.0]}, {"optimizer/lr": 0.1, "seed": 3}), "lr")
    0.1
    """
    ranks = {
        name: place
        for name in table.attributes
        if (place := rank(role, name) if role in ALIASES else (1 if key(name) == role else None)) is not None
    }
    best = min(ranks.values(), default=None)
    names = [name for name, place in ranks.items() if place == best]
    if best == 1 and role in ALIASES:
        names = [min(names, key=lambda name: ALIASES[role].index(key(name)))]
    # A name that is only like one known may be that of a dictionary.
    names = [name for name in names if (best or 0) <= 2 or _is_number(table.attributes[name])]
    if names:
        values = [_number(name, table.attributes[name]) for name in names]
        if not np.allclose(values, values[0], rtol=2e-6, atol=0.0, equal_nan=True):
            told = ", ".join(f"{name} = {value:g}" for name, value in zip(names, values, strict=True))
            raise ValueError(f"run must have one {role}, got {told}; give {role}")
        return values[0]
    if role not in ("momentum", "lookahead"):
        return None
    own = own_settings(table).get(role)
    return float(own) if isinstance(own, int | float) else None


def doubts(table: Table) -> list[str]:
    """Return sentences on settings by which a learning rate that holds for the whole run may not have held.

    >>> doubts(Table({"sharpness": [1.0]}, {"lr": 0.1, "warmup_steps": 400}))
    ['warmup_steps is 400: lr is taken as constant; record it at each step if it changed.']
    """
    return [
        f"{name} is {validation.shown(value)}: lr is taken as constant; record it at each step if it changed."
        for name, value in table.attributes.items()
        if not _SCHEDULE.isdisjoint(here := words(name))
        and _NOT_OF_LR.isdisjoint(here)
        and str(value).strip().lower() not in _NOTHING
    ]


def remarks(table: Table) -> list[str]:
    """Return sentences on settings that change the update or the loss, and that no column shows.

    >>> remarks(Table({"sharpness": [1.0]}, {"weight_decay": "0.0005", "dampening": 0}))
    ['weight_decay is 0.0005: it is part of the loss, and the sharpness is that of the loss with it.']
    """
    found = []
    for name, value in table.attributes.items():
        here = words(name)
        if not _is_number(value) or float(value) == 0.0:
            continue
        if here[-1:] == ["dampening"]:
            found.append(
                f"{name} is {float(value):g}: the theory's lr is the learning rate times 1 - {name}; give it."
            )
        elif here[-2:] == ["weight", "decay"] or here[-1:] == ["wd"]:
            found.append(
                f"{name} is {float(value):g}: it is part of the loss, and the sharpness is that of the loss with it."
            )
    return found


def groups(table: Table) -> list[dict[str, float]]:
    """Return the groups of a PyTorch optimizer, at the last record, as a recorder describes them.

    >>> groups(Table({}, {"training_optimizer": '{"groups": [{"weights": 3, "lr": 0.1, "weight_decay": 0.0}]}'}))
    [{'weights': 3, 'lr': 0.1, 'weight_decay': 0.0}]
    """
    try:
        described = json.loads(str(table.attributes.get("training_optimizer", "{}"))[:_LONGEST])["groups"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    names = ("weights", "lr", "weight_decay")
    if not isinstance(described, list):
        return []
    return [
        {name: group[name] for name in names}
        for group in described
        if isinstance(group, dict) and all(isinstance(group.get(name), (int, float)) for name in names)
    ]


def says_nesterov(name: str) -> bool:
    """Return whether a name is that of the switch to Nesterov's momentum.

    >>> says_nesterov("optimizer/nesterov"), says_nesterov("nesterov_loss")
    (True, False)
    """
    return words(name)[-1:] == ["nesterov"]


def nesterov(table: Table) -> bool:
    """Return whether the settings say that the momentum is Nesterov's.

    >>> nesterov(Table({"sharpness": [1.0]}, {"optimizer/nesterov": True}))
    True
    """
    return any(
        says_nesterov(name) and str(value).strip().lower() in ("true", "1")
        for name, value in table.attributes.items()
    )


def other_optimizer(table: Table) -> str:
    """Return the name of an optimizer that is neither gradient descent nor heavy ball; empty if none is named.

    >>> other_optimizer(Table({"sharpness": [1.0]}, {"optimizer": "torch.optim.AdamW"}))
    'torch.optim.AdamW'
    """
    kind = own_settings(table).get("name", "HeavyBall")
    if kind != "HeavyBall":
        return printable(str(kind))
    known = {name.lower() for name in registered()} - {"heavyball"}
    for text in _names(table):
        if re.search(OTHERS, text, re.IGNORECASE) or text.lower() in known:
            return printable(text)
    return ""


def named_optimizer(table: Table) -> str:
    """Return how the settings name the optimizer; empty if they do not.

    >>> named_optimizer(Table({"sharpness": [1.0]}, {"optimizer/name": "SGD", "lr": 0.1}))
    'SGD'
    """
    return next(map(printable, _names(table)), "")


def _names(table: Table) -> list[str]:
    """Return the texts that name an optimizer."""
    found = []
    for name, value in table.attributes.items():
        here = words(name)
        named = not _OPTIMIZER.isdisjoint(here) and here[-1] in _OPTIMIZER | _KIND
        if named and isinstance(value, str) and len(value) < 100 and not value.startswith("{"):
            found.append(value)
    return found


def own_settings(table: Table) -> dict[str, Any]:
    """Return what a run of selfstab's says of its optimizer; nothing if it says none."""
    try:
        settings = json.loads(table.attributes["optimizer"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, bool)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a real number, got {validation.shown(value)}") from None
