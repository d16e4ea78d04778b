"""Columns of a recorded run by role, as numbers: the sharpness, the learning rate, the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from selfstab import validation
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.records.columns import roles, settings
from selfstab.records.columns.assignment import (
    SAME,
    ColumnError,
    OptionError,
    missing,
    names_of_roles,
    numbers,
    unused,
)
from selfstab.records.columns.other_optimizers import adaptive_settings
from selfstab.records.columns.recorded_optimizer import rule_of
from selfstab.records.columns.roles import ALIASES, key, rank
from selfstab.records.comparison.laws import momentum_of_rule
from selfstab.records.formats.base import Table
from selfstab.validation import Array

__all__ = ["ColumnError", "Columns", "OptionError", "columns_of", "numbers"]


_MOST_GROUPS = 8


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
    updates_per_epoch: float | None = None,
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
    updates_per_epoch
        How many updates an epoch is, where the column of steps counts epochs.
    optimizer
        The optimizer, where the user gives it; its lr counts where no column has one.

    Returns
    -------
    Columns
        Numbers by role; what is constant is repeated in each row.

    Raises
    ------
    OptionError
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
    names = names_of_roles(table, columns)
    own = rule_of(table, names, optimizer)
    if isinstance(optimizer, HeavyBall):
        momentum = None if "momentum" in names else optimizer.momentum
    if optimizer is not None and "lr" not in names and isinstance(optimizer.lr, float):
        lr = optimizer.lr
    values = {role: numbers(name, table.columns[name]) for role, name in names.items()}
    adaptive = adaptive_settings(table) if own is None and "preconditioned_sharpness" not in names else ""
    if adaptive and "momentum" not in names and momentum is None:
        raise ValueError(
            "run must be of gradient descent with heavy-ball or Nesterov momentum, got the setting "
            f"{adaptive}, as of Adam: its threshold is of the column preconditioned_sharpness; of another "
            "optimizer give momentum"
        )
    size = values["sharpness"].size
    notes = [*table.notes, *_decays(table), *settings.remarks(table)]
    if adaptive:
        notes.append(f"The setting {adaptive} is of Adam and its like, whose threshold is another.")
    for role, setting in (("lr", lr), ("momentum", momentum)):
        if role in names and setting is not None:
            known = values[role][~np.isnan(values[role])]
            if not np.allclose(known, setting, rtol=SAME, atol=0.0):
                raise validation.ArgumentError(
                    role, f"must be left out beside the column {names[role]}, got {setting:g}"
                )
        if role in names:
            continue
        constant = settings.setting(table, role) if setting is None else setting
        if role == "momentum" and own is not None and setting is None:
            known_momentum = momentum_of_rule(own)
            constant = np.nan if known_momentum is None else known_momentum
        if constant is None:
            raise missing(role, table, role, also=_also_missing(table, names, role, momentum))
        values[role] = np.full(size, constant)
        notes += settings.doubts(table) if role == "lr" and setting is None else []
    if "step" not in values:
        values["step"] = np.arange(float(size))
        epochs = [name for name in table.columns if roles.counts_epochs(name) and rank("step", name)]
        notes.append(
            "No column of steps: rows are taken as steps 0, 1, 2, ..."
            + (f" Several rows share a value of {epochs[0]}, which counts epochs." if epochs else "")
        )
    elif roles.counts_epochs(names["step"]) or updates_per_epoch is not None:
        values["step"] = _updates(names["step"], values["step"], updates_per_epoch, notes)
    if others := unused(table, names):
        notes.append(
            f"Not used: {others}. A column gets a role by columns={{ROLE: NAME}}, --column ROLE=NAME."
        )
    lookahead = (
        optimizer.lookahead
        if isinstance(optimizer, HeavyBall)
        else _lookahead(table, names, values["momentum"], notes)
    )
    diverged_at = settings.setting(table, "diverged_at")
    return Columns(
        values,
        {role: names.get(role, role) for role in values},
        tuple(notes),
        lookahead,
        -1 if diverged_at is None else int(diverged_at),
        own,
    )


def _decays(table: Table) -> list[str]:
    """Return sentences on the weight decay that a recorder recorded, and on the optimizer's groups."""
    notes = []
    for name, effect in (
        ("weight_decay", "it is part of loss and sharpness"),
        ("decoupled_weight_decay", "it lowers the threshold"),
    ):
        try:
            values, least = (
                numbers(of, table.columns[of]) if of in table.columns else None
                for of in (name, f"least_{name}")
            )
        except ValueError:  # a column of this name that no recorder wrote
            continue
        if values is None or not (values > 0.0).any():
            continue
        some = least is not None and least.shape == values.shape and bool((least != values).any())
        low, high = f"{np.nanmin(values):g}", f"{np.nanmax(values):g}"
        size = high if low == high else f"{low} to {high}"
        notes.append(f"Weight decay is {size}{', of some weights less' * some}: {effect}.")
    groups = settings.groups(table)
    if len(groups) > 1:
        each = "; ".join(
            f"{group['weights']:g} weights, lr {group['lr']:g}, weight decay {group['weight_decay']:g}"
            for group in groups[:_MOST_GROUPS]
        )
        notes.append(
            f"The optimizer has {len(groups)} groups: {each}{'; ...' * (len(groups) > _MOST_GROUPS)}."
        )
    return notes


def _also_missing(table: Table, names: Mapping[str, str], role: str, momentum: float | None) -> str:
    """Return the other setting that a table lacks, too, so that both are named at once."""
    lacks = role == "lr" and momentum is None and "momentum" not in names
    return "momentum" if lacks and settings.setting(table, "momentum") is None else ""


def _updates(name: str, epochs: Array, each: float | None, notes: list[str]) -> Array:
    """Return steps for a column of epochs."""
    if each is None:
        broken = np.flatnonzero(np.isfinite(epochs) & (epochs != np.round(epochs)))
        if broken.size:
            raise OptionError(
                f"{name} must hold whole numbers, got {epochs[broken[0]]:g} in row {broken[0] + 1}, "
                "and counts epochs",
                "name a column of updates by columns, step=NAME, or give updates_per_epoch",
                "name a column of updates by --column step=NAME, or give --updates-per-epoch",
            )
        notes.append(f"Steps are taken from {name}: rates hold if an epoch is one update.")
        return epochs
    steps = np.asarray(epochs * each, dtype=np.float64)
    # An epoch is written with 15 digits, or with the four of a screen.
    near = np.abs(steps - np.round(steps)) <= np.maximum(1e-6 * np.abs(steps), 1e-4 * each)
    notes.append(f"Steps are {each:g} times {name}.")
    return np.where(near, np.round(steps), steps)


# -- the whole run --------------------------------------------------------------------------------------------------


def _lookahead(table: Table, names: Mapping[str, str], momentum: Array, notes: list[str]) -> float | None:
    """Return the lookahead, from a column of one value or from the settings; None if neither says it."""
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
    ahead = settings.setting(table, "lookahead")
    if ahead is None and (settings.nesterov(table) or _nesterov_column(table, size)):
        known = momentum[~np.isnan(momentum)]
        if known.size and (known == known[0]).all():
            notes.append(f"The momentum is Nesterov's: the lookahead is {known[0]:g}.")
            return float(known[0])
        notes.append("The momentum is Nesterov's and changes: the lookahead is taken as 0.")
    return ahead


def _nesterov_column(table: Table, size: int) -> bool:
    """Return whether a column says in each row that the momentum is Nesterov's."""
    for name in table.columns:
        if not settings.says_nesterov(name) or table.size(name) != size:
            continue
        texts = {str(value).strip().lower() for value in np.asarray(table.columns[name])} - {
            "",
            "nan",
            "none",
        }
        if texts <= {"true", "1", "1.0"}:
            return bool(texts)
        if not texts <= {"false", "0", "0.0"}:
            raise ValueError(
                f"{name} must be True or False for the whole run, got {', '.join(sorted(texts)[:3])}; give lookahead"
            )
    return False
