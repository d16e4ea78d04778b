"""Figures of real models: predicted dynamics beside the run they are of, and comparisons of optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.plotting.contract import require
from selfstab.plotting.labels import TIMES, label_of
from selfstab.plotting.legends import refresh_key
from selfstab.plotting.look import THEORY_COLOUR, styled
from selfstab.plotting.methods import METHOD_COLOURS, MOMENTUM_COLOURS, method, momentum
from selfstab.plotting.style import axes_or_new, line_properties
from selfstab.plotting.thresholds import draw_threshold, largest
from selfstab.plotting.ticks import name_log_ticks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from selfstab.validation import Array

_LABELS: Final = {
    "sharpness": label_of("sharpness"),
    "x": label_of("displacement", "$|x|$ (weight)"),
    "loss": label_of("loss"),
}

_SCORES: Final = {name: label_of(name) for name in ("test_loss", "test_accuracy", "distance")}

_LOOKS: Final = {
    "gd_steps": ("GD", "--", "GD, equal steps"),
    "gd_time": ("GD", "-", "GD, equal time"),
    "phb": ("PHB", "-", "PHB"),
}
"""Of the optimizers of a comparison: whose colour, dash and label."""

_INVALID_COLOUR: Final = "#dddddd"


@styled
def draw_prediction(
    data: xarray.Dataset, ax: Axes | None = None, *, of: str = "sharpness", flow: bool = False, **line: Any
) -> Axes:
    """Draw predicted dynamics as a line, and the run they predict as points.

    The sharpness has the threshold S* beside it. The displacement has δ, the swing that holds the sharpness at S*. The
    loss has that of the constrained trajectory. Steps at which one of the theory's conditions fails (``invalid`` is
    not 0) are shaded; where none does, the prediction may still be off. A prediction that runs off is cut off.

    Parameters
    ----------
    data
        What :func:`selfstab.predicted_dynamics` returns.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    of
        sharpness, x or loss.
    flow
        Whether to draw the gradient flow's, too; it has no x.
    **line
        Passed to the prediction's line.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these, or `of` is another.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    >>> data = ss.predicted_dynamics(loss, ss.HeavyBall(3.0, 0.5), [0.02, 0.0], 200)
    >>> draw_prediction(data, of="x").get_ylabel()
    'displacement, $|x|$ (weight)'
    """
    validation.one_of("of", of, _LABELS)
    if not isinstance(flow, bool):
        raise TypeError(f"flow must be True or False, got {validation.shown(flow)}")
    if flow and of == "x":
        raise ValueError("flow must be False where of is 'x', for the flow does not swing, got True")
    beside = {"sharpness": "max_stable_sharpness", "x": "delta", "loss": "constrained_loss"}[of]
    names = ("step", of, f"predicted_{of}", beside, "invalid", *([f"flow_{of}"] if flow else []))
    require(
        "data", data, dict.fromkeys(names, ("step",)), "of predicted_dynamics", attrs=("optimizer", "form")
    )
    ax = axes_or_new(ax)
    step = data["step"].values
    values, predicted = (np.asarray(data[name].values) for name in (of, f"predicted_{of}"))
    if of == "x":
        values, predicted = np.abs(values), np.abs(predicted)
    half = 0.5 * float(np.diff(step).min()) if len(step) > 1 else 0.5
    for k, (first, last) in enumerate(_stretches(data["invalid"].values != 0)):
        ax.axvspan(
            step[first] - half, step[last] + half, color=_INVALID_COLOUR, linewidth=0.0, zorder=0,
            label="conditions fail (invalid)" if k == 0 else None,
        )  # fmt: skip
    ax.plot(
        step, values, linestyle="none", marker=".", markersize=3.6, markeredgewidth=0.0,
        color=MOMENTUM_COLOURS.get(momentum(data), METHOD_COLOURS[method(data)]),
        label=rf"run, $\beta={momentum(data):g}$",
    )  # fmt: skip
    mark: dict[str, Any] = {"marker": "_"} if len(step) == 1 else {}
    form: dict[str, Any] = mark | {
        "color": THEORY_COLOUR,
        "linewidth": 0.8,
        "label": f"{data.attrs['form']} prediction",
    }
    ax.plot(step, predicted, **(form | line_properties(line)))
    thresholds = np.asarray(data[beside].values)
    if of == "sharpness":
        near = np.append(values, thresholds[-1:])
        heights = np.append(values, draw_threshold(ax, step, thresholds, near=near))
        if "diverged_at" in data and int(data["diverged_at"]) >= 0:
            # What runs off would leave no room for the rest.
            heights = np.minimum(heights, 3.0 * largest(thresholds[-1:]))
    else:
        heights = values
        word = {"x": r"$\delta$, holds $S$ at $S^*$", "loss": "constrained trajectory"}[of]
        ax.plot(step, thresholds, color=THEORY_COLOUR, linestyle=":", linewidth=0.8, label=word, **mark)
    if flow:
        ax.plot(step, data[f"flow_{of}"].values, color=METHOD_COLOURS["gradient flow"], linewidth=0.8,
                label="gradient flow")  # fmt: skip
    if of == "loss":
        ax.set_yscale("log", nonpositive="mask")
        name_log_ticks(ax.yaxis)
    else:
        low, high = ax.get_ylim()
        if (heights := heights[np.isfinite(heights)]).size and np.ptp(heights) > 0.0:
            reach = 0.5 * float(np.ptp(heights))
            ax.set_ylim(max(low, float(heights.min()) - reach), min(high, float(heights.max()) + reach))
    ax.set(xlabel=TIMES["step"], ylabel=_LABELS[of])
    return ax


def _room_for(data: xarray.Dataset, of: str, *more: float) -> float:
    """Return the largest value of the runs that ended, of every run's first record, and of what is drawn beside."""
    ended = data[of] if "diverged_at" not in data else data[of].where(data["diverged_at"].isnull())
    return largest(
        np.concatenate([ended.values.ravel(), data[of].isel(record=slice(1)).values.ravel(), more])
    )


def _mark_divergences(data: xarray.Dataset, ax: Axes, of: str, against: str) -> None:
    """Mark the last finite record of each seed that diverged, at the axes' edge if it is beyond; say how many did."""
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top)
    label: str | None = "diverged"
    words, last = [], []
    for optimizer, (word, _, name) in _LOOKS.items():
        runs = data.sel(optimizer=optimizer)
        seeds = np.flatnonzero(np.isfinite(runs["diverged_at"].values))
        words += _words_of_divergence(name, seeds.size, runs.sizes["seed"])
        for k in seeds:
            values = runs[of].isel(seed=int(k)).values
            finite = np.flatnonzero(np.isfinite(values))
            if finite.size:
                last.append(float(runs[against].values[min(finite[-1] + 1, values.size - 1)]))
                ax.plot(
                    runs[against].values[finite[-1]], np.clip(values[finite[-1]], bottom, top), linestyle="none",
                    marker="x", markersize=4.0, color=METHOD_COLOURS[word], label=label, clip_on=False, zorder=5,
                )  # fmt: skip
                label = None
    if last and np.isfinite(data["diverged_at"].sel(optimizer=[*_LOOKS]).values).all():
        words = ["all runs diverged"]
        if (right := 1.5 * max(last)) > 0.0:  # thresholds go on where no run is left
            ax.set_xlim(-0.05 * right, right)
    if words:  # above the axes, where no legend covers them
        ax.text(
            1.0, 1.02, "\n".join(words), ha="right", va="bottom", fontsize="small", transform=ax.transAxes
        )


def _words_of_divergence(name: str, diverged: int, seeds: int) -> list[str]:
    """Return what the picture says of an optimizer's seeds that diverged.

    >>> [_words_of_divergence("PHB", *counts) for counts in ((0, 3), (2, 3), (3, 3), (1, 1))]
    [[], ['2 of 3 seeds of PHB diverged'], ['all seeds of PHB diverged'], ['PHB diverged']]
    """
    if not diverged:
        return []
    if seeds == 1:
        return [f"{name} diverged"]
    return [f"{f'{diverged} of {seeds}' if diverged < seeds else 'all'} seeds of {name} diverged"]


def _stretches(holds: Array) -> list[tuple[int, int]]:
    """Return the first and the last index of each stretch in which something holds.

    >>> _stretches(np.array([True, False, True, True]))
    [(0, 0), (2, 3)]
    """
    turns = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in turns.reshape(-1, 2)]


@styled
def draw_comparison(
    data: xarray.Dataset, ax: Axes | None = None, *, of: str = "sharpness", against: str = "effective_time"
) -> Axes:
    """Draw heavy ball beside gradient descent at the same threshold: the first seed strong, the others faint.

    A cross marks the last record of a run that diverged, and the picture says how many seeds did. The axis has room
    for the runs that did not diverge, and for the first record of each. A new figure has a legend. Over effective
    time the threshold drawn is that of heavy ball and of gradient descent at equal time; at equal steps the warmup
    ends sooner.

    Parameters
    ----------
    data
        What :func:`selfstab.experiments.compare` returns, or a preset such as
        :func:`selfstab.experiments.digits_network`.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    of
        sharpness, with the threshold S*, or any other variable along optimizer, seed and record: loss, test_loss, ...
    against
        The horizontal axis: effective_time or step.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these.

    Examples
    --------
    >>> from selfstab.experiments import Setting, SparseRegression, compare
    >>> task = SparseRegression(samples=6, features=8, nonzeros=2, held_out=20)
    >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0,))
    >>> draw_comparison(compare(task, setting, threads=1)).get_ylabel()
    'sharpness, $S$ (1/lr)'
    """
    validation.one_of("against", against, TIMES)
    made_by = "of experiments.compare or one of its presets"
    require("data", data, dict.fromkeys((against, "max_stable_sharpness"), ("optimizer", "record")), made_by)
    if not isinstance(of, str):
        raise TypeError(f"of must be the name of a variable, got {validation.shown(of)}")
    require("data", data, {of: ("optimizer", "seed", "record"), "optimizer": ("optimizer",)}, made_by)
    optimizers = [str(name) for name in data["optimizer"].values]
    if not {*_LOOKS} <= {*optimizers} or data.sizes["seed"] == 0:
        raise ValueError(
            f"data must hold the optimizers {', '.join(_LOOKS)} and at least one seed ({made_by}), "
            f"got {', '.join(optimizers) or 'none'} and {data.sizes['seed']} seeds"
        )
    new = ax is None
    ax = axes_or_new(ax)
    for optimizer, (word, dash, label) in _LOOKS.items():
        runs = data.sel(optimizer=optimizer)
        for k in reversed(range(runs.sizes["seed"])):
            first = k == 0
            ax.plot(
                runs[against].values, runs[of].isel(seed=k).values, color=METHOD_COLOURS[word], linestyle=dash,
                linewidth=0.9 if first else 0.4, alpha=1.0 if first else 0.45, label=label if first else None,
            )  # fmt: skip
    if data.sizes["seed"] > 1:
        ax.plot([], [], color="#777777", linewidth=0.4, alpha=0.45, label="other seeds")
    values = data[of].values
    if of == "sharpness":
        heavy = data.sel(optimizer="phb")
        thresholds = heavy["max_stable_sharpness"].values
        whose = "equal time" if against == "effective_time" else "PHB"
        # All that are finite: the axis is cut below.
        draw_threshold(
            ax, heavy[against].values, thresholds, near=thresholds, label=f"threshold $S^*$, {whose}"
        )
        # The sharpness of what diverges rises to infinity.
        top = _room_for(data, of, *1.5 * thresholds[-1:])
        ax.set_ylim(0.0, 1.1 * min(largest(values), top))
    else:
        inside = values[np.isfinite(values)]
        if inside.size and inside.min() > 0.0 and inside.max() > 10.0 * inside.min():
            ax.set_yscale("log")
            name_log_ticks(ax.yaxis)
        top = _room_for(data, of)
        if "diverged_at" in data and largest(values) > 10.0 * top > 0.0:
            ax.set_ylim(top=10.0 * top)
    if "diverged_at" in data:
        _mark_divergences(data, ax, of, against)
    if against == "effective_time":
        ax.locator_params(axis="x", nbins=4)  # its numbers are long
    named = str(data[of].attrs.get("long_name", of))
    ax.set(xlabel=TIMES[against], ylabel=(_LABELS | _SCORES).get(of, named))
    refresh_key(ax, new=new)
    return ax
