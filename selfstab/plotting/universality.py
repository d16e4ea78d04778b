"""Figures of the overshoot law on several losses: the one curve, and each loss's deviation from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from selfstab import former_names, phases, theory
from selfstab.plotting.contract import require
from selfstab.plotting.labels import label_of
from selfstab.plotting.look import MARKERS, THEORY_COLOUR, styled
from selfstab.plotting.methods import momentum_colours
from selfstab.plotting.style import axes_or_new
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

LEAST_DEVIATION: Final = 1e-8
"""Smaller deviations are beyond the runs' accuracy and below the axis."""

_KAPPA: Final = label_of("inertia_number", r"$\kappa=\varepsilon((1+\beta)/(1-\beta))^2$")


_FEW: Final = 8
"""Momenta that a key has room for."""

_MADE_BY: Final = "overshoots of runs, as sweep measures them"


@dataclass(frozen=True)
class _Runs:
    """Overshoots by loss and momentum: arrays of shape (losses, momenta, runs)."""

    losses: list[str]
    momentum: Array
    kappa: Array
    overshoot: Array
    phase: npt.NDArray[np.int64]
    present: npt.NDArray[np.bool_]
    """Whether there is a run: of no steps, or without a known phase, there is none."""

    @classmethod
    def checked(cls, data: Any) -> _Runs:
        """Return a dataset's runs; what it has no dimension of, it has one of."""
        import xarray

        data = former_names.with_names_of_today(data, former_names.CELLS)
        require("data", data, dict.fromkeys(("overshoot", "phase", "momentum")), _MADE_BY)
        if "kappa" not in data.variables:
            require("data", data, {"excess": None}, f"{_MADE_BY}, with kappa or excess")
            kappa = (
                data["momentum"].copy(data=theory.inertia_number(1.0, data["momentum"].values))
                * data["excess"]
            )
            data = data.assign(kappa=kappa)
        if "loss" not in data.variables:
            data = data.assign_coords(loss="measured")
        steps = data["steps"] if "steps" in data.variables else xarray.ones_like(data["overshoot"])
        arrays = [data["kappa"], data["overshoot"], data["phase"], steps]
        for name in ("loss", "momentum"):
            if name not in data["overshoot"].dims:
                arrays = [array.expand_dims(name) for array in arrays]
        arrays = [array.transpose("loss", "momentum", ...).values for array in xarray.broadcast(*arrays)]
        kappa, overshoot, phase, steps = (array.reshape(*array.shape[:2], -1) for array in arrays)
        return cls(
            [str(name) for name in np.atleast_1d(data["loss"].values)], np.atleast_1d(data["momentum"].values),
            kappa, overshoot, phase, (steps > 0) & np.isin(phase, list(phases.LABELS)),
        )  # fmt: skip

    def failures(self) -> list[tuple[int, str]]:
        """Return the phases without an overshoot that the runs came to, with their labels."""
        return [
            (code, phases.LABELS[code])
            for code in (phases.DIVERGED, phases.UNDECIDED)
            if (self.phase[self.present] == code).any()
        ]

    def crosses(self, ax: Axes) -> None:
        """Mark runs without an overshoot at the upper edge, each in the colour of its phase."""
        for code, label in self.failures():
            at = self.kappa[self.present & (self.phase == code)]
            ax.plot(
                at, np.full(at.size, 0.97), transform=ax.get_xaxis_transform(), clip_on=False, linestyle="none",
                marker="x", markersize=4.0, color=phases.COLOURS[code], label=label,
            )  # fmt: skip


def _look(k: int) -> dict[str, Any]:
    """Return the marker of the loss k; a seventh repeats the first."""
    return {
        "linestyle": "none", "marker": MARKERS[k % len(MARKERS)],
        "markersize": 3.6, "markeredgewidth": 0.6, "markerfacecolor": "none",
    }  # fmt: skip


@styled
def draw_universality(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the overshoots of several losses against the inertia number κ, on the universal curve G(κ).

    Each loss has its marker, each momentum its colour. A run that diverged or was undecided is a cross
    at the upper edge.

    Parameters
    ----------
    data
        ``overshoot`` and ``phase``, as :func:`selfstab.sweep` measures them along momentum and
        another axis; perhaps along loss, too. κ is ``kappa``, or that of the coordinates momentum and ``excess``. Where
        ``steps`` is there and 0 no run was made.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these; the message names it.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(1.0)
    >>> start, previous = ss.flip_start(loss, loss.minimum(), size=1e-5)
    >>> axes = {"momentum": [0.0, 0.9], "excess": [1e-3, 1e-2]}
    >>> data = ss.sweep(loss, ss.HeavyBall(1.0), axes, start=start, previous=previous, steps=9000,
    ...                 measure=["phase", "overshoot"], progress=False)
    >>> draw_universality(data).get_ylabel()
    'overshoot, drop/(2$y_0$)'
    """
    runs = _Runs.checked(data)
    ax = axes_or_new(ax)
    fine = np.geomspace(runs.kappa.min(), runs.kappa.max(), 400)
    ax.plot(fine, theory.overshoot(fine), color=THEORY_COLOUR, label=r"theory, $G(\kappa)$", zorder=1)
    ax.set(xscale="log", yscale="log", xlabel=_KAPPA, ylabel=label_of("overshoot"))
    colours = momentum_colours(runs.momentum)
    if len(colours) <= _FEW:
        for momentum, colour in zip(runs.momentum, colours, strict=True):
            ax.plot([], [], color=colour, linewidth=3.0, label=rf"$\beta={momentum:g}$")
    for k, loss in enumerate(runs.losses):
        ax.plot([], [], color="#777777", label=loss, **_look(k))
        for i, colour in enumerate(colours):
            measured = np.isfinite(runs.overshoot[k, i])
            ax.plot(runs.kappa[k, i][measured], runs.overshoot[k, i][measured], color=colour, **_look(k))
    runs.crosses(ax)
    return ax


@styled
def draw_universality_key(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the key of :func:`draw_universality` and :func:`draw_universality_deviation`, on axes without frame.

    Parameters
    ----------
    data, ax
        As for :func:`draw_universality`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these; the message names it.
    """
    runs = _Runs.checked(data)
    ax = axes_or_new(ax)
    ax.set_axis_off()
    grey: dict[str, Any] = {"color": "#777777"}
    point = grey | {"linestyle": "none", "marker": "o", "markersize": 3.0}
    cross: dict[str, Any] = {"linestyle": "none", "marker": "x"}
    left: list[tuple[str, dict[str, Any]]] = [(r"theory, $G(\kappa)$", {"color": THEORY_COLOUR})]
    left += [(loss, grey | _look(k)) for k, loss in enumerate(runs.losses)]
    left += [(label, cross | {"color": phases.COLOURS[code]}) for code, label in runs.failures()]
    right = [
        (rf"$\beta={momentum:g}$", point | {"color": colour})
        for momentum, colour in zip(runs.momentum, momentum_colours(runs.momentum), strict=True)
    ]
    lower: list[tuple[str, dict[str, Any]]] = [
        ("less than $G$", point),
        ("more than $G$", point | {"markerfacecolor": "none"}),
        (r"first order in $\varepsilon$", grey | {"linewidth": 0.8}),
        ("1%", grey | {"linestyle": ":", "linewidth": 0.8}),
    ]
    _legend(ax, left, "upper left")
    _legend(ax, right, "upper right")
    _legend(ax, lower, "lower right")
    return ax


def _legend(
    ax: Axes,
    rows: list[tuple[str, dict[str, Any]]],
    where: Literal["upper left", "upper right", "lower right"],
) -> None:
    handles = [ax.plot([], [], **look)[0] for _, look in rows]
    # As an artist of its own: a second legend would replace the first.
    ax.add_artist(ax.legend(handles, [label for label, _ in rows], loc=where, borderaxespad=0.0))


@styled
def draw_universality_deviation(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the size of one loss's relative deviation from the law against κ, one colour for each momentum.

    Filled where the overshoot is less than G(κ), open where it is more. Lines are theory's first order in ε, against
    the κ of the runs made, where data has it.

    Parameters
    ----------
    data
        As for :func:`draw_universality`, of one loss. It may have ``first_order``, its relative deviation to first
        order in ε, along the overshoot's dimensions and cause, and the loss's ``sigma`` and ``tau``.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these, or is of several losses; the message names it.
    """
    runs = _Runs.checked(data)
    if len(runs.losses) > 1:
        raise ValueError(
            f"data must be of one loss, got {len(runs.losses)}: select one, as data.isel(loss=0)"
        )
    ax = axes_or_new(ax)
    present, kappa = runs.present[0], runs.kappa[0]
    deviation = runs.overshoot[0] / theory.overshoot(kappa) - 1.0
    colours = momentum_colours(runs.momentum)
    if "first_order" in data:
        first_order = data["first_order"].sum("cause").transpose(*data["overshoot"].dims).values
        for k, size in enumerate(np.abs(first_order).reshape(kappa.shape)):
            ax.plot(kappa[k][present[k]], size[present[k]], color=colours[k], linewidth=0.8, zorder=1)
    for k, colour in enumerate(colours):
        for less in (True, False):
            chosen = (deviation[k] < 0.0) if less else (deviation[k] >= 0.0)
            ax.plot(
                kappa[k][chosen], np.abs(deviation[k][chosen]), linestyle="none", marker="o", color=colour,
                markerfacecolor=colour if less else "none", markersize=2.6, markeredgewidth=0.6,
            )  # fmt: skip
    ax.axhline(0.01, color="#777777", linestyle=":", linewidth=0.8, zorder=0)
    ax.set(
        xscale="log", yscale="log", xlabel=label_of("inertia_number"), ylabel=label_of("size_of_deviation")
    )
    ax.set_ylim(LEAST_DEVIATION, 3.0)
    ax.set_yticks(10.0 ** np.arange(-8, 1, 2))
    ax.tick_params(axis="y", which="minor", left=False)
    runs.crosses(ax)
    ax.set_title(runs.losses[0])
    if {"sigma", "tau"} <= {*data.variables}:
        numbers = rf"$\sigma={float(data['sigma']):.2g}$, $\tau={float(data['tau']):.2g}$"
        ax.text(0.97, 0.05, numbers, transform=ax.transAxes, ha="right", fontsize=6.0)
    return ax
