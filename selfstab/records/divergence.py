"""The end of a recorded run: where loss or sharpness is not finite, or the loss has blown up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from selfstab.validation import Array, Integers

_LARGEST: Final = 2e307
_FEWEST: Final = 3
_BLOWN_UP: Final = 1e12
"""Of the last loss divided by the least, or by the first: the run diverged though nothing infinite is recorded."""


def counted_rows(count: int, one: str = "", several: str = "") -> str:
    """Return how many rows, and a verb for one or for several of them.

    >>> counted_rows(1, "is", "are"), counted_rows(2, "is", "are")
    ('1 row is', '2 rows are')
    """
    return f"{count} row{'s' * (count != 1)} {one if count == 1 else several}".rstrip()


def until_divergence(
    rows: Integers, values: dict[str, Array], names: dict[str, str], notes: list[str]
) -> tuple[Integers, dict[str, Array], int]:
    """Cut the run where loss or sharpness is infinite for good; what is infinite in between was not recorded.

    Parameters
    ----------
    rows
        Numbers of the rows in the source, in the order of their steps.
    values
        Columns by role.
    names
        What the source calls each.
    notes
        Sentences on how the run was read; those on its end are added.

    Returns
    -------
    rows, values, diverged_at
        Without what is behind the end; the step at which the run diverged, -1 if it did not.
    """
    values = dict(values)
    measured = [
        role
        for role in ("sharpness", "preconditioned_sharpness", "loss", "second_sharpness")
        if role in values
    ]
    end, cause = rows.size, ""
    for role in measured:
        column = values[role]
        beyond = np.flatnonzero(np.isinf(column) | (np.abs(column) > _LARGEST))
        if beyond.size == 0:
            continue
        finite = np.flatnonzero(np.abs(column) <= _LARGEST)
        for_good = beyond[beyond > (finite[-1] if finite.size else -1)]
        passing = beyond.size - for_good.size
        if passing:
            # A step that a loss scaler skips: the run went on.
            values[role] = column.copy()
            values[role][beyond[:passing]] = np.nan
            notes.append(
                f"{names[role]} is infinite in {counted_rows(passing)} and finite again. It is left out there."
            )
        if for_good.size == 0:
            continue
        at = int(for_good[0])
        if at < end:
            end, cause = at, names[role]
    diverged_at = -1
    if cause:
        diverged_at = int(values["step"][end])
        notes.append(f"The run diverged: {cause} is not finite from step {diverged_at} on.")
    elif (at := _without_loss(values)) < rows.size:
        # Nothing is infinite, but the loss is no number after it had blown up: what is recorded beside it is of no run.
        end, diverged_at = at, int(values["step"][at])
        notes.append(
            f"The run diverged: {names['loss']} is no number from step {diverged_at} on, after it had blown up."
        )
    empty = np.all([np.isnan(values[role][:end]) for role in measured], axis=0)
    measurements = np.flatnonzero(~empty)
    last = int(measurements[-1]) + 1 if measurements.size else 0
    if last < end:
        notes.append(f"At the end {counted_rows(end - last, 'is', 'are')} left out, without a measurement.")
        known = values["loss"][:last][np.isfinite(values["loss"][:last])] if "loss" in values else np.empty(0)
        if diverged_at < 0 and known.size and known[-1] > _BLOWN_UP * np.abs(known).min():
            diverged_at = int(values["step"][last])
            notes[-1] = (
                f"The run diverged: nothing is recorded from step {diverged_at} on, after the loss had blown up."
            )
    values = {role: column[:last] for role, column in values.items()}
    return rows[:last], values, diverged_at


def _without_loss(values: Mapping[str, Array]) -> int:
    """Return the first row after which a loss that had blown up is no number for good; the number of rows if none."""
    size = values["step"].size
    if "loss" not in values:
        return size
    known = np.flatnonzero(np.isfinite(values["loss"]))
    if known.size < _FEWEST or known[-1] + 1 + _FEWEST > size:
        return size
    losses = values["loss"][known]
    last, strides = int(known[-1]), np.diff(known)
    # Rows without a loss are no end where the loss is recorded as seldom before.
    ends = size - 1 - last > strides.max()
    return last + 1 if ends and losses[-1] > _BLOWN_UP * np.abs(losses).min() else size


def _growth(values: Mapping[str, Array]) -> float:
    """Return the last loss divided by the first one, where it is the largest of all and above 1; 0 otherwise.

    The loss of a small kick grows by as much in a catapult, but such a loss stays small.
    """
    losses = values["loss"][np.isfinite(values["loss"])] if "loss" in values else np.empty(0)
    if losses.size < _FEWEST or not (losses[0] > 0.0 and losses[-1] > max(1.0, losses[:-1].max())):
        return 0.0
    with np.errstate(over="ignore"):
        return float(np.float64(losses[-1]) / losses[0])


def finite_divergence(values: Mapping[str, Array], names: Mapping[str, str], notes: list[str]) -> int:
    """Return the last step of a run whose loss has blown up to its end, and add a note; -1 of any other run.

    Parameters
    ----------
    values
        Columns by role, in the order of their steps.
    names
        What the source calls each.
    notes
        Sentences on how the run was read.
    """
    factor = _growth(values)
    if not factor > _BLOWN_UP:
        return -1
    notes.append(f"The run diverged: {names['loss']} has grown {factor:.1g}-fold and is still growing.")
    return int(values["step"][-1])
