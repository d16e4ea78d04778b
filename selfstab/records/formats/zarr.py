"""Zarr groups: folders .zarr."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfstab.records.formats.base import Column, Format, Table
from selfstab.records.formats.registry import register
from selfstab.records.zarr_groups import Declared, Group, GroupError

if TYPE_CHECKING:
    import xarray


@register
class Zarr(Format):
    """Zarr groups, folders on this disk."""

    name = "Zarr"
    suffixes = (".zarr",)
    replaceable = "a new folder or a dataset that selfstab wrote"

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a group, which are read when they are used; those of more dimensions are left out.

        Codecs of objects are refused before they are made, and no link is followed.
        """
        group = Group.at(source)
        columns = {
            name: array
            for name, array in group.arrays.items()
            if isinstance(array, GroupError) or array.shape
        }
        scalars = {name: _values(group, name)[()] for name in group.arrays if name not in columns}
        return Table(
            {name: Column(_size(array), partial(_values, group, name)) for name, array in columns.items()},
            group.attributes | scalars,
            dimensions={
                name: array.dimension for name, array in columns.items() if isinstance(array, Declared)
            },
        )

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write a dataset whole, with its attributes."""
        from zarr.storage import LocalStore

        data.to_zarr(LocalStore(path), mode="w", consolidated=False)

    def refusal(self, path: Path) -> str:
        """Return why a folder must not be replaced; empty if it is a plain dataset that selfstab wrote."""
        from selfstab.sweeps.storage.layout import RECORD

        if not path.is_dir():
            return "which is no folder"
        if (path / RECORD).exists():
            return "which is the store of a sweep"
        group = _metadata(path)
        if group.get("node_type") != "group":
            return "which is no zarr group"
        try:
            ours = "selfstab" in json.loads(group["attributes"]["versions"])
        except (KeyError, TypeError, ValueError):
            ours = False
        if not ours:
            return "which selfstab did not write"
        for entry in path.iterdir():
            if entry.name == "zarr.json":
                continue
            foreign = entry if _metadata(entry).get("node_type") != "array" else _foreign_in(entry)
            if foreign is not None:
                return f"which holds {foreign.relative_to(path)}"
        return ""


def _size(array: Declared | GroupError) -> int:
    """Return the number of values; of what is not read 0, which is told when it is used."""
    return array.shape[0] if isinstance(array, Declared) else 0


def _values(group: Group, name: str) -> Any:
    """Return an array, decoded as xarray does."""
    import xarray
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    new = default_buffer_prototype().buffer.from_bytes
    store: Any = MemoryStore({key: new(data) for key, data in group.files_of(name).items()}, read_only=True)
    with xarray.open_dataset(store, engine="zarr", consolidated=False, decode_timedelta=False) as data:
        return data[name].values


def _metadata(folder: Path) -> dict[str, Any]:
    """Return what the zarr.json of a folder says; nothing if there is none."""
    try:
        document = json.loads((folder / "zarr.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _foreign_in(array: Path) -> Path | None:
    """Return something in an array's folder that is none of its chunks, c/0/3 and the like."""
    for entry in array.rglob("*"):
        first, *rest = entry.relative_to(array).parts
        chunk = first == "c" and all(part.isdecimal() for part in rest)
        if entry.is_symlink() or not (chunk or entry == array / "zarr.json"):
            return entry
    return None
