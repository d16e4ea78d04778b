"""A training run recorded elsewhere: its columns found, its rows put in order, what cannot be read refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

ALIASES: Final = {
    "step": (
        "step", "steps", "global_step", "iteration", "iterations", "iter", "it", "update", "t", "epoch", "epochs",
    ),
    "sharpness": (
        "sharpness", "lambda_max", "max_lambda", "lambda_1", "lambda1", "top_eigenvalue", "largest_eigenvalue",
        "max_eigenvalue", "hessian_top", "hessian_max", "top_hessian_eigenvalue", "hessian_top_eigenvalue",
    ),
    "lr": ("lr", "learning_rate", "learningrate", "eta", "η", "step_size", "stepsize"),
    "momentum": ("momentum", "beta", "β", "mu"),
    "loss": ("loss", "train_loss", "training_loss", "loss_train", "full_loss", "objective"),
    "second_sharpness": ("second_sharpness", "lambda_2", "lambda2", "second_eigenvalue"),
    "max_stable_sharpness": ("max_stable_sharpness",),
}  # fmt: skip
"""Names under which each column is looked for, whatever their case; ' ', '-', '/' and '.' count as '_'."""

_ADAPTIVE: Final = ("beta2", "beta_2", "adam_beta2", "betas", "exp_avg_sq", "preconditioned_sharpness")

_LONG_NAMES: Final = {
    "sharpness": ("largest Hessian eigenvalue", "1/lr"),
    "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
    "momentum": ("momentum of the update t -> t + 1", "1"),
    "loss": ("L(w_t)", "loss"),
    "second_sharpness": ("second largest Hessian eigenvalue", "1/lr"),
}

_LARGEST: Final = 2e307
_FEWEST: Final = 3


@dataclass
class _Table:
    """Columns by their own names, of equal length, and what the source says beside them."""

    columns: dict[str, Any]
    constants: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


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
    table = _table(run)
    notes = table.notes
    names = _roles(table, dict(columns or {}))
    values = {role: _numbers(name, table.columns[name]) for role, name in names.items()}
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
    elif _key(names["step"]) in ("epoch", "epochs"):
        notes.append(f"Steps are taken from {names['step']}: rates hold if an epoch is one update.")
    names = {role: names.get(role, role) for role in values}
    rows = np.arange(1, size + 1)
    rows, values = _in_order(rows, values, names, notes)
    rows, values, diverged_at = _until_divergence(rows, values, names, notes)
    _check_settings(rows, values, names, notes)
    if ahead is None:
        ahead = table.constants.get("lookahead")
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


# -- sources ------------------------------------------------------------------------------------------------------


def _table(run: Any) -> _Table:
    import pandas
    import xarray

    if isinstance(run, str | Path):
        return _file(Path(run))
    if isinstance(run, xarray.Dataset):
        return _dataset(run)
    if isinstance(run, pandas.DataFrame):
        return _frame(run)
    if isinstance(run, Mapping):
        return _mapping(run)
    raise TypeError(
        "run must be a path, an xarray.Dataset, a pandas.DataFrame or a mapping of arrays, "
        f"got {validation.shown(run)}"
    )


def _file(path: Path) -> _Table:
    import pandas
    import xarray

    readers = (".csv", ".tsv", ".npz", ".nc", ".zarr")
    if path.suffix.lower() not in readers:
        raise ValueError(f"run must end in {', '.join(readers)}, got {str(path)!r}")
    if not path.exists():
        raise ValueError(f"run must be a file that exists, got {str(path)!r}")
    kind = path.suffix.lower()
    try:
        if kind in (".csv", ".tsv"):
            separator = "," if kind == ".csv" else "\t"
            return _frame(pandas.read_csv(path, sep=separator, skipinitialspace=True, index_col=False))
        if kind == ".npz":
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                return _mapping({name: arrays[name] for name in arrays.files})
        options: dict[str, Any] = {"engine": "zarr", "consolidated": False} if kind == ".zarr" else {}
        with xarray.open_dataset(path, decode_timedelta=False, **options) as data:
            return _dataset(data.load())
    except ImportError:
        raise
    except _Refused as refused:
        raise ValueError(str(refused)) from None
    except Exception as error:  # each reader has its own kinds of error for a damaged file
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"run must be a readable {kind} file, got {str(path)!r}: {text}") from None


class _Refused(ValueError):
    """A table that was read, and is not of the form needed."""


def _frame(frame: Any) -> _Table:
    names = [str(name) for name in frame.columns]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"run must have each column once, got {twice} twice")
    columns = {name: frame.iloc[:, k].to_numpy() for k, name in enumerate(names)}
    index = frame.index
    if index.nlevels == 1 and _key(index.name) in ALIASES["step"] and str(index.name) not in columns:
        columns[str(index.name)] = index.to_numpy()
    elif not any(_key(name) in ALIASES["step"] for name in names) and index.dtype.kind in "iu":
        plain = np.array_equal(index.to_numpy(), np.arange(len(index)))
        columns |= {} if plain else {"step": index.to_numpy()}
    return _Table(columns)


def _dataset(data: xarray.Dataset) -> _Table:
    long = {str(name): data[name] for name in data.variables if data[name].ndim == 1}
    found = [name for name in long if _key(name) in ALIASES["sharpness"]]
    dims = {long[name].dims[0] for name in found} or {"step"}
    along = [name for name, variable in long.items() if variable.dims[0] in dims]
    if len(dims) > 1:
        raise _Refused(f"run must have its columns along one dimension, got {', '.join(map(str, dims))}")
    columns = {name: long[name].values for name in along}
    # Our own runs carry the threshold, which is computed afresh, and their optimizer's settings.
    constants: dict[str, float] = {}
    for name in ("lr", "momentum", "lookahead"):
        if name in data.variables and data[name].ndim == 0:
            constants[name] = float(data[name])
    try:
        optimizer = json.loads(data.attrs["optimizer"])
        settings = {name: optimizer[name] for name in ("momentum", "lookahead") if name in optimizer}
    except (KeyError, TypeError, ValueError):
        settings = {}
    if "lookahead" in data.attrs:
        settings.setdefault("lookahead", data.attrs["lookahead"])
    for name, value in settings.items():
        if isinstance(value, int | float | np.number):
            constants.setdefault(name, float(value))
    held = {_key(name) for name in columns}
    for name in ("lr", "momentum"):
        if held & {*ALIASES[name]}:
            constants.pop(name, None)
    for name, variable in long.items():
        if name == "lookahead" and variable.size and (variable == variable[0]).all():
            constants["lookahead"] = float(variable[0])
    return _Table(columns, constants)


def _mapping(run: Mapping[Any, Any]) -> _Table:
    table = _Table({})
    for name, value in run.items():
        try:
            array = np.ma.filled(value, np.nan) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
        except (TypeError, ValueError):
            raise _Refused(f"run's {name} must be an array, got {validation.shown(value)}") from None
        if array.ndim == 0 and _key(name) in ("lookahead", *ALIASES["lr"], *ALIASES["momentum"]):
            role = next((r for r in ("lr", "momentum") if _key(name) in ALIASES[r]), "lookahead")
            table.constants[role] = float(_numbers(str(name), array.reshape(1))[0])
        elif array.ndim == 1:
            table.columns[str(name)] = array
    return table


# -- columns ------------------------------------------------------------------------------------------------------


def _key(name: Any) -> str:
    """Return a column's name as it is compared.

    >>> _key("Train/Loss "), _key("lambda-max")
    ('train_loss', 'lambda_max')
    """
    return re.sub(r"[\s\-/.]+", "_", str(name).strip()).lower()


def _missing(role: str, table: _Table) -> str:
    return (
        f"run must have a column {role} (also known as {', '.join(ALIASES[role][1:5])}), "
        f"got {', '.join(table.columns) or 'none'}; name it by columns, {role}=NAME"
    )


def _roles(table: _Table, chosen: dict[str, str]) -> dict[str, str]:
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
        if _key(name) in _ADAPTIVE and name not in names.values():
            raise ValueError(
                "run must be of gradient descent with heavy-ball or Nesterov momentum, "
                f"got the column {name}: the threshold of Adam and its like is another"
            )
    for role, aliases in ALIASES.items():
        if role in names:
            continue
        found = [name for name in table.columns if _key(name) in aliases and name not in names.values()]
        if len(found) > 1 and role == "step":
            found = [min(found, key=lambda name: aliases.index(_key(name)))]
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


def _numbers(name: str, values: Any) -> Array:
    """Return a column as floats; what is blank is NaN, what is no number is refused with its row."""
    array = np.asarray(values)
    if array.dtype.kind in "fiu":
        return array.astype(np.float64)
    if array.dtype.kind in "OUST":
        import pandas

        numbers = pandas.to_numeric(pandas.Series(array), errors="coerce").to_numpy(dtype=np.float64)
        texts = [str(value).strip().lower() for value in array]
        blank = np.array([text in ("", "nan", "none", "null", "<na>", "na", "n/a", "nat") for text in texts])
        wrong = np.flatnonzero(np.isnan(numbers) & ~blank)
        if wrong.size == 0:
            return numbers
        raise ValueError(
            f"{name} must hold real numbers, or nothing where not recorded, "
            f"got {validation.shown(str(array[wrong[0]]))} in row {wrong[0] + 1}"
        )
    raise ValueError(f"{name} must hold real numbers, got {array.dtype}")


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
