"""Nested mappings and lists, as JSON and PyTorch keep them: the runs in them, each a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.notices import printable
from selfstab.records import spectra
from selfstab.records.column_sizes import check_array
from selfstab.records.columns.roles import rank
from selfstab.records.formats.base import Column, ReadError, Table
from selfstab.records.series import columns_of_series

_DEEPEST: Final = 8
_MOST_COLUMNS: Final = 10_000

_HISTORY: Final = ("log_history", "history", "records", "metrics", "logs", "data", "rows", "scalars")
"""Names under which a document keeps its rows or columns, beside settings."""
_FEWEST: Final = 3
"""Rows of which each is an object or a list of its own."""


def runs(document: Any) -> dict[str, Any]:
    """Return the runs of a document by name; one without a name if it is of one run.

    Parameters
    ----------
    document
        Mappings, lists, numbers, texts, arrays.

    Returns
    -------
    dict
        Parts of the document.

    Examples
    --------
    >>> list(runs({"seed 1": {"loss": [1.0]}, "seed 2": {"loss": [2.0]}}))
    ['seed 1', 'seed 2']
    >>> list(runs({"loss": [1.0], "config": {"lr": 0.1}}))
    ['']
    """
    if not isinstance(document, Mapping):
        return {"": document}
    parts = {name: part for name, part in document.items() if _is_run(part)}
    if len(parts) < 2 or not _alike([*parts.values()]):
        return {"": document}
    common = scalars({name: value for name, value in document.items() if name not in parts})
    return {printable(str(name)): {"history": part, **common} for name, part in parts.items()}


def table(document: Any) -> Table:
    """Return the table of one run: rows, columns, or either beside settings.

    Parameters
    ----------
    document
        What :func:`runs` gives for a name.

    Returns
    -------
    Table
        Names of nested columns are joined by '/'. Numbers and texts that stand alone are attributes.

    Raises
    ------
    ReadError
        If it holds neither rows nor columns.

    Examples
    --------
    >>> dict(table([{"train": {"loss": 2.0}, "step": 0}, {"train": {"loss": 1.0}, "step": 1}]).columns)["train/loss"]
    array([2., 1.])
    >>> table({"config": {"lr": 0.1}, "history": {"loss": [2.0, 1.0]}}).attributes
    {'config/lr': 0.1}
    """
    if _is_rows(document):
        return _of_rows(document)
    if not isinstance(document, Mapping):
        raise ReadError(
            f"run must be rows or columns with names, got {validation.shown(document)}; write a list of objects, "
            "or an object of lists"
        )
    if "columns" in document and _is_list(document.get("data")):  # pandas, orient="split" or "table"
        return Table(_of_split(document))
    if isinstance(document.get("schema"), Mapping) and _is_rows(document.get("data")):
        return _of_rows(document["data"])
    for name in _HISTORY:
        part = document.get(name)
        rest = {key: value for key, value in document.items() if key != name}
        alone = not any(_is_list(value) and len(value) > 2 for _, value in _leaves(rest, ""))
        if _is_rows(part) or (alone and isinstance(part, Mapping) and any(map(_is_array, part.values()))):
            inner = table(part)
            return Table(inner.columns, scalars(rest) | dict(inner.attributes), inner.roles)
    if columns := _of_cells(document):
        return Table(columns)
    if rows := _by_steps(document):
        return _of_rows(rows)
    if series := _of_pairs(document):
        rest = {name: value for name, value in document.items() if name not in series}
        return Table(columns_of_series(series), scalars(rest))
    found: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    roles: dict[str, str] = {}
    for name, value in _leaves(document, ""):
        _place(name, value, found, attributes, roles)
    if not found:
        raise ReadError(
            f"run must hold columns of numbers, got {_listed(attributes)}; write an object of lists"
        )
    return Table(found, attributes, roles=roles)


def _place(
    name: str, value: Any, columns: dict[str, Any], attributes: dict[str, Any], roles: dict[str, str]
) -> None:
    """Put a leaf of a document where it belongs: a column, several columns, or a setting."""
    if not (_is_list(value) or hasattr(value, "shape")):
        attributes[name] = value
        return
    shape = getattr(value, "shape", None)
    if shape is not None:
        check_array(name, tuple(shape)[:1], 8 * int(np.prod(tuple(shape)[1:], dtype=np.int64)) or 1)
        if any(extent == 0 for extent in tuple(shape)):
            return
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # lists of several lengths
        return
    if array.ndim == 0:
        attributes[name] = array[()]
    elif array.ndim == 1 and not (
        array.dtype == object and any(isinstance(entry, Mapping) for entry in array)
    ):
        columns[name] = array
    elif array.ndim == 2 and 0 < array.shape[1] <= 100:
        for k in range(array.shape[1]):
            columns[f"{name}/{k}"] = array[:, k]
        if spectra.is_list(name):
            roles |= spectra.roles_of([f"{name}/{k}" for k in range(array.shape[1])])
    if len(columns) > _MOST_COLUMNS:
        raise ReadError(f"run must have at most {_MOST_COLUMNS} columns, got more")


def _by_steps(document: Mapping[Any, Any]) -> list[Mapping[str, Any]]:
    """Return the rows of an object that has one for each step by its number; none if it is another."""
    whole = len(document) >= _FEWEST and all(
        str(step).isdecimal() and len(str(step)) < 16 and isinstance(row, Mapping)
        for step, row in document.items()
    )
    if not whole:
        return []
    named = any(rank("step", str(name)) is not None for row in document.values() for name in row)
    return [row if named else {"step": int(step), **row} for step, row in document.items()]


def _of_pairs(document: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return steps and values of quantities that are lists of [step, value] or [time, step, value]."""
    series = {}
    for name, value in document.items():
        if not (_is_list(value) and len(value) >= _FEWEST and all(_is_list(pair) for pair in value)):
            continue
        if {len(pair) for pair in value} not in ({2}, {3}) or spectra.is_list(str(name)):
            return {}
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return {}
        steps = array[:, -2]
        if not ((steps == np.round(steps)).all() and (np.diff(steps) > 0).all()):
            return {}
        series[printable(str(name))] = steps, array[:, -1]
    return series


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the columns of a list of objects; what a row lacks is None."""
    # Of each column what there is, and where: many columns of many rows may be mostly empty.
    columns: dict[str, tuple[list[int], list[Any]]] = {}
    for k, row in enumerate(rows):
        for name, value in _leaves(row, ""):
            if name not in columns and len(columns) >= _MOST_COLUMNS:
                raise ReadError(f"run must have at most {_MOST_COLUMNS} columns, got more")
            if not _is_list(value) or spectra.is_list(name):
                places, values = columns.setdefault(name, ([], []))
                places.append(k)
                values.append(value)
    size = len(rows)
    out: dict[str, Any] = {}
    roles: dict[str, str] = {}
    for name, column in columns.items():
        if any(map(_is_list, column[1])):
            check_array(name, (size * spectra.MOST,), 8)
            several = spectra.columns(name, _spread(name, size, *column))
            out |= several
            roles |= spectra.roles_of([*several])
        else:
            out[name] = Column(size, partial(_spread, name, size, *column))
    return Table(out, roles=roles)


def _spread(name: str, size: int, places: list[int], values: list[Any]) -> Any:
    """Return a column with values at some places, and None at the others."""
    check_array(name, (size,), 8)
    column: list[Any] = [None] * size
    for k, value in zip(places, values, strict=True):
        column[k] = value
    return _array(column)


def _of_split(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns of a table as pandas writes it with orient="split"."""
    names, rows = [str(name) for name in document["columns"]], document["data"]
    if not all(_is_list(row) and len(row) == len(names) for row in rows):
        raise ReadError("run must have a value for each of its columns in each row of data")
    columns = {name: _array([row[k] for row in rows]) for k, name in enumerate(names)}
    index = document.get("index")
    if isinstance(index, list | tuple) and len(index) == len(rows) and "index" not in columns:
        columns["index"] = _array(list(index))
    return columns


def _of_cells(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns that are objects of a value for each row, as pandas writes them; none if they are not."""
    values = [value for value in document.values() if isinstance(value, Mapping)]
    if not values or len(values) < len(document):
        return {}
    rows: dict[str, int] = {}
    for value in values:
        if not value or not all(str(row).lstrip("-").isdecimal() and len(str(row)) < 16 for row in value):
            return {}
        for row in value:
            rows.setdefault(str(row), len(rows))
    columns: dict[str, Any] = {}
    for name, value in document.items():
        column: list[Any] = [None] * len(rows)
        for row, number in value.items():
            column[rows[str(row)]] = number
        columns[str(name)] = _array(column)
    return columns | ({} if "index" in columns else {"index": np.array([*map(int, rows)])})


def _leaves(document: Mapping[Any, Any], prefix: str, depth: int = 0) -> list[tuple[str, Any]]:
    """Return what stands in nested objects, by names joined with '/'."""
    found: list[tuple[str, Any]] = []
    for name, value in document.items():
        full = f"{prefix}{name}"
        if str(name) == "param_groups" and _is_rows(value) and len(value) == 1:  # of an optimizer of PyTorch
            value = value[0]
        if isinstance(value, Mapping) and depth < _DEEPEST:
            found += _leaves(value, f"{full}/", depth + 1)
        elif not isinstance(value, Mapping):
            found.append((full, value))
        if len(found) > _MOST_COLUMNS:
            raise ReadError(f"run must have at most {_MOST_COLUMNS} columns, got more")
    return found


def scalars(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers and texts of a document by their names.

    >>> scalars({"optimizer": {"lr": 0.1, "betas": [0.9, 0.999]}, "seed": 3})
    {'optimizer/lr': 0.1, 'seed': 3}
    """
    return {
        name: value for name, value in _leaves(document, "") if isinstance(value, str | int | float) and name
    }


def _array(values: list[Any]) -> Any:
    """Return values as an array: floats where they all are numbers or None, objects else."""
    if all(value is None or type(value) in (int, float) for value in values):
        try:
            return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        except (
            OverflowError
        ):  # a whole number beyond all floats, which JSON would have as infinite with an exponent
            bound = 2.0**1023
            return np.array(
                [
                    np.nan if v is None else v if abs(v) < bound else np.copysign(np.inf, v > 0 or -1)
                    for v in values
                ]
            )
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_array(value: Any) -> bool:
    return _is_list(value) or hasattr(value, "shape")


def _is_rows(value: Any) -> bool:
    return _is_list(value) and len(value) > 0 and all(isinstance(row, Mapping) for row in value)


def _is_run(value: Any) -> bool:
    """Return whether a part is a run of its own: rows, or columns of a length, one of them of more than two."""
    if _is_rows(value):
        return True
    if not isinstance(value, Mapping):
        return False
    lengths = {
        len(column)
        for column in value.values()
        if _is_list(column) or (hasattr(column, "shape") and len(column.shape) == 1)
    }
    return len(lengths) == 1 and lengths != {0}


def _alike(parts: list[Any]) -> bool:
    """Return whether runs hold the same quantities, and are not parts of one run."""
    first, *others = ({*part[0]} if _is_list(part) else {*part} for part in parts)
    return all(2 * len(first & other) >= max(len(first), len(other)) for other in others)


def _listed(names: Mapping[str, Any]) -> str:
    text = ", ".join(map(printable, names)) or "nothing"
    return text if len(text) <= 200 else f"{text[:200]}..."
