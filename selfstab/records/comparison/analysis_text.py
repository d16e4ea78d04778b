"""The report on a recorded run as text: sentences, a table for the screen, a record for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.kernels.measures import PRECONDITIONED, which_sharpness
from selfstab.notices import printable
from selfstab.records.comparison import edge_cycles, rises
from selfstab.records.comparison.analyze import largest_of
from selfstab.records.comparison.cautions import CAUTIONS, WORDS, cautions_of, law_applies, measured_by
from selfstab.records.comparison.conclusion import conclusion
from selfstab.records.comparison.laws import HeavyBallLaws, Laws, laws_of, optimizer_of

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
    "predicted_loss_spike": "law's spike",
    "growth": "growth",
    "predicted_growth": "predicted growth",
    "sharpening_rate": "sharpening",
    "steps_above": "steps above",
}
"""Heads of a table's columns."""

_OF_LAW: Final = ("predicted_drop", "predicted_overshoot", "predicted_loss_spike")
"""What the overshoot law says, where it applies."""

NONE: Final = "\N{EN DASH}"
"""What tables have for a number that is not defined, and for what the law says where it does not apply."""

OF_SHARPNESS: Final = (
    "onset",
    "relative_excess",
    "inertia_number",
    "drop",
    "overshoot",
    "predicted_overshoot",
)
OF_LOSS: Final = ("died", "loss_spike", "predicted_loss_spike")
"""Columns of the two tables for the screen: each is at most 80 characters wide."""

_MOST_ON_SCREEN: Final = 40
_MOST_NAMED: Final = 8


def summary(data: xarray.Dataset) -> list[str]:
    """Return what a run is in lines of text: a conclusion, its length, settings, and how often it catapults.

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
    name = optimizer_name(data)
    lines = [
        conclusion(data),
        f"{data.sizes['step']} records, steps {step[0]} to {step[-1]}; "
        + (f"{name}, " if name else "")
        + f"lr {_range(data['lr'].values)}"
        + (f", momentum {_range(momentum)}" if np.isfinite(momentum).any() else "")
        + (f", lookahead {data.attrs['lookahead']:g}" if data.attrs["lookahead"] else "")
        + f"; threshold {_range(data['max_stable_sharpness'].values)}.",
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
    lines += rises.sentences(data)
    beyond = np.flatnonzero(~law_applies(data)).tolist()
    if beyond:
        lines.append(f"The law does not apply to {_numbers(beyond)}: it would take the sharpness below 0.")
    return lines


def optimizer_name(data: xarray.Dataset) -> str:
    """Return what a run's optimizer is called in a report; nothing for heavy ball.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    str
        Such as "Adam".
    """
    name = str(json.loads(data.attrs.get("optimizer", "{}")).get("name", ""))
    preconditioned = which_sharpness(data["max_stable_sharpness"]) == PRECONDITIONED
    if name == "AveragedHeavyBall":
        return "averaged momentum" + ", preconditioned as Adam's" * preconditioned
    return name or "preconditioned heavy ball" * preconditioned


def threshold_formula(data: xarray.Dataset) -> str:
    """Return the formula of a run's threshold, by its optimizer.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    str
        A sentence.
    """
    laws = _laws(data)
    lr, momentum, limits = (data[name].values for name in ("lr", "momentum", "max_stable_sharpness"))
    formula = f"The threshold is {laws.formula}"
    if which_sharpness(data["max_stable_sharpness"]) == PRECONDITIONED:
        formula += ", of the preconditioned sharpness"
    usual = laws.thresholds(lr, momentum)
    both = np.isfinite(usual) & np.isfinite(limits)
    if not np.allclose(limits[both], usual[both], rtol=1e-6, atol=0.0):
        formula += "; the recorded one differs from it, as by decoupled weight decay"
    return formula + "."


def inertia_formula(data: xarray.Dataset) -> str:
    """Return what κ is in a run's report, by its optimizer.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    str
        A formula, or words.
    """
    laws = _laws(data)
    if not isinstance(laws, HeavyBallLaws):
        return "κ is the optimizer's effective inertia number at ε"
    return (
        "κ is that with lookahead, from the theory of the family"
        if laws.lookahead
        else "κ = ε((1 + β)/(1 − β))²"
    )


def _laws(data: xarray.Dataset) -> Laws:
    optimizer = optimizer_of(json.loads(data.attrs["optimizer"])) if "optimizer" in data.attrs else None
    return laws_of(optimizer, float(data.attrs["lookahead"]))


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
        Sentence by what the caution is called.
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
            out[WORDS[name]] = f"{text}. ({measured}{more})" if measured else f"{text}."
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
    parts = summary(data)
    data, cut = listed(data, _MOST_ON_SCREEN)
    parts += [cut] if cut else []
    parts += tables(data, "simple")
    parts += [f"{k}. {name}: {text}" for k, (name, text) in enumerate(meanings(data).items(), start=1)]
    parts += [f"note: {note}" for note in notes_of(data)]
    return "\n".join(parts)


def as_html(data: xarray.Dataset) -> str:
    """Return the summary, the catapults' tables, cautions and notes as a part of a page.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    str
        HTML.
    """
    lines = summary(data)
    data, cut = listed(data, _MOST_ON_SCREEN)
    parts = [f"<p>{escape(line)}</p>" for line in [*lines, cut] if line]
    parts += tables(data, "html")
    cautions = [f"<li>{escape(name)}: {escape(text)}</li>" for name, text in meanings(data).items()]
    parts += [f"<p>Cautions:</p><ol>{''.join(cautions)}</ol>"] if cautions else []
    notes = [f"<li>{escape(note)}</li>" for note in notes_of(data)]
    parts += [f"<p>Notes:</p><ul>{''.join(notes)}</ul>"] if notes else []
    return "\n".join(parts)


def tables(data: xarray.Dataset, form: str) -> list[str]:
    """Return the tables of catapults, of the sharpness and of the loss with the cautions' numbers.

    Parameters
    ----------
    data
        What :func:`listed` returns.
    form
        Of tabulate's.

    Returns
    -------
    list of str
        Two tables; none without a catapult.
    """
    from tabulate import tabulate

    count = range(data.sizes["catapult"])
    numbers = {name: str(k) for k, name in enumerate(meanings(data), start=1)}
    of_each = [[numbers[WORDS[name]] for name in cautions_of(data, k)] for k in count]
    first = [[int(data["number"][k]), *cells_of(data, k, OF_SHARPNESS)] for k in count]
    second = [
        [int(data["number"][k]), *cells_of(data, k, OF_LOSS), " ".join(of_each[k]) or NONE] for k in count
    ]
    return [
        str(tabulate(rows, headers=headers, tablefmt=form, disable_numparse=True, stralign="right"))
        for rows, headers in (
            (first, ["", *(COLUMNS[name] for name in OF_SHARPNESS)]),
            (second, ["", *(COLUMNS[name] for name in OF_LOSS), "cautions"]),
        )
        if rows
    ]


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
    applies = law_applies(data)
    catapults = [
        {name: _plain(data[name].values[k]) for name in names}
        | {"cautions": cautions_of(data, k), "law_applies": bool(applies[k])}
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
            "unclear": int(data["unclear"]),
            "loss_noise": _plain(data["loss_noise"].values[()]),
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


def cells_of(data: xarray.Dataset, catapult: int, names: Sequence[str]) -> list[str]:
    """Return a catapult's numbers as a table has them; a dash for what the law says where it does not apply.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.
    catapult
        Its number, from 0.
    names
        Of variables along catapult.

    Returns
    -------
    list of str
        One for each name.
    """
    applies = bool(law_applies(data)[catapult])
    return [
        NONE if name in _OF_LAW and not applies else as_text(data[name].values[catapult]) for name in names
    ]


def as_text(value: Any) -> str:
    """Return a number as tables have it; a dash for NaN.

    >>> as_text(np.int64(3)), as_text(0.123456), as_text(float("nan"))
    ('3', '0.1235', '–')
    """
    if isinstance(value, np.integer):
        return str(int(value))
    return NONE if math.isnan(value) else f"{value:.4g}"


def _range(values: Any) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
