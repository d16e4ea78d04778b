"""Which of a table's columns is the sharpness, which the learning rate, which counts steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.notices import printable
from selfstab.records import spectra
from selfstab.records.columns import roles
from selfstab.records.columns.other_optimizers import refuse_other_optimizers
from selfstab.records.columns.roles import ALIASES, rank
from selfstab.records.columns.settings import says_nesterov
from selfstab.records.formats.base import Table
from selfstab.records.recording.rows import DECAYS
from selfstab.validation import Array

_INDEX: Final = re.compile(r"(unnamed: ?\d+|_*index(_level)?_*\d*_*|)")
"""Names that pandas gives an index without one."""

SAME: Final = 2e-6
"""Relative difference of numbers that are one, summed in another order or kept as float32."""

_OWN: Final = frozenset((
    "sharpness_residual", "second_sharpness_residual", "gradient_norm", "lookahead", "optimizer",
    "batch_sharpness", "batch_sharpness_error", "sharpness_error", "measured_error", "products",
    "preconditioned_sharpness_residual", "preconditioned_sharpness_error", "preconditioned_sharpness_products",
    *DECAYS,
))  # fmt: skip
"""Columns that selfstab records and that need no role."""

_BLANK: Final = frozenset((
    "", "nan", "-nan", "none", "null", "<na>", "na", "n/a", "nat", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}",
    "?", ".", "#n/a", "#na", "#div/0!", "#num!", "#value!", "#ref!", "#null!", "#name?",
))  # fmt: skip
"""Texts, in lower case, of what was not recorded; the last ones are Excel's."""

_WRAPPED: Final = re.compile(r"(?:[A-Za-z][\w.]*)?[(\[]+\s*([^\s,()\[\]]+)\s*(?:,\s*[A-Za-z_]+=.*)?[)\]]+")
"""One number as an array or a tensor is printed: "tensor(0.5, grad_fn=...)", "[0.1]"."""


class OptionError(ValueError):
    """Something in a record for which an argument is the remedy; a program may name its own option.

    Parameters
    ----------
    problem
        What is wrong.
    argument
        The remedy in the words of the library, a clause.
    option
        The remedy in the words of the command line.
    """

    def __init__(self, problem: str, argument: str, option: str) -> None:
        super().__init__(problem, argument, option)
        self.problem, self.argument, self.option = problem, argument, option

    def __str__(self) -> str:
        return f"{self.problem}; {self.argument}"


class ColumnError(OptionError):
    """A role whose column is missing, ambiguous or not there.

    Parameters
    ----------
    problem
        What is wrong.
    role
        The role whose column must be named.
    setting
        The argument that would do as well where the quantity was constant; empty if none.
    also
        Another argument that is missing; empty if none.
    """

    def __init__(self, problem: str, role: str, setting: str = "", also: str = "") -> None:
        constant = f", or give {{0}}{setting} if it was constant" if setting else ""
        constant += f"; {also} is missing as well: give {{0}}{also}" if also else ""
        super().__init__(
            problem,
            f"name it by columns, {role}=NAME" + constant.format(""),
            f"name it by --column {role}=NAME" + constant.format("--"),
        )
        self.role, self.setting, self.also = role, setting, also

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.role, self.setting, self.also)


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
            raise ValueError(f"{name} must hold real numbers, got a whole number beyond all floats") from None
        blank = np.array([_text(value) in _BLANK for value in array], dtype=bool)
        wrong = np.flatnonzero(np.isnan(parsed) & ~blank)
        if wrong.size:
            array, parsed = _unwrapped(array, parsed, wrong)
            wrong = wrong[np.isnan(parsed[wrong]) & (_lowered(array[wrong]) != "nan")]
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


def _unwrapped(array: Any, parsed: Array, places: Any) -> tuple[Any, Array]:
    """Return texts, and their numbers, with those at some places as the number that they print, if it is one."""
    array, parsed = array.astype(object), parsed.copy()
    for k in places:
        text = array[k]
        if isinstance(text, str) and len(text) < 500 and (match := _WRAPPED.fullmatch(text.strip())):
            try:
                parsed[k] = float(match[1])
            except ValueError:
                continue
            array[k] = match[1]
    return array, parsed


def _lowered(array: Any) -> Any:
    return np.array([_text(value) for value in array], dtype=object)


def _text(value: Any) -> str:
    """Return a value as it is compared with blanks; a whole number of more digits than Python writes is none."""
    return "a number" if isinstance(value, int) else str(value).strip().lower()


# -- names --------------------------------------------------------------------------------------------------------


def names_of_roles(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the column's name for each role that has one: the user's, the format's, or the one known by its name.

    Parameters
    ----------
    table
        What a format reads.
    columns
        Names that the user gives, by role.

    Returns
    -------
    dict
        Names by role, in the order of the roles; the sharpness is among them.

    Raises
    ------
    ColumnError
        If a column is missing, ambiguous, or not in the table.
    ValueError
        If lengths or dimensions differ, or the optimizer is of another kind.

    Examples
    --------
    >>> names_of_roles(Table({"trainer/global_step": [0, 1], "epoch": [0, 0], "hessian/lmax": [1.0, 2.0]}), {})
    {'step': 'trainer/global_step', 'sharpness': 'hessian/lmax'}
    """
    columns = {role: printable(str(name)) for role, name in columns.items()}  # as the table has its names
    for role, name in columns.items():
        if name not in table.columns:
            raise ColumnError(f"run must have the column {name} for {role}, got {listed(table)}", role)
    names = {role: name for role, name in table.roles.items() if name in table.columns} | dict(columns)
    for role in ("sharpness", "preconditioned_sharpness"):
        if role not in names:
            names |= _known_by_name(role, table, [*table.columns], names)
    if "sharpness" not in names and "preconditioned_sharpness" not in names:
        names |= spectra.numbered([name for name in table.columns if name not in names.values()])
    refuse_other_optimizers(table, names)
    if "sharpness" not in names and "preconditioned_sharpness" in names:
        names["sharpness"] = names["preconditioned_sharpness"]  # the one that the threshold is of
    if "sharpness" not in names:
        raise missing("sharpness", table)
    dimension = table.dimensions.get(names["sharpness"])
    along = [name for name in table.columns if table.dimensions.get(name) == dimension]
    size = table.size(names["sharpness"])
    for role in ALIASES:
        if role not in names:
            # A name that is only like one known says nothing of a column of another length.
            fitting = [name for name in along if table.size(name) == size or rank(role, name) in (0, 1)]
            names |= _known_by_name(role, table, fitting, names)
    if "step" not in names and (index := _index(table, along)):
        names["step"] = index
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
    free = [name for name in candidates if name not in names.values()]
    if role == "step":
        return _step(table, free, names.get("sharpness", ""))
    known = roles.known(role, _beside_the_sharpness(role, table, free, names) or free)
    sure = [name for name in free if rank(role, name) in (0, 1)] or known
    dimensions = dict.fromkeys(table.dimensions.get(name) for name in sure)
    if len(dimensions) > 1:
        raise ValueError(
            f"run must have its columns along one dimension, got {', '.join(map(str, dimensions))}"
        )
    if len(known) > 1 and not _equal(table, known):
        raise ColumnError(f"run must have one column for {role}, got {', '.join(known)}", role)
    return {role: known[0]} if known else {}


def _beside_the_sharpness(
    role: str, table: Table, candidates: list[str], names: Mapping[str, str]
) -> list[str]:
    """Return the candidates for a role that were recorded with the sharpness, by the prefix of their names.

    They hold in most rows where the sharpness does. "selfstab/loss" is the loss of the weights of
    "selfstab/sharpness"; "train_loss" beside them may be a mean, or that of the weights before.
    """
    sharpness = names.get("sharpness", "")
    prefix = roles.prefix(sharpness)
    if not prefix:
        return []
    rows = _has_numbers(table, sharpness)
    return [
        name
        for name in candidates
        if roles.prefix(name) == prefix
        and rank(role, name) is not None
        and table.size(name) == rows.size
        and 2 * np.sum(_has_numbers(table, name) & rows) >= max(rows.sum(), 1)
    ]


def _has_numbers(table: Table, name: str) -> Any:
    """Return in which rows of a column there is a number; in none if it holds others than numbers."""
    try:
        values = numbers(name, table.columns[name])
    except ValueError:
        values = np.empty(0)
    size = table.size(name)
    return ~np.isnan(values) if values.shape == (size,) else np.zeros(size, dtype=bool)


def _equal(table: Table, names: list[str]) -> bool:
    """Return whether columns hold the same numbers, so that any of them will do."""
    try:
        first, *others = (numbers(name, table.columns[name]) for name in names)
    except ValueError:
        return False
    return all(
        first.shape == other.shape and np.array_equal(first, other, equal_nan=True) for other in others
    )


def _step(table: Table, candidates: list[str], sharpness: str) -> dict[str, str]:
    """Return the column that counts updates: named ones before epochs, and these only where each row has its own."""
    for name in roles.counts_of_steps(candidates):
        if roles.counts_epochs(name) and (index := _index(table, candidates, plain=False)):
            return {"step": index}
        if (rank("step", name) or 0.0) <= 1 and not roles.counts_epochs(name):
            return {"step": name}
        # A name that is only like one known may be that of a constant; a column of epochs may repeat.
        if _counts(table, name, sharpness):
            return {"step": name}
    return {}


def _index(table: Table, candidates: list[str], *, plain: bool = True) -> str:
    """Return an unnamed column that counts, as pandas writes an index; empty if there is none.

    One that only numbers the rows counts if `plain`.
    """
    for name in candidates:
        if _INDEX.fullmatch(name.strip().lower()):
            values = numbers(name, table.columns[name]) if _is_numeric(table, name) else np.empty(0)
            whole = values.size and (values == np.round(values)).all() and values[0] >= 0
            if whole and (np.diff(values) > 0).all() and (plain or values[-1] != values.size - 1):
                return name
    return ""


def _is_numeric(table: Table, name: str) -> bool:
    return np.asarray(table.columns[name]).dtype.kind in "fiu"


def _counts(table: Table, name: str, sharpness: str) -> bool:
    """Return whether a column moves, and has a value of its own for each row with a sharpness."""
    try:
        values = numbers(name, table.columns[name])
        rows = ~np.isnan(numbers(sharpness, table.columns[sharpness]))
    except ValueError:
        return False
    if values.shape != rows.shape:
        return True  # its length is refused in words
    here = values[rows]
    return here.size < 2 or np.unique(here).size == here.size


def unused(table: Table, names: Mapping[str, str]) -> str:
    """Return the names of columns that have no role and are not selfstab's own, the first ones of many.

    Of a dataset of selfstab there are none.

    >>> unused(Table({"sharpness": [1.0], "accuracy": [0.5]}), {"sharpness": "sharpness"})
    'accuracy'
    """
    dimension = table.dimensions.get(names["sharpness"])
    if '"selfstab"' in str(table.attributes.get("versions", "")):  # our own dataset, of whatever variables
        return ""
    others = [
        name
        for name in table.columns
        if name not in names.values()
        and name not in _OWN
        and not says_nesterov(name)
        and not _INDEX.fullmatch(name.strip().lower())
        and table.dimensions.get(name) == dimension
    ]
    text = ", ".join(others)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(others)} columns)"


def listed(table: Table) -> str:
    """Return the columns' names, the first ones of many."""
    text = ", ".join(table.columns) or "none"
    return text if len(text) <= 400 else f"{text[:400]}... ({len(table.columns)} columns)"


def missing(role: str, table: Table, setting: str = "", also: str = "") -> ColumnError:
    """Return the error that a role has no column.

    >>> print(missing("lr", Table({"sharpness": [1.0]}), "lr"))
    run must have a column lr ... got sharpness; name it by columns, lr=NAME, or give lr if it was constant
    """
    problem = (
        f"run must have a column {role} (also known as {', '.join(ALIASES[role][1:5])}), got {listed(table)}"
    )
    return ColumnError(problem, role, setting, also)
