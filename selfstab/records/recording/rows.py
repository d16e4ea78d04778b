"""Rows of a record, one for each recorded step, and their dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.kernels.measures import PRECONDITIONED
from selfstab.optimizers.base import Optimizer
from selfstab.runs.dataset import described_optimizer

if TYPE_CHECKING:
    import xarray

    from selfstab.records.recording.training_optimizers import OptimizerReading

DECAYS: Final = {
    "weight_decay": ("largest weight decay that is part of loss and sharpness", "1/lr"),
    "least_weight_decay": ("least weight decay of those weights, where they differ", "1/lr"),
    "decoupled_weight_decay": ("largest weight decay beside the loss, which lowers the threshold", "1/lr"),
    "least_decoupled_weight_decay": ("least weight decay of those weights, where they differ", "1/lr"),
}
"""What a row says of weight decay, where there is any."""

COLUMNS: Final = {
    "loss": ("L(w_t)", "loss"),
    "sharpness": ("largest Hessian eigenvalue at w_t", "1/lr"),
    "sharpness_residual": ("norm of H u - S u", "1/lr"),
    "sharpness_error": ("estimate of how far the sharpness is below the eigenvalue", "1/lr"),
    "measured_error": ("by how much enough products raised the sharpness", "1/lr"),
    "products": ("Hessian-vector products of the record", "1"),
    "second_sharpness": ("second largest Hessian eigenvalue at w_t", "1/lr"),
    "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
    "momentum": ("momentum of the update t -> t + 1", "1"),
    "max_stable_sharpness": ("2 (1 + momentum) / (lr (1 + 2 lookahead))", "1/lr"),
    PRECONDITIONED: ("largest eigenvalue of M^(1/2) H M^(1/2)", "1/lr"),
    "preconditioned_sharpness_residual": ("norm of M^(1/2) H M^(1/2) u - S u", "1/lr"),
    "preconditioned_sharpness_error": ("estimate of how far that is below the eigenvalue", "1/lr"),
    "preconditioned_sharpness_products": ("products for the preconditioned sharpness", "1"),
    "second_preconditioned_sharpness": ("second largest eigenvalue of M^(1/2) H M^(1/2)", "1/lr"),
    "clipping_factor": ("what the gradient is multiplied by to have the largest norm", "1"),
    "batch_sharpness": ("E gHg/E gg over batches", "1/lr"),
    "batch_sharpness_error": ("standard error of the batch sharpness", "1/lr"),
    **DECAYS,
}
"""What a row may hold: long names and units."""

_ALWAYS: Final = (
    "loss",
    "sharpness",
    "sharpness_residual",
    "sharpness_error",
    "products",
    "second_sharpness",
    "lr",
    "momentum",
    "max_stable_sharpness",
)
_SECOND: Final = ("second_sharpness", "second_preconditioned_sharpness")


def dataset(steps: Sequence[int], rows: Sequence[Mapping[str, float]], *, second: bool) -> xarray.Dataset:
    """Return rows as a dataset along step.

    Parameters
    ----------
    steps, rows
        The recorded steps, and what each holds, by name.
    second
        Whether second eigenvalues are in it.
    """
    import xarray

    out = xarray.Dataset(coords={"step": np.array(steps, dtype=np.int64)})
    present = set(_ALWAYS).union(*rows)
    for name, (long_name, units) in COLUMNS.items():
        if name not in present or (name in _SECOND and not second):
            continue
        values = [row.get(name, _missing(row, name)) for row in rows]
        out[name] = ("step", np.array(values, dtype=np.float64), {"long_name": long_name, "units": units})
    out["step"].attrs["long_name"] = "number of updates"
    if PRECONDITIONED in out:
        out["max_stable_sharpness"].attrs.update(
            long_name="largest preconditioned sharpness stable on a quadratic", sharpness=PRECONDITIONED
        )
    return out


def _missing(row: Mapping[str, float], name: str) -> float:
    """Return what stands for a number that a row lacks.

    Where no weight is set apart, both sharpnesses are one; where nothing is clipped, the factor is 1.
    """
    if name == "clipping_factor":
        return 1.0
    if name == "preconditioned_sharpness_products" or name in DECAYS:
        return 0.0
    return row.get(name.replace("preconditioned_sharpness", "sharpness"), float("nan"))


def decays(reading: OptimizerReading) -> dict[str, float]:
    """Return what a row says of an optimizer's weight decay; nothing where there is none."""
    row = {}
    for name, values in (("weight_decay", reading.decay), ("decoupled_weight_decay", reading.shrinkage)):
        least, largest = float(np.min(values)), float(np.max(values))
        if largest:
            row[name] = largest
        if least != largest:
            row[f"least_{name}"] = least
    return row


def completed(rows: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Return rows that all have the names of any, with what stands for the numbers that they lack."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, _missing(row, name)) for name in names} for row in rows]


def shown(row: Mapping[str, float], *, second: bool) -> dict[str, float]:
    """Return what the dataset has of a row, in its order."""
    return {name: row[name] for name in COLUMNS if name in row and (second or name not in _SECOND)}


def settings(rows: Sequence[Mapping[str, float]], optimizer: Optimizer) -> str:
    """Return an optimizer's settings as JSON: its lr if it was one number, and the largest momentum."""
    lrs = {row["lr"] for row in rows}
    lr: Any = next(iter(lrs)) if len(lrs) == 1 else {"schedule": "as recorded"}
    described = described_optimizer(optimizer) | {"lr": lr}
    momenta = [row["momentum"] for row in rows if not np.isnan(row["momentum"])]
    for name in ("momentum", "beta1"):
        if name in described and momenta:
            described[name] = max(momenta)
    return json.dumps(described)
