"""The report on a recorded run as text: sentences, a table for the screen, a record for machines."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.notices import printable
from selfstab.records import edge_cycles
from selfstab.records.analyze import largest_of
from selfstab.records.cautions import CAUTIONS, cautions_of, measured_by

if TYPE_CHECKING:
    import xarray

COLUMNS: Final = {
    "onset": "onset",
    "crossing": "crossing",
    "died": "died",
    "peak_excess_sharpness": "y₀",
    "relative_excess": "ε",
    "inertia_number": "κ",
    "drop": "drop",
    "predicted_drop": "law's drop",
    "overshoot": "overshoot",
    "predicted_overshoot": "law's G",
    "loss_spike": "loss spike",
    "predicted_loss_spike": "predicted",
    "growth": "growth",
    "predicted_growth": "predicted",
    "sharpening_rate": "sharpening",
    "steps_above": "steps above",
}
"""Heads of a table's columns."""

_ON_SCREEN: Final = (
    "onset", "died", "relative_excess", "inertia_number", "drop", "overshoot", "predicted_overshoot", "loss_spike",
    "predicted_loss_spike",
)  # fmt: skip

_MOST_ON_SCREEN: Final = 40
_MOST_NAMED: Final = 8


def summary(data: xarray.Dataset) -> list[str]:
    """Return what a run is in lines of text: its length, settings, and how often it catapults.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    list of str
        Sentences.
    """
    step, momentum = data["step"].values, data["momentum"].values
    name = json.loads(data.attrs.get("optimizer", "{}")).get("name", "")
    lines = [
        f"{data.sizes['step']} records, steps {step[0]} to {step[-1]}; "
        + (f"{name}, " if name else "")
        + f"lr {_range(data['lr'].values)}"
        + (f", momentum {_range(momentum)}" if np.isfinite(momentum).any() else "")
        + (f", lookahead {data.attrs['lookahead']:g}" if data.attrs["lookahead"] else "")
        + f"; threshold {_range(data['max_stable_sharpness'].values)}."
    ]
    count = data.sizes["catapult"]
    above = int(data["steps_above_threshold"])
    lines.append(
        f"{count} catapult{'s' * (count != 1)}; {above} step{'s' * (above != 1)} above the threshold."
    )
    lines += edge_cycles.sentences(data)
    diverged_at = int(data["diverged_at"])
    open_since = int(data["open_since"]) if "open_since" in data else -1
    if diverged_at >= 0:
        lines.append(f"The run diverged at step {diverged_at}.")
    if open_since >= 0 and diverged_at >= 0:
        lines.append(f"The swing that began at step {open_since} led there: it is no catapult.")
    elif open_since >= 0 and not data["plateau_ratio"] > 1.0:  # above it by another scale
        lines.append(
            f"The record ends during a swing: the sharpness is above the threshold since step {open_since}."
        )
    if drifts := int(data["drifts"]) if "drifts" in data else 0:
        often = "Once" if drifts == 1 else f"{drifts} times"
        lines.append(
            f"{often} the sharpness drifts through the threshold and back: no swing, since the loss does not rise."
        )
    beyond = [k for k in range(count) if "beyond_sharpness" in cautions_of(data, k)]
    if beyond:
        lines.append(f"The law does not apply to {_numbers(beyond)}: it would take the sharpness below 0.")
    return lines


def _numbers(catapults: list[int]) -> str:
    shown = ", ".join(map(str, catapults[:_MOST_NAMED])) + ", ..." * (len(catapults) > _MOST_NAMED)
    return f"catapult{'s' * (len(catapults) != 1)} {shown}"


def meanings(data: xarray.Dataset) -> dict[str, str]:
    """Return what each caution of these catapults means, with the number of each that it goes by.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns; the variable ``number`` has the catapults' own numbers.

    Returns
    -------
    dict
        Sentence by name.
    """
    numbers = data["number"].values if "number" in data else np.arange(data.sizes["catapult"])
    of_each = [cautions_of(data, k) for k in range(data.sizes["catapult"])]
    out = {}
    for name, text in CAUTIONS.items():
        told = [k for k, names in enumerate(of_each) if name in names]
        if told:
            shown = [(int(numbers[k]), measured_by(data, k, name)) for k in told[:_MOST_NAMED]]
            measured = "; ".join(f"{number}: {value}" for number, value in shown if value)
            more = "; ..." * (len(told) > _MOST_NAMED)
            out[name] = f"{text}. ({measured}{more})" if measured else f"{text}."
    return out


def notes_of(data: xarray.Dataset) -> list[str]:
    """Return the notes on how a run was read, without those that the summary has.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    list of str
        Of what can be seen.
    """
    notes = [str(note) for note in json.loads(data.attrs["notes"])]
    return [
        printable(note) for note in notes if note != f"The run diverged at step {int(data['diverged_at'])}."
    ]


def listed(data: xarray.Dataset, most: int) -> tuple[xarray.Dataset, str]:
    """Return the catapults of the largest drop, in order, and a sentence if they are not all.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.
    most
        How many.

    Returns
    -------
    Dataset, str
        The variable ``number`` has the catapults' own numbers; the sentence is empty if all are listed.
    """
    numbered = data.assign(number=("catapult", np.arange(data.sizes["catapult"])))
    listed = numbered.isel(catapult=largest_of(data, most))
    return listed, f"Listed are the {most} of the largest drop." if data.sizes["catapult"] > most else ""


def table(data: xarray.Dataset) -> str:
    """Return the summary, the catapults' table, cautions and notes as text for the screen.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    str
        Several lines.
    """
    from tabulate import tabulate

    parts = summary(data)
    data, cut = listed(data, _MOST_ON_SCREEN)
    parts += [cut] if cut else []
    cautions = [cautions_of(data, k) for k in range(data.sizes["catapult"])]
    if cautions:
        rows = [
            [
                int(data["number"][k]),
                *(as_text(data[name].values[k]) for name in _ON_SCREEN),
                ", ".join(cautions[k]),
            ]
            for k in range(len(cautions))
        ]
        parts.append(
            tabulate(
                rows,
                headers=["", *(COLUMNS[name] for name in _ON_SCREEN), "cautions"],
                disable_numparse=True,
                stralign="right",
            )
        )
    parts += [f"{name}: {text}" for name, text in meanings(data).items()]
    parts += [f"note: {note}" for note in notes_of(data)]
    return "\n".join(parts)


def as_json(data: xarray.Dataset) -> str:
    """Return the analysis as JSON for machines, what is not defined as null.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    str
        An object with steps, lookahead, diverged_at, steps_above_threshold, open_since, plateau_ratio, notes, and
        lists of catapults and of cycles at the edge.
    """
    names = [str(name) for name, variable in data.data_vars.items() if variable.dims == ("catapult",)]
    catapults = [
        {name: _plain(data[name].values[k]) for name in names} | {"cautions": cautions_of(data, k)}
        for k in range(data.sizes["catapult"])
    ]
    cycles = [
        {name: _plain(data[name].values[k]) for name in edge_cycles.VARIABLES}
        for k in range(data.sizes["edge_cycle"])
    ]
    step = data["step"].values
    return json.dumps(
        {
            "records": int(data.sizes["step"]),
            "steps": [int(step[0]), int(step[-1])],
            "lookahead": float(data.attrs["lookahead"]),
            "diverged_at": int(data["diverged_at"]),
            "steps_above_threshold": int(data["steps_above_threshold"]),
            "open_since": int(data["open_since"]),
            "drifts": int(data["drifts"]),
            "plateau_ratio": _plain(data["plateau_ratio"].values[()]),
            "catapults": catapults,
            "edge_cycles": cycles,
            "notes": json.loads(data.attrs["notes"]),
            "versions": json.loads(data.attrs["versions"]),
        },
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )


def _plain(value: Any) -> int | float | None:
    if isinstance(value, np.integer):
        return int(value)
    return float(value) if math.isfinite(value) else None


def as_text(value: Any) -> str:
    """Return a number as tables have it; nothing for NaN.

    >>> as_text(np.int64(3)), as_text(0.123456), as_text(float("nan"))
    ('3', '0.1235', '')
    """
    if isinstance(value, np.integer):
        return str(int(value))
    return "" if math.isnan(value) else f"{value:.4g}"


def _range(values: Any) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
