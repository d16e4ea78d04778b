"""Runs in a data frame: one, several side by side as W&B exports them, or several below another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from selfstab.notices import printable
from selfstab.records.columns.roles import ALIASES, key, rank
from selfstab.records.formats.base import ReadError
from selfstab.records.series import columns_of_series

_SEPARATOR: Final = " - "
_BOUNDS: Final = ("__MIN", "__MAX")
"""Ends of columns in which W&B keeps the range of the values that one point of a chart stands for."""

_RUN: Final = ("run", "run_id", "run_name", "run_uuid", "trial", "trial_id", "experiment", "seed")
_TAG: Final = ("tag", "key", "metric", "metric_key", "metric_name", "variable", "name")
_VALUE: Final = ("value", "metric_value")
_MOST_RUNS: Final = 1000
_SCALARS: Final = ("wall_time", "step", "value")
"""The columns of a table that TensorBoard saves of one tag."""


def run_column(names: Sequence[str]) -> str:
    """Return which column says of each row what run it is of; empty if none does.

    >>> run_column(["step", "sharpness", "Run ID"])
    'Run ID'
    """
    for wanted in _RUN:
        for name in names:
            if key(name) == wanted:
                return name
    return ""


def side_by_side(names: Sequence[str]) -> tuple[str, ...]:
    """Return the runs of which a chart's table has columns side by side; none if it is no such table.

    >>> side_by_side(["Step", "a - loss", "a - loss__MIN", "b - loss"])
    ('a', 'b')
    """
    charts = [name for name in names if _SEPARATOR in name]
    others = [name for name in names if _SEPARATOR not in name]
    if not charts or any(rank("step", name) is None and not _is_axis(name) for name in others):
        return ()
    return tuple(dict.fromkeys(printable(name.rpartition(_SEPARATOR)[0]) for name in charts))


def is_long(names: Sequence[str]) -> bool:
    """Return whether a table has a row for each value, with the quantity's name in one column.

    >>> is_long(["run", "tag", "step", "value"]), is_long(["step", "loss", "value"])
    (True, False)
    """
    keys = [key(name) for name in names]
    found = [[here for here in keys if here in known] for known in (_TAG, _VALUE, ALIASES["step"])]
    return all(len(here) == 1 for here in found)


def members_of_frame(names: Sequence[str], values_of: Any) -> tuple[str, ...]:
    """Return the names of the runs of a frame; none if it holds one.

    Parameters
    ----------
    names
        Of its columns.
    values_of
        A function that returns the values of a column, which is read for it.
    """
    if runs := side_by_side(names):
        return runs
    column = run_column(names)
    if not column:
        return ()
    values = list(dict.fromkeys(map(_text, values_of(column))))
    if len(values) > _MOST_RUNS:  # a number of each row
        return ()
    return tuple(values) if len(values) > 1 else ()


def run_of_frame(frame: Any, member: str, tag: str = "") -> tuple[Any, tuple[str, ...]]:
    """Return the columns of one run as a frame, and notes on how they were read.

    Parameters
    ----------
    frame
        A pandas.DataFrame.
    member
        Which of :func:`members_of_frame`; empty where there are none.
    tag
        What the values are of, where a table is of one quantity and does not say.

    Raises
    ------
    ReadError
        If its rows hold no columns.
    """
    names = [str(name) for name in frame.columns]
    if side_by_side(names):
        return _chart(frame, member)
    if member:
        column = run_column(names)
        frame = frame[[_text(value) == member for value in frame[column]]].drop(columns=column)
        frame = frame.dropna(axis="columns", how="all")
        names = [str(name) for name in frame.columns]
    keys = [key(name) for name in names]
    if sorted(keys) == sorted(_SCALARS) and tag:
        wall_time, value = (names[keys.index(name)] for name in ("wall_time", "value"))
        return frame.drop(columns=wall_time).rename(columns={value: tag}), ()
    if is_long(names):
        tags, values, steps = (
            next(name for name in names if key(name) in known) for known in (_TAG, _VALUE, ALIASES["step"])
        )
        return _wide(frame, tags, values, steps), ()
    return frame, ()


def _is_axis(name: str) -> bool:
    """Return whether a column is the horizontal axis of a chart."""
    return key(name).startswith(
        ("relative_time", "wall_time", "_runtime", "_timestamp", "timestamp", "unnamed")
    )


def _chart(frame: Any, member: str) -> tuple[Any, tuple[str, ...]]:
    """Return one run of a chart's table."""
    import pandas

    columns: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    for name in map(str, frame.columns):
        run, separator, metric = name.rpartition(_SEPARATOR)
        if not separator:
            columns.setdefault(name, frame[name])
        elif printable(run) == member:
            (bounds if metric.endswith(_BOUNDS) else columns)[metric] = frame[name]
    if any(len(values) != len(frame) or values.ndim != 1 for values in columns.values()):
        raise ReadError("run must have each column once, got one twice")
    notes = []
    averaged = [
        name
        for name, values in columns.items()
        if name + _BOUNDS[0] in bounds
        and not np.array_equal(
            bounds[name + _BOUNDS[0]], bounds.get(name + _BOUNDS[1], values), equal_nan=True
        )
    ]
    if averaged:
        notes.append(
            f"{', '.join(averaged)}: the chart's points are means of several records; swings are averaged out. "
            "Export the history."
        )
    measured = [name for name in columns if rank("step", name) is None and not _is_axis(name)]
    # Rows of other runs are empty here.
    return pandas.DataFrame(columns).dropna(axis="index", how="all", subset=measured), tuple(notes)


def _wide(frame: Any, tag: str, value: str, step: str) -> Any:
    """Return a frame with a column for each tag of a table that has a row for each value."""
    import pandas

    from selfstab.records.columns.columns import numbers

    steps, values = numbers(step, frame[step].to_numpy()), numbers(value, frame[value].to_numpy())
    labels = np.array([_text(label) for label in frame[tag]], dtype=object)
    series = {
        label: (steps[labels == label], values[labels == label]) for label in dict.fromkeys(labels.tolist())
    }
    if len(series) > _MOST_RUNS:
        raise ReadError(
            f"run must have at most {_MOST_RUNS} quantities in {printable(tag)}, got {len(series)}"
        )
    return pandas.DataFrame(columns_of_series(series))


def _text(value: Any) -> str:
    return printable(str(value)) if not isinstance(value, float) or value != round(value) else f"{value:g}"


def tag_of_path(stem: str) -> tuple[str, str]:
    """Return the run and the quantity that the name of a table of one quantity tells.

    >>> tag_of_path("run1_train_sharpness"), tag_of_path("run-exp 3-tag-Loss_train"), tag_of_path("lr")
    (('run1', 'train_sharpness'), ('exp 3', 'Loss_train'), ('', 'lr'))
    """
    if match := re.fullmatch(r"run-(.*)-tag-(.+)", stem):
        return match[1], match[2]
    places = [0, *(match.end() for match in re.finditer(r"[_\-. ]+", stem))][:50]
    for at in places:
        if any(
            rank(role, stem[at:]) is not None
            for role in ("sharpness", "lr", "momentum", "loss", "second_sharpness")
        ):
            return stem[:at].strip("_-. "), stem[at:]
    return "", stem
