"""Catapults found in recorded arrays, ours or anyone's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import former_names, validation
from selfstab.kernels.measures import which_sharpness
from selfstab.observables.kinds import Records, Swing, swings_of
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_LARGEST = 2e307
"""Bound on recorded values: sums of eight of them, which smoothed differences need, do not overflow."""


def catapults(sharpness: Any, threshold: Any = None, loss: Any = None, step: Any = None) -> xarray.Dataset:
    """Find the catapults of a run, or in anyone's arrays.

    A catapult begins where the smoothed sharpness rises through the threshold S* (*onset*). It turns where the
    sharpness falls through it again (*crossing*). It lasts until the next onset or the end of the record. Smoothed is
    the (1, 2, 1)/4 mean of three consecutive records (of two at the ends and at gaps). Where records are an odd number
    of steps apart, this removes the alternation of the sharpness along a flip. Records an even number of steps apart
    show one side of the flip only, and are taken as they are. On losses whose sharpness alternates, y0 and the drop
    may then be off by tens of percent. Record every step, or the mean of two consecutive ones.

    The first record has no record before it, so that it cannot be smoothed: it is no onset. A run that starts above the
    threshold has its onset at the second.

    Parameters
    ----------
    sharpness
        A run: what :func:`simulate` or :func:`analyze` returns, or any dataset with sharpness, max_stable_sharpness
        and a coordinate step. Its loss and diverged_at are used where it has them. Or S_t, one-dimensional. Records
        with NaN are left out.
    threshold
        S*_t, the same length, or one number; infinity is allowed (an lr of 0). Not beside a run.
    loss
        L_t, the same length; records with NaN are left out. With it, a swing without a spike of the loss is no
        catapult. Then y0 is taken before the swing, and the drop after it has died. Without it, the oscillation's own
        O(x²) share of the sharpness is in both. Not beside a run.
    step
        The steps of the records, increasing integers up to 2⁵³ in magnitude; by default the coordinate ``step`` of
        a DataArray, else 0, 1, 2, ... Not beside a run.

    Returns
    -------
    xarray.Dataset
        Dimension catapult (in order of onset), variables

        - onset, crossing: steps; peak: the step of the largest loss (−1 without a loss); died: the step from which on
          the loss stays within 1% of its peak above its later minimum (the crossing without a loss);
        - peak_excess_sharpness: y0, the largest smoothed S − S* from the onset on, while the loss is at most a tenth of
          the way from its minimum since the onset to its peak (up to the crossing without a loss); at least the
          value at the onset;
        - relative_excess: ε = y0/S* at the step of y0;
        - drop: the smoothed sharpness at the step of y0, minus its least from died to the next onset;
        - overshoot: drop/(2 y0), which the overshoot law predicts;
        - loss_spike: largest loss minus the least between onset and peak (NaN without a loss).

        xarray has a method ``drop``, so the variable is ``catapults(run)["drop"]``. Of a chaotic run, y0 of a later
        catapult may be small and its overshoot very large. :func:`sweep` has one overshoot a run, that of the largest
        swing. It takes y0 and drop by the flip, not by the loss, so that the two can differ by a few percent.

        The attributes edge_cycles, drifts and unclear are the numbers of such swings. The attribute open_since is the
        onset of a swing whose end is not in the record (−1 without one).

    Raises
    ------
    TypeError, ValueError
        If lengths differ, a value is infinite or beyond 2e307 in magnitude, or a run lacks a variable.

    Notes
    -----
    Not every swing is a catapult. None are

    - one after which the sharpness is not lower than before;
    - with a loss, one in which the loss does not rise above its least since the onset, by more than rounding (a part of
      10¹² of its largest magnitude there) and than 8 deviations of the loss's noise from record to record. It is a
      drift of the sharpness, or unclear if the loss rises by more than a tenth of what it was;
    - a cycle at the edge: the sharpness comes back to the threshold before the swing has died. Self-stabilization and
      progressive sharpening balance there. A swing has died if its loss has, and S* − S is then at least
      half of the largest S − S*. It has also died if by theory it decays by a factor of 10 while the sharpness is
      below the threshold. There its logarithm falls by 2(S* − S)/S*·(1 + β)/(1 − β) per step (β = 0 where it is not
      known). In the slow limit this divides cycles at y_max = 1.45 √α to 1.75 √α;
    - open: the sharpness does not fall through the threshold by the end of the record, or a run diverges before the
      swing has died. Of arrays that end in a divergence nothing says so: leave out their last swing.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(curvature=1.0)
    >>> start, previous = ss.flip_start(loss, loss.minimum(), size=1e-4)
    >>> run = ss.simulate(loss, ss.HeavyBall(lr=2.02), start, 4000, previous=previous)
    >>> found = ss.catapults(run)
    >>> found.sizes["catapult"], round(float(found.overshoot[0]), 3)
    (1, 1.01)
    """
    import xarray

    if isinstance(sharpness, xarray.Dataset):
        found = swings_of(_records_of_run(sharpness, threshold, loss, step))
    else:
        found = swings_of(_records(sharpness, threshold, loss, step))
    return dataset_of(found)


_CATAPULT = {
    "onset": ("step at which the smoothed sharpness rises through the threshold", "step"),
    "crossing": ("step at which it falls through the threshold", "step"),
    "peak": ("step of the largest loss", "step"),
    "died": ("step from which on the swing has died", "step"),
    "peak_excess_sharpness": ("y0, the largest smoothed S - S* before the swing", "1/lr"),
    "relative_excess": ("y0 / S*", "1"),
    "drop": ("fall of the sharpness", "1/lr"),
    "overshoot": ("drop / (2 y0)", "1"),
    "loss_spike": ("rise of the loss", "loss"),
}


def dataset_of(found: list[Swing]) -> xarray.Dataset:
    """Return the catapults among swings as the dataset of :func:`catapults`."""
    from selfstab.observables.table import Catapults

    listed = [swing for swing in found if swing.kind == "catapult"]
    out: xarray.Dataset = Catapults(coords={"catapult": np.arange(len(listed))})
    for name, (long_name, units) in _CATAPULT.items():
        dtype = np.int64 if units == "step" else np.float64
        out[name] = ("catapult", np.array([getattr(swing, name) for swing in listed], dtype=dtype))
        out[name].attrs.update(long_name=long_name, units=units)
    out.attrs.update(
        edge_cycles=sum(swing.kind == "edge cycle" for swing in found),
        drifts=sum(swing.kind == "drift" for swing in found),
        unclear=sum(swing.kind == "unclear" for swing in found),
        open_since=next((swing.onset for swing in found if swing.kind == "open"), -1),
    )
    return former_names.with_old_names(out, former_names.MEASURES)


def _records(sharpness: Any, threshold: Any, loss: Any, step: Any) -> Records:
    """Return anyone's arrays, validated."""
    if threshold is None:
        raise TypeError("threshold must be given beside the sharpness (or a run, as one dataset), got None")
    s = _record("sharpness", sharpness)
    thresholds = _thresholds(threshold, s.size)
    losses = None if loss is None else _same_length("loss", _record("loss", loss), s.size)
    steps = _steps(getattr(sharpness, "coords", {}).get("step") if step is None else step, s.size)
    return _known(Records(steps, s, thresholds, losses))


def _records_of_run(run: xarray.Dataset, threshold: Any, loss: Any, step: Any) -> Records:
    """Return what a run's dataset holds of what swings are looked for in, validated."""
    for name, value in (("threshold", threshold), ("loss", loss), ("step", step)):
        if value is not None:
            raise TypeError(
                f"{name} must not be given beside a run, which holds it; got {validation.shown(value)}"
            )
    if "max_stable_sharpness" not in run:
        raise ValueError(f"run must hold sharpness and max_stable_sharpness, got {_variables(run)}")
    of = which_sharpness(run["max_stable_sharpness"])
    for name in (of, "step"):
        if name not in run:
            raise ValueError(f"run must hold {of}, max_stable_sharpness and step, got {_variables(run)}")
    steps = run["step"]
    for name in (of, "max_stable_sharpness", "loss", "step", "momentum"):
        if name in run and run[name].dims != ("step",):
            raise ValueError(f"run must hold {name} along step alone, got dimensions {run[name].dims}")
    s = _record(of, run[of])
    return _known(
        Records(
            _steps(steps, s.size),
            s,
            _thresholds(run["max_stable_sharpness"], s.size),
            _record("loss", run["loss"]) if "loss" in run else None,
            _momentum_of(run, s.size),
            "diverged_at" in run and bool((run["diverged_at"] >= 0).any()),
        )
    )


def _variables(run: xarray.Dataset) -> str:
    return ", ".join(map(str, run.variables)) or "no variable"


def _momentum_of(run: xarray.Dataset, size: int) -> Array | None:
    """Return β of each record of a run of the heavy ball without lookahead; None of another optimizer."""
    try:
        settings = json.loads(str(run.attrs.get("optimizer", "{}")))
    except ValueError:
        settings = {}
    settings = settings if isinstance(settings, dict) else {}
    momentum = run["momentum"].values if "momentum" in run else None
    if momentum is None and settings.get("name", "HeavyBall") == "HeavyBall":
        momentum = settings.get("momentum")
    beta = np.asarray(momentum)
    lookahead = run.attrs.get("lookahead", settings.get("lookahead", 0.0))
    if beta.dtype.kind not in "iuf" or not isinstance(lookahead, (int, float)) or lookahead != 0.0:
        return None
    beta = np.broadcast_to(beta.astype(np.float64), (size,))
    return beta if ((beta >= 0.0) & (beta < 1.0)).all() else None


def _known(records: Records) -> Records:
    """Return the records in which sharpness and loss are numbers."""
    known = ~np.isnan(records.sharpness)
    if records.losses is not None:
        known &= ~np.isnan(records.losses)
    if known.all():
        return records
    return Records(
        records.steps[known],
        records.sharpness[known],
        records.thresholds[known],
        None if records.losses is None else records.losses[known],
        None if records.momentum is None else records.momentum[known],
        records.diverged,
    )


def _record(name: str, values: Any) -> Array:
    array = validation.floats(name, values, shape=(None,), nan=True)
    validation.broadcastable(name, array[~np.isnan(array)], at_least=-_LARGEST, at_most=_LARGEST)
    return array


def _same_length(name: str, values: Array, size: int) -> Array:
    if values.size != size:
        raise ValueError(f"{name} must have as many values as sharpness ({size}), got {values.size}")
    return values


def _thresholds(threshold: Any, size: int) -> Array:
    thresholds = validation.broadcastable("threshold", threshold, above=0, finite=False)
    large = thresholds[np.isfinite(thresholds) & (thresholds > _LARGEST)]
    if large.size:
        raise ValueError(f"threshold must be in (0, {_LARGEST:g}] or infinite, got {float(large[0])!r}")
    if thresholds.ndim == 0:
        return np.full(size, float(thresholds))
    if thresholds.ndim != 1:
        raise ValueError(f"threshold must be a number or one-dimensional, got shape {thresholds.shape}")
    return _same_length("threshold", thresholds, size)


def _steps(step: Any, size: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if step is None:
        return np.arange(size, dtype=np.int64)
    values = _same_length("step", validation.floats("step", step, shape=(None,)), size)
    if (np.abs(values) > 2.0**53).any():
        raise ValueError(f"step must be at most 2**53 in magnitude, got {validation.shown(step)}")
    if (values != np.round(values)).any() or (np.diff(values) <= 0).any():
        raise ValueError(f"step must be increasing whole numbers, got {validation.shown(step)}")
    return values.astype(np.int64)
