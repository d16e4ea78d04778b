"""Swings of a record, and what each is: a catapult, a cycle at the edge, one without an end, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from selfstab.validation import Array, Integers

DIED: Final = 0.01
"""A swing has died where its loss, or the square of its amplitude, is within this share of its peak."""

BELOW: Final = 0.5
"""A swing has died below the threshold where S* − S is then this share of its largest S − S*, or more."""

NOISE: Final = 8.0
"""A rise of the loss is a spike where it is larger than this many deviations of the loss's noise."""

LARGE_RISE: Final = 0.1
"""A rise within the noise is no drift where it is more than this share of the loss before it: it may be a spike."""

_ROUNDING: Final = 1e-12  # a rise of the loss by less than this share of its magnitude is no spike
_ENOUGH: Final = 20
_LEAST_TAIL: Final = 8
_TAIL: Final = 0.1

Kind = Literal["catapult", "edge cycle", "open", "drift", "unclear", "none"]
"""What a swing is: a catapult; a cycle at the edge; one whose end is not in the record; a drift, in which the loss
does not rise, or by little within its noise; unclear, if it rises by much within its noise; or none of these."""


@dataclass(frozen=True)
class Records:
    """Records of a run in which swings are looked for, without NaN; trusted.

    Parameters
    ----------
    steps, sharpness, thresholds
        Of each record.
    losses
        Of each, or None.
    momentum
        β of each, or None where it is not known.
    diverged
        Whether the run diverged after the last.
    """

    steps: Array | Integers
    sharpness: Array
    thresholds: Array
    losses: Array | None = None
    momentum: Array | None = None
    diverged: bool = False


@dataclass(frozen=True)
class Swing:
    """One swing of a record; and what :func:`catapults` says of each.

    Parameters
    ----------
    kind
        What it is.
    onset, crossing, peak, died, end
        Steps; −1 where there is none. `end` is the onset of the next swing, or the last record.
    returned
        Whether the loss came back to near its later minimum before the end.
    largest_excess
        The largest smoothed S − S* from onset to crossing.
    peak_excess_sharpness, relative_excess, drop, overshoot, loss_spike
        As of a catapult.
    decay
        Factor by which theory lets the swing decay before the sharpness is back at the threshold, 1/√DIED or more in a
        catapult; NaN where it does not count.
    depth
        S* − S where the swing has died, over the largest S − S*, BELOW or more in a catapult; NaN where the swing has
        not died.
    relative_rise
        The loss's spike, divided by the magnitude of the least loss before it; NaN without a loss.
    """

    kind: Kind
    onset: int
    crossing: int
    peak: int
    died: int
    end: int
    returned: bool
    largest_excess: float
    peak_excess_sharpness: float
    relative_excess: float
    drop: float
    overshoot: float
    loss_spike: float
    decay: float = np.nan
    depth: float = np.nan
    relative_rise: float = np.nan


def swings_of(records: Records) -> list[Swing]:
    """Return the swings of a record in order, each with its kind; trusted.

    A swing of kind "none" is not listed by anything: the sharpness is not lower after it.
    """
    steps, s, thresholds = records.steps, records.sharpness, records.thresholds
    strides = np.diff(steps)
    smooth = smoothed(s, strides)
    excess = smooth - thresholds
    if (strides % 2 == 1).any() and np.isfinite(thresholds).all():
        excess, thresholds = smoothed(s - thresholds, strides), smoothed(thresholds, strides)
    noise = loss_noise(records)
    found: list[Swing] = []
    for row in _swings(smooth, excess, records.losses):
        top = row.pop("top")
        spiked = row.pop("spike_share") > _ROUNDING and not row["loss_spike"] <= NOISE * noise
        kind: Kind = "none"
        if row["crossing"] < 0:
            kind = "open"
        elif not spiked:
            kind = "unclear" if row["relative_rise"] > LARGE_RISE else "drift"
        elif row["drop"] > 0:
            before = found[-1].kind if found else "none"
            kind, row["decay"], row["depth"] = _kind(records, row, excess, thresholds, before)
        y0 = row["peak_excess_sharpness"]
        row["relative_excess"] = y0 / float(thresholds[top])
        row["overshoot"] = row["drop"] / (2.0 * y0)
        for name in ("onset", "crossing", "peak", "died", "end"):
            row[name] = int(steps[min(row[name], steps.size - 1)]) if row[name] >= 0 else -1
        found.append(Swing(kind, **row))
    return _without_preludes(found) if records.diverged else found


def _without_preludes(found: list[Swing]) -> list[Swing]:
    """Return the swings of a run that diverged: the last ones, between which the loss did not come back, are open."""
    first = len(found)
    while first > 0 and not found[first - 1].returned:
        first -= 1
    return [
        replace(swing, kind="open")
        if k >= first and swing.kind not in ("drift", "unclear", "none")
        else swing
        for k, swing in enumerate(found)
    ]


def _kind(
    records: Records, row: dict[str, Any], excess: Array, thresholds: Array, before: Kind
) -> tuple[Kind, float, float]:
    """Return what a swing is that crosses the threshold twice, with a spike and a drop, its decay and its depth."""
    onset, crossing, died, end = (row[name] for name in ("onset", "crossing", "died", "end"))
    last, returned, with_loss = end == excess.size, row["returned"], records.losses is not None
    if last and with_loss and records.diverged and not returned:
        return "open", np.nan, np.nan
    limits = thresholds[crossing:end]
    with np.errstate(over="ignore", invalid="ignore"):
        below = np.where(np.isfinite(limits), np.maximum(-excess[crossing:end], 0.0) / limits, 1.0)
    sped_up = 1.0
    if records.momentum is not None:
        sped_up = (1.0 + records.momentum[crossing]) / (1.0 - records.momentum[crossing])
    strides = np.diff(records.steps[crossing:end], append=records.steps[end - 1] + 1)
    with np.errstate(over="ignore"):
        rate = float(np.sum(np.minimum(2.0 * below * sped_up, 1.0) * strides))
        decay = float(np.exp(rate))
    if rate >= -0.5 * np.log(DIED) and (returned or last or not with_loss):
        return "catapult", decay, np.nan
    if with_loss:
        # At the record's end the least loss may be that of a swing that still dies.
        dead = returned and not (last and end - died < _TAIL * (end - crossing))
        low = excess[died] if dead else np.nan
    else:
        # Without a loss nothing says when the swing has died. Where the momentum is known, the decay tells.
        low = excess[crossing:end].min() if records.momentum is None else np.nan
    depth = float(-low) / row["largest_excess"]
    if depth >= BELOW:
        return "catapult", decay, depth
    if last and before != "edge cycle" and end - crossing < max(crossing - onset, _LEAST_TAIL):
        return "catapult", decay, depth  # that it has not died yet is a caution of analyze
    return "edge cycle", decay, depth


def loss_noise(records: Records) -> float:
    """Return the deviation of the loss's noise from record to record; 0 without a loss."""
    return 0.0 if records.losses is None else white_noise(smoothed(records.losses, np.diff(records.steps)))


def white_noise(smooth: Array) -> float:
    """Return the deviation of white noise in records, from third differences of their smooth; 0 of few records.

    The median leaves out the swings, and the (1, 2, 1)/4 mean's third difference has √12/4 of white noise's deviation.
    """
    if smooth.size < _ENOUGH:
        return 0.0
    with np.errstate(over="ignore"):
        return float(1.4826 * np.median(np.abs(np.diff(smooth, 3))) / (np.sqrt(12.0) / 4.0))


def smoothed(values: Array, strides: Array | None = None) -> Array:
    """Return values without their alternation from step to step, of records these strides apart (1 by default).

    Each is the mean of itself and of the line through its neighbours an odd number of steps away, or of the only such
    neighbour. From one without any, what the record before it alternates by is removed, if that is known.
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
    share = after / (before + after)
    out[both] = 0.5 * values[both] + 0.5 * (share * values[both - 1] + (1.0 - share) * values[both + 1])
    if odd.any():
        for k in np.flatnonzero(~left & ~right)[int(not (left[0] or right[0])) :]:
            out[k] = values[k] - (values[k - 1] - out[k - 1])
    return out


def _swings(smooth: Array, excess: Array, losses: Array | None) -> Iterator[dict[str, Any]]:
    """Yield the swings by indices; see :func:`catapults`. One above the threshold at the end has crossing −1."""
    inside = np.concatenate([[False], excess > 0, [False]])
    inside[1] = False
    onsets = np.flatnonzero(inside[1:-1] & ~inside[:-2])
    crossings = np.flatnonzero(~inside[2:] & inside[1:-1]) + 1
    for k, (onset, crossing) in enumerate(zip(onsets, crossings, strict=True)):
        end = int(onsets[k + 1]) if k + 1 < len(onsets) else excess.size
        peak, died, spike, share = -1, min(int(crossing), end - 1), np.nan, np.inf
        relative_rise = np.nan
        before = np.arange(onset, crossing)
        if losses is not None:
            peak = int(onset + np.argmax(losses[onset:end]))
            base = losses[onset : peak + 1].min()
            spike = losses[peak] - base
            largest = np.abs(losses[onset:end]).max()
            share = spike / largest if largest > 0.0 else 0.0
            with np.errstate(over="ignore"):
                relative_rise = spike / abs(base) if base != 0.0 else np.inf if share > _ROUNDING else 0.0
            low = np.flatnonzero(losses[onset:peak] - base <= 0.1 * spike)
            before = np.arange(onset, min(crossing, onset + (low[-1] if low.size else 0) + 1))
            after = losses[peak:end]
            late = np.flatnonzero(after - after.min() > DIED * (losses[peak] - after.min()))
            died = min(max(died, peak + (int(late[-1]) + 1 if late.size else 0)), end - 1)
        top = int(before[np.argmax(excess[before])])
        yield {
            "top": top,
            "onset": int(onset),
            "crossing": int(crossing) if crossing < end else -1,
            "peak": peak,
            "died": died,
            "end": end,
            "returned": losses is not None and died < end - 1,
            "largest_excess": float(excess[onset:crossing].max()),
            "peak_excess_sharpness": float(excess[top]),
            "drop": float(smooth[top] - smooth[died:end].min()),
            "loss_spike": float(spike),
            "spike_share": float(share),
            "relative_rise": float(relative_rise),
        }
