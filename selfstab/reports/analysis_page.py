"""The report on a recorded run as a page: its pictures, and the HTML that needs no network."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.kernels.measures import PRECONDITIONED, which_sharpness
from selfstab.notices import printable
from selfstab.records.comparison.analysis_text import (
    COLUMNS,
    cells_of,
    inertia_formula,
    listed,
    meanings,
    notes_of,
    summary,
    threshold_formula,
)
from selfstab.records.comparison.cautions import WORDS, cautions_of, law_applies
from selfstab.reports import pages

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

_OF_SHARPNESS: Final = (
    "onset", "crossing", "died", "peak_excess_sharpness", "relative_excess", "inertia_number", "drop", "predicted_drop",
    "overshoot", "predicted_overshoot",
)  # fmt: skip
_OF_LOSS: Final = (
    "loss_spike", "predicted_loss_spike", "growth", "predicted_growth", "sharpening_rate", "steps_above",
)  # fmt: skip

_MOST_ON_PAGE: Final = 200

_SMALL_PART: Final = 0.5
"""A catapult has a picture of its own where that shows less than this share of the run."""


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


def _near_largest(data: xarray.Dataset) -> xarray.Dataset:
    """Return the records about the catapult of the largest drop."""
    largest = int(np.argmax(data["drop"].values))
    begin, died = int(data["onset"][largest]), int(data["died"][largest])
    margin = max(died - begin, 4)
    near = data.sel(step=slice(begin - margin, died + margin))
    few = int(np.isfinite(near[which_sharpness(data["max_stable_sharpness"])].values).sum()) < 2
    return data if few else near


def _draw_largest(data: xarray.Dataset) -> Figure:
    """Draw the catapult of the largest drop."""
    largest, near = int(np.argmax(data["drop"].values)), _near_largest(data)
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


def _caption(data: xarray.Dataset) -> str:
    """Return the caption of the run's picture, which names only what is in it."""
    words = {text for ax in _draw_run(data).axes for text in ax.get_legend_handles_labels()[1]}
    shaded = [
        text
        for label, text in (
            ("catapult", "catapults, from onset to where the swing has died"),
            ("cycle at the edge, S above S*", "cycles at the edge, while S is above S*"),
        )
        if label in words
    ]
    bars = [
        text
        for label, text in (
            ("the law's end", "the sharpness at the end"),
            ("predicted spike", "the highest loss"),
        )
        if any(word.startswith(label) for word in words)
    ]
    out = ["The run."]
    out += [f"Shaded: {', and '.join(shaded)}."] if shaded else []
    out += [f"Bars: {' and '.join(bars)}, as the overshoot law predicts."] if bars else []
    out += ["Grey bars: catapults with a caution."] if any("with cautions" in word for word in words) else []
    out += ["Arrowheads: records above the axis."] if any("above the axis" in word for word in words) else []
    return " ".join(out)


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
    drawings: dict[str, tuple[Callable[[Any], Figure], str]] = {"run": (_draw_run, _caption(data))}
    if data.sizes["catapult"] and _near_largest(data).sizes["step"] < _SMALL_PART * data.sizes["step"]:
        drawings["largest_catapult"] = (_draw_largest, "The catapult of the largest drop.")
    if law_applies(data).any():
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
    data, cut = listed(data, _MOST_ON_PAGE)
    cautions = [[WORDS[name] for name in cautions_of(data, k)] for k in range(data.sizes["catapult"])]
    count = range(data.sizes["catapult"])
    tables = [
        (
            [COLUMNS[name] for name in names],
            [cells_of(data, k, names) for k in count],
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
        notes=notes_of(data),
        versions=json.loads(data.attrs["versions"]),
        inertia=inertia_formula(data),
        threshold=threshold_formula(data),
        preconditioned=which_sharpness(data["max_stable_sharpness"]) == PRECONDITIONED,
    )
