"""Datasets written to files that never take the place of something else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from selfstab.files.writing import replacing
from selfstab.records import formats

if TYPE_CHECKING:
    import xarray


def check_output(path: Path, store: str | None = None, *, name: str = "output") -> None:
    """Raise unless a dataset can be written to `path` without harm to what is there.

    Parameters
    ----------
    path
        A file or folder of a format that is written, by its suffix: a new one, or one of the same kind, which is
        replaced.
    store
        The folder of a sweep's store, which `path` must have nothing to do with.
    name
        The argument that the path came by, for the message.

    Raises
    ------
    ValueError
        If the ending is another, the folder around it does not exist, or something else is there.
    ImportError
        If a module that the format needs is missing, as netCDF4 for .nc.
    """
    form = formats.format_to_write(path, name)
    if not path.parent.is_dir():
        raise ValueError(f"{name} must be in a folder that exists, got {str(path)!r}")
    if store is not None:
        target, other = path.resolve(), Path(store).resolve()
        if target == other or target in other.parents or other in target.parents:
            raise ValueError(f"{name} must be apart from the store {store!r}, got {str(path)!r}")
    _refuse_others(form, path, name)


def _refuse_others(form: formats.Format, path: Path, name: str) -> None:
    """Raise ValueError if what is at `path` is not what a command writes there."""
    reason = form.refusal(path) if os.path.lexists(path) else ""
    if reason:
        raise ValueError(
            f"{name} must be {form.replaceable}, got {str(path)!r}, {reason}; nothing was changed"
        )


def write(data: xarray.Dataset, path: Path, *, name: str = "output") -> None:
    """Write a dataset; whoever looks, or whatever fails, there is the old one or the new one, whole.

    Parameters
    ----------
    data
        Any dataset.
    path, name
        As for :func:`check_output`.

    Raises
    ------
    ValueError, ImportError
        As :func:`check_output` does of the path itself; nothing is changed then.
    OSError
        If the disk cannot take it.
    """
    form = formats.format_to_write(path, name)
    # Through a link, as a plain write goes.
    with replacing(path) as partial:
        form.write(data, partial)
        # A run takes its time: something else may be there by now.
        _refuse_others(form, path, name)
