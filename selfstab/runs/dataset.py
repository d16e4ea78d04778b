"""The dataset of a run, or of a trajectory in its place: its variables, coordinates and attributes."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab.kernels.measures import PRECONDITIONED
from selfstab.machine import check_memory
from selfstab.optimizers.base import Optimizer
from selfstab.provenance import versions
from selfstab.runs.problem import NOISE_ROWS, Problem
from selfstab.runs.variables import KEEP, OF_EVERY_RUN, Variable
from selfstab.validation import Array, Integers

if TYPE_CHECKING:
    import xarray


def begin_import() -> None:
    """Import what datasets are of in a thread of its own: LLVM lets other threads run while it compiles.

    xarray takes as long as a small kernel. Whoever imports it next waits for the thread.
    """
    if "xarray" not in sys.modules:
        # It cannot be started where the interpreter ends.
        with suppress(RuntimeError):
            threading.Thread(target=_import, name="selfstab imports xarray").start()


def _import() -> None:
    # What fails here fails again, and is told, where a dataset is written.
    with suppress(Exception):
        import_module("xarray")


def number_of_records(steps: int, every: int, diverged_at: int = -1) -> int:
    """Return the number of the recorded steps: 0, every, 2·every, ... and the last, or those before a divergence."""
    if 0 <= diverged_at <= steps:
        return -(-diverged_at // every)
    return 1 - (-steps // every)


def recorded_steps(steps: int, every: int, diverged_at: int = -1) -> Integers:
    """Return the recorded steps: 0, every, 2·every, ... and the last, or those before a divergence."""
    count = number_of_records(steps, every, diverged_at)
    # A stride beyond the last step, however long, is as good as all of them.
    return np.minimum(np.arange(count, dtype=np.int64) * min(every, max(steps, 1)), steps)


def check_records(
    problem: Problem, every: int | None, variables: Iterable[Variable], beside: int = 0
) -> None:
    """Raise MemoryNeededError if the records of a run do not fit in memory.

    Parameters
    ----------
    problem
        The run.
    every
        Records are at steps 0, every, 2·every, ... and the last; None where they are at every step.
    variables
        What is recorded beside the step, lr and the threshold.
    beside
        Further numbers that each record takes while the run goes on.
    """
    records = number_of_records(problem.steps, every or 1)
    sizes = {"weight": problem.loss.dimension, "step": 1}
    # The few along another dimension count as one.
    numbers = sum(math.prod(sizes.get(dim, 1) for dim in variable.dims) for variable in variables)
    check_memory(
        f"the {records} records of steps = {problem.steps}" + (f" with every = {every}" if every else ""),
        8 * (numbers + beside + 3) * records,
        "take fewer steps" if every is None else "raise every, take fewer steps or keep less",
    )


def dataset(
    problem: Problem,
    at: Integers,
    data: Mapping[str, Any],
    seconds: float,
    *,
    diverged_at: int | Mapping[str, int],
    variables: Mapping[str, Variable] = KEEP,
    rates: Array | None = None,
) -> xarray.Dataset:
    """Return what was recorded as a dataset, with lr, threshold, divergence and provenance.

    Parameters
    ----------
    problem
        The run.
    at
        The recorded steps.
    data
        Values by name, the first dimension along `at`.
    seconds
        How long the run took.
    diverged_at
        The step of divergence, −1 if none; or several such, by name.
    variables
        Dimensions, long names and units, beside those of every run.
    rates
        lr at the recorded steps, if it is known.
    """
    import xarray

    known = {**OF_EVERY_RUN, **variables}
    if rates is None:
        rates = _rates_at(problem.optimizer, at)
    data = {**data, "lr": rates, "max_stable_sharpness": problem.optimizer.thresholds_of(rates)}
    ends = diverged_at if isinstance(diverged_at, Mapping) else {"diverged_at": diverged_at}
    data |= {name: np.int64(step) for name, step in ends.items()}
    out = xarray.Dataset(coords={"step": ("step", at, {"long_name": "number of updates"})})
    for name, values in data.items():
        variable = known.get(name, Variable("", "1"))
        out[name] = (variable.dims, values, variable.attributes)
    if problem.optimizer.preconditions:
        out["max_stable_sharpness"].attrs.update(
            long_name="largest preconditioned sharpness stable on a quadratic", sharpness=PRECONDITIONED
        )
    if "weight" in out.dims:
        # Strings of any length: Zarr has no specification for fixed-length ones.
        out = out.assign_coords(weight=np.array(problem.loss.weight_names, dtype=object))
    out.attrs.update(provenance(problem, seconds))
    return out


def _rates_at(optimizer: Optimizer, at: Integers) -> Array:
    """Return lr at the given steps, in pieces so that memory does not grow with the run."""
    out = np.empty(len(at))
    rows = max(1, NOISE_ROWS // int(at[1] - at[0])) if len(at) > 1 else 1
    for k in range(0, len(at), rows):
        part = at[k : k + rows]
        out[k : k + rows] = optimizer.rates(int(part[0]), int(part[-1]) + 1)[part - part[0]]
    return out


def provenance(problem: Problem, seconds: float) -> dict[str, Any]:
    """Return a dataset's attributes: settings as JSON, versions, machine and seconds; all survive NetCDF and Zarr."""
    return {
        "loss": problem.loss.description,
        "optimizer": json.dumps(described_optimizer(problem.optimizer)),
        "steps": problem.steps,
        "escape": problem.escape,
        "noise": problem.noise,
        "seed": problem.seed,
        "start": _point(problem.start),
        "previous": _point(problem.previous),
        "versions": versions(),
        "machine": platform.machine(),
        "seconds": seconds,
    }


def _point(weights: Array) -> str:
    """Return weights as JSON, or their hash where there are many."""
    if weights.size <= 64:
        return json.dumps(weights.tolist())
    return "sha256 " + hashlib.sha256(weights.astype("<f8").tobytes()).hexdigest()


def described_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimizer's name and settings in a form that JSON keeps."""
    lr = optimizer.lr
    flags = {
        name: value if isinstance(value, (bool, int, float, str)) else repr(value)
        for name, value in optimizer.flags.items()
    }
    rate = lr if isinstance(lr, float) else {"schedule": repr(lr)}
    return {"name": optimizer.known_as, "lr": rate, **flags, **optimizer.numbers}
