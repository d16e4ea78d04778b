"""Catapults found in recorded arrays, ours or anyone's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import former_names, validation
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

_LARGEST = 2e307
"""Bound on recorded values: sums of eight of them, which smoothed differences need, do not overflow."""


def catapults(sharpness: Any, threshold: Any, loss: Any = None, step: Any = None) -> xarray.Dataset:
    """Find the catapults in a recorded run: anyone's arrays will do.

    A catapult begins where the smoothed sharpness rises through the threshold S* (*onset*), turns where it falls
    through it again (*crossing*) and lasts until the next onset or the end of the record. Smoothed is the (1, 2, 1)/4
    mean of three consecutive records (of two at the ends and at gaps), which removes the sharpness's alternation along
    a flip where records are an odd number of steps apart. Records an even number of steps apart show one side of the
    flip only and are taken as they are: on losses whose sharpness alternates, y0 and the drop may then be off by tens
    of percent. Record every step, or the mean of two consecutive ones.

    The first record has no record before it, so that it cannot be smoothed: it is no onset. A run that starts above the
    threshold has its onset at the second.

    Parameters
    ----------
    sharpness
        S_t, one-dimensional. Records with NaN are left out.
    threshold
        S*_t, the same length, or one number; infinity is allowed (an lr of 0).
    loss
        L_t, the same length; records with NaN are left out. With it, a swing without a spike of the loss is no
        catapult, y0 is taken before the swing and the drop after it has died. Without it, the oscillation's own O(x²)
        share of the sharpness is in both.
    step
        The steps of the records, increasing integers up to 2⁵³ in magnitude; by default the coordinate ``step`` of
        a DataArray, else 0, 1, 2, ...

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

        Of a run that diverged, only what came before the last swing means anything.
        A swing that has not fallen through the threshold by the end of the record is not listed, nor one after
        which the sharpness is not lower than before. Nor, with a loss, is one in which the loss does not rise above
        its least since the onset, by more than rounding (a part of 10¹² of its largest magnitude there).

    Raises
    ------
    TypeError, ValueError
        If lengths differ, or a value is infinite or beyond 2e307 in magnitude.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(curvature=1.0)
    >>> start, previous = ss.flip_start(loss, loss.minimum(), size=1e-4)
    >>> run = ss.simulate(loss, ss.HeavyBall(lr=2.02), start, 4000, previous=previous)
    >>> found = ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)
    >>> found.sizes["catapult"], round(float(found.overshoot[0]), 3)
    (1, 1.01)
    """
    s = _record("sharpness", sharpness)
    thresholds = _thresholds(threshold, s.size)
    losses = None if loss is None else _same_length("loss", _record("loss", loss), s.size)
    steps = _steps(getattr(sharpness, "coords", {}).get("step") if step is None else step, s.size)
    known = ~np.isnan(s) if losses is None else ~(np.isnan(s) | np.isnan(losses))
    if not known.all():
        s, thresholds, steps = s[known], thresholds[known], steps[known]
        losses = None if losses is None else losses[known]
    strides = np.diff(steps)
    smooth = smoothed(s, strides)
    excess = smooth - thresholds
    if (strides % 2 == 1).any() and np.isfinite(thresholds).all():
        excess, thresholds = smoothed(s - thresholds, strides), smoothed(thresholds, strides)
    rows = [row for row in _swings(smooth, excess, losses) if row["drop"] > 0 and row.pop("spiked")]
    for row in rows:
        row["relative_excess"] = row["peak_excess_sharpness"] / float(thresholds[row.pop("top")])
        row["overshoot"] = row["drop"] / (2.0 * row["peak_excess_sharpness"])
        for name in ("onset", "crossing", "peak", "died"):
            row[name] = steps[int(row[name])] if row[name] >= 0 else -1
    return former_names.with_old_names(_catapult_dataset(rows), former_names.MEASURES)


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


def _catapult_dataset(rows: list[dict[str, float]]) -> xarray.Dataset:
    from selfstab.observables.table import Catapults

    out: xarray.Dataset = Catapults(coords={"catapult": np.arange(len(rows))})
    for name, (long_name, units) in _CATAPULT.items():
        dtype = np.int64 if units == "step" else np.float64
        out[name] = ("catapult", np.array([row[name] for row in rows], dtype=dtype))
        out[name].attrs.update(long_name=long_name, units=units)
    return out


_ROUNDING = 1e-12
"""A rise of the loss by less than this share of its magnitude is no spike."""


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


def smoothed(values: Array, strides: Array | None = None) -> Array:
    """Return values without their alternation from step to step, of records these strides apart (1 by default).

    Each is the mean of itself and of the line through its neighbours an odd number of steps away, or of the only such
    neighbour; one without any is rid of what the record before it alternates by, if that is known.
    """
    if values.size < 2:
        return values.copy()
    apart = np.ones(values.size - 1) if strides is None else strides.astype(np.float64)
    odd = np.concatenate([[False], apart % 2 == 1, [False]])
    left, right = odd[:-1], odd[1:]
    out = values.copy()
    # The mean of two removes an alternation as well; a raw end would be taken for a crossing.
    only = np.flatnonzero(left & ~right)
    out[only] = 0.5 * (values[only - 1] + values[only])
    only = np.flatnonzero(right & ~left)
    out[only] = 0.5 * (values[only] + values[only + 1])
    both = np.flatnonzero(left & right)
    before, after = apart[both - 1], apart[both]
    out[both] = 0.5 * values[both] + 0.5 * (
        (after * values[both - 1] + before * values[both + 1]) / (before + after)
    )
    if odd.any():
        for k in np.flatnonzero(~left & ~right)[int(not (left[0] or right[0])) :]:
            out[k] = values[k] - (values[k - 1] - out[k - 1])
    return out


def _swings(smooth: Array, excess: Array, losses: Array | None) -> Iterable[dict[str, Any]]:
    """Yield the swings by indices; see :func:`catapults`."""
    inside = np.concatenate([[False], excess > 0, [False]])
    inside[1] = False
    onsets = np.flatnonzero(inside[1:-1] & ~inside[:-2])
    crossings = np.flatnonzero(~inside[2:] & inside[1:-1]) + 1
    for k, (onset, crossing) in enumerate(zip(onsets, crossings, strict=True)):
        end = int(onsets[k + 1]) if k + 1 < len(onsets) else excess.size
        if crossing >= end:
            continue
        peak, died, spike, spiked = -1, int(crossing), np.nan, True
        before = np.arange(onset, crossing)
        if losses is not None:
            peak = int(onset + np.argmax(losses[onset:end]))
            base = losses[onset : peak + 1].min()
            spike = losses[peak] - base
            spiked = spike > _ROUNDING * np.abs(losses[onset:end]).max()
            low = np.flatnonzero(losses[onset:peak] - base <= 0.1 * spike)
            before = np.arange(onset, min(crossing, onset + (low[-1] if low.size else 0) + 1))
            after = losses[peak:end]
            late = np.flatnonzero(after - after.min() > 0.01 * (losses[peak] - after.min()))
            died = min(max(died, peak + (int(late[-1]) + 1 if late.size else 0)), end - 1)
        top = int(before[np.argmax(excess[before])])
        yield {
            "top": top,
            "onset": float(onset),
            "crossing": float(crossing),
            "peak": float(peak),
            "died": float(died),
            "peak_excess_sharpness": float(excess[top]),
            "drop": float(smooth[top] - smooth[died:end].min()),
            "loss_spike": float(spike),
            "spiked": spiked,
        }
