"""A training run recorded elsewhere: its rows in order, up to its divergence, with lr and momentum in each.

There are four steps. A format reads the source into a table (:mod:`selfstab.records.formats`). Its columns get their
roles (:mod:`selfstab.records.columns.columns`). Here the rows are checked and put in order.
:mod:`selfstab.records.comparison.analyze` compares the run with the theory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.optimizers.averaged import AveragedHeavyBall
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.linear import LinearOptimizer
from selfstab.records import formats
from selfstab.records.columns.assignment import SAME, OptionError
from selfstab.records.columns.columns import columns_of
from selfstab.records.comparison.laws import laws_of
from selfstab.records.divergence import counted_rows, finite_divergence, until_divergence
from selfstab.runs.dataset import described_optimizer
from selfstab.validation import Array, Integers

if TYPE_CHECKING:
    import xarray

_LONG_NAMES: Final = {
    "sharpness": ("largest Hessian eigenvalue", "1/lr"),
    "lr": ("learning rate of the update t -> t + 1", "1/sharpness"),
    "momentum": ("momentum of the update t -> t + 1", "1"),
    "loss": ("L(w_t)", "loss"),
    "second_sharpness": ("second largest Hessian eigenvalue", "1/lr"),
    "preconditioned_sharpness": ("largest eigenvalue of the preconditioned Hessian", "1/lr"),
    "second_preconditioned_sharpness": ("second largest eigenvalue of the preconditioned Hessian", "1/lr"),
    "clipping_factor": ("what the gradient is multiplied by where it is clipped", "1"),
}

_KEPT: Final = ("last", "first")
_FEWEST: Final = 3
_ENOUGH: Final = 20


def recorded_run(
    run: Any,
    *,
    lr: float | None = None,
    momentum: float | None = None,
    lookahead: float | None = None,
    columns: Mapping[str, str] | None = None,
    keep: str | None = None,
    updates_per_epoch: float | None = None,
    optimizer: Optimizer | None = None,
    member: str = "",
) -> xarray.Dataset:
    """Read a recorded run into one form; :func:`analyze` says what is accepted, and how it is treated.

    Parameters
    ----------
    run, lr, momentum, lookahead, columns, keep, updates_per_epoch, optimizer, member
        As for :func:`analyze`.

    Returns
    -------
    xarray.Dataset
        Along step, increasing: sharpness (NaN where not recorded), lr, momentum, and where recorded loss and
        second_sharpness. Weights with a preconditioner or learning rates of their own have preconditioned_sharpness
        and, where recorded, its max_stable_sharpness. The scalar is diverged_at (−1 if never). The attrs are
        lookahead, notes (JSON) and, of another optimizer than heavy ball, optimizer (JSON).

    Raises
    ------
    TypeError, ValueError
        As :func:`analyze`.

    Examples
    --------
    >>> run = {"iter": [3, 1, 2, 4], "lambda_max": [2.0, 1.0, 1.5, float("inf")]}
    >>> data = recorded_run(run, lr=1.0, momentum=0.0)
    >>> data.step.values, data.sharpness.values, int(data.diverged_at)
    (array([1, 2, 3]), array([1. , 1.5, 2. ]), 4)
    """
    import xarray

    lr = None if lr is None else validation.real("lr", lr, above=0)
    momentum = None if momentum is None else validation.real("momentum", momentum, at_least=0, below=1)
    ahead = None if lookahead is None else validation.real("lookahead", lookahead, at_least=0)
    each = (
        None
        if updates_per_epoch is None
        else validation.real("updates_per_epoch", updates_per_epoch, above=0)
    )
    if keep is not None:
        validation.one_of("keep", keep, _KEPT)
    if optimizer is not None:
        _check_optimizer(optimizer, lr, momentum, ahead)
    source = columns_of(formats.read(run, member), dict(columns or {}), lr, momentum, each, optimizer)
    names, notes, values = source.names, [*source.notes], source.values
    size = values["sharpness"].size
    rows: Integers = np.arange(1, size + 1)
    rows, values = _with_steps(rows, values, notes)
    if keep is not None:
        values = _one_branch(values, keep, notes)
    rows, values = _in_order(rows, values, names, notes)
    rows, values, diverged_at = until_divergence(rows, values, names, notes)
    if diverged_at < 0 <= source.diverged_at:  # our own runs stop before it
        diverged_at = source.diverged_at
        notes.append(f"The run diverged at step {diverged_at}.")
    elif diverged_at < 0:
        diverged_at = finite_divergence(values, names, notes)
    values = _with_settings_in_every_row(rows, values, names, notes, source.optimizer is not None)
    if ahead is None and source.lookahead is not None:
        ahead = validation.real("lookahead", source.lookahead, at_least=0)
    own, preconditioned = source.optimizer, "preconditioned_sharpness" in values
    if ahead is None and own is None:
        ahead, own = _rule(values, notes)
    matching = "preconditioned_sharpness" if preconditioned else "sharpness"
    known = np.isfinite(values[matching])
    if known.sum() < _FEWEST:
        raise ValueError(
            f"{names[matching]} must hold at least {_FEWEST} numbers, got {known.sum()} in {size} rows"
        )
    notes += [*_gaps(values, names), *_special(values, names, own)]
    out = xarray.Dataset(coords={"step": values["step"].astype(np.int64)})
    for role, (long_name, units) in _LONG_NAMES.items():
        if role in values and (role == "momentum" or np.isfinite(values[role]).any()):
            out[role] = ("step", values[role], {"long_name": long_name, "units": units})
    out["diverged_at"] = ((), diverged_at, {"long_name": "first step that is not finite, -1 if none"})
    if preconditioned and "max_stable_sharpness" in values and optimizer is None:
        # It may hold what lr and momentum do not say: decoupled weight decay.
        recorded = values["max_stable_sharpness"]
        limits = laws_of(own, ahead or 0.0).thresholds(values["lr"], values["momentum"])
        out["max_stable_sharpness"] = ("step", np.where(np.isnan(recorded), limits, recorded))
    if own is not None:
        described = described_optimizer(own)
        out.attrs["optimizer"] = json.dumps({name: described[name] for name in described if name != "lr"})
    out.attrs.update(lookahead=ahead or 0.0, notes=json.dumps(notes, ensure_ascii=False))
    return out


# -- rows ---------------------------------------------------------------------------------------------------------


def _with_steps(
    rows: Integers, values: dict[str, Array], notes: list[str]
) -> tuple[Integers, dict[str, Array]]:
    """Leave out rows without a step that hold no sharpness, as of settings; a setting that stands there alone holds."""
    sharp = ["sharpness", "preconditioned_sharpness"]
    without = np.isnan(values["step"]) & np.all(
        [np.isnan(values[role]) for role in sharp if role in values], axis=0
    )
    if not without.any() or without.all():
        return rows, values
    stays, kept = ~without, {}
    for role, column in values.items():
        kept[role] = column[stays]
        alone = column[without & ~np.isnan(column)]
        if (
            role in ("lr", "momentum")
            and np.isnan(kept[role]).all()
            and alone.size
            and (alone == alone[0]).all()
        ):
            kept[role] = np.full(int(stays.sum()), alone[0])
    if any((~np.isnan(column[without])).any() for column in values.values()):
        notes.append(
            f"{counted_rows(int(without.sum()), 'has', 'have')} neither step nor sharpness and no place in the run."
        )
    return rows[stays], kept


def _one_branch(values: dict[str, Array], keep: str, notes: list[str]) -> dict[str, Array]:
    """Leave out of each column what stands twice where its steps go back: of the last branch or the first one."""
    values, step, removed = dict(values), values["step"], 0
    for role, column in values.items():
        known = np.flatnonzero(~np.isnan(column) & ~np.isnan(step))
        if role == "step" or (column[known] == column[known[:1]]).all():  # a constant is no branch's own
            continue
        if keep == "last":
            # A restart replaces all that was recorded from its first step on.
            later = np.minimum.accumulate(step[known][::-1])[::-1]
            stays = np.append(step[known][:-1] < later[1:], True) if known.size else np.empty(0, dtype=bool)
        else:
            earlier = np.maximum.accumulate(step[known])
            stays = np.append(True, step[known][1:] > earlier[:-1]) if known.size else np.empty(0, dtype=bool)
        if not stays.all():
            values[role] = column.copy()
            values[role][known[~stays]] = np.nan
            removed = max(removed, int((~stays).sum()))
    if removed:
        notes.append(
            f"Steps go back: of what stands twice the {keep} is kept, {counted_rows(removed, 'is', 'are')} left out."
        )
    return values


def _in_order(
    rows: Integers, values: dict[str, Array], names: dict[str, str], notes: list[str]
) -> tuple[Integers, dict[str, Array]]:
    """Sort by step, and join rows of the same step if they do not contradict each other."""
    step, name = values["step"], names["step"]
    bad = np.flatnonzero(~(np.abs(step) <= 2.0**53) | (step != np.round(step)))
    if bad.size:
        raise ValueError(f"{name} must hold whole numbers, got {step[bad[0]]:g} in row {rows[bad[0]]}")
    if (step < 0).any():
        at = int(np.flatnonzero(step < 0)[0])
        raise ValueError(f"{name} must hold whole numbers >= 0, got {step[at]:g} in row {rows[at]}")
    if (np.diff(step) < 0).any():
        notes.append("Rows were not in the order of their steps. They are sorted.")
    order = np.argsort(step, kind="stable")
    rows, values = rows[order], {role: column[order] for role, column in values.items()}
    step = values["step"]
    first = np.concatenate([[True], np.diff(step) > 0])
    if first.all():
        return rows, values
    groups = np.cumsum(first) - 1
    near = 0
    for role, column in values.items():
        joined = np.full(int(groups[-1]) + 1, np.nan)
        known = np.flatnonzero(~np.isnan(column))
        # Backwards, so that the first of several stands.
        joined[groups[known[::-1]]] = column[known[::-1]]
        other = known[joined[groups[known]] != column[known]]
        with np.errstate(invalid="ignore"):  # of two infinite numbers
            same = np.isclose(joined[groups[other]], column[other], rtol=SAME, atol=0.0)
        near, other = near + int(same.sum()), other[~same]
        if other.size:
            at = int(other[0])
            here = np.flatnonzero(groups == groups[at])
            raise OptionError(
                f"{names[role]} must have one value for a step, got {joined[groups[at]]:g} and {column[at]:g} "
                f"for step {step[at]:g} (rows {rows[here[0]]} and {rows[at]})",
                'after a restart, keep="last" takes the last',
                "after a restart, --keep last takes the last",
            )
        values[role] = joined
    notes.append(
        f"{counted_rows(int((~first).sum()), 'repeats', 'repeat')} a step without contradiction. They are joined."
    )
    if near:
        notes.append(
            f"{near} value{' differs' if near == 1 else 's differ'} from that of the same step in the last digits. "
            "The first one stands."
        )
    return rows[first], values


def _with_settings_in_every_row(
    rows: Integers,
    values: dict[str, Array],
    names: dict[str, str],
    notes: list[str],
    without_momentum: bool,
) -> dict[str, Array]:
    """Return the columns with lr and momentum that hold until the next value; refuse what is out of range."""
    values = dict(values)
    for role, allowed in (("lr", ">= 0"), ("momentum", "in [0, 1)")):
        column = values[role].copy()
        known = np.flatnonzero(~np.isnan(column))
        if role == "momentum" and known.size == 0 and without_momentum:
            continue
        if known.size and known[0] != 0 and (column[known] == column[known[0]]).all():
            notes.append(
                f"{names[role]} is missing in {counted_rows(int(known[0]))} at the start: "
                "its only value holds there, too."
            )
            column[: known[0]] = column[known[0]]
            known = np.flatnonzero(~np.isnan(column))
        if column.size and (known.size == 0 or known[0] != 0):
            raise ValueError(f"{names[role]} must have a value in the first row, got none in row {rows[0]}")
        fine = np.isfinite(column[known]) & (column[known] >= 0)
        if role == "momentum":
            fine &= column[known] < 1
        if not fine.all():
            at = int(known[~fine][0])
            raise ValueError(f"{names[role]} must be {allowed}, got {column[at]:g} in row {rows[at]}")
        values[role] = column
        if known.size < column.size:
            holds = np.maximum.accumulate(np.where(np.isnan(column), 0, np.arange(column.size)))
            values[role] = column[holds]
            missing = column.size - known.size
            notes.append(f"{names[role]} is missing in {counted_rows(missing)}: the last value before holds.")
    return values


def matching_sharpness(data: xarray.Dataset) -> str:
    """Return the name of the sharpness that a recorded run's threshold is of."""
    return "preconditioned_sharpness" if "preconditioned_sharpness" in data else "sharpness"


def _check_optimizer(
    optimizer: Any, lr: float | None, momentum: float | None, lookahead: float | None
) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer must be one of selfstab's, such as selfstab.Adam(lr), "
            f"got {validation.shown(optimizer)}"
        )
    if (lr, momentum, lookahead) != (None, None, None):
        raise ValueError("lr, momentum and lookahead must be left out beside optimizer, which has its own")


def _rule(values: dict[str, Array], notes: list[str]) -> tuple[float, Optimizer | None]:
    """Return the lookahead, or the averaging, by which a recorded threshold follows from lr and momentum."""
    if "max_stable_sharpness" not in values:
        return 0.0, None
    lr, momentum, limits = (values[name] for name in ("lr", "momentum", "max_stable_sharpness"))
    known = np.isfinite(limits) & (limits > 0) & (lr > 0)
    if not known.any():
        return 0.0, None
    lookaheads = (2.0 * (1.0 + momentum[known]) / (lr[known] * limits[known]) - 1.0) / 2.0
    ahead = float(np.median(lookaheads))
    first = float(momentum[known][0])
    gains = 1.0 + 2.0 * lookaheads
    preconditioned = "preconditioned_sharpness" in values
    # Decoupled weight decay takes a little from the threshold.
    if ahead < -1e-6 and np.allclose(
        gains, 1.0 - momentum[known], rtol=0.05 if preconditioned else 1e-6, atol=0.0
    ):
        notes.append("Momentum averages gradients, as is read off the recorded threshold.")
        return 0.0, AveragedHeavyBall(1.0, first)
    if preconditioned and -0.5 < ahead < -1e-6:
        gain = float(np.median(gains))
        notes.append(f"The threshold is that of a learning rate times {gain:.3g}, as recorded.")
        return 0.0, LinearOptimizer(1.0, (gain, 0.0), (1.0, -1.0 - first, first))
    if np.ptp(lookaheads) > 1e-6 or ahead < -1e-6:
        notes.append(
            "The recorded threshold is not that of this lr and momentum at any lookahead; it is not used."
        )
        return 0.0, None
    if abs(ahead) <= 1e-6:
        return 0.0, None
    ahead = first if abs(ahead - first) <= 1e-6 else ahead
    notes.append(f"The lookahead, {ahead:g}, is read off the recorded threshold.")
    return ahead, None


def _special(values: dict[str, Array], names: dict[str, str], optimizer: Optimizer | None) -> list[str]:
    """Return notes on a preconditioner and on clipping."""
    notes = []
    own = values.get("preconditioned_sharpness")
    alone = names["sharpness"] == names.get("preconditioned_sharpness")
    if own is not None and (alone or not np.array_equal(own, values["sharpness"], equal_nan=True)):
        notes.append("Threshold and catapults are of the preconditioned sharpness.")
        if optimizer is None or not isinstance(optimizer, LinearOptimizer):
            notes.append("The law is for a constant preconditioner; one that changes takes part of the drop.")
    if "clipping_factor" in values:
        clipped = int((values["clipping_factor"] < 1.0).sum())
        if clipped:
            notes.append(
                f"Gradients are clipped at {clipped} of {values['clipping_factor'].size} records: the threshold is of "
                "steps that are not."
            )
    return notes


def _sampled(strides: Array) -> bool:
    """Return whether records are a sample of a run's, as a server gives it: no stride is that of most of them."""
    _, counts = np.unique(strides, return_counts=True)
    return bool(strides.size >= _ENOUGH and counts.max() < 0.9 * strides.size and (strides > 1).mean() > 0.1)


def _gaps(values: dict[str, Array], names: dict[str, str]) -> list[str]:
    """Return notes on what is recorded how often."""
    notes: list[str] = []
    usually: dict[int, list[str]] = {}
    for role in ("sharpness", "loss"):
        if role not in values:
            continue
        steps = values["step"][np.isfinite(values[role])]
        strides = np.diff(steps)
        if strides.size == 0:
            continue
        kinds, counts = np.unique(strides, return_counts=True)
        usual = int(kinds[counts.argmax()])
        if usual > 1 and not _sampled(strides):
            usually.setdefault(usual, []).append(names[role])
        if _sampled(strides):
            notes.append(
                f"{names[role]} is a sample: {steps.size} records at irregular strides of {strides.min()} to "
                f"{strides.max()} steps. Rates are per step, by these strides; what lies between is not seen."
            )
            continue
        # The last record of a run may be closer to the one before.
        wide = int((strides > usual).sum())
        if wide:
            longest = int(strides.max())
            notes.append(f"{names[role]} has gaps in its record: {wide}, the longest of {longest} steps.")
    for usual, of in usually.items():
        notes.insert(0, f"{' and '.join(of)} {'is' if len(of) == 1 else 'are'} recorded every {usual} steps.")
    return notes
