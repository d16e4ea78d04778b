"""The report on a recorded run: a table for the screen, a record for machines, a page to read without network."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.files import write_text
from selfstab.kernels.measures import which_sharpness
from selfstab.notices import printable
from selfstab.records import edge_cycles, formats, outputs
from selfstab.records.analyze import largest_of
from selfstab.records.cautions import CAUTIONS, cautions_of, measured_by
from selfstab.reports import pages

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

_COLUMNS: Final = {
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
_ON_SCREEN: Final = (
    "onset", "died", "relative_excess", "inertia_number", "drop", "overshoot", "predicted_overshoot", "loss_spike",
    "predicted_loss_spike",
)  # fmt: skip

_OF_SHARPNESS: Final = (
    "onset", "crossing", "died", "peak_excess_sharpness", "relative_excess", "inertia_number", "drop", "predicted_drop",
    "overshoot", "predicted_overshoot",
)  # fmt: skip
_OF_LOSS: Final = (
    "loss_spike", "predicted_loss_spike", "growth", "predicted_growth", "sharpening_rate", "steps_above",
)  # fmt: skip

_MOST_ON_SCREEN: Final = 40
_MOST_ON_PAGE: Final = 200
_MOST_NAMED: Final = 8

# -- text ---------------------------------------------------------------------------------------------------------


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
    lines.append(
        f"{count} catapult{'s' * (count != 1)}; {int(data['steps_above_threshold'])} steps above the threshold."
    )
    lines += edge_cycles.sentences(data)
    diverged_at = int(data["diverged_at"])
    open_since = int(data["open_since"]) if "open_since" in data else -1
    if diverged_at >= 0:
        lines.append(f"The run diverged at step {diverged_at}.")
    if open_since >= 0 and diverged_at >= 0:
        lines.append(f"The swing that began at step {open_since} led there: it is no catapult.")
    elif open_since >= 0:
        lines.append(
            f"The record ends during a swing: the sharpness is above the threshold since step {open_since}."
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


def _listed(data: xarray.Dataset, most: int) -> tuple[xarray.Dataset, str]:
    """Return the catapults of the largest drop, in order, and a sentence if they are not all."""
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
    data, cut = _listed(data, _MOST_ON_SCREEN)
    parts += [cut] if cut else []
    cautions = [cautions_of(data, k) for k in range(data.sizes["catapult"])]
    if cautions:
        rows = [
            [
                int(data["number"][k]),
                *(_as_text(data[name].values[k]) for name in _ON_SCREEN),
                ", ".join(cautions[k]),
            ]
            for k in range(len(cautions))
        ]
        parts.append(
            tabulate(
                rows,
                headers=["", *(_COLUMNS[name] for name in _ON_SCREEN), "cautions"],
                disable_numparse=True,
                stralign="right",
            )
        )
    parts += [f"{name}: {text}" for name, text in meanings(data).items()]
    parts += [printable(f"note: {note}") for note in json.loads(data.attrs["notes"])]
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


def _as_text(value: Any) -> str:
    if isinstance(value, np.integer):
        return str(int(value))
    return "" if math.isnan(value) else f"{value:.4g}"


def _range(values: Any) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


# -- files --------------------------------------------------------------------------------------------------------


def check_output(path: Path) -> None:
    """Raise unless an analysis can be written to `path` without harm to what is there.

    Parameters
    ----------
    path
        A page .html, a file of a format that is written, or a folder (no suffix) for page, pictures and data. The file
        has the whole analysis, or the catapults where the format is a table of rows. The folder is new, empty, or
        written by an earlier analysis.

    Raises
    ------
    ValueError, ImportError
        If it cannot.
    """
    if path.suffix not in (".html", ""):
        written = formats.suffixes(written=True)
        if not path.name.lower().endswith(written):
            raise ValueError(
                f"output must end in .html, {formats.listed(written)} or be a folder, got {path.name!r}"
            )
        outputs.check_output(path)
        return
    if not path.parent.is_dir():
        raise ValueError(f"output must be in a folder that exists, got {str(path)!r}")
    if path.suffix == ".html" and path.exists() and not path.is_file():
        raise ValueError(f"output must be a file, got {str(path)!r}, which is none; nothing was changed")
    if path.suffix == "" and path.exists():
        if not path.is_dir():
            raise ValueError(
                f"output must be a folder, got {str(path)!r}, which is none; nothing was changed"
            )
        names = {entry.name for entry in path.iterdir()}
        link = next((entry.name for entry in path.iterdir() if entry.is_symlink()), "")
        if link:  # it would be written through
            raise ValueError(
                f"output must be a folder without links, got {str(path)!r} with {link!r}; nothing was changed"
            )
        if names and not {"index.html", "catapults.csv"} <= names:
            raise ValueError(
                f"output must be a new folder or one of an earlier analysis, got {str(path)!r}; nothing was changed"
            )


def write(data: xarray.Dataset, path: Path, name: str) -> None:
    """Write an analysis: a page, a dataset, the catapults' table, or a folder with all of it.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.
    path
        As for :func:`check_output`.
    name
        What the run is called on the page.
    """
    from selfstab.plotting import style

    check_output(path)
    if path.suffix == ".html":
        write_text(path, page(data, name))
    elif path.suffix:
        whole = not formats.format_to_write(path).tabular
        outputs.write(data if whole else data[_of_catapults(data)], path)
    else:
        path.mkdir(exist_ok=True)
        # First what an earlier folder is known by.
        outputs.write(data[_of_catapults(data)], path / "catapults.csv")
        write_text(path / "index.html", page(data, name))
        for picture, (draw, _) in pictures(data).items():
            style.save(draw(data), path, picture)
        outputs.write(data, path / "analysis.zarr")


def _of_catapults(data: xarray.Dataset) -> list[str]:
    return [str(name) for name, variable in data.data_vars.items() if variable.dims == ("catapult",)]


# -- pictures -----------------------------------------------------------------------------------------------------


def _draw_run(data: xarray.Dataset) -> Figure:
    """Draw sharpness and loss of the whole run, one above the other."""
    from selfstab import plotting
    from selfstab.plotting import style

    with_loss = "loss" in data
    with plotting.paper():
        figure = style.new_figure(style.DOUBLE_COLUMN, 4.2 if with_loss else 2.4)
        axes = list(np.atleast_1d(figure.subplots(1 + with_loss, sharex=True)))
        plotting.draw_catapults(data, axes[0])
        if with_loss:
            plotting.draw_spikes(data, axes[1])
            axes[0].set_xlabel("")
        style.shared_legend(figure, axes, columns=4)
    return figure


def _draw_largest(data: xarray.Dataset) -> Figure:
    """Draw the catapult of the largest drop."""
    largest = int(np.argmax(data["drop"].values))
    begin, died = int(data["onset"][largest]), int(data["died"][largest])
    margin = max(died - begin, 4)
    near = data.sel(step=slice(begin - margin, died + margin))
    if int(np.isfinite(near[which_sharpness(data["max_stable_sharpness"])].values).sum()) < 2:
        near = data
    figure = _draw_run(near.isel(catapult=[largest]))
    step = near["step"].values
    figure.axes[0].set_xlim(float(step[0]), float(step[-1]))
    figure.axes[0].texts[0].set_text(str(largest))
    return figure


def _draw_law(data: xarray.Dataset) -> Figure:
    from selfstab import plotting
    from selfstab.plotting import style

    with plotting.paper():
        figure = style.new_figure(style.SINGLE_COLUMN, 2.6)
        ax = plotting.draw_measured_overshoot(data, figure.add_subplot())
        plotting.legend(ax)
    return figure


def pictures(data: xarray.Dataset) -> dict[str, tuple[Callable[[Any], Figure], str]]:
    """Return what draws each picture of the page, and what it says, by name.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.

    Returns
    -------
    dict
        Function of data and caption, by the file's name.
    """
    drawings: dict[str, tuple[Callable[[Any], Figure], str]] = {
        "run": (
            _draw_run,
            "The run. Shaded: catapults, from onset to where the swing has died. Bars: the sharpness that the "
            "overshoot law predicts at the end, and the highest loss; grey where it carries a caution.",
        )
    }
    if data.sizes["catapult"]:
        drawings["largest_catapult"] = (_draw_largest, "The catapult of the largest drop.")
        drawings["overshoot"] = (
            _draw_law,
            "Overshoot of each catapult, drop/(2y₀), against the inertia number, beside the law. "
            "Open markers: catapults for which the law carries a caution.",
        )
    return drawings


def _inline(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def page(data: xarray.Dataset, name: str) -> str:
    """Return the report's HTML: one page without scripts, with its pictures in it.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.
    name
        What the run is called.

    Returns
    -------
    str
        The page.
    """
    images = [(caption, _inline(draw(data))) for draw, caption in pictures(data).values()]
    lines = summary(data)
    data, cut = _listed(data, _MOST_ON_PAGE)
    cautions = [cautions_of(data, k) for k in range(data.sizes["catapult"])]
    count = range(data.sizes["catapult"])
    tables = [
        (
            [_COLUMNS[name] for name in names],
            [[_as_text(data[name].values[k]) for name in names] for k in count],
        )
        for names in (_OF_SHARPNESS, _OF_LOSS)
        if cautions and np.isfinite([data[name].values for name in names]).any()
    ]
    return pages.filled(
        "run.html",
        name=printable(name),
        summary=[*lines, cut] if cut else lines,
        pictures=images,
        numbers=data["number"].values.tolist(),
        tables=tables,
        cautions_of_each=cautions,
        meanings=meanings(data),
        notes=[printable(str(note)) for note in json.loads(data.attrs["notes"])],
        versions=json.loads(data.attrs["versions"]),
        lookahead=float(data.attrs["lookahead"]),
    )
