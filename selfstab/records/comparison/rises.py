"""Swings in which the loss rises by no more than its noise, and swings of few records: how sure their kind is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab.observables.kinds import NOISE, Records, Swing, loss_noise

if TYPE_CHECKING:
    import xarray

FEWEST: Final = 8
"""A swing with fewer records above the threshold may be of another kind at another stride."""

VARIABLES: Final = {
    "drifts": ("times that S rises through S* and back without a swing", "1"),
    "drift_rise": ("largest rise of the loss in a drift, NaN without one", "loss"),
    "unclear": ("times that the loss rises by more than a tenth then, but within its noise", "1"),
    "unclear_least_rise": ("least such rise divided by the loss before it, NaN without one", "1"),
    "unclear_largest_rise": ("largest such rise divided by the loss before it, NaN without one", "1"),
    "loss_noise": ("deviation of the loss's noise from record to record", "loss"),
}
"""Scalars, with long names and units."""


def with_rises(data: xarray.Dataset, swings: list[Swing], records: Records) -> xarray.Dataset:
    """Return a dataset with what is known of rises of the loss within its noise; trusted.

    Parameters
    ----------
    data
        Of the run.
    swings
        All swings of the records.
    records
        Where sharpness is known.
    """
    drifts = [swing.loss_spike for swing in swings if swing.kind == "drift"]
    unclear = [swing.relative_rise for swing in swings if swing.kind == "unclear"]
    values = (
        len(drifts), max(drifts, default=np.nan), len(unclear), min(unclear, default=np.nan),
        max(unclear, default=np.nan), loss_noise(records),
    )  # fmt: skip
    for (name, (long_name, units)), value in zip(VARIABLES.items(), values, strict=True):
        data[name] = ((), value)
        data[name].attrs.update(long_name=long_name, units=units)
    return data


def sentences(data: xarray.Dataset) -> list[str]:
    """Return which swings are none by their loss, or may be none, and by which numbers.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    list of str
        One sentence for drifts and some for unclear swings, or none.
    """
    out = []
    noise = float(data["loss_noise"]) if "loss_noise" in data else np.nan
    limit = f"8 deviations of its noise from record to record ({NOISE:g} × {noise:.2g})"
    if drifts := int(data["drifts"]) if "drifts" in data else 0:
        rise = float(data["drift_rise"]) if "drift_rise" in data else 0.0
        reason = f"rises by {rise:.2g} at most, less than {limit}" if rise > 0.0 else "does not rise"
        out.append(
            f"{_often(drifts)} the sharpness drifts through the threshold and back: no swing, since the loss {reason}."
        )
    if unclear := int(data["unclear"]) if "unclear" in data else 0:
        least, most = (f"{float(data[name]):.0%}" for name in ("unclear_least_rise", "unclear_largest_rise"))
        shares = least if least == most else f"{least} to {most}"
        out.append(
            f"{_often(unclear)} it is unclear whether the sharpness swings: it passes the threshold and comes back."
        )
        out.append(f"The loss rises by {shares} then, but by less than {limit}.")
    return out


def stride_notes(swings: list[Swing], records: Records) -> list[str]:
    """Return a note if a swing has so few records that its kind depends on the stride.

    Parameters
    ----------
    swings
        All swings of the records.
    records
        Where sharpness is known.

    Returns
    -------
    list of str
        One sentence or two, or none.
    """
    if not swings or records.losses is None:
        return []
    stride = int(np.median(np.diff(records.steps)))
    ends = [swing.crossing if swing.crossing >= 0 else records.steps[-1] for swing in swings]
    onsets = [swing.onset for swing in swings]
    above = np.searchsorted(records.steps, ends) - np.searchsorted(records.steps, onsets)
    few = int(np.sum((above < FEWEST) & [swing.kind != "open" for swing in swings]))
    if stride < 2 or not few:
        return []
    which = "One swing has" if few == 1 else f"{few} swings have"
    return [
        f"{which} fewer than {FEWEST} records above the threshold. Whether such a swing is a catapult, a cycle or none "
        f"depends on the stride of {stride}: record every step to be sure."
    ]


def _often(times: int) -> str:
    return "Once" if times == 1 else f"{times} times"
