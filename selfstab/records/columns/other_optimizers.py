"""Signs that a recorded run is of another optimizer than gradient descent or heavy ball."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from selfstab.notices import printable
from selfstab.optimizers.registry import registered
from selfstab.records.columns import roles, settings
from selfstab.records.columns.roles import key
from selfstab.records.formats.base import Table

_ADAPTIVE: Final = ("beta2", "beta_2", "adam_beta2", "betas", "exp_avg_sq")

_ADAPTIVE_WORDS: Final = (["beta2"], ["betas"], ["amsgrad"])


def refuse_other_optimizers(table: Table, names: Mapping[str, str]) -> None:
    """Raise ValueError if the run is of an optimizer with another threshold, and lacks what that is of.

    Parameters
    ----------
    table
        The run.
    names
        Its columns by role, as far as they are known.
    """
    if "preconditioned_sharpness" in names or settings.own_settings(table).get("name") in registered():
        return  # the rule says more
    if kind := settings.other_optimizer(table):
        raise ValueError(
            "run must be of gradient descent with heavy-ball or Nesterov momentum, or of an optimizer of selfstab's, "
            f"got one of {kind}; its threshold is another, and of the column preconditioned_sharpness where weights "
            "have a preconditioner"
        )
    if sign := adaptive_sign(table, names):
        raise ValueError(
            "run must be of gradient descent with heavy-ball or Nesterov momentum, "
            f"got {sign}: the threshold of Adam and its like is another, of the column preconditioned_sharpness"
        )


def adaptive_settings(table: Table) -> str:
    """Return the setting that only Adam and its like have, where none names an optimizer of another kind; else nothing.

    >>> adaptive_settings(Table({"sharpness": [1.0]}, {"lr": 0.1, "beta1": 0.9, "beta2": 0.999}))
    'beta2'
    """
    if settings.named_optimizer(table):
        return ""
    return next((name for name in table.attributes if roles.words(name)[-1:] in _ADAPTIVE_WORDS), "")


def adaptive_sign(table: Table, names: Mapping[str, str]) -> str:
    """Return what shows that a run is of Adam or its like: a column that only they have, or a name; else nothing.

    >>> adaptive_sign(Table({"sharpness": [1.0], "lr-AdamW": [0.1]}), {"sharpness": "sharpness"})
    'the column lr-AdamW'
    """
    for name in table.columns:
        if name in names.values():
            continue
        here = set(roles.words(name))
        if key(name) in _ADAPTIVE or ({"lr", "rate"} & here and roles.ADAPTIVE & here):
            return f"the column {name}"
        if key(name) in ("optimizer", "optimiser"):
            others = (
                printable(str(value))
                for value in table.columns[name]
                if re.search(settings.OTHERS, str(value), re.IGNORECASE)
            )
            if other := next(others, ""):
                return f"{other} in the column {name}"
    return settings.other_optimizer(table)
