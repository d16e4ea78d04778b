"""Zarr groups: folders .zarr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfstab.records.formats.base import Format, Table
from selfstab.records.formats.dataset import table_of_dataset
from selfstab.records.formats.registry import register

if TYPE_CHECKING:
    import xarray


@register
class Zarr(Format):
    """Zarr groups, folders on this disk."""

    name = "Zarr"
    suffixes = (".zarr",)
    replaceable = "a new folder or a dataset that selfstab wrote"

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a group."""
        import xarray

        with xarray.open_dataset(source, engine="zarr", consolidated=False, decode_timedelta=False) as data:
            return table_of_dataset(data.load())

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write a dataset whole, with its attributes."""
        data.to_zarr(path, mode="w", consolidated=False)

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
