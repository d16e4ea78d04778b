"""Columns of a recorded run by role: which of a table's columns is the sharpness, the learning rate, the loss."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.notices import printable
from selfstab.optimizers.adam import Adam
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.registry import registered
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.records.formats.base import Table
from selfstab.records.laws import momentum_of_rule, optimizer_of
from selfstab.records.roles import ALIASES, key
from selfstab.validation import Array

_ADAPTIVE: Final = ("beta2", "beta_2", "adam_beta2", "betas", "exp_avg_sq")
_OTHERS: Final = r"ada|rmsprop|lion|lamb|shampoo|muon|lbfgs"
"""Words in the names of optimizers of another kind."""

_BLANK: Final = ("", "nan", "none", "null", "<na>", "na", "n/a", "nat")


class ColumnError(ValueError):
    """A role whose column is missing, ambiguous or not there; whoever asks can say it in the words of an option.

    Parameters
    ----------
    problem
        What is wrong.
    role
        The role whose column must be named.
    otherwise
        What else would do, with the words that lead to it; empty if nothing.
    """

    def __init__(self, problem: str, role: str, otherwise: str = "") -> None:
        super().__init__(problem, role, otherwise)
        self.problem, self.role, self.otherwise = problem, role, otherwise

    def __str__(self) -> str:
        return f"{self.problem}; name it by columns, {self.role}=NAME{self.otherwise}"


@dataclass(frozen=True)
class Columns:
    """A recorded run's columns by role, as numbers, in the order of the source's rows.

    Parameters
    ----------
    values
        Arrays of one length by role; sharpness, lr, momentum and step are always there.
    names
        What the source calls each, for messages.
    notes
        Sentences on how they were read.
    lookahead
        γ of the whole run; None if the source does not say.
    diverged_at
        Step at which the source says that it diverged, else -1.
    optimizer
        The optimizer, if it is no heavy ball; its lr does not count.
    """

    values: dict[str, Array]
    names: dict[str, str]
    notes: tuple[str, ...] = ()
    lookahead: float | None = None
    diverged_at: int = -1
    optimizer: Optimizer | None = None


def columns_of(
    table: Table,
    columns: Mapping[str, str],
    lr: float | None = None,
    momentum: float | None = None,
    optimizer: Optimizer | None = None,
) -> Columns:
    """Return a table's columns by role.

    Parameters
    ----------
    table
        What a format reads.
    columns
        Names that the user gives, by role.
    lr, momentum
        Settings that the user gives where they were constant.
    optimizer
        The optimizer, where the user gives it; its lr counts where no column has one.

    Returns
    -------
    Columns
        Numbers by role; what is constant is repeated in each row.

    Raises
    ------
    ColumnError
        If a column is missing, ambiguous, or not in the table.
    ValueError
        If a value is no number, lengths differ, a setting is given beside its column, or the optimizer is of another
        kind.

    Examples
    --------
    >>> columns_of(Table({"eig": [1.0, 2.0], "eta": [0.1, 0.1]}), {"sharpness": "eig"}, momentum=0.9).names
    {'sharpness': 'eig', 'lr': 'eta', 'momentum': 'momentum', 'step': 'step'}
    """
    for role in columns:
        validation.one_of("columns", role, ALIASES)
    names = _names_of_roles(table, columns)
    own = rule_of(table, names, optimizer)
    if isinstance(optimizer, HeavyBall):
        momentum = None if "momentum" in names else optimizer.momentum
    if optimizer is not None and "lr" not in names and isinstance(optimizer.lr, float):
        lr = optimizer.lr
    values = {role: numbers(name, table.columns[name]) for role, name in names.items()}
    size = values["sharpness"].size
    notes = [*table.notes]
    for role, setting in (("lr", lr), ("momentum", momentum)):
        if role in names and setting is not None:
            raise ValueError(f"{role} must be left out beside the column {names[role]}, got {setting:g}")
        if role in names:
            continue
        constant = _attribute(table, role) if setting is None else setting
        if role == "momentum" and own is not None and setting is None:
            known = momentum_of_rule(own)
            constant = np.nan if known is None else known
        if constant is None:
            raise _missing(role, table, f", or give {role} if it was constant")
        values[role] = np.full(size, constant)
    if "step" not in values:
        values["step"] = np.arange(float(size))
        notes.append("No column of steps: rows are taken as steps 0, 1, 2, ...")
    elif key(names["step"]) in ("epoch", "epochs"):
        notes.append(f"Steps are taken from {names['step']}: rates hold if an epoch is one update.")
    diverged_at = _attribute(table, "diverged_at")
    return Columns(
        values,
        {role: names.get(role, role) for role in values},
        tuple(notes),
        optimizer.lookahead if isinstance(optimizer, HeavyBall) else _lookahead(table, names),
        -1 if diverged_at is None else int(diverged_at),
        own,
    )


def numbers(name: str, values: Any) -> Array:
    """Return a column as floats; what is blank is NaN, what is no number is refused with its row.

    >>> numbers("loss", ["1", "", "2.5"])
    array([1. , nan, 2.5])
    """
    array = np.asarray(values)
    if array.dtype.kind in "fiu":
        return array.astype(np.float64)
    if array.dtype.kind in "OUST":
        import pandas

        try:
            parsed = pandas.to_numeric(pandas.Series(array), errors="coerce").to_numpy(dtype=np.float64)
        except OverflowError:
            raise ValueError(
                f"{name} must hold numbers that float64 holds, got an integer beyond 1.8e308"
            ) from None
        blank = np.array([str(value).strip().lower() in _BLANK for value in array], dtype=bool)
        wrong = np.flatnonzero(np.isnan(parsed) & ~blank)
        if wrong.size == 0:
            # Python reads a text to the last bit, older pandas does not.
            exact = [
                float(value) if isinstance(value, str) and not np.isnan(number) else number
                for value, number in zip(array, parsed, strict=True)
            ]
            return np.array(exact, dtype=np.float64)
        raise ValueError(
            f"{name} must hold real numbers, or nothing where not recorded, "
            f"got {validation.shown(str(array[wrong[0]]))} in row {wrong[0] + 1}"
        )
    raise ValueError(f"{name} must hold real numbers, got {array.dtype}")


# -- names --------------------------------------------------------------------------------------------------------


def _names_of_roles(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the column's name for each role that has one: the user's, the format's, or the one known by its name."""
    columns = {role: printable(str(name)) for role, name in columns.items()}  # as the table has its names
    for role, name in columns.items():
        if name not in table.columns:
            raise ColumnError(f"run must have the column {name} for {role}, got {_listed(table)}", role)
    names = {role: name for role, name in table.roles.items() if name in table.columns} | dict(columns)
    for role in ("sharpness", "preconditioned_sharpness"):
        if role not in names:
            names |= _known_by_name(role, table, [*table.columns], names)
    _refuse_other_optimizers(table, names)
    if "sharpness" not in names and "preconditioned_sharpness" in names:
        names["sharpness"] = names["preconditioned_sharpness"]  # the one that the threshold is of
    if "sharpness" not in names:
        raise _missing("sharpness", table)
    dimension = table.dimensions.get(names["sharpness"])
    along = [name for name in table.columns if table.dimensions.get(name) == dimension]
    for role in ALIASES:
        if role not in names:
            names |= _known_by_name(role, table, along, names)
    size = table.size(names["sharpness"])
    for name in names.values():
        if table.size(name) != size:
            raise ValueError(
                f"{name} must have as many values as {names['sharpness']} ({size}), got "
                f"{table.size(name)}; where one was not recorded, put NaN"
            )
    # In the order of the roles, whoever named them.
    return {role: names[role] for role in ALIASES if role in names}


def _known_by_name(
    role: str, table: Table, candidates: list[str], names: Mapping[str, str]
) -> dict[str, str]:
    """Return the candidate that is known to have this role by its name, as a dictionary; empty if there is none."""
    aliases = ALIASES[role]
    known = [name for name in candidates if key(name) in aliases and name not in names.values()]
    if len(known) > 1 and role == "step":
        known = [min(known, key=lambda name: aliases.index(key(name)))]
    dimensions = dict.fromkeys(table.dimensions.get(name) for name in known)
    if len(dimensions) > 1:
        raise ValueError(
            f"run must have its columns along one dimension, got {', '.join(map(str, dimensions))}"
        )
    exact = [name for name in known if name == role]
    if len(known) > 1 and not exact:
        raise ColumnError(f"run must have one column for {role}, got {', '.join(known)}", role)
    return {role: (exact or known)[0]} if known else {}


def _listed(table: Table) -> str:
    """Return the columns' names, the first ones of many."""
    text = ", ".join(table.columns) or "none"
    return text if len(text) <= 400 else f"{text[:400]}... ({len(table.columns)} columns)"


def _missing(role: str, table: Table, otherwise: str = "") -> ColumnError:
    problem = (
        f"run must have a column {role} (also known as {', '.join(ALIASES[role][1:5])}), got {_listed(table)}"
    )
    return ColumnError(problem, role, otherwise)


def _refuse_other_optimizers(table: Table, names: Mapping[str, str]) -> None:
    """Raise ValueError if the run is of an optimizer with another threshold, and lacks what that is of."""
    kind = _settings_of_optimizer(table).get("name", "HeavyBall")
    if "preconditioned_sharpness" in names or (kind in registered() and kind != "HeavyBall"):
        return  # rule_of says more
    if kind != "HeavyBall":
        raise ValueError(
            "run must be of gradient descent with heavy-ball or Nesterov momentum, or of an optimizer of selfstab's, "
            f"got one of {printable(str(kind))}"
        )
    if sign := _adaptive_sign(table, names):
        raise ValueError(
            "run must be of gradient descent with heavy-ball or Nesterov momentum, "
            f"got {sign}: the threshold of Adam and its like is another, of the column preconditioned_sharpness"
        )


def _adaptive_sign(table: Table, names: Mapping[str, str]) -> str:
    """Return what shows that a run is of Adam or its like: a column that only they have, or a name; else nothing."""
    for name in table.columns:
        if name in names.values():
            continue
        if key(name) in _ADAPTIVE:
            return f"the column {name}"
        if key(name) in ("optimizer", "optimiser"):
            others = (
                printable(str(value))
                for value in table.columns[name]
                if re.search(_OTHERS, str(value), re.IGNORECASE)
            )
            if other := next(others, ""):
                return f"{other} in the column {name}"
    named = str(table.attributes.get("optimizer", ""))
    return printable(named) if re.fullmatch(rf"\w*({_OTHERS})\w*", named, re.IGNORECASE) else ""


def rule_of(table: Table, names: Mapping[str, str], optimizer: Optimizer | None = None) -> Optimizer | None:
    """Return the optimizer of a run, if it is no heavy ball.

    Parameters
    ----------
    table, names
        The run, and its columns by role.
    optimizer
        What the user gives.

    Raises
    ------
    ValueError
        If its threshold is of the preconditioned sharpness, and the run has none; or if it has one, and nothing says
        what the optimizer is.
    """
    own = optimizer if optimizer is not None else optimizer_of(_settings_of_optimizer(table))
    preconditioned = "preconditioned_sharpness" in names
    if own is not None and own.preconditions and not preconditioned:
        raise ValueError(
            f"run must have the column preconditioned_sharpness, which the threshold of {own.known_as} is of, got "
            f"{_listed(table)}; Recorder records it, and simulate with keep=['preconditioned_sharpness']"
        )
    if own is None and preconditioned and "max_stable_sharpness" not in names:
        sign = _adaptive_sign(table, names)
        if not sign:
            raise ValueError(
                "run must say whose preconditioned_sharpness it has: give optimizer=Adam(lr) or another of selfstab's"
            )
        momentum = "rmsprop" in sign.lower()
        own = RMSProp(1.0) if momentum else Adam(1.0)
        if "momentum" not in names and momentum:
            raise _missing("momentum", table, ", or give optimizer")
    return None if isinstance(own, HeavyBall) else own


# -- the whole run --------------------------------------------------------------------------------------------------


def _attribute(table: Table, role: str) -> float | None:
    """Return what a table says of the whole run: a number under one of the role's names, or of its optimizer."""
    aliases = ALIASES.get(role, (role,))
    values = {name: value for name, value in table.attributes.items() if key(name) in aliases}
    if values:
        name = min(values, key=lambda name: aliases.index(key(name)))
        return _number(name, values[name])
    if role not in ("momentum", "lookahead"):
        return None
    setting = _settings_of_optimizer(table).get(role)
    return float(setting) if isinstance(setting, int | float) else None


def _settings_of_optimizer(table: Table) -> dict[str, Any]:
    """Return what a run of ours says of its optimizer; nothing if it says none."""
    try:
        settings = json.loads(table.attributes["optimizer"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a real number, got {validation.shown(value)}") from None


def _lookahead(table: Table, names: Mapping[str, str]) -> float | None:
    """Return the lookahead, from a column of one value or from the attributes; None if neither says it."""
    size = table.size(names["sharpness"])
    for name in table.columns:
        if key(name) != "lookahead" or table.size(name) != size:
            continue
        values = numbers(name, table.columns[name])
        known = values[~np.isnan(values)]
        other = known[known != known[0]] if known.size else known
        if other.size:
            raise ValueError(
                f"{name} must be one number for the whole run, got {known[0]:g} and {other[0]:g}"
            )
        if known.size:
            return float(known[0])
    return _attribute(table, "lookahead")
