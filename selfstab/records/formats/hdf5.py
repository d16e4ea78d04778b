"""HDF5 files: .h5 and .hdf5, those of the central-flows code among them, by h5py.

Source of the latter's layout: https://github.com/locuslab/central_flows, src/saving.py and src/loggers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from selfstab.notices import printable
from selfstab.records import settings_files
from selfstab.records.column_sizes import TEXT_BYTES, check_array
from selfstab.records.columns.roles import rank
from selfstab.records.formats.base import Column, Format, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.hdf5_references import reference

_MOST: Final = 10_000
_DEEPEST: Final = 8
_RAW, _EFFECTIVE = "hessian_eigs", "effective_hessian_eigs"
_EIGENVALUES: Final = (_RAW, "eigs", "eigenvalues", "hessian_eigenvalues")
_DISCRETE: Final = "discrete"


@register
class Hdf5(Format):
    """HDF5 files, read by h5py."""

    name = "HDF5"
    suffixes = (".h5", ".hdf5")
    needs = ("h5py",)

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the groups that hold a sharpness; none if the file itself does."""
        with _opened(source) as file:
            arrays = _arrays(file)
        groups = {name.partition("/")[0] for name in arrays if "/" in name}
        found = [
            group
            for group in sorted(groups)
            if any(_is_sharpness(name.partition("/")[2]) for name in arrays if name.startswith(f"{group}/"))
        ]
        at_top = any("/" not in name and _is_sharpness(name) for name in arrays)
        # A single group holds columns of the file's only run, beside those of others.
        one = len(found) == 1 and found != [_DISCRETE]
        return () if at_top or one or not found else tuple(map(printable, found))

    def usual_member(self, source: Any) -> str:
        """Return the run of the optimizer itself, beside flows that stand for it."""
        return _DISCRETE if _DISCRETE in self.members(source) else ""

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of the file or of one group, which are read when they are used."""
        with _opened(source) as file:
            arrays = _arrays(file)
            attributes = _attributes(file)
            if member:
                attributes |= next(_attributes(file[name]) for name in file if printable(name) == member)
            chosen: dict[str, tuple[str, tuple[int, ...]]] = {}
            for name, (shape, _) in arrays.items():
                group, slash, rest = name.partition("/")
                here = (
                    rest if slash and printable(group) == member else name if not (slash and member) else ""
                )
                if not here:
                    continue
                if not shape:
                    attributes[here] = _plain(file[name][()])
                else:
                    chosen[here] = (name, shape)
        columns: dict[str, Column] = {}
        roles: dict[str, str] = {}
        for here, (name, shape) in chosen.items():
            itemsize = arrays[name][1]
            if len(shape) == 1:
                columns[here] = Column(shape[0], partial(_values, source, name, itemsize, None))
            elif len(shape) == 2 and here.rpartition("/")[2] in (*_EIGENVALUES, _EFFECTIVE):
                for k in range(min(shape[1], 10)):
                    columns[f"{here}/{k}"] = Column(shape[0], partial(_values, source, name, itemsize, k))
                if here.rpartition("/")[2] != _EFFECTIVE:
                    roles |= {"sharpness": f"{here}/0"} | (
                        {"second_sharpness": f"{here}/1"} if shape[1] > 1 else {}
                    )
        settings, notes = settings_files.of_log(source)
        if member and _DISCRETE in self.members(source):
            return _of_process(Table(columns, settings | attributes, roles=roles, notes=notes), member)
        return Table(columns, settings | attributes, roles=roles, notes=notes)


def _of_process(table: Table, member: str) -> Table:
    """Return a table of central-flows' code with what its optimizer means for the threshold."""
    kind = str(table.attributes.get("opt/class", ""))
    attributes = dict(table.attributes)
    roles, notes = dict(table.roles), [*table.notes]
    if "train_loss" in table.columns:
        roles["loss"] = "train_loss"
    # Its optimizers have no momentum.
    if kind == "GradientDescent":
        attributes["momentum"] = 0.0
        attributes.pop("opt/class", None)
    elif f"{_EFFECTIVE}/0" in table.columns and "rms" in kind.lower():
        roles["sharpness"] = f"{_EFFECTIVE}/0"
        roles.pop("second_sharpness", None)
        if f"{_EFFECTIVE}/1" in table.columns:
            roles["second_sharpness"] = f"{_EFFECTIVE}/1"
        attributes = {name: value for name, value in attributes.items() if not name.startswith("opt")}
        attributes |= {"lr": 1.0, "momentum": 0.0}
        held: Any = table.columns
        columns = {name: column for name, column in held.entries().items() if not name.startswith("opt.")}
        notes.append(
            f"The optimizer is {printable(kind)}: the sharpness is that of the preconditioned Hessian, whose "
            "threshold is 2 as if lr were 1; the law holds as far as the preconditioner is constant."
        )
        return Table(columns, attributes, roles=roles, notes=tuple(notes))
    if member != _DISCRETE:
        notes.append(f"{member} is no run of the optimizer, which is {_DISCRETE}: a flow has no catapults.")
    return Table(table.columns, attributes, roles=roles, notes=tuple(notes))


def _attributes(group: Any) -> dict[str, Any]:
    """Return the numbers and texts that a group has as attributes."""
    return {str(name): _plain(value) for name, value in group.attrs.items() if np.ndim(value) == 0}


def _is_sharpness(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last in (*_EIGENVALUES, _EFFECTIVE) or rank("sharpness", name) is not None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py

    if what := reference(path):
        raise ValueError(f"it holds {what}, which is not read")
    with path.open("rb") as raw, h5py.File(raw, "r") as file:
        yield file


def _arrays(file: Any) -> dict[str, tuple[tuple[int, ...], int]]:
    """Return shape and bytes of a value of each array of numbers or texts, by its path; no link is followed."""
    import h5py

    found: dict[str, tuple[tuple[int, ...], int]] = {}

    def walk(group: Any, prefix: str, depth: int) -> None:
        for name in group:
            if len(found) > _MOST:
                raise ReadError(f"run must have at most {_MOST} arrays, got more")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            kind = group.get(name, getclass=True)
            if kind is h5py.Group and depth < _DEEPEST:
                walk(group[name], f"{prefix}{name}/", depth + 1)
            elif kind is h5py.Dataset:
                array = group[name]
                if array.shape is not None and array.dtype.kind in "fiubSO":
                    itemsize = TEXT_BYTES if array.dtype.kind == "O" else array.dtype.itemsize
                    found[f"{prefix}{name}"] = (array.shape, itemsize)

    walk(file, "", 0)
    return found


def _values(path: Path, name: str, itemsize: int, column: int | None) -> Any:
    with _opened(path) as file:
        array = file[name]
        chunk = tuple(map(int, array.chunks or ()))
        width = int(np.prod(array.shape[1:], dtype=np.int64)) or 1
        check_array(
            name, array.shape[:1], itemsize, (int(np.prod(chunk, dtype=np.int64)) // width,) if chunk else ()
        )
        if array.external or array.is_virtual:
            raise ValueError(f"{name} stands in another file, which is not read")
        values = array[:] if column is None else array[:, column]
    return np.array([_plain(value) for value in values], dtype=object) if values.dtype.kind == "O" else values


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
