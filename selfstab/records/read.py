"""A training run recorded elsewhere: its columns found, its rows put in order, what cannot be read refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.records.sources import ALIASES, Table, key, numbers, table_of
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_ADAPTIVE: Final = ("beta2", "beta_2", "adam_beta2", "betas", "exp_avg_sq", "preconditioned_sharpness")
_OTHERS: Final = r"ada|rmsprop|lion|lamb|shampoo|muon|lbfgs"
"""Words in the names of optimizers of another kind."""

_LONG_NAMES: Final = {
    "sharpness": ("largest Hessian eigenvalue", "1/lr"),
    "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
    "momentum": ("momentum of the update t -> t + 1", "1"),
    "loss": ("L(w_t)", "loss"),
    "second_sharpness": ("second largest Hessian eigenvalue", "1/lr"),
}

_LARGEST: Final = 2e307
_FEWEST: Final = 3
_BLOWN_UP: Final = 1e12
"""Of the last loss over the least: what is not recorded after such a loss was no number."""


def recorded_run(
    run: Any,
    *,
    lr: float | None = None,
    momentum: float | None = None,
    lookahead: float | None = None,
    columns: Mapping[str, str] | None = None,
) -> xarray.Dataset:
    """Read a recorded run into one form; :func:`analyze` says what is accepted, and how it is treated.

    Parameters
    ----------
    run, lr, momentum, lookahead, columns
        As for :func:`analyze`.

    Returns
    -------
    xarray.Dataset
        Along step, increasing: sharpness (NaN where not recorded), lr, momentum, and where recorded loss and
        second_sharpness; the scalar diverged_at (−1 if never); attrs lookahead and notes (JSON).

    Raises
    ------
    TypeError, ValueError
        As :func:`analyze`.

    Examples
    --------
    >>> run = {"iter": [3, 1, 2, 4], "lambda_max": [2.0, 1.0, 1.5, float("inf")]}
    >>> data = recorded_run(run, lr=1.0, momentum=0.0)
    >>> data.step.values, data.sharpness.values, int(data.diverged_at)
    (array([1, 2, 3]), array([1. , 1.5, 2. ]), 4)
    """
    import xarray

    given = {
        "lr": None if lr is None else validation.real("lr", lr, above=0),
        "momentum": None if momentum is None else validation.real("momentum", momentum, at_least=0, below=1),
    }
    ahead = None if lookahead is None else validation.real("lookahead", lookahead, at_least=0)
    table = table_of(run)
    notes = table.notes
    _take_lookahead(table)
    names = _roles(table, dict(columns or {}))
    values = {role: numbers(name, table.columns[name]) for role, name in names.items()}
    for role, value in given.items():
        if value is None:
            continue
        if role in names:
            raise ValueError(f"{role} must be left out beside the column {names[role]}, got {value:g}")
        table.constants[role] = value
    size = values["sharpness"].size
    for role in given:
        if role in values:
            continue
        if role not in table.constants:
            raise ValueError(_missing(role, table) + f", or give {role} if it was constant")
        values[role] = np.full(size, table.constants[role])
    if "step" not in values:
        values["step"] = np.arange(float(size))
        notes.append("No column of steps: rows are taken as steps 0, 1, 2, ...")
    elif key(names["step"]) in ("epoch", "epochs"):
        notes.append(f"Steps are taken from {names['step']}: rates hold if an epoch is one update.")
    names = {role: names.get(role, role) for role in values}
    rows = np.arange(1, size + 1)
    rows, values = _in_order(rows, values, names, notes)
    rows, values, diverged_at = _until_divergence(rows, values, names, notes)
    if diverged_at < 0 and table.constants.get("diverged_at", -1.0) >= 0:  # our own runs stop before it
        diverged_at = int(table.constants["diverged_at"])
        notes.append(f"The run diverged at step {diverged_at}.")
    _check_settings(rows, values, names, notes)
    if ahead is None and "lookahead" in table.constants:
        ahead = validation.real("lookahead", table.constants["lookahead"], at_least=0)
    ahead = _lookahead(values, notes) if ahead is None else ahead
    known = np.isfinite(values["sharpness"])
    if known.sum() < _FEWEST:
        raise ValueError(
            f"{names['sharpness']} must hold at least {_FEWEST} numbers, got {known.sum()} in {size} rows"
        )
    _tell_gaps(values, names, notes)
    out = xarray.Dataset(coords={"step": values.pop("step").astype(np.int64)})
    for role, (long_name, units) in _LONG_NAMES.items():
        if role in values and np.isfinite(values[role]).any():
            out[role] = ("step", values[role], {"long_name": long_name, "units": units})
    out["diverged_at"] = ((), diverged_at, {"long_name": "first step that is not finite, -1 if none"})
    out.attrs.update(lookahead=ahead, notes=json.dumps(notes, ensure_ascii=False))
    return out


# -- columns ------------------------------------------------------------------------------------------------------


def _take_lookahead(table: Table) -> None:
    """Take the lookahead out of the columns, if one holds it; it must not change."""
    for name in [name for name in table.columns if key(name) == "lookahead"]:
        column = numbers(name, table.columns.pop(name))
        known = column[~np.isnan(column)]
        other = known[known != known[0]] if known.size else known
        if other.size:
            raise ValueError(
                f"{name} must be one number for the whole run, got {known[0]:g} and {other[0]:g}"
            )
        if known.size:
            table.constants["lookahead"] = float(known[0])


def _missing(role: str, table: Table) -> str:
    return (
        f"run must have a column {role} (also known as {', '.join(ALIASES[role][1:5])}), "
        f"got {', '.join(table.columns) or 'none'}; name it by columns, {role}=NAME"
    )


def _roles(table: Table, chosen: dict[str, str]) -> dict[str, str]:
    """Return the column's name for each role that has one."""
    names: dict[str, str] = {}
    for role, name in chosen.items():
        validation.one_of("columns", role, ALIASES)
        if name not in table.columns:
            raise ValueError(
                f"columns must name columns of run, got {role}={name}; "
                f"there are {', '.join(table.columns) or 'none'}"
            )
        names[role] = name
    for name in table.columns:
        if key(name) in _ADAPTIVE and name not in names.values():
            raise ValueError(
                "run must be of gradient descent with heavy-ball or Nesterov momentum, "
                f"got the column {name}: the threshold of Adam and its like is another"
            )
        if key(name) in ("optimizer", "optimiser") and name not in names.values():
            told = next(
                (str(v) for v in table.columns[name] if re.search(_OTHERS, str(v), re.IGNORECASE)), ""
            )
            if told:
                raise ValueError(
                    "run must be of gradient descent with heavy-ball or Nesterov momentum, "
                    f"got {told} in the column {name}: the threshold of Adam and its like is another"
                )
    for role, aliases in ALIASES.items():
        if role in names:
            continue
        found = [name for name in table.columns if key(name) in aliases and name not in names.values()]
        if len(found) > 1 and role == "step":
            found = [min(found, key=lambda name: aliases.index(key(name)))]
        exact = [name for name in found if name == role]
        if len(found) > 1 and not exact:
            raise ValueError(
                f"run must have one column for {role}, got {', '.join(found)}; choose by columns, {role}=NAME"
            )
        names |= {role: (exact or found)[0]} if found else {}
    if "sharpness" not in names:
        raise ValueError(_missing("sharpness", table))
    sizes = {name: len(table.columns[name]) for name in names.values()}
    size = sizes[names["sharpness"]]
    for name, other in sizes.items():
        if other != size:
            raise ValueError(
                f"{name} must have as many values as {names['sharpness']} ({size}), got {other}; "
                "where one was not recorded, put NaN"
            )
    return names


# -- rows ---------------------------------------------------------------------------------------------------------


def _in_order(
    rows: np.ndarray[Any, Any], values: dict[str, Array], names: dict[str, str], notes: list[str]
) -> tuple[np.ndarray[Any, Any], dict[str, Array]]:
    """Sort by step, and join rows of the same step if they do not contradict each other."""
    step, name = values["step"], names["step"]
    bad = np.flatnonzero(~(np.abs(step) <= 2.0**53) | (step != np.round(step)))
    if bad.size:
        raise ValueError(f"{name} must hold whole numbers, got {step[bad[0]]:g} in row {rows[bad[0]]}")
    if (step < 0).any():
        at = int(np.flatnonzero(step < 0)[0])
        raise ValueError(f"{name} must hold whole numbers >= 0, got {step[at]:g} in row {rows[at]}")
    if (np.diff(step) < 0).any():
        notes.append("Rows were not in the order of their steps; they have been sorted.")
    order = np.argsort(step, kind="stable")
    rows, values = rows[order], {role: column[order] for role, column in values.items()}
    step = values["step"]
    first = np.concatenate([[True], np.diff(step) > 0])
    if first.all():
        return rows, values
    groups = np.cumsum(first) - 1
    for role, column in values.items():
        joined = np.full(int(groups[-1]) + 1, np.nan)
        known = np.flatnonzero(~np.isnan(column))
        # Backwards, so that the first of several stands.
        joined[groups[known[::-1]]] = column[known[::-1]]
        other = known[joined[groups[known]] != column[known]]
        if other.size:
            at = int(other[0])
            here = np.flatnonzero(groups == groups[at])
            raise ValueError(
                f"{names[role]} must have one value for a step, got {joined[groups[at]]:g} and {column[at]:g} "
                f"for step {step[at]:g} (rows {rows[here[0]]} and {rows[at]})"
            )
        values[role] = joined
    notes.append(f"{int((~first).sum())} rows repeat a step without contradiction; they have been joined.")
    return rows[first], values


def _until_divergence(
    rows: np.ndarray[Any, Any], values: dict[str, Array], names: dict[str, str], notes: list[str]
) -> tuple[np.ndarray[Any, Any], dict[str, Array], int]:
    """Cut the run where loss or sharpness is infinite for good."""
    measured = [role for role in ("sharpness", "loss", "second_sharpness") if role in values]
    end, cause = rows.size, ""
    for role in measured:
        column = values[role]
        beyond = np.flatnonzero(np.isinf(column) | (np.abs(column) > _LARGEST))
        if beyond.size == 0:
            continue
        at = int(beyond[0])
        after = np.flatnonzero(np.abs(column[at:]) <= _LARGEST)
        if after.size:
            raise ValueError(
                f"{names[role]} must stay infinite once it is, got {column[at]:g} in row {rows[at]} and "
                f"{column[at + after[0]]:g} in row {rows[at + after[0]]}"
            )
        if at < end:
            end, cause = at, names[role]
    diverged_at = -1
    if cause:
        diverged_at = int(values["step"][end])
        notes.append(f"The run diverged: {cause} is not finite from step {diverged_at} on.")
    empty = np.all([np.isnan(values[role][:end]) for role in measured], axis=0)
    kept = np.flatnonzero(~empty)
    last = int(kept[-1]) + 1 if kept.size else 0
    if last < end:
        notes.append(f"The last {end - last} rows hold no measurement; they have been left out.")
        known = values["loss"][:last][np.isfinite(values["loss"][:last])] if "loss" in values else np.empty(0)
        if not cause and known.size and known[-1] > _BLOWN_UP * np.abs(known).min():
            diverged_at = int(values["step"][last])
            notes[-1] = (
                f"The run diverged: nothing is recorded from step {diverged_at} on, after the loss had blown up."
            )
    return rows[:last], {role: column[:last] for role, column in values.items()}, diverged_at


def _check_settings(
    rows: np.ndarray[Any, Any], values: dict[str, Array], names: dict[str, str], notes: list[str]
) -> None:
    """Let lr and momentum hold until the next value; refuse what is out of range."""
    for role, allowed in (("lr", ">= 0"), ("momentum", "in [0, 1)")):
        column = values[role]
        known = np.flatnonzero(~np.isnan(column))
        if column.size and (known.size == 0 or known[0] != 0):
            raise ValueError(f"{names[role]} must have a value in the first row, got none in row {rows[0]}")
        fine = np.isfinite(column[known]) & (column[known] >= 0)
        if role == "momentum":
            fine &= column[known] < 1
        if not fine.all():
            at = int(known[~fine][0])
            raise ValueError(f"{names[role]} must be {allowed}, got {column[at]:g} in row {rows[at]}")
        if known.size < column.size:
            holds = np.maximum.accumulate(np.where(np.isnan(column), 0, np.arange(column.size)))
            values[role] = column[holds]
            missing = column.size - known.size
            notes.append(f"{names[role]} is missing in {missing} rows; there the last value before holds.")


def _lookahead(values: dict[str, Array], notes: list[str]) -> float:
    """Return the lookahead by which a recorded threshold, if there is one, follows from lr and momentum."""
    if "max_stable_sharpness" not in values:
        return 0.0
    lr, momentum, limits = (values[name] for name in ("lr", "momentum", "max_stable_sharpness"))
    known = np.isfinite(limits) & (limits > 0) & (lr > 0)
    if not known.any():
        return 0.0
    found = (2.0 * (1.0 + momentum[known]) / (lr[known] * limits[known]) - 1.0) / 2.0
    ahead = float(np.median(found))
    if np.ptp(found) > 1e-6 or ahead < -1e-6:
        notes.append(
            "The recorded threshold is not that of this lr and momentum at any lookahead; it is not used."
        )
        return 0.0
    if abs(ahead) <= 1e-6:
        return 0.0
    nesterov = float(momentum[known][0])
    ahead = nesterov if abs(ahead - nesterov) <= 1e-6 else ahead
    notes.append(f"The lookahead, {ahead:g}, is read off the recorded threshold.")
    return ahead


def _tell_gaps(values: dict[str, Array], names: dict[str, str], notes: list[str]) -> None:
    """Note what is recorded how often."""
    for role in ("sharpness", "loss"):
        if role not in values:
            continue
        steps = values["step"][np.isfinite(values[role])]
        strides = np.diff(steps)
        if strides.size == 0:
            continue
        kinds, counts = np.unique(strides, return_counts=True)
        usual = int(kinds[counts.argmax()])
        if usual > 1:
            notes.append(f"{names[role]} is recorded every {usual} steps.")
        # The last record of a run may be closer to the one before.
        wide = int((strides > usual).sum())
        if wide:
            longest = int(strides.max())
            notes.append(f"{names[role]} has {wide} gaps in its record, the longest of {longest} steps.")
