"""Rises of the loss where the sharpness is below the threshold: with full batches the records cannot be so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from selfstab.records.comparison.plateau import causes
from selfstab.validation import Array, Integers

LARGE: Final = 10.0
"""A rise of the loss by more than this factor is told."""

_FEWEST: Final = 8  # records of the sharpness during the rise


@dataclass(frozen=True)
class StableRise:
    """The largest rise of the loss in a part of a run whose sharpness is below the threshold.

    Parameters
    ----------
    factor
        Largest loss divided by the largest one of a whole period before.
    begin, peak
        Steps between which the loss rises.
    ratio
        Largest S/S* there.
    typical
        Median of S/S* there, by which causes are looked for.
    causes
        What it may come from, the likeliest first.
    """

    factor: float
    begin: int
    peak: int
    ratio: float
    typical: float
    causes: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """What is said of it."""
        return [
            f"The loss rises {self.factor:.2g}-fold from step {self.begin} to {self.peak}, where the sharpness is at "
            f"most {self.ratio:.3g} times the threshold. With full batches this cannot be.",
            "Sharpness, learning rate or momentum is of another scale, or the optimizer is another. Likely causes:",
            *(f"- {cause}" for cause in self.causes),
        ]


def stable_rise_of(
    steps: Array,
    ratios: Array,
    momentum: Array,
    lookahead: float,
    loss_steps: Array,
    losses: Array,
) -> StableRise | None:
    """Return the largest rise of the loss below the threshold, if it is more than tenfold; trusted.

    Below the threshold a loss rises, with momentum, no further than the crest before. A direction that oscillates has a
    period of at most 2π/(1 − √β) steps there, so that each period holds a crest.

    Parameters
    ----------
    steps, ratios, momentum
        Of each record of the sharpness: step, S/S*, β.
    lookahead
        γ.
    loss_steps, losses
        Of each record of the loss.
    """
    if losses.size == 0:
        return None
    below = np.concatenate([[False], ratios < 1.0, [False]])
    edges = np.flatnonzero(np.diff(below.astype(np.int64)))
    found: StableRise | None = None
    for first, stop in edges.reshape(-1, 2):
        if stop - first < _FEWEST:
            continue
        beta = float(np.max(momentum[first:stop]))
        if not beta < 1.0:
            continue
        inside = (loss_steps >= steps[first]) & (loss_steps <= steps[stop - 1])
        rise = _largest(loss_steps[inside], losses[inside], 2.0 * np.pi / (1.0 - np.sqrt(beta)))
        if rise is None or rise[0] <= (LARGE if found is None else found.factor):
            continue
        factor, begin, peak = rise
        here = np.flatnonzero((steps >= begin) & (steps <= peak))
        # Records too far apart may hide a passage above the threshold.
        if here.size < _FEWEST or np.diff(steps[here]).max() * _FEWEST > peak - begin + _FEWEST:
            continue
        typical = float(np.median(ratios[here]))
        found = StableRise(
            factor, begin, peak, float(ratios[here].max()), typical, causes(typical, beta, lookahead)
        )
    return found


def _largest(steps: Array, losses: Array, period: float) -> tuple[float, int, int] | None:
    """Return the largest factor by which a loss exceeds all losses of a period before, and between which steps."""
    # Where a record begins within a period, a quarter of it holds the first crest.
    starts = np.flatnonzero(steps >= steps[0] + 0.25 * period) if steps.size else np.empty(0, dtype=np.int64)
    if starts.size == 0 or not (losses > 0.0).all():
        return None
    firsts = np.searchsorted(steps, steps[starts] - period)
    crests = _maxima(losses, firsts, starts + 1)
    later = np.maximum.accumulate(losses[::-1])[::-1][starts]
    with np.errstate(over="ignore"):
        factors = later / crests
    best = int(np.argmax(factors))
    start = int(starts[best])
    peak = start + int(np.argmax(losses[start:]))
    return float(factors[best]), int(steps[start]), int(steps[peak])


def _maxima(values: Array, firsts: Integers, stops: Integers) -> Array:
    """Return the largest of some values from each first place up to its stop, in a time that no window lengthens."""
    lengths = stops - firsts
    out, blocks, size = np.empty(lengths.size), values, 1  # blocks[k] is the largest of values[k : k + size]
    while True:
        here = (lengths >= size) & (lengths < 2 * size)
        out[here] = np.maximum(blocks[firsts[here]], blocks[stops[here] - size])
        if 2 * size > values.size:
            return out
        blocks, size = np.maximum(blocks[:-size], blocks[size:]), 2 * size
