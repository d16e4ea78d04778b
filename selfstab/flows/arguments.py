"""What trajectories in place of a run share: their arguments, validated, and the datasets of flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.runs.dataset import provenance
from selfstab.runs.problem import Problem
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

DIMENSIONS: Final = {
    "covariance_eigenvalues": ("step", "direction"),
    "hessian_eigenvalues": ("step", "eigenvalue"),
    "weights": ("step", "weight"),
    "axis": ("step", "weight"),
}


def checked(
    loss: Any, optimizer: Any, start: Any, previous: Any, steps: Any, escape: Any, order: int
) -> Problem:
    """Return the arguments of a trajectory, validated; `order` is the highest derivative it takes."""
    problem = Problem.checked(loss, optimizer, start, previous, steps, escape, 0.0, 0)
    if problem.optimizer.lookahead != 0.0:
        raise ValueError(
            f"optimizer must have lookahead 0, for which the theory is made, got {problem.optimizer.lookahead:g}"
        )
    if order > problem.loss.highest_derivative:
        raise ValueError(
            f"loss must have derivatives of order {order} for this, got {problem.loss.description}, "
            f"which has them up to order {problem.loss.highest_derivative}"
        )
    return problem


def dataset(
    problem: Problem,
    every: int,
    data: dict[str, Array],
    described: dict[str, tuple[str, str]],
    diverged_at: int,
    seconds: float,
) -> xarray.Dataset:
    """Return what was recorded of a flow as a dataset, with lr, threshold, divergence and provenance."""
    import xarray

    at = np.unique(np.append(np.arange(0, problem.steps + 1, every), problem.steps))
    at = at if diverged_at < 0 else at[at < diverged_at]
    out = xarray.Dataset(coords={"step": ("step", at, {"long_name": "number of updates"})})
    for name, values in data.items():
        long_name, units = described.get(name, ("", "1"))
        out[name] = (DIMENSIONS.get(name, ("step",)), values, {"long_name": long_name, "units": units})
    if "weight" in out.dims:
        out = out.assign_coords(weight=np.array(problem.loss.weight_names, dtype=object))
    rates, thresholds = (
        f(0, problem.steps + 1)[at] for f in (problem.optimizer.rates, problem.optimizer.thresholds)
    )
    out["lr"] = (
        "step",
        rates,
        {"long_name": "learning rate of the update t -> t + 1", "units": "1/sharpness"},
    )
    out["max_stable_sharpness"] = (
        "step",
        thresholds,
        {"long_name": "2 (1 + momentum) / lr", "units": "1/lr"},
    )
    attributes = {
        "long_name": "first step beyond the escape radius or not finite, -1 if none",
        "units": "step",
    }
    out["diverged_at"] = ((), np.int64(diverged_at), attributes)
    out.attrs.update(provenance(problem, seconds), every=every)
    return out
