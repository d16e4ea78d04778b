"""What a command prints: a run or a sweep as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from selfstab.notices import printable

if TYPE_CHECKING:
    import xarray

    from selfstab.optimizers.base import Optimizer


_PART: Final = 2**22
"""Most numbers of a store that a table holds at a time."""


def catapults_of(data: xarray.Dataset) -> xarray.Dataset | None:
    """Return the catapults of a run, or None where it kept too little to look for them."""
    from selfstab.observables.detection import catapults

    of = _sharpness_of(data)
    if of not in data or "loss" not in data:
        return None
    return catapults(data[of], data["max_stable_sharpness"], data["loss"])


def _sharpness_of(data: xarray.Dataset) -> str:
    """Return the name of the sharpness that a run's threshold is of."""
    return str(data["max_stable_sharpness"].attrs.get("sharpness", "sharpness"))


def run_table(data: xarray.Dataset, found: xarray.Dataset | None = None) -> str:
    """Return a few steps of a run as a table, those at which a catapult begins, turns and ends among them."""
    import numpy as np
    from tabulate import tabulate

    columns = [str(name) for name, v in data.data_vars.items() if v.dims == ("step",)]
    count = data.sizes["step"]
    of_catapults: list[int] = []
    if found is not None:
        steps = [found[name].values[:_CATAPULTS_SHOWN] for name in ("onset", "peak", "crossing", "died")]
        of_catapults = (
            np.searchsorted(data["step"].values, np.concatenate(steps)).clip(max=count - 1).tolist()
        )
    evenly = np.linspace(0, count - 1, 11 if not of_catapults else 7).round().astype(int)
    at = np.unique([*evenly, *of_catapults])
    rows = [[int(data.step[k]), *(float(data[name][k]) for name in columns)] for k in at]
    table = tabulate(rows, headers=["step", *map(printable, columns)], floatfmt=".6g")
    of = _sharpness_of(data)
    if of != "sharpness" and of not in columns:
        table += f"\nmax_stable_sharpness is that of {of} (--keep {of})"
    return table


_CATAPULTS_SHOWN: Final = 3
"""Catapults whose steps are among the rows of a run's table."""


def run_summary(data: xarray.Dataset, found: xarray.Dataset | None, optimizer: Optimizer) -> str:
    """Return what happened in a run: divergence, catapults with their overshoots beside theory's, or neither."""
    import numpy as np
    from tabulate import tabulate

    diverged = int(data.diverged_at)
    if found is None:
        ended = f"diverged at step {diverged}" if diverged >= 0 else "ended"
        return f"Outcome: {ended}; --keep loss and sharpness to see catapults."
    count, of = found.sizes["catapult"], _sharpness_of(data)
    catapults = f"{count} catapult{'s' * (count != 1)}" if count else "no catapult"
    if diverged >= 0:
        outcome = f"diverged at step {diverged}" + (f", after {catapults}" if count else "")
    elif count:
        outcome = catapults
    else:
        above = bool((data[of].values > data["max_stable_sharpness"].values).any())
        outcome = f"{catapults}; the sharpness {'passed' if above else 'stayed below'} the threshold"
    lines = [f"Outcome: {outcome}."]
    if count:
        rows = []
        for k in range(count):
            row = found.isel(catapult=k)
            y0, drop = float(row["peak_excess_sharpness"]), float(row["drop"])
            before = y0 + y0 / float(row["relative_excess"])
            law = _law(optimizer, float(row["relative_excess"]))
            if 2.0 * y0 * law > before:  # the law's drop is larger than the sharpness: it does not apply
                law = float("nan")
            rows.append(
                [
                    *(int(row[name]) for name in ("onset", "crossing", "died")),
                    *(before, before - drop, float(row["overshoot"]), law if np.isfinite(law) else None),
                ]
            )
        headers = ["onset", "crossing", "died out", "S before", "S after", "overshoot", "theory"]
        lines += [
            tabulate(rows, headers=headers, floatfmt=".4g"),
            "onset, crossing: the sharpness S rises and falls through the threshold",
            "overshoot: drop of S, divided by twice the excess of S before",
        ]
        if any(row[-1] is None for row in rows):
            lines.append("theory: empty where the law of small relative drops does not apply")
    return "\n".join(lines)


def _law(optimizer: Optimizer, excess: float) -> float:
    """Return the overshoot that theory predicts; NaN where it has no law for this optimizer."""
    from selfstab import theory
    from selfstab.optimizers.heavy_ball import HeavyBall

    try:
        if isinstance(optimizer, HeavyBall) and optimizer.lookahead == 0.0:
            return float(theory.overshoot(theory.inertia_number(excess, optimizer.momentum)))
        return float(theory.slow_overshoot(optimizer, excess))
    except (NotImplementedError, TypeError, ValueError):
        return float("nan")


def sweep_table(data: xarray.Dataset) -> str:
    """Return the measures of a sweep as a table, under its size and the seconds it took.

    A store is read a part at a time; the median is left out where it would need all values at once.
    """
    import numpy as np
    from tabulate import tabulate

    from selfstab.phases import LABELS

    rows: list[list[Any]] = []
    below = []
    for name, variable in data.data_vars.items():
        if name == "phase":
            counts = dict.fromkeys(LABELS, 0)
            for values in _parts(variable):
                for code in LABELS:
                    counts[code] += int((values == code).sum())
            counted = ", ".join(f"{LABELS[code]} {count}" for code, count in counts.items() if count)
            below.append(f"phases: {counted}")
            continue
        known, missing, finite_parts = [], 0, []
        for values in _parts(variable):
            # −1 is no step: such a run did not diverge.
            finite = values[values >= 0] if name == "diverged_at" else values[np.isfinite(values)]
            missing += values.size - finite.size
            if finite.size:
                known += [float(finite.min()), float(finite.max())]
                finite_parts += [finite] if variable.size <= _PART else []
        middle = float(np.median(np.concatenate(finite_parts))) if finite_parts else None
        spread = [min(known), middle, max(known)] if known else [None] * 3
        without = "did not diverge" if name == "diverged_at" else "not defined"
        remark = f"{missing} of {variable.size} {without}" if missing else ""
        rows.append([printable(str(name)), *spread, remark])
    sizes = " × ".join(printable(f"{name} {size}") for name, size in data.sizes.items())
    headers = ["measure", "least", "median", "largest", "remark"]
    table = [tabulate(rows, headers=headers, floatfmt=".6g")] if rows else []
    return "\n".join([f"{sizes}: {_seconds(data)}", *table, *below])


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
