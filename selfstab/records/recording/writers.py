"""Where a recorder's rows go besides its dataset: TensorBoard, Weights & Biases, or a function of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from selfstab import validation

Write = Callable[[Mapping[str, float]], None]
"""What takes a recorder's row: ``step`` and the values of that step, by name."""

PREFIX: Final = "selfstab/"
"""What stands before a name in a log of others, where "loss" and "lr" may be the training loop's own."""


def of(writer: Any) -> Write:
    """Return what writes a recorder's row to `writer`.

    Parameters
    ----------
    writer
        Anything with ``add_scalar(name, value, step)``, as TensorBoard's ``SummaryWriter``; a run of Weights & Biases;
        or a function of name, value and step.

    Returns
    -------
    Callable
        Takes a row, a mapping with ``step``. TensorBoard and Weights & Biases get the names with ``selfstab/`` before
        them, a function gets them bare. Weights & Biases gets the step as ``selfstab/step``, since its own steps
        must not be counted up by a second logger.

    Raises
    ------
    TypeError
        If `writer` is nothing of the kind.

    Examples
    --------
    >>> write = of(lambda name, value, step: print(step, name, value))
    >>> write({"step": 5, "sharpness": 2.0})
    5 sharpness 2.0
    """
    if not isinstance(writer, type):
        if callable(getattr(writer, "add_scalar", None)):
            return _by_name(writer.add_scalar, PREFIX)
        if _is_run(writer):
            return _by_row(writer)
        if callable(writer):
            return _by_name(writer, "")
    raise TypeError(
        "writer must be a SummaryWriter of TensorBoard, a run of Weights & Biases or a function of name, value and "
        f"step, got {validation.shown(writer)}"
    )


def _is_run(writer: Any) -> bool:
    """Whether `writer` logs rows as a run of Weights & Biases does: by a method log with an argument commit."""
    try:
        return not inspect.ismodule(writer) and "commit" in inspect.signature(writer.log).parameters
    except (AttributeError, TypeError, ValueError):
        return False


def _by_name(write: Callable[[str, float, int], Any], prefix: str) -> Write:
    def write_row(row: Mapping[str, float]) -> None:
        for name, value in row.items():
            if name != "step":
                write(prefix + name, value, int(row["step"]))

    return write_row


def _by_row(run: Any) -> Write:
    pending: int | None = None

    def write_row(row: Mapping[str, float]) -> None:
        # The values join the row that the training loop logs next, so that its steps stay its own. If it has logged
        # nothing since the last record, that one is ended first: it would be replaced otherwise.
        nonlocal pending
        if pending == run.step:
            run.log({}, commit=True)
        run.log({PREFIX + name: value for name, value in row.items()}, commit=False)
        pending = run.step

    return write_row
