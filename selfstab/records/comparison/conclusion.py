"""What a report says first: what happened to the sharpness, whether the law applies, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from selfstab.kernels.measures import which_sharpness
from selfstab.records.comparison.cautions import cautions_of, law_applies

if TYPE_CHECKING:
    import xarray

_REASONS: Final = {
    "other_scale": "sharpness and threshold are of different scales",
    "beyond_sharpness": "the drop that it predicts is larger than the sharpness",
    "several_unstable": "two directions are unstable at once",
    "large_drop": "the drop is large beside the sharpness",
    "settings_moved": "lr or momentum changes during the swing",
    "sharpening": "the sharpness also rises by itself",
    "coarse": "few records are above the threshold",
    "one_sided": "only one side of the flip is recorded",
    "cut_short": "the record ends before the swing has died",
    "begun": "the swing begins before the record",
    "noisy": "the recorded sharpness is noisy",
    "no_loss": "no loss is recorded",
    "growth_differs": "the swing does not grow as predicted",
    "lookahead_series": "the inertia number is large for the series with lookahead",
    "sharpening_unknown": "too little is recorded beside the swing",
}
"""Why the law does not apply or carries a caution, the gravest first."""

_MOST_REASONS: Final = 3
_MOST_REMEDIES: Final = 3


def conclusion(data: xarray.Dataset) -> str:
    """Return what the run comes to in a few sentences.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    str
        From and to which sharpness, at which step; whether the law applies and why not; what to do.
    """
    if data.sizes["catapult"]:
        return " ".join(_of_catapults(data))
    return " ".join(_without_catapult(data))


def _of_catapults(data: xarray.Dataset) -> list[str]:
    largest = int(np.argmax(data["drop"].values))
    y0, excess, drop = (
        float(data[name][largest]) for name in ("peak_excess_sharpness", "relative_excess", "drop")
    )
    top = y0 / excess + y0 if excess else y0
    count = data.sizes["catapult"]
    which = f"catapult {largest}, the largest of {count}, which begins" if count > 1 else "a catapult"
    out = [
        f"The {_name(data)} falls from {top:.4g} to {top - drop:.4g} in {which} at step {int(data['onset'][largest])}."
    ]
    names = cautions_of(data, largest)
    reasons = [text for name, text in _REASONS.items() if name in names]
    listed = _joined(reasons[:_MOST_REASONS])
    if not law_applies(data)[largest]:
        out.append(f"The law does not apply to it: {listed}.")
    elif reasons:
        out.append(f"The law carries {len(reasons)} caution{'s' * (len(reasons) > 1)} for it: {listed}.")
    else:
        measured, law = (float(data[name][largest]) for name in ("overshoot", "predicted_overshoot"))
        out.append(f"The law applies to it: its overshoot is {measured:.3g}, and the law's is {law:.3g}.")
    todo = _remedies(data, names, int(data["onset"][largest]))[:_MOST_REMEDIES]
    return [*out, f"What to do: {_joined(todo)}."] if todo else out


def _remedies(data: xarray.Dataset, names: list[str], onset: int) -> list[str]:
    """Return what to do about a catapult's cautions, the most useful first."""
    before = data["lr"].values[data["step"].values <= onset]
    warmup = bool(before[-1] > before[0])
    momentum = bool((data["momentum"].values > 0.0).any())
    large = "beyond_sharpness" in names or "large_drop" in names
    every = _stride(data) > 1
    all_of = (
        ("other_scale" in names, "check the scale of sharpness, lr and momentum by the notes"),
        (every and not {"coarse", "sharpening_unknown"}.isdisjoint(names), "record every step"),
        ("one_sided" in names, "record every step or at an odd stride"),
        (warmup and (large or "settings_moved" in names), "warm up more slowly"),
        (large and momentum, "lower the momentum"),
        ("cut_short" in names, "record for longer"),
        ("begun" in names, "begin the record below the threshold"),
        ("no_loss" in names, "record the loss"),
        ("noisy" in names, "record the sharpness more exactly"),
    )
    out = [text for holds, text in all_of if holds]
    if "record every step" in out:
        out = [text for text in out if text != "record every step or at an odd stride"]
    return out


def _without_catapult(data: xarray.Dataset) -> list[str]:
    name, scale = _name(data), float(data["plateau_ratio"])
    open_since = int(data["open_since"]) if "open_since" in data else -1
    diverged_at, above = int(data["diverged_at"]), int(data["steps_above_threshold"])
    onsets = data["edge_cycle_onset"].values
    finer = "record every step" if _stride(data) > 1 else "record the loss with less noise"
    if np.isfinite(scale):
        return [
            f"The {name} levels off at {scale:.3g} times the threshold, so that the law does not apply.",
            "What to do: check the scale of sharpness, lr and momentum by the notes.",
        ]
    if diverged_at >= 0:
        since = f"; the {name} is above the threshold since step {open_since}" if open_since >= 0 else ""
        return [
            f"The run diverges at step {diverged_at}{since}. That is no catapult, so that the law does not apply.",
            "What to do: lower lr or warm up more slowly.",
        ]
    if onsets.size:
        times = "Once" if onsets.size == 1 else f"{onsets.size} times"
        return [
            f"{times}, first at step {onsets[0]}, the {name} rises through the threshold and is soon back at it.",
            "These are cycles at the edge and no catapult, so that the law does not apply.",
        ]
    if "unclear" in data and int(data["unclear"]):
        return [
            f"The {name} passes the threshold, and whether it swings there is unclear: the loss is too noisy.",
            f"What to do: {finer}.",
        ]
    if open_since >= 0:
        return [
            f"The {name} is above the threshold since step {open_since}, until the record ends: no catapult yet.",
            "What to do: record for longer.",
        ]
    if above:
        return [
            f"The {name} is above the threshold for {above} step{'s' * (above > 1)} without a catapult.",
            "The law does not apply.",
        ]
    limits = data["max_stable_sharpness"].values
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratios = 1.0 + data["excess_sharpness"].values / limits
    ratios = ratios[np.isfinite(ratios) & np.isfinite(limits)]
    if not ratios.size:
        return [f"No threshold is known where the {name} is recorded, so that nothing can be compared."]
    return [
        f"The {name} stays below the threshold, at {ratios.max():.3g} of it at most: no catapult.",
        "What to do for one: raise lr.",
    ]


def _name(data: xarray.Dataset) -> str:
    return which_sharpness(data["max_stable_sharpness"]).replace("_", " ")


def _stride(data: xarray.Dataset) -> int:
    """Return the median number of steps between records of the sharpness."""
    known = np.isfinite(data[which_sharpness(data["max_stable_sharpness"])].values)
    strides = np.diff(data["step"].values[known])
    return int(np.median(strides)) if strides.size else 1


def _joined(texts: list[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)
