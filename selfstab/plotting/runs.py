"""Figures of single runs: displacement, sharpness, loss, and the orbit of a catapult."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import former_names, phases, theory, validation
from selfstab.kernels.measures import which_sharpness
from selfstab.optimizers.settings import recorded_settings
from selfstab.plotting.contract import require, require_run
from selfstab.plotting.divergence import draw_until_divergence
from selfstab.plotting.labels import TIMES, label_of
from selfstab.plotting.legends import refresh_key
from selfstab.plotting.look import SERIES, THEORY_COLOUR, styled
from selfstab.plotting.methods import method, method_colour, momentum
from selfstab.plotting.style import axes_or_new, line_properties
from selfstab.plotting.thresholds import draw_laws_end, draw_threshold
from selfstab.plotting.ticks import name_log_ticks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from selfstab.validation import Array


def _check(run: Any, against: str, *names: str) -> None:
    """Raise unless a run has its settings, the horizontal axis, and these variables."""
    require_run(run, validation.one_of("against", against, TIMES), *names)


def _against(run: xarray.Dataset, against: str) -> Array:
    return np.asarray(run[against].values, dtype=np.float64)


def _look(run: xarray.Dataset, more: dict[str, Any]) -> dict[str, Any]:
    name = method(run)
    mark = {"marker": "o"} if run.sizes["step"] == 1 else {}  # which a line would not show
    return {"color": method_colour(name), "label": name} | mark | line_properties(more)


def slow_limit(run: xarray.Dataset) -> tuple[Array, Array]:
    """Return the slow limit's y and A at the run's steps, its largest swing where the run's is.

    Parameters
    ----------
    run
        With ``displacement``, ``peak_excess_sharpness`` and ``stabilization``, see ``selfstab.plotting.contract``.

    Returns
    -------
    y, amplitude : ndarray
        S − S* and |x|, each of shape (steps,).

    Raises
    ------
    TypeError, ValueError
        If one of these is missing, or the learning rate is not constant.
    """
    run = former_names.with_names_of_today(run, former_names.SWING)
    require_run(run, "step", "displacement", "peak_excess_sharpness", "stabilization")
    setting = recorded_settings(run.attrs).get("lr")
    if not isinstance(setting, int | float):
        raise ValueError(f"run must have a constant learning rate, got {validation.shown(setting)}")
    step = run["step"].values
    peak = step[np.abs(run["displacement"].values).argmax()]
    y, amplitude = theory.slow_orbit(
        step - peak,
        float(setting),
        momentum(run),
        float(run["peak_excess_sharpness"]),
        float(run["stabilization"]),
    )
    return y, amplitude


def _name_time(ax: Axes, against: str) -> None:
    ax.set_xlabel(TIMES[against])
    if against == "effective_time":
        ax.locator_params(axis="x", nbins=4)  # its numbers are long


@styled
def draw_displacement(run: xarray.Dataset, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw x_t along the top eigenvector, in the slow limit's envelope ±A.

    Parameters
    ----------
    run
        As for :func:`slow_limit`.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    **line
        Passed to the run's line.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If the run lacks one of these; the message names it.
    """
    _, amplitude = slow_limit(run)
    ax = axes_or_new(ax, shows="displacement")
    step = run["step"].values
    ax.plot(step, run["displacement"].values, **({"linewidth": 0.4} | _look(run, line)))
    for sign in (1.0, -1.0):
        ax.plot(
            step,
            sign * amplitude,
            color=THEORY_COLOUR,
            linestyle=":",
            label="slow limit" if sign > 0 else None,
        )
    ax.set(xlabel=TIMES["step"], ylabel=label_of("displacement"))
    return ax


@styled
def draw_sharpness(
    run: xarray.Dataset, ax: Axes | None = None, *, against: str = "step", threshold: bool = True, **line: Any
) -> Axes:
    """Draw the sharpness of a run, with the threshold S* and, where the run carries it, the final sharpness predicted.

    The prediction is grey where its drop is more than a tenth of the sharpness, and left out where the law gives none.

    Parameters
    ----------
    run
        With ``sharpness`` and ``max_stable_sharpness``; perhaps ``predicted_final_sharpness``, and
        ``explicit_sharpness`` with ``explicit_step``, drawn as points. See ``selfstab.plotting.contract``.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    against
        The horizontal axis: step, or effective_time, which the run must then hold.
    threshold
        Whether to draw S*.
    **line
        Passed to the run's line.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If the run lacks one of these; the message names it.
    """
    _check(run, against, "step", "sharpness", *(["max_stable_sharpness"] if threshold else []))
    new = ax is None
    ax = axes_or_new(ax, shows=f"sharpness against {against}")
    at, look = _against(run, against), _look(run, line)
    name = which_sharpness(run["max_stable_sharpness"]) if threshold else "sharpness"
    name = name if name in run else "sharpness"
    thresholds = run["max_stable_sharpness"].values if threshold else run[name].values[:1]
    shown_at, values = draw_until_divergence(ax, run, at, run[name].values, thresholds)
    ax.plot(shown_at, values, **look)
    if "explicit_sharpness" in run:
        ax.plot(
            np.interp(run["explicit_step"].values, run["step"].values, at), run["explicit_sharpness"].values,
            ".", color=look["color"], markersize=2.5,
        )  # fmt: skip
    # A threshold of another sharpness says nothing of this one.
    if threshold and which_sharpness(run["max_stable_sharpness"]) == name:
        draw_threshold(ax, shown_at, thresholds[: shown_at.size], near=np.append(values, thresholds[-1:]))
    draw_laws_end(ax, run)
    _name_time(ax, against)
    ax.set(ylabel=label_of(name))
    refresh_key(ax, new=new)
    return ax


@styled
def draw_loss(run: xarray.Dataset, ax: Axes | None = None, *, against: str = "step", **line: Any) -> Axes:
    """Draw the loss of a run on a logarithmic axis, with the slow limit's spike where the run is a catapult of theory.

    Parameters
    ----------
    run
        With ``loss``; perhaps ``peak_excess_sharpness`` and ``stabilization``. See ``selfstab.plotting.contract``.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    against
        The horizontal axis: step, or effective_time, which the run must then hold.
    **line
        Passed to the run's line.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If the run lacks one of these; the message names it.
    """
    _check(run, against, "loss")
    run = former_names.with_names_of_today(run, former_names.SWING)
    new = ax is None
    ax = axes_or_new(ax, shows=f"loss against {against}")
    ax.plot(_against(run, against), run["loss"].values, **_look(run, line))
    if "peak_excess_sharpness" in run:
        spike = theory.loss_spike(
            float(run["max_stable_sharpness"][0]),
            float(run["peak_excess_sharpness"]),
            float(run["stabilization"]),
        )
        ax.axhline(spike, color=THEORY_COLOUR, linestyle=":", label="slow limit")
    if (run["loss"].values > 0.0).any():
        ax.set_yscale("log")
        name_log_ticks(ax.yaxis)
    _name_time(ax, against)
    ax.set(ylabel=label_of("loss"))
    refresh_key(ax, new=new)
    return ax


@styled
def draw_orbit(
    run: xarray.Dataset, ax: Axes | None = None, *, reach: float | None = None, **line: Any
) -> Axes:
    """Draw a catapult's orbit in the plane (y, A), with level lines of the slow limit's conserved H.

    Both are in units of the slow limit's: y₀, and A_max = √2 y₀/b. The dotted level line is the slow limit's orbit.

    Parameters
    ----------
    run
        With ``displacement``, ``excess_sharpness``, ``peak_excess_sharpness`` and ``stabilization``, see
        ``selfstab.plotting.contract``.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    reach
        The least y/y₀ on the axis; by default from the orbit.
    **line
        Passed to the orbit's line.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If the run lacks one of these; the message names it.
    """
    run = former_names.with_names_of_today(run, former_names.SWING)
    require_run(run, "step", "displacement", "excess_sharpness", "peak_excess_sharpness", "stabilization")
    ax = axes_or_new(ax, shows="orbit")
    y0, b2 = float(run["peak_excess_sharpness"]), float(run["stabilization"])
    largest = theory.max_displacement(y0, b2)
    y, amplitude = run["excess_sharpness"].values / y0, np.abs(run["displacement"].values) / largest
    left = 1.12 * min(float(y.min()), -1.0) if reach is None else reach
    top = 1.15 * max(float(amplitude.max()), 1.0)
    across, up = np.meshgrid(np.linspace(left, 1.4, 241), np.linspace(0.0, top, 161))
    level = theory.slow_energy(y0, 0.0)
    energy = theory.slow_energy(across * y0, up * largest, 0.0, b2) / level
    ax.contour(across, up, energy, levels=np.array([0.25, 0.5, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]),
               colors="#aaaaaa", linewidths=0.4)  # fmt: skip
    around = np.linspace(0.0, np.pi, 200)
    ax.plot(np.cos(around), np.sin(around), color=THEORY_COLOUR, linestyle=":", label="slow limit", zorder=3)
    ax.plot(y, amplitude, **({"linewidth": 0.8} | _look(run, line)))
    ax.set(xlim=(left, 1.4), ylim=(0.0, top))
    ax.set(xlabel=label_of("excess_sharpness", "$y/y_0$"))
    ax.set(ylabel=label_of("swing", r"$b\,|x|/(\sqrt{2}\,y_0)$"))
    return ax


@styled
def mark_divergence(run: xarray.Dataset, ax: Axes, variable: str, *, against: str = "step") -> None:
    """Mark the last record of a run that diverged, in the colour of that phase; at the axes' edge if it is beyond.

    Parameters
    ----------
    run
        A run with `variable`, see ``selfstab.plotting.contract``.
    ax
        Where it is drawn.
    variable
        What is drawn of it.
    against
        The horizontal axis.
    """
    _check(run, against, variable)
    height = np.clip(run[variable].values[-1:], *ax.get_ylim())
    ax.plot(
        _against(run, against)[-1:], height, linestyle="none", marker="x", markersize=5.0,
        color=phases.COLOURS[phases.DIVERGED], label="diverged", zorder=5, clip_on=False,
    )  # fmt: skip


_ENDS = {
    "window_mean": ("o", "mean, last quarter"),
    "least_after_crossing": ("v", "least"),
    "end": ("_", "last step"),
}


@styled
def draw_final_sharpness(
    data: Mapping[str, Mapping[str, xarray.Dataset]], ax: Axes | None = None, *, hollow: Collection[str] = ()
) -> Axes:
    """Draw how sharp runs end, three ways, and the threshold; a group of columns for each kind of run.

    Parameters
    ----------
    data
        Runs by name in groups by name, ``{"network": {"GD": run}}``, with ``window_mean``,
        ``least_after_crossing``, ``end``, ``diverged_at`` and ``max_stable_sharpness``, see
        ``selfstab.plotting.contract``.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    hollow
        Names of the runs whose markers are open.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these; the message names it.
    """
    if not isinstance(hollow, Collection):
        raise TypeError(f"hollow must be names of runs, got {validation.shown(hollow)}")
    for group, runs in _groups(data).items():
        for name, run in runs.items():
            argument = f"data[{validation.shown(group)}][{validation.shown(name)}]"
            require_run(run, *_ENDS, "diverged_at", "max_stable_sharpness", name=argument)
    ax = axes_or_new(ax)
    thresholds = []
    for place, runs in enumerate(data.values()):
        for k, (name, run) in enumerate(runs.items()):
            at = place + 0.25 * (k - 0.5 * (len(runs) - 1))
            colour = method_colour(method(run))
            for variable, (marker, _) in _ENDS.items():
                face = "none" if name in hollow else colour
                ax.plot(
                    at, float(run[variable]), marker=marker, color=colour, markerfacecolor=face, linestyle="none"
                )  # fmt: skip
            if int(run["diverged_at"]) >= 0:
                ax.text(at, 0.5, "diverged", rotation=90, ha="center", va="center", fontsize=6.0,
                        transform=ax.get_xaxis_transform(), color=phases.COLOURS[phases.DIVERGED])  # fmt: skip
            thresholds.append(float(run["max_stable_sharpness"][-1]))
    for marker, word in _ENDS.values():
        ax.plot([], [], marker=marker, color="#777777", linestyle="none", label=word)
    ax.axhline(thresholds[0], color=THEORY_COLOUR, linestyle="--", linewidth=0.8, label="threshold $S^*$")
    ax.set_xticks(range(len(data)), list(data))
    ax.set(
        ylabel=label_of("final_sharpness"), xlim=(-0.5, len(data) - 0.5), ylim=(0.0, 1.15 * max(thresholds))
    )
    return ax


def _groups(data: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return runs by name in groups by name, or raise TypeError or ValueError."""
    allowed = "must be runs by name in groups by name, {'network': {'GD': run}}"
    if hasattr(data, "data_vars"):
        raise TypeError(
            f"data {allowed}, got one dataset: that of a sweep is drawn by data.final_sharpness.plot()"
        )
    if not isinstance(data, Mapping):
        raise TypeError(f"data {allowed}, got {validation.shown(data)}")
    for group, runs in data.items():
        if not isinstance(runs, Mapping) or hasattr(runs, "data_vars"):
            raise TypeError(
                f"data[{validation.shown(group)}] must be runs by name, got {validation.shown(runs)}"
            )
    if not any(data.values()):
        raise ValueError(f"data {allowed}, got {validation.shown(data)}")
    return data


@styled
def draw_threshold_scan(
    data: xarray.Dataset,
    ax: Axes | None = None,
    *,
    words: Mapping[str, str] | None = None,
    looks: Mapping[str, Mapping[str, Any]] | None = None,
) -> Axes:
    """Draw the final sharpness of each method against the threshold, with the line S = S* where the edge is.

    A run that diverged is a cross at the upper end of the axis, in its method's colour.

    Parameters
    ----------
    data
        A variable for each method along threshold, under any name: the sharpness at the end, NaN where it diverged.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    words
        What to call methods; by default their variables' names.
    looks
        Properties of methods' lines, such as color, linestyle and markerfacecolor; by default a colour each.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these; the message names it.
    """
    variables: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("threshold", *getattr(data, "data_vars", ())), ("threshold",)
    )
    require("data", data, variables, "final sharpness by method")
    ax = axes_or_new(ax)
    threshold = data["threshold"].values
    ax.axline((threshold[0], threshold[0]), slope=1.0, color=THEORY_COLOUR, linestyle="--", linewidth=0.8,
              label="threshold $S^*$")  # fmt: skip
    divergences: list[tuple[float, float, str]] = []
    for k, name in enumerate(map(str, data.data_vars)):
        values = data[name].values
        look: dict[str, Any] = {"marker": "o", "color": SERIES[k % len(SERIES)], "linewidth": 0.8}
        look |= {"label": (words or {}).get(name, name)} | line_properties((looks or {}).get(name, {}))
        ax.plot(threshold, values, **look)
        divergences.extend((at, 0.97 - 0.06 * k, look["color"]) for at in threshold[~np.isfinite(values)])
    for at, height, colour in divergences:
        ax.plot(
            at,
            height,
            marker="x",
            color=colour,
            linestyle="none",
            transform=ax.get_xaxis_transform(),
            clip_on=False,
        )
    if divergences:
        ax.plot([], [], marker="x", color=phases.COLOURS[phases.DIVERGED], linestyle="none", label="diverged")
    ax.set(xlabel=label_of("max_stable_sharpness"), ylabel=label_of("final_sharpness"))
    return ax
