"""Several eigenvalues of a record: columns that number them, and cells that list them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from selfstab.records.columns.roles import key

LISTS: Final = (
    "eigs", "eigenvalues", "hessian_eigs", "hessian_eigenvalues", "top_eigenvalues", "top_eigs", "eigvals", "evals",
    "hessian_eigvals", "top_eigvals", "sharpnesses", "lambdas", "spectrum",
)  # fmt: skip
"""Names of quantities that hold the largest eigenvalues, the largest first."""

MOST: Final = 10
"""Eigenvalues that become columns."""

_NUMBERED: Final = re.compile(
    r"(.*?)(eigs?|eigenvalues?|eigvals?|evs?|lambdas?|lams?|λ|sharpness(?:es)?)[_\W]*?(\d{1,2})\W*"
)
_CELL: Final = re.compile(r"\s*[\[(]([^\[\]()]*)[\])]\s*")


def is_list(name: str) -> bool:
    """Return whether a quantity holds several eigenvalues by its name.

    >>> is_list("hessian/eigs"), is_list("loss")
    (True, False)
    """
    return key(name.rpartition("/")[2]) in LISTS


def numbered(names: Sequence[str]) -> dict[str, str]:
    """Return the columns of the largest and the second eigenvalue by role, where they are numbered from 0 or 1.

    >>> numbered(["step", "eig_1", "eig_2", "eig_3"])
    {'sharpness': 'eig_1', 'second_sharpness': 'eig_2'}
    """
    families: dict[tuple[str, str], dict[int, str]] = {}
    found: list[list[str]] = []
    for name in names:
        if len(name) <= 100 and (match := _NUMBERED.fullmatch(name.lower())):
            families.setdefault((match[1], match[2]), {})[int(match[3])] = name
    for members in families.values():
        numbers = sorted(members)
        if numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(members))):
            found.append([members[number] for number in numbers[:2]])
    several = [names for names in found if len(names) > 1] or found
    return roles_of(several[0]) if len(several) == 1 else {}


def columns(name: str, cells: Sequence[Any]) -> dict[str, Any]:
    """Return a column for each of the eigenvalues that the cells of one column list, NaN where there is none.

    >>> columns("eigs", [[3.0, 1.0], "[2.5 0.5]", None])
    {'eigs/0': array([3. , 2.5, nan]), 'eigs/1': array([1. , 0.5, nan])}
    """
    rows = [_numbers(cell) for cell in cells]
    width = min(max(map(len, rows), default=0), MOST)
    out = np.full((width, len(rows)), np.nan)
    for k, row in enumerate(rows):
        here = row[:width]
        out[: len(here), k] = here
    return {f"{name}/{k}": values for k, values in enumerate(out)}


def spread(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return columns in which those that list eigenvalues as text have one for each, and the roles of these.

    >>> spread({"eigs": np.array(["[3, 1]", "[2, 1]"], dtype=object)})
    ({'eigs/0': array([3., 2.]), 'eigs/1': array([1., 1.])}, {'sharpness': 'eigs/0', 'second_sharpness': 'eigs/1'})
    """
    out: dict[str, Any] = {}
    roles: dict[str, str] = {}
    for name, values in table.items():
        array = np.asarray(values) if is_list(name) else np.empty(0)
        if array.dtype.kind in "OUT" and any(len(_numbers(cell)) > 0 for cell in array[:20]):
            several = columns(name, array.tolist())
            out |= several
            roles |= roles_of([*several])
        else:
            out[name] = values
    return out, roles


def roles_of(names: Sequence[str]) -> dict[str, str]:
    """Return the roles of the columns of eigenvalues, the largest first."""
    return dict(zip(("sharpness", "second_sharpness"), names, strict=False))


def _numbers(cell: Any) -> list[float]:
    """Return the numbers that a cell lists; none if it is no list of numbers."""
    if isinstance(cell, str):
        match = _CELL.fullmatch(cell) if len(cell) < 10_000 else None
        cell = re.split(r"[,;\s]+", match[1].strip()) if match else ()
    elif not isinstance(cell, list | tuple | np.ndarray):
        return []
    try:
        return [float(value) for value in cell]
    except (TypeError, ValueError):
        return []
