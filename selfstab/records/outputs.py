"""Datasets written to files that never take the place of something else."""

from __future__ import annotations

import json
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray


def check_output(path: Path, store: str | None = None) -> None:
    """Raise unless a dataset can be written to `path` without harm to what is there.

    Parameters
    ----------
    path
        A file .csv or .nc, or a folder .zarr: a new one, or one of the same kind, which is replaced.
    store
        The folder of a sweep's store, which `path` must have nothing to do with.

    Raises
    ------
    ValueError
        If the ending is another, the folder around it does not exist, or something else is there.
    ImportError
        If .nc is asked for and netCDF4 is missing.
    """
    if path.suffix not in (".zarr", ".nc", ".csv"):
        raise ValueError(f"output must end in .zarr, .nc or .csv, got {path.name!r}")
    if not path.parent.is_dir():
        raise ValueError(f"output must be in a folder that exists, got {str(path)!r}")
    if store is not None:
        there, kept = path.resolve(), Path(store).resolve()
        if there == kept or there in kept.parents or kept in there.parents:
            raise ValueError(f"output must be apart from the store {store!r}, got {str(path)!r}")
    _refuse_others(path)
    if path.suffix == ".nc":
        try:
            import_module("netCDF4")
        except ImportError as error:
            raise ImportError(f"output to .nc needs netCDF4, which cannot be imported: {error}") from None


def _refuse_others(path: Path) -> None:
    """Raise ValueError if what is at `path` is not what a command writes there."""
    if not os.path.lexists(path):
        return
    if path.suffix != ".zarr":
        if not path.is_file():
            raise ValueError(f"output must be a file, got {str(path)!r}, which is none; nothing was changed")
        return
    if reason := _not_ours(path):
        raise ValueError(
            f"output must be a new folder or a dataset that selfstab wrote, got {str(path)!r}, which {reason}; "
            "nothing was changed"
        )


def _not_ours(folder: Path) -> str:
    """Say why a folder is not a plain dataset that a command wrote; nothing if it is one."""
    from selfstab.sweeps.storage.layout import RECORD

    if not folder.is_dir():
        return "is no folder"
    if (folder / RECORD).exists():
        return "is the store of a sweep"
    group = _metadata(folder)
    if group.get("node_type") != "group":
        return "is no zarr group"
    try:
        ours = "selfstab" in json.loads(group["attributes"]["versions"])
    except (KeyError, TypeError, ValueError):
        ours = False
    if not ours:
        return "selfstab did not write"
    for entry in folder.iterdir():
        if entry.name == "zarr.json":
            continue
        foreign = entry if _metadata(entry).get("node_type") != "array" else _foreign_in(entry)
        if foreign is not None:
            return f"holds {foreign.relative_to(folder)}"
    return ""


def _metadata(folder: Path) -> dict[str, Any]:
    """Return what the zarr.json of a folder says; nothing if there is none."""
    try:
        found = json.loads((folder / "zarr.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _foreign_in(array: Path) -> Path | None:
    """Return something in an array's folder that is none of its chunks, c/0/3 and the like."""
    for entry in array.rglob("*"):
        first, *rest = entry.relative_to(array).parts
        chunk = first == "c" and all(part.isdecimal() for part in rest)
        if entry.is_symlink() or not (chunk or entry == array / "zarr.json"):
            return entry
    return None


def write(data: xarray.Dataset, path: Path) -> None:
    """Write a dataset; whoever looks, or whatever fails, there is the old one or the new one, whole."""
    # Through a link, as a plain write goes.
    target = path.resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        if path.suffix == ".zarr":
            data.to_zarr(partial, mode="w", consolidated=False)
        elif path.suffix == ".nc":
            data.to_netcdf(partial, engine="netcdf4")
        else:
            data.to_dataframe().to_csv(partial)
        # A run takes its time: something else may be there by now.
        _refuse_others(path)
        _put(partial, target)
    except BaseException:
        _remove(partial)
        raise


def _put(partial: Path, target: Path) -> None:
    if not target.is_dir():
        partial.replace(target)
        return
    # A folder takes no other's place: the old one steps aside first, and back if the new one cannot come.
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.replace(old)
    try:
        partial.replace(target)
    except BaseException:
        old.replace(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
