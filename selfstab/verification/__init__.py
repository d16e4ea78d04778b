"""Theory against simulation: every closed form with the run that could refute it, and the verdict.

One topic a file, each with its list of predictions; ``registry`` says what a prediction is and how it is judged,
``fits`` fits orders. A new prediction goes into the list of its topic, a new topic into the list below.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.provenance import libraries, this_code
from selfstab.sweeps.runners.pool import progress_bar
from selfstab.verification import (
    adam,
    catapults,
    constrained,
    coupling,
    cycles,
    derivatives,
    deviation,
    edge,
    edge_flow,
    flatter,
    flows,
    gap,
    identities,
    linear,
    linear_edge,
    lookahead,
    networks,
    noise,
    predicted,
    prolonging,
    quadratics,
    universality,
    warmup,
)
from selfstab.verification.fits import LEVELS
from selfstab.verification.registry import FAILS, HOLDS, NOT_RUN, Judged, Measurement, Prediction

if TYPE_CHECKING:
    import xarray

__all__ = ["PREDICTIONS", "Measurement", "Prediction", "exit_code", "table", "verify"]

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    *quadratics.PREDICTIONS,
    *identities.PREDICTIONS,
    *catapults.PREDICTIONS,
    *deviation.PREDICTIONS,
    *universality.PREDICTIONS,
    *lookahead.PREDICTIONS,
    *linear.PREDICTIONS,
    *linear_edge.PREDICTIONS,
    *prolonging.PREDICTIONS,
    *edge.PREDICTIONS,
    *coupling.PREDICTIONS,
    *cycles.PREDICTIONS,
    *noise.PREDICTIONS,
    *gap.PREDICTIONS,
    *warmup.PREDICTIONS,
    *adam.PREDICTIONS,
    *constrained.PREDICTIONS,
    *predicted.PREDICTIONS,
    *flows.PREDICTIONS,
    *edge_flow.PREDICTIONS,
    *derivatives.PREDICTIONS,
    *networks.PREDICTIONS,
    *flatter.PREDICTIONS,
)
"""The registry, in the order of the table."""

_WITHIN: Final = tuple(f"within_{100.0 * level:g}pct" for level in LEVELS)

_LONG_NAMES: Final = {
    "measured": "what the simulation gave",
    "predicted": "what the closed form gives",
    "error": "relative unless the statement says otherwise; signed for comparisons",
    "order": "fitted order of the error in the small parameter",
    "expected_order": "the order that theory gives",
    "band": "how far the order may be from the expected one",
    "tolerance": "the largest error with which it holds",
    **{
        name: f"largest small parameter tried with errors within {100.0 * level:g}%"
        for name, level in zip(_WITHIN, LEVELS, strict=True)
    },
    "relation": "measured = predicted, or a comparison of two measurements",
    "verdict": f"{HOLDS}, {FAILS} or {NOT_RUN}",
    "reason": "why it does not hold, or was not run",
    "statement": "the formula",
    "where": "the simulation",
    "small_parameter": "the parameter of order and domains",
    "source": "the derivation, or the paper",
    "seconds": "time it took",
}


def verify(names: Sequence[str] | None = None, *, progress: bool = True) -> xarray.Dataset:
    """Measure predictions of theory by simulation and judge them.

    Identities must hold to rounding, and boundaries to the width of their bisection. For asymptotic forms the order of
    the error in the small parameter is fitted, and must be the expected one.

    Parameters
    ----------
    names
        Predictions by name, such as "Q1 modes", or by the first words of their names, such as "Q1"; by default all. A
        derivation's name, such as "a5_overshoot", selects the predictions of its result.

    progress
        Whether to show a bar on standard error, in a terminal or a notebook.

    Returns
    -------
    xarray.Dataset
        Dimension prediction (its name), in the registry's order. Variables:

        - measured, predicted, error: of the worst case, or at the smallest value of the small parameter. The error
          is relative unless the statement says otherwise.
        - order, expected_order, band: of the error in the small parameter; NaN for identities.
        - tolerance: the largest error with which it holds; NaN where only the order is judged.
        - relation: "=" or "<"; a comparison's error is measured/predicted − 1, and a tolerance below 0 its margin.
        - within_1pct, within_5pct, within_20pct: the largest value of the small parameter up to which the closed form
          is within that error, among those tried; NaN where it does not apply.
        - verdict: "holds", "fails" or "not run"; reason: why, empty if it holds.
        - statement, where, small_parameter, source: text. seconds: the time it took; entries on one network share runs.

    Raises
    ------
    TypeError, ValueError
        If a name is not known (the message has those most like it), repeated, or there is none.

    Examples
    --------
    >>> import selfstab as ss
    >>> found = ss.verify(["Q3"])
    >>> found.verdict.values.tolist()
    ['holds', 'holds']
    >>> round(float(found.order.sel(prediction="Q3 growth leading")), 1)
    2.0
    """
    predictions, rows = _named(names), []
    with progress_bar(len(predictions), "prediction", progress) as bar:
        for prediction in predictions:
            bar.set_description_str(prediction.name, refresh=False)
            rows.append(prediction.run())
            bar.update()
    return _dataset(rows)


def _named(names: Any) -> list[Prediction]:
    if names is None:
        return list(PREDICTIONS)
    if isinstance(names, str):
        names = [names]
    if isinstance(names, Sequence):
        for name in names:
            if isinstance(name, str) and not meant_by(name):
                raise _unknown(name)
        names = [meant for name in names for meant in meant_by(name) or [name]]
    selection = validation.some_of("names", names, _known_names())
    if not selection:
        raise ValueError("names must hold at least one name, got none")
    return [p for p in PREDICTIONS if p.name in selection or p.name.split()[0] in selection]


def _known_names() -> list[str]:
    """Return the names of all predictions, and the first words of them, each of which is a name of a group."""
    return [*(p.name for p in PREDICTIONS), *dict.fromkeys(p.name.split()[0] for p in PREDICTIONS)]


def meant_by(name: Any) -> list[str]:
    """Return the names that a text means: in any case of letters, by first words, or by a derivation's name."""
    if not isinstance(name, str):
        return []
    known = {word.lower(): word for word in _known_names()}
    if exact := known.get(name.lower(), known.get(name.lower().partition("_")[0])):
        return [exact]
    words = name.lower().split()
    return [word for lower, word in known.items() if words and lower.split()[: len(words)] == words]


def _unknown(name: str) -> validation.ArgumentError:
    """Return the error of a name that means no prediction, with the names most like it."""
    close = validation.most_like(name, _known_names(), count=3, cutoff=0.4)
    return validation.ArgumentError(
        "names",
        f"must be names of predictions, got {validation.shown(name)}"
        + (f"; like it: {', '.join(close)}" if close else "")
        + "; selfstab verify --list shows all",
    )


def _dataset(rows: list[Judged]) -> xarray.Dataset:
    from selfstab.verification.verdicts import Verdicts

    values: dict[str, list[Any]] = {
        "measured": [row.measurement.measured for row in rows],
        "predicted": [row.measurement.predicted for row in rows],
        "error": [row.measurement.error for row in rows],
        "order": [row.measurement.order for row in rows],
        "expected_order": [row.prediction.expected_order for row in rows],
        "band": [row.prediction.band for row in rows],
        "tolerance": [row.prediction.tolerance for row in rows],
        **{name: [row.measurement.domain[k] for row in rows] for k, name in enumerate(_WITHIN)},
        "relation": [row.prediction.relation for row in rows],
        "verdict": [row.verdict for row in rows],
        "reason": [row.reason for row in rows],
        "statement": [row.prediction.statement for row in rows],
        "where": [row.prediction.where for row in rows],
        "small_parameter": [row.prediction.small_parameter for row in rows],
        "source": [row.prediction.source for row in rows],
        "seconds": [row.seconds for row in rows],
    }
    out = Verdicts(coords={"prediction": [row.prediction.name for row in rows]})
    for name, column in values.items():
        out[name] = ("prediction", np.array(column))
        out[name].attrs["long_name"] = _LONG_NAMES[name]
    out["seconds"].attrs["units"] = "s"
    out.attrs.update(versions=json.dumps(this_code() | libraries("numpy")), machine=platform.machine())
    return out


def exit_code(dataset: xarray.Dataset) -> int:
    """Return what a command should exit with: 0 all hold, 1 some fail, 3 none fails but some could not run.

    Parameters
    ----------
    dataset
        What :func:`verify` returns.

    Raises
    ------
    ValueError
        If it has no verdicts.

    Examples
    --------
    >>> import selfstab as ss
    >>> exit_code(ss.verify(["Q1 regions"]))
    0
    """
    verdicts = set(_verdicts(dataset))
    if verdicts == {HOLDS}:
        return 0
    return 3 if verdicts <= {HOLDS, NOT_RUN} else 1


def _verdicts(dataset: xarray.Dataset) -> list[str]:
    if "verdict" not in dataset or dataset["verdict"].size == 0:
        raise ValueError("dataset must be what verify returns, got one without verdicts")
    return [str(v) for v in dataset["verdict"].values]


def table(dataset: xarray.Dataset, *, wide: bool = False) -> str:
    """Return predictions and verdicts as a table of text; below it, what its columns are, and what does not hold.

    Parameters
    ----------
    dataset
        What :func:`verify` returns.
    wide
        Whether to show all columns, which need about 190 characters a line. By default a line has at most 80.

    Returns
    -------
    str
        Lines without a newline at the end.

    Raises
    ------
    ValueError
        If it has no verdicts.

    Examples
    --------
    >>> import selfstab as ss
    >>> table(ss.verify(["Q1 regions"])).splitlines()[-1]
    '1 of 1 hold'
    """
    verdicts = _verdicts(dataset)
    rows = [dataset.isel(prediction=k) for k in range(len(verdicts))]
    below = [
        f"{row['prediction'].item()} {verdict}: {row['reason'].item()} [{row['statement'].item()}]"
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict != HOLDS
    ]
    below.append(f"{verdicts.count(HOLDS)} of {len(verdicts)} hold")
    return "\n".join([_wide(rows) if wide else _narrow(rows), "", *below])


_LEGEND = """\
error: relative deviation of measured from predicted, at the smallest parameter
must be: the largest error allowed, or the order at which the error vanishes,
         with its band; the order measured is in brackets"""


def _narrow(rows: Sequence[xarray.Dataset]) -> str:
    """Return the table of at most 80 characters a line, with its legend."""
    from tabulate import tabulate

    lines = []
    for row in rows:
        if np.isfinite(row["expected_order"]):
            order = f" [{row['order']:.2f}]" if np.isfinite(row["order"]) else ""
            bound = f"{row['expected_order']:.0f} ± {row['band']:g}{order}"
        else:
            bound = f"≤ {row['tolerance']:.0e}"
        lines.append(
            [
                row["prediction"].item(),
                f"{row['measured']:.5g}",
                f"{row['predicted']:.5g}",
                f"{row['error']:.0e}",
                bound,
                row["verdict"].item(),
            ]
        )
    headers = ["prediction", "measured", "predicted", "error", "must be", "verdict"]
    widths = [20, None, None, None, 15, None]
    return tabulate(lines, headers=headers, disable_numparse=True, maxcolwidths=widths) + "\n" + _LEGEND


def _wide(rows: Sequence[xarray.Dataset]) -> str:
    """Return the table with all columns."""
    from tabulate import tabulate

    lines = []
    for row in rows:
        order = f"{row['expected_order']:.0f} ± {row['band']:g}" if np.isfinite(row["expected_order"]) else ""
        lines.append(
            [
                row["prediction"].item(),
                f"{row['measured']:.8g}",
                row["relation"].item(),
                f"{row['predicted']:.8g}",
                f"{row['error']:.1e}",
                f"{row['tolerance']:.0e}" if np.isfinite(row["tolerance"]) else "",
                f"{row['order']:.2f}" if np.isfinite(row["order"]) else "",
                order,
                row["small_parameter"].item(),
                *(f"{row[name]:.2g}" if np.isfinite(row[name]) else "" for name in _WITHIN),
                f"{row['seconds']:.1f}",
                row["verdict"].item(),
            ]
        )
    headers = ["prediction", "measured", "", "predicted", "error", "at most", "order", "expected", "in"]
    headers += [f"within {100.0 * level:g}%" for level in LEVELS] + ["s", "verdict"]
    return str(tabulate(lines, headers=headers, disable_numparse=True))
