"""Lines of thresholds beside what is drawn with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import theory
from selfstab.plotting.labels import LAWS_END, LAWS_END_DOUBTED
from selfstab.plotting.look import THEORY_COLOUR
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

DOUBTED: Final = "#999999"
"""Colour of what the law says where it should not be trusted."""

LARGE_DROP: Final = 0.1
"""Share of the sharpness beyond which a drop is no small one, as in the caution large_drop of an analysis."""


def largest(values: Array) -> float:
    """Return the largest finite number, and no less than 0.

    >>> largest(np.array([1.0, np.inf, np.nan])), largest(np.array([]))
    (1.0, 0.0)
    """
    every = np.ravel(values)
    return float(every[np.isfinite(every)].max(initial=0.0))


def draw_threshold(
    ax: Axes, at: Array, thresholds: Array, *, near: Array, label: str = "threshold $S^*$"
) -> Array:
    """Draw thresholds S* no farther above what is drawn with them than a quarter, and return these.

    A warmup's first thresholds are far above all else: they would leave no room for it. A second run of the same
    threshold draws no second line, whose dashes would fill the gaps of the first: the longer one stays.

    Parameters
    ----------
    ax
        Where to draw.
    at, thresholds
        The horizontal axis and S* there, shape (n,).
    near
        What is drawn with them, any shape.
    label
        For the legend.
    """
    near_enough = thresholds <= 1.25 * largest(near)
    mark: dict[str, Any] = {"marker": "_"} if at.size == 1 else {}  # which a line would not show
    drawn: Array = thresholds[near_enough]
    places = at[near_enough]
    for line in ax.get_lines():
        if line.get_label() == label and (longer := _one_line(line.get_xydata(), places, drawn)) is not None:
            line.set_data(*longer)
            return drawn
    ax.plot(
        places, drawn, color=THEORY_COLOUR, linestyle="--", linewidth=0.8, label=label, **mark
    )  # fmt: skip
    return drawn


def _one_line(there: Any, at: Array, thresholds: Array) -> tuple[Array, Array] | None:
    """Return the longer one of two lines of thresholds that are the same where both are, or None."""
    old_at, old = np.asarray(there, dtype=np.float64).reshape(-1, 2).T
    if not old_at.size or not at.size:
        return None
    ordered = bool((np.diff(old_at) > 0).all() and (np.diff(at) > 0).all())
    if not ordered or min(old_at[-1], at[-1]) < max(old_at[0], at[0]):
        return None
    places = np.union1d(old_at, at)
    both = places[(places >= max(old_at[0], at[0])) & (places <= min(old_at[-1], at[-1]))]
    if not np.allclose(np.interp(both, old_at, old), np.interp(both, at, thresholds), rtol=1e-9, atol=0.0):
        return None
    values = np.where(
        (places >= old_at[0]) & (places <= old_at[-1]),
        np.interp(places, old_at, old),
        np.interp(places, at, thresholds),
    )
    return places, values


def draw_laws_end(ax: Axes, run: xarray.Dataset) -> float | None:
    """Draw where the overshoot law ends a run's catapult, S* − y₀(2G(κ) − 1), if the run carries it.

    The law is one of small relative drops. Beyond a tenth of the sharpness the line is grey, and its label says why.
    Where the law's drop is larger than the sharpness there is no line.

    Parameters
    ----------
    ax
        Where to draw.
    run
        Perhaps with ``predicted_final_sharpness``; then with ``sharpness``, and perhaps with ``max_stable_sharpness``
        and ``peak_excess_sharpness``.

    Returns
    -------
    float or None
        The height of the line, 1/lr; None if there is none.
    """
    if "predicted_final_sharpness" not in run:
        return None
    end = float(run["predicted_final_sharpness"])
    if not end > 0.0:
        return None
    if "max_stable_sharpness" in run:
        before = largest(run["max_stable_sharpness"].values[-1:])
        before += float(run["peak_excess_sharpness"]) if "peak_excess_sharpness" in run else 0.0
    else:
        before = largest(run["sharpness"].values[:1])
    doubted = not before - end <= LARGE_DROP * before
    ax.axhline(
        end, color=DOUBTED if doubted else THEORY_COLOUR, linestyle="-.", linewidth=0.8,
        label=LAWS_END_DOUBTED if doubted else LAWS_END,
    )  # fmt: skip
    return end


def draw_lr_at_threshold(ax: Axes, momenta: tuple[float, float], sharpness: float, *, upwards: bool) -> None:
    """Draw the learning rate η = 2(1 + β)/S whose threshold is a sharpness, over momentum and learning rate.

    Parameters
    ----------
    ax
        Where to draw.
    momenta
        The least and the largest β.
    sharpness
        S, 1/lr.
    upwards
        Whether momentum is drawn upwards, and the learning rate to the right; else it is the other way round.
    """
    beta = np.linspace(momenta[0], min(momenta[1], 1.0 - 1e-9), 400)
    points = [theory.max_stable_sharpness(sharpness, beta), beta]  # η = 2(1 + β)/S, as S* = 2(1 + β)/η
    # White below the line of theory, which must show on dark cells, too.
    for colour, width in (("white", 2.2), (THEORY_COLOUR, 1.0)):
        label = r"theory, $\eta S=2(1+\beta)$" if colour == THEORY_COLOUR else None
        across, up = points if upwards else points[::-1]
        ax.plot(across, up, color=colour, linewidth=width, linestyle="--", label=label)


def draw_inertia_lines(
    ax: Axes, momenta: tuple[float, float], excess: tuple[float, float], levels: Iterable[float]
) -> None:
    """Draw the lines ε = κ((1 − β)/(1 + β))² of inertia numbers κ, each named along itself, over 1 − β and ε.

    Parameters
    ----------
    ax
        Axes with logarithmic scales and their final limits.
    momenta, excess
        The least and the largest β and ε.
    levels
        Values of κ.
    """
    rest = np.geomspace(1.0 - momenta[0], 1.0 - momenta[1], 400)
    for level in levels:
        line = level * (rest / (2.0 - rest)) ** 2
        inside = np.flatnonzero((line > excess[0]) & (line < excess[1]))
        ax.plot(rest, line, color="white", linewidth=0.7)
        if inside.size < 60:  # too short to be named
            continue
        k = int(inside[inside.size // 2])
        ax.text(
            rest[k], line[k], rf"$\kappa={level:g}$", color="white", fontsize=5.5, ha="center", va="bottom",
            rotation=np.degrees(np.arctan2(line[k + 1] - line[k], rest[k + 1] - rest[k])) % 180.0 - 180.0,
            rotation_mode="anchor", transform_rotates_text=True, clip_on=True,
        )  # fmt: skip
