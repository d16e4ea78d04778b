"""Figures of recorded runs: their catapults, the spikes of the loss, the overshoot beside the law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import former_names, theory
from selfstab.kernels.measures import which_sharpness
from selfstab.plotting.contract import require
from selfstab.plotting.labels import label_of
from selfstab.plotting.legends import key_below, refresh_key
from selfstab.plotting.look import THEORY_COLOUR, styled
from selfstab.plotting.methods import METHOD_COLOURS
from selfstab.plotting.style import axes_or_new
from selfstab.plotting.thresholds import DOUBTED
from selfstab.plotting.ticks import name_log_ticks
from selfstab.records.comparison.analyze import largest_of
from selfstab.records.comparison.cautions import law_applies

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from selfstab.validation import Array

_BAND = "#ddaa33"
_EDGE_CYCLE = "#66ccee"
_SECOND = "#999933"
_MOST = 200
_ABOVE = 6.0
_FEW = 0.02
_FAR = 2.0
"""Records of so small a share, at least one, are above the axis where they are so many times above all others."""
_BLOWN_UP = 1e3
_MADE_BY = "what analyze returns"
_CATAPULT = ("catapult",)


def _check(data: Any, along_step: tuple[str, ...], along_catapult: tuple[str, ...]) -> None:
    variables = dict.fromkeys(along_step, ("step",)) | dict.fromkeys(along_catapult, _CATAPULT)
    require("data", data, variables, _MADE_BY)


def _colour(data: xarray.Dataset) -> str:
    return METHOD_COLOURS["PHB" if (data["momentum"].values > 0).any() else "GD"]


def _line(ax: Axes, data: xarray.Dataset, name: str, **look: Any) -> None:
    known = np.isfinite(data[name].values)
    ax.plot(data["step"].values[known], data[name].values[known], **look)


def _bands(ax: Axes, data: xarray.Dataset) -> None:
    catapults = [(data["onset"].values[k], data["died"].values[k]) for k in largest_of(data, _MOST)]
    cycles: list[Any] = []
    if "edge_cycle_onset" in data:
        onsets, crossings = data["edge_cycle_onset"].values, data["edge_cycle_crossing"].values
        cycles = [*zip(onsets, crossings, strict=True)][:_MOST]
    for bands, colour, label in (
        (catapults, _BAND, "catapult"),
        (cycles, _EDGE_CYCLE, "cycle at the edge, S above S*"),
    ):
        for n, (begin, end) in enumerate(bands):
            ax.axvspan(
                float(begin), float(end), color=colour, alpha=0.25, linewidth=0, zorder=0,
                label=label if n == 0 else None,
            )  # fmt: skip


def _highest(known: Array, threshold: float) -> float:
    """Return how high the axis of sharpness goes: to the largest, unless a few records are far above all else."""
    highest = float(known.max())
    if _BLOWN_UP * threshold < highest:  # a run that diverges: its last records are of any size
        return _ABOVE * threshold
    largest = np.sort(known)[::-1]
    few = max(int(_FEW * largest.size), 1)
    if largest.size > few:
        usual = float(largest[few])
        near = threshold if threshold < _ABOVE * usual else usual
        limit = _FAR * max(usual, near)
        if highest > limit > 0.0:
            return float(largest[largest <= limit][0])
    return highest


@styled
def draw_catapults(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw a recorded run's sharpness and threshold, its catapults marked, and where the law lets each end.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.

    Returns
    -------
    matplotlib.axes.Axes
        The axes. Each catapult is shaded from its onset to its end, and numbered. A bar at S* + y₀ minus the predicted
        drop is black where the law should hold, and grey where the catapult has a caution. There is none where the law
        does not apply. Of more than 200 catapults those of the largest drop are marked. Cycles at the edge are shaded
        where the sharpness is above the threshold. The second eigenvalue is drawn if it is recorded. Few records far
        above all others are arrowheads at the top.

    Raises
    ------
    TypeError, ValueError
        If data lacks a variable; the message names it.
    """
    data = former_names.with_names_of_today(data, former_names.ANALYSIS)
    _check(
        data,
        ("sharpness", "max_stable_sharpness", "momentum"),
        ("onset", "died", "drop", "peak_excess_sharpness", "relative_excess", "predicted_drop", "cautions"),
    )
    new = ax is None
    ax = axes_or_new(ax)
    _bands(ax, data)
    name = which_sharpness(data["max_stable_sharpness"])
    _line(ax, data, name, color=_colour(data), label=f"{name.replace('_', ' ')} $S$")
    _line(
        ax,
        data,
        "max_stable_sharpness",
        color=THEORY_COLOUR,
        linestyle="--",
        linewidth=0.8,
        label="threshold $S^*$",
    )
    if f"second_{name}" in data:
        _line(ax, data, f"second_{name}", color=_SECOND, linewidth=0.8, label="second eigenvalue")
    known = data[name].values[np.isfinite(data[name].values)]
    thresholds = data["max_stable_sharpness"].values
    least = float(np.min(thresholds[np.isfinite(thresholds)], initial=np.inf))
    lowest, highest = float(known.min()), _highest(known, least)
    if least < _ABOVE * highest:  # how far the threshold is shows where it is near
        highest = max(highest, least)
    margin = 0.08 * (highest - lowest if highest > lowest else abs(highest) or 1.0)
    if f"second_{name}" in data:
        second = data[f"second_{name}"].values
        lowest = min(lowest, float(np.min(second[np.isfinite(second)], initial=lowest)))
    above = data[name].values > highest + 2.0 * margin
    if above.any():
        ax.plot(
            data["step"].values[above], np.full(int(above.sum()), highest + 1.6 * margin), "^", markersize=4,
            color=_colour(data), label=f"above the axis, up to {float(known.max()):.3g}",
        )  # fmt: skip
    applies = law_applies(data)
    for k in largest_of(data, _MOST):
        y0 = float(data["peak_excess_sharpness"][k])
        end = y0 / float(data["relative_excess"][k]) + y0 - float(data["predicted_drop"][k])
        begin, died = float(data["onset"][k]), float(data["died"][k])
        trusted = int(data["cautions"][k]) == 0
        if applies[k] and end > lowest - 4.0 * margin:
            ax.hlines(
                end, begin, died, color=THEORY_COLOUR if trusted else DOUBTED, linewidth=1.4,
                label="the law's end" if trusted else "the law's end, with cautions",
            )  # fmt: skip
            lowest = min(lowest, end)
        if data.sizes["catapult"] <= 12:
            ax.annotate(
                str(k), (begin, 1.0), xycoords=("data", "axes fraction"), fontsize=6, ha="left", va="bottom"
            )
    # lr's warmup begins with a threshold of any height.
    ax.set_ylim(lowest - margin, highest + 2.0 * margin)
    ax.set(xlabel=label_of("step"), ylabel=label_of(name))
    if new:
        key_below(ax, columns=3)
    return ax


@styled
def draw_spikes(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw a recorded run's loss, its catapults shaded, and the height predicted for each spike.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns of a run with a loss.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, logarithmic where no loss is below 0. They end where the loss falls below 10⁻¹⁰ of its largest. No
        height is drawn where the law does not apply.

    Raises
    ------
    TypeError, ValueError
        If data lacks a variable; the message names it.
    """
    _check(
        data,
        ("loss", "momentum"),
        ("onset", "died", "drop", "peak", "loss_spike", "predicted_loss_spike", "cautions"),
    )
    new = ax is None
    ax = axes_or_new(ax)
    _bands(ax, data)
    _line(ax, data, "loss", color=_colour(data), label="loss $L$")
    loss = data["loss"].values
    known = np.isfinite(loss)
    applies = law_applies(data)
    for k in largest_of(data, _MOST):
        base = np.interp(float(data["peak"][k]), data["step"].values[known], loss[known])
        base -= float(data["loss_spike"][k])
        top = base + float(data["predicted_loss_spike"][k])
        trusted = int(data["cautions"][k]) == 0
        if applies[k] and np.isfinite(top):
            ax.hlines(
                top, float(data["onset"][k]), float(data["died"][k]), linewidth=1.4,
                color=THEORY_COLOUR if trusted else DOUBTED,
                label="predicted spike" if trusted else "predicted spike, with cautions",
            )  # fmt: skip
    positive = loss[known & (loss > 0)]
    if positive.size and (loss[known] >= 0).all():
        # A toy's loss falls to nothing, which must not leave its spike a sliver.
        top = float(positive.max())
        if (
            loss[known][-1] == top > _BLOWN_UP * np.median(positive)
        ):  # a run that diverges: it ends at any size
            top = _BLOWN_UP * float(np.median(positive))
            ax.set_ylim(top=top)
        ax.set(yscale="log")
        name_log_ticks(ax.yaxis)
        bottom = max(0.5 * float(positive.min()), 1e-10 * top)
        ax.set_ylim(bottom=bottom)
        # Nor leave half of the picture empty, once it is below the axis.
        seen = data["step"].values[known & (loss >= bottom)]
        ax.set_xlim(right=min(ax.get_xlim()[1], float(seen[-1]) + 0.05 * float(seen[-1] - seen[0] or 1)))
    ax.set(xlabel=label_of("step"), ylabel=label_of("loss"))
    if new:
        key_below(ax, columns=3)
    return ax


@styled
def draw_measured_overshoot(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the overshoot of a recorded run's catapults against κ, beside the law.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.

    Returns
    -------
    matplotlib.axes.Axes
        The axes. Filled markers: catapults without cautions; open ones: with; those for which the law does not apply
        are left out. The line is G(κ); with lookahead, where the law depends on more than κ, bars are the prediction
        for each.

    Raises
    ------
    TypeError, ValueError
        If data lacks a variable; the message names it.
    """
    _check(data, ("momentum",), ("inertia_number", "overshoot", "predicted_overshoot", "cautions"))
    new = ax is None
    ax = axes_or_new(ax)
    number = np.flatnonzero(law_applies(data))
    data = data.isel(catapult=number)
    kappa, measured = data["inertia_number"].values, data["overshoot"].values
    trusted = data["cautions"].values == 0
    colour = _colour(data)
    for chosen, face, label in (
        (trusted, colour, "measured"),
        (~trusted, "white", "measured, with cautions"),
    ):
        if chosen.any():
            ax.plot(kappa[chosen], measured[chosen], "o", color=colour, markerfacecolor=face, label=label)
    if float(data.attrs.get("lookahead", 0.0)) == 0.0:
        around = kappa if kappa.size else np.array([1.0])
        fine = np.geomspace(0.1 * around.min(), 10.0 * around.max(), 200)
        ax.plot(fine, theory.overshoot(fine), color=THEORY_COLOUR, label=r"the law, $G(\kappa)$", zorder=1)
    elif kappa.size:
        ax.plot(
            kappa, data["predicted_overshoot"].values, "_", color=THEORY_COLOUR, markersize=9,
            label="the law's series",
        )  # fmt: skip
    if kappa.size <= 12:
        for k in range(kappa.size):
            ax.annotate(
                str(number[k]),
                (kappa[k], measured[k]),
                xytext=(3, -3),
                textcoords="offset points",
                fontsize=6,
                va="top",
            )
    if (kappa > 0).all():
        ax.set_xscale("log")
        name_log_ticks(ax.xaxis)
    ax.set_yscale("log")
    name_log_ticks(ax.yaxis)
    ax.set(xlabel=label_of("inertia_number"), ylabel=label_of("overshoot"))
    refresh_key(ax, new=new)
    return ax
