"""Figures of a run in the plane of its displacement and its sharpness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from selfstab import former_names, theory
from selfstab.plotting.contract import require_run
from selfstab.plotting.labels import label_of
from selfstab.plotting.look import SEQUENTIAL, THEORY_COLOUR, styled
from selfstab.plotting.style import axes_or_new
from selfstab.plotting.thresholds import draw_laws_end

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


@styled
def draw_plane(run: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw a run in the plane (x, S), and the threshold S* of the last step.

    There is one dot per step, in the colour of its time.

    Where the run carries them, the slow limit's largest swing ±√2 y₀/b and the final sharpness predicted are drawn.

    Parameters
    ----------
    run
        With ``displacement``, ``sharpness`` and ``max_stable_sharpness``; perhaps ``peak_excess_sharpness`` with
        ``stabilization``, and ``predicted_final_sharpness``. See ``selfstab.plotting.contract``.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.

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
    require_run(run, "step", "displacement", "sharpness", "max_stable_sharpness", settings=False)
    ax = axes_or_new(ax)
    x, sharpness = run["displacement"].values, run["sharpness"].values
    ax.plot(x, sharpness, color="#cccccc", linewidth=0.3, zorder=1)
    step = run["step"].values
    # Colours end where the motion does: a long rest would leave them all to the first few steps.
    left = np.abs(x - x[-1])  # a run may come to rest elsewhere than where it began
    moving = np.flatnonzero(left >= 0.01 * np.nanmax(left, initial=0.0))
    last = float(step[moving[-1]]) if moving.size else float(step[-1])
    dots = ax.scatter(
        x, sharpness, c=step, s=2.5, cmap=SEQUENTIAL, vmin=0.0, vmax=max(last, 1.0), linewidths=0.0, zorder=2
    )
    ax.figure.colorbar(dots, ax=ax, label=label_of("step"), pad=0.02,
                       extend="max" if last < float(step[-1]) else "neither")  # fmt: skip
    threshold = float(run["max_stable_sharpness"][-1])
    if np.isfinite(threshold):
        ax.axhline(threshold, color=THEORY_COLOUR, linestyle="--", linewidth=0.8, label="threshold $S^*$")
    draw_laws_end(ax, run)
    if {"peak_excess_sharpness", "stabilization"} <= {*run.variables}:
        swing = float(
            theory.max_displacement(float(run["peak_excess_sharpness"]), float(run["stabilization"]))
        )
        for sign, label in ((1.0, "slow limit"), (-1.0, None)):
            ax.axvline(sign * swing, color=THEORY_COLOUR, linestyle=":", linewidth=0.8, label=label)
    ax.set(xlabel=label_of("displacement"), ylabel=label_of("sharpness"))
    return ax
