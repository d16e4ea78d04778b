"""The dataset of a run: its variables, coordinates and attributes."""

from __future__ import annotations

import hashlib
import json
import platform
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.provenance import versions
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

from selfstab.runs.problem import NOISE_ROWS, Problem

KEEP: Final = {
    "loss": ("L(w_t)", "loss"),
    "sharpness": ("largest Hessian eigenvalue at w_t", "1/lr"),
    "weights": ("w_t", "weight"),
    "velocity": ("v_t = w_t - w_{t-1}", "weight per step"),
    "gradient_norm": ("norm of the gradient at w_t", "loss per weight"),
    "top_eigenvector": ("unit eigenvector of the sharpness, sign continuous in t", "1"),
}
"""What a run can record: long name and unit."""


def recorded_steps(steps: int, every: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the recorded steps: 0, every, 2·every, ... and the last."""
    at = np.arange(0, steps + 1, every, dtype=np.int64)
    return at if at[-1] == steps else np.append(at, np.int64(steps))


def dataset(
    problem: Problem, every: int, data: dict[str, Array], diverged_at: int, seconds: float
) -> xarray.Dataset:
    """Return what was recorded of a run as a dataset, with lr, threshold, divergence and provenance."""
    import xarray

    at = recorded_steps(problem.steps, every)
    at = at if diverged_at < 0 else at[at < diverged_at]
    lr = _at(problem.optimizer.rates, at)
    thresholds = _at(problem.optimizer.thresholds, at)
    out = xarray.Dataset(coords={"step": at})
    for name, values in data.items():
        out[name] = (("step", "weight")[: values.ndim], values)
    if "weight" in out.dims:
        # Strings of any length: Zarr has no specification for fixed-length ones.
        out = out.assign_coords(weight=np.array(problem.loss.weight_names, dtype=object))
    out["lr"] = ("step", lr)
    out["max_stable_sharpness"] = ("step", thresholds)
    out["diverged_at"] = ((), np.int64(diverged_at))
    described = KEEP | {
        "sharpness_residual": ("norm of H u - S u", "1/lr"),
        "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
        "max_stable_sharpness": ("2 (1 + momentum) / (lr (1 + 2 lookahead))", "1/lr"),
        "diverged_at": ("first step beyond the escape radius or not finite, -1 if none", "step"),
    }
    for name, (long_name, units) in described.items():
        if name in out:
            out[name].attrs.update(long_name=long_name, units=units)
    out["step"].attrs["long_name"] = "number of updates"
    out.attrs.update(provenance(problem, seconds), every=every)
    return out


def _at(values: Any, steps: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Array:
    """Return values(first, last) at the given steps, in pieces so that memory does not grow with the run."""
    out = np.empty(len(steps))
    rows = max(1, NOISE_ROWS // int(steps[1] - steps[0])) if len(steps) > 1 else 1
    for k in range(0, len(steps), rows):
        part = steps[k : k + rows]
        out[k : k + rows] = values(int(part[0]), int(part[-1]) + 1)[part - part[0]]
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


def described_optimizer(optimizer: HeavyBall) -> dict[str, Any]:
    """Return the optimizer's settings in a form that JSON keeps."""
    lr = optimizer.lr
    shown = lr if isinstance(lr, float) else {"schedule": repr(lr)}
    return {"lr": shown, "momentum": optimizer.momentum, "lookahead": optimizer.lookahead}
