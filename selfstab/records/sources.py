"""A recorded run's columns, from a file, a data frame, a dataset or a mapping of arrays."""

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


@dataclass
class Table:
    """Columns by their own names, of equal length, and what the source says beside them."""

    columns: dict[str, Any]
    constants: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def table_of(run: Any) -> Table:
    """Return the columns of whatever :func:`selfstab.analyze` takes."""
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


def _file(path: Path) -> Table:
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
            _check_header(path, separator)
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
        if "pickle" in text:  # NumPy takes whatever it does not know for a pickle, and advises to load it
            text = "it holds no arrays of numbers"
        raise ValueError(f"run must be a readable {kind} file, got {str(path)!r}: {text}") from None


def _check_header(path: Path, separator: str) -> None:
    """Refuse a table of text whose first row names no columns, or is cut by another separator."""
    with path.open(encoding="utf-8-sig", errors="replace") as opened:
        names = opened.readline().strip().split(separator)
    for other, word in ((";", "semicolons"), (",", "commas"), ("\t", "tabs")):
        if len(names) == 1 and other in names[0]:
            wanted = "commas" if separator == "," else "tabs"
            raise _Refused(f"run must have its columns separated by {wanted}, got {word} in {names[0]!r}")
    try:
        found = [float(name) for name in names if name.strip()]
    except ValueError:
        return
    if found:
        raise _Refused(f"run must name its columns in the first row, got numbers: {validation.shown(names)}")


class _Refused(ValueError):
    """A table that was read, and is not of the form needed."""


def _frame(frame: Any) -> Table:
    names = [str(name) for name in frame.columns]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"run must have each column once, got {twice} twice")
    columns = {name: frame.iloc[:, k].to_numpy() for k, name in enumerate(names)}
    index = frame.index
    if index.nlevels == 1 and key(index.name) in ALIASES["step"] and str(index.name) not in columns:
        columns[str(index.name)] = index.to_numpy()
    elif not any(key(name) in ALIASES["step"] for name in names) and index.dtype.kind in "iu":
        plain = np.array_equal(index.to_numpy(), np.arange(len(index)))
        columns |= {} if plain else {"step": index.to_numpy()}
    return Table(columns)


def _dataset(data: xarray.Dataset) -> Table:
    long = {str(name): data[name] for name in data.variables if data[name].ndim == 1}
    found = [name for name in long if key(name) in ALIASES["sharpness"]]
    dims = {long[name].dims[0] for name in found} or {"step"}
    along = [name for name, variable in long.items() if variable.dims[0] in dims]
    if len(dims) > 1:
        raise _Refused(f"run must have its columns along one dimension, got {', '.join(map(str, dims))}")
    columns = {name: long[name].values for name in along}
    # Our own runs carry the threshold, which is computed afresh, and their optimizer's settings.
    constants: dict[str, float] = {}
    for name in ("lr", "momentum", "lookahead", "diverged_at"):
        if name in data.variables and data[name].ndim == 0:
            constants[name] = float(data[name])
    try:
        optimizer = json.loads(data.attrs["optimizer"])
        settings = {name: optimizer[name] for name in ("momentum", "lookahead") if name in optimizer}
        kind = optimizer.get("name", "HeavyBall")
    except (KeyError, TypeError, ValueError, AttributeError):
        settings, kind = {}, "HeavyBall"
    if kind != "HeavyBall":
        raise _Refused(
            f"run must be of gradient descent with heavy-ball or Nesterov momentum, got one of {kind}"
        )
    if "lookahead" in data.attrs:
        settings.setdefault("lookahead", data.attrs["lookahead"])
    for name, value in settings.items():
        if isinstance(value, int | float | np.number):
            constants.setdefault(name, float(value))
    held = {key(name) for name in columns}
    for name in ("lr", "momentum"):
        if held & {*ALIASES[name]}:
            constants.pop(name, None)
    return Table(columns, constants)


def _mapping(run: Mapping[Any, Any]) -> Table:
    table = Table({})
    for name, value in run.items():
        try:
            array = np.ma.filled(value, np.nan) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
        except (TypeError, ValueError):
            raise _Refused(f"run's {name} must be an array, got {validation.shown(value)}") from None
        if array.ndim == 0 and key(name) in ("lookahead", *ALIASES["lr"], *ALIASES["momentum"]):
            role = next((r for r in ("lr", "momentum") if key(name) in ALIASES[r]), "lookahead")
            table.constants[role] = float(numbers(str(name), array.reshape(1))[0])
        elif array.ndim == 1:
            table.columns[str(name)] = array
    return table


def key(name: Any) -> str:
    """Return a column's name as it is compared.

    >>> key("Train/Loss "), key("lambda-max")
    ('train_loss', 'lambda_max')
    """
    return re.sub(r"[\s\-/.]+", "_", str(name).strip()).lower()


def numbers(name: str, values: Any) -> Array:
    """Return a column as floats; what is blank is NaN, what is no number is refused with its row."""
    array = np.asarray(values)
    if array.dtype.kind in "fiu":
        return array.astype(np.float64)
    if array.dtype.kind in "OUST":
        import pandas

        found = pandas.to_numeric(pandas.Series(array), errors="coerce").to_numpy(dtype=np.float64)
        texts = [str(value).strip().lower() for value in array]
        blank = np.array(
            [text in ("", "nan", "none", "null", "<na>", "na", "n/a", "nat") for text in texts], dtype=bool
        )
        wrong = np.flatnonzero(np.isnan(found) & ~blank)
        if wrong.size == 0:
            return found
        raise ValueError(
            f"{name} must hold real numbers, or nothing where not recorded, "
            f"got {validation.shown(str(array[wrong[0]]))} in row {wrong[0] + 1}"
        )
    raise ValueError(f"{name} must hold real numbers, got {array.dtype}")
