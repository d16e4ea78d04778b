"""What a command prints: a run or a sweep as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from selfstab.notices import printable

if TYPE_CHECKING:
    import xarray


_PART: Final = 2**22
"""Most numbers of a store that a table holds at a time."""


def run_table(data: xarray.Dataset) -> str:
    """Return a few steps of a run as a table."""
    import numpy as np
    from tabulate import tabulate

    columns = [str(name) for name, v in data.data_vars.items() if v.dims == ("step",)]
    at = np.unique(np.linspace(0, data.sizes["step"] - 1, 11).round().astype(int))
    rows = [[int(data.step[k]), *(float(data[name][k]) for name in columns)] for k in at]
    table = tabulate(rows, headers=["step", *map(printable, columns)], floatfmt=".6g")
    known = data["max_stable_sharpness"].attrs.get("sharpness", "sharpness")
    if known != "sharpness" and known not in columns:
        table += f"\nmax_stable_sharpness is that of {known} (--keep {known})"
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
            counted = ", ".join(f"{LABELS[code]} {count}" for code, count in counts.items() if count)
            rows.append([printable(str(name)), None, None, None, counted])
            continue
        known, missing, finite_parts = [], 0, []
        for values in _parts(variable):
            finite = values[np.isfinite(values)]
            missing += values.size - finite.size
            if finite.size:
                known += [float(finite.min()), float(finite.max())]
                finite_parts += [finite] if variable.size <= _PART else []
        middle = float(np.median(np.concatenate(finite_parts))) if finite_parts else None
        spread = [min(known), middle, max(known)] if known else [None] * 3
        rows.append(
            [printable(str(name)), *spread, f"{missing} of {variable.size} not defined" if missing else ""]
        )
    sizes = " × ".join(printable(f"{name} {size}") for name, size in data.sizes.items())
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
