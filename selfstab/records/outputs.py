"""What a command leaves: a table for the screen, and a file that never takes the place of something else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import xarray

_PART: Final = 2**22
"""Most numbers of a store that a table holds at a time."""

# -- files --------------------------------------------------------------------------------------------------------


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


# -- tables -------------------------------------------------------------------------------------------------------


def run_table(data: xarray.Dataset) -> str:
    """Return a few steps of a run as a table."""
    import numpy as np
    from tabulate import tabulate

    columns = [name for name, v in data.data_vars.items() if v.dims == ("step",)]
    at = np.unique(np.linspace(0, data.sizes["step"] - 1, 11).round().astype(int))
    rows = [[int(data.step[k]), *(float(data[name][k]) for name in columns)] for k in at]
    table = tabulate(rows, headers=["step", *map(str, columns)], floatfmt=".6g")
    diverged = int(data.diverged_at)
    return table + ("" if diverged < 0 else f"\ndiverged at step {diverged}")


def sweep_table(data: xarray.Dataset) -> str:
    """Return the measures of a sweep as a table, under its size and the seconds it took.

    A store is read a part at a time; the median is left out where it would need all values at once.
    """
    import numpy as np
    from tabulate import tabulate

    from selfstab.phases import LABELS

    rows: list[list[Any]] = []
    for name, variable in data.data_vars.items():
        if name == "phase":
            counts = dict.fromkeys(LABELS, 0)
            for values in _parts(variable):
                for code in LABELS:
                    counts[code] += int((values == code).sum())
            shown = ", ".join(f"{LABELS[code]} {count}" for code, count in counts.items() if count)
            rows.append([name, None, None, None, shown])
            continue
        known, missing, kept = [], 0, []
        for values in _parts(variable):
            finite = values[np.isfinite(values)]
            missing += values.size - finite.size
            if finite.size:
                known += [float(finite.min()), float(finite.max())]
                kept += [finite] if variable.size <= _PART else []
        middle = float(np.median(np.concatenate(kept))) if kept else None
        spread = [min(known), middle, max(known)] if known else [None] * 3
        rows.append([name, *spread, f"{missing} of {variable.size} not defined" if missing else ""])
    sizes = " × ".join(f"{name} {size}" for name, size in data.sizes.items())
    return f"{sizes}: {_seconds(data)}\n" + tabulate(
        rows, headers=["measure", "least", "median", "largest", ""], floatfmt=".6g"
    )


def _parts(variable: xarray.DataArray) -> Iterator[Any]:
    """Yield the values of a variable in parts of at most _PART numbers, or of one index of its first dimension."""
    if variable.size <= _PART:
        yield variable.values
        return
    first, size = variable.dims[0], variable.sizes[variable.dims[0]]
    rows = max(1, _PART * size // variable.size)
    for k in range(0, size, rows):
        # A copy, so that what is read is not kept by the dataset.
        yield variable.isel({first: slice(k, k + rows)}).copy().values


def _seconds(data: xarray.Dataset) -> str:
    """Return the seconds of a sweep, those of compiling apart."""
    compiling = data.attrs["compile_seconds"]
    running = f"{max(data.attrs['seconds'] - compiling, 0.0):.1f} s"
    return running + (f", and {compiling:.1f} s to compile" if compiling else "")
