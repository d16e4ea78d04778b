"""Self-stabilization cycles at the edge, in a recorded run: their period and growth beside theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab import theory
from selfstab.observables.kinds import Records, Swing
from selfstab.validation import Array, Integers

if TYPE_CHECKING:
    import xarray

VARIABLES: Final = {
    "edge_cycle_onset": ("step at which the smoothed sharpness rises through the threshold", "step"),
    "edge_cycle_crossing": ("step at which it falls through the threshold", "step"),
    "edge_cycle_largest_excess": ("largest smoothed S - S*", "1/lr"),
    "edge_cycle_period": ("steps to the next onset, NaN of the last", "step"),
    "predicted_edge_cycle_period": (
        "that of a cycle of this size, by alpha before the edge, or else at the onset",
        "step",
    ),
    "edge_cycle_growth": ("largest S - S* of the next cycle, divided by that of this one", "1"),
    "predicted_edge_cycle_growth": ("exp(2 pi kappa) of small cycles, kappa by the measured period", "1"),
    "edge_cycle_decay": ("factor of the swing's decay below the threshold, by theory; 10 in a catapult", "1"),
    "edge_cycle_depth": (
        "S* - S once the swing has died over the largest S - S*, NaN if it does not die",
        "1",
    ),
    "edge_cycle_late_fall": (
        "share of the loss's fall in the later half of the steps from crossing to next onset",
        "1",
    ),
}
"""Along the dimension edge_cycle, with long names and units."""

_FEWEST: Final = 2
"""Fewer cycles than these have no median."""

_DIFFERS: Final = 1.5
"""By such a factor the cubic model's median differs from the measured one."""

_NEAR_ONSET: Final = 12  # records about the onset, as a share of those above the threshold
_STEPS: Final = ("edge_cycle_onset", "edge_cycle_crossing")


def with_edge_cycles(
    data: xarray.Dataset, found: list[Swing], records: Records, smooth: Array, lr: Array
) -> xarray.Dataset:
    """Return a dataset with the cycles at the edge added along a dimension of their own; trusted.

    Parameters
    ----------
    data
        Of the run.
    found
        All swings of the records.
    records
        Where sharpness is known.
    smooth, lr
        The smoothed sharpness and the learning rate of each record.
    """
    import xarray

    cycles = [k for k, swing in enumerate(found) if swing.kind == "edge cycle"]
    columns: dict[str, list[float]] = {name: [] for name in VARIABLES}
    alpha = np.nan
    for k in cycles:
        swing = found[k]
        at = int(np.searchsorted(records.steps, swing.onset))
        if k == 0 or found[k - 1].kind != "edge cycle":
            alpha = _sharpening_before(found, k, records, smooth, lr)
        follows = k + 1 < len(found) and swing.end < records.steps[-1]
        period = float(swing.end - swing.onset) if follows else np.nan
        growth = np.nan
        if k + 1 in cycles:
            growth = found[k + 1].largest_excess / swing.largest_excess
        rate = float(lr[at])
        beta = 0.0 if records.momentum is None else float(records.momentum[at])
        known = records.momentum is not None and rate > 0.0
        predicted = predicted_growth = np.nan
        if known:
            driven = alpha if alpha > 0.0 else _sharpening_within(swing, records, smooth, rate / (1.0 - beta))
            if driven > 0.0:
                predicted = float(theory.slow_period(rate, beta, driven, swing.largest_excess))
        if known and np.isfinite(period):
            # A small cycle's period, 2π(1 − β)/√(2a), gives √(2a), and that κ.
            predicted_growth = float(np.exp(2.0 * np.pi**2 * (1.0 + beta) / ((1.0 - beta) * period)))
        values = (
            swing.onset, swing.crossing, swing.largest_excess, period, predicted, growth, predicted_growth,
            swing.decay, swing.depth, _late_fall(swing, records),
        )  # fmt: skip
        for name, value in zip(VARIABLES, values, strict=True):
            columns[name].append(value)
    cycle_table = xarray.Dataset(coords={"edge_cycle": np.arange(len(cycles))})
    for name, (long_name, units) in VARIABLES.items():
        dtype = np.int64 if name in _STEPS else np.float64
        cycle_table[name] = ("edge_cycle", np.array(columns[name], dtype=dtype))
        cycle_table[name].attrs.update(long_name=long_name, units=units)
    return data.merge(cycle_table)


def _late_fall(swing: Swing, records: Records) -> float:
    """Return which share of the loss's fall, from its peak to the next onset, comes after halfway from the crossing."""
    if records.losses is None:
        return float("nan")
    half = 0.5 * (swing.crossing + swing.end)
    peak, middle, end = (int(np.searchsorted(records.steps, step)) for step in (swing.peak, half, swing.end))
    losses = records.losses
    fall = float(losses[peak] - losses[end])
    return float((losses[max(middle, peak)] - losses[end]) / fall) if fall > 0.0 else float("nan")


def _sharpening_before(found: list[Swing], k: int, records: Records, smooth: Array, lr: Array) -> float:
    """Return α by the rise of the sharpness from the swing before a train of cycles to its onset; NaN if unknown."""
    onset = int(np.searchsorted(records.steps, found[k].onset))
    begin = int(np.searchsorted(records.steps, found[k - 1].died)) if k else 0
    rate = slope(records.steps, smooth, begin, onset)
    beta = 0.0 if records.momentum is None else float(records.momentum[onset])
    return float(rate * (1.0 - beta) / lr[onset]) if lr[onset] > 0.0 else float("nan")


def _sharpening_within(swing: Swing, records: Records, smooth: Array, drift: float) -> float:
    """Return α by how fast the sharpness rises through the threshold, where the swing is smallest; NaN if unknown.

    It rises by drift·α(1 − e^q) a step, q < 0 with e^q − 1 − q = m², m = y_max/√α, as on the slow limit's orbits.
    """
    from scipy.optimize import brentq
    from scipy.special import lambertw

    onset, crossing = (int(np.searchsorted(records.steps, step)) for step in (swing.onset, swing.crossing))
    reach = max((crossing - onset) // _NEAR_ONSET, 2)
    near = slice(max(onset - reach, 0), onset + reach + 1)
    if near.start == 0 or onset + reach >= records.steps.size:
        return float("nan")
    excess = smooth[near] - records.thresholds[near]
    rate = float(np.polyfit(records.steps[near] - records.steps[onset], excess, 1)[0]) / drift

    def more(alpha: float) -> float:
        size = 1.0 + swing.largest_excess**2 / alpha
        # e^q = q + 1 + m²
        return float(alpha * -np.expm1(-size - lambertw(-np.exp(-size)).real)) - rate

    # At large m it rises at α, at small ones at y_max √(2α); the truth is below both.
    largest = max(2.0 * rate, (2.0 * rate / swing.largest_excess) ** 2)
    return float(brentq(more, rate, largest)) if np.isfinite(largest) and rate > 0.0 else float("nan")


def slope(steps: Array | Integers, values: Array, begin: int, end: int) -> float:
    """Return the slope over the later half of records begin, ..., end; NaN where fewer than 4."""
    first = begin + (end - begin) // 2
    if end + 1 - first < 4:
        return float("nan")
    return float(np.polyfit(steps[first : end + 1] - steps[first], values[first : end + 1], 1)[0])


def sentences(data: xarray.Dataset) -> list[str]:
    """Return what is said of the cycles at the edge.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    list of str
        Sentences; none without a cycle.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss, optimizer = ss.CubicTaylor(1.0, progressive_sharpening=1e-4), ss.HeavyBall(2.0)
    >>> run = ss.simulate(loss, optimizer, [0.0141, 0.005], 900, previous=[-0.0141, 0.005])
    >>> for sentence in sentences(ss.analyze(run))[2:]:
    ...     print(sentence)
    S* − S, once the loss is back, is 0.23 to 0.28 of the largest S − S*; in a catapult 0.5 or more.
    The period of cycles is 229 steps (median; cubic model 237).
    From one to the next the largest excess grows by a factor of 1.09 (median; cubic model 1.09).
    """
    if "edge_cycle" not in data.sizes or data.sizes["edge_cycle"] == 0:
        return []
    count = data.sizes["edge_cycle"]
    first, last = int(data["edge_cycle_onset"][0]), int(data["edge_cycle_onset"][-1])
    where = f"at step {first}" if count == 1 else f"from step {first} to {last}"
    out = [
        f"{count} self-stabilization cycle{'s' * (count != 1)} at the edge, {where}, no catapult{'s' * (count != 1)}: "
        "the sharpness returns to the threshold before the swing dies.",
        *_reason(data),
    ]
    for measured, predicted, text, unit in (
        ("edge_cycle_period", "predicted_edge_cycle_period", "The period of cycles is", " steps"),
        (
            "edge_cycle_growth",
            "predicted_edge_cycle_growth",
            "From one to the next the largest excess grows by a factor of",
            "",
        ),
    ):
        values, laws = data[measured].values, data[predicted].values
        values, laws = values[np.isfinite(values)], laws[np.isfinite(laws)]
        if values.size < _FEWEST:
            continue
        median = float(np.median(values))
        law = f"median; cubic model {np.median(laws):.3g}" if laws.size else "median"
        out.append(f"{text} {median:.3g}{unit} ({law}).")
        if laws.size and abs(np.log(median / np.median(laws))) > np.log(_DIFFERS):
            out.append("That is far from the cubic model's, which does not describe these cycles.")
    return out


def _reason(data: xarray.Dataset) -> list[str]:
    """Return by which numbers the cycles are no catapults."""
    decay, depth, late = (data[f"edge_cycle_{name}"].values for name in ("decay", "depth", "late_fall"))
    its, swings = ("Its", "swing decays") if decay.size == 1 else ("Their", "swings decay")
    out = []
    if (decay < 10.0).any():
        factors = _span(decay[decay < 10.0])
        out.append(
            f"{its} {swings} by a factor of {factors} until then, by theory; in a catapult by 10 or more."
        )
    if np.isfinite(depth).any():
        shares = _span(depth[np.isfinite(depth)])
        out.append(
            f"S* − S, once the loss is back, is {shares} of the largest S − S*; in a catapult 0.5 or more."
        )
    if (slow := np.isnan(depth) & (decay >= 10.0) & np.isfinite(late)).any():
        shares = _span(100.0 * late[slow])
        out.append(
            f"The loss still falls: {shares}% of its fall comes in the later half of the steps until then. In a "
            "catapult it is back before."
        )
    return out


def _span(values: Array) -> str:
    least, most = (f"{of(values):.2g}" for of in (np.min, np.max))
    return least if least == most else f"{least} to {most}"
