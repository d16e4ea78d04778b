"""Figures of the overshoot law on several losses: the one curve, and each loss's deviation from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from selfstab import phases, renamed, theory
from selfstab.plotting.phase_diagrams import _momentum_colours
from selfstab.plotting.style import THEORY_COLOUR, axes_or_new, require, styled

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

LOSS_LOOKS: Final = (
    ("o", "#4477aa"),
    ("s", "#ee6677"),
    ("D", "#228833"),
    ("^", "#ccbb44"),
    ("v", "#66ccee"),
    ("P", "#aa3377"),
)
"""Marker and colour of each loss in turn (Paul Tol's 'bright' scheme); a seventh repeats the first."""

LEAST_DEVIATION: Final = 1e-8
"""Smaller deviations are beyond the runs' accuracy and below the axis."""

_KAPPA: Final = r"inertia number, $\kappa=\varepsilon((1+\beta)/(1-\beta))^2$"


_CELLS: Final = ("loss", "momentum", "kappa")


def _check(data: Any, dims: tuple[str, ...], **more: tuple[str, ...]) -> None:
    """Raise unless data has overshoots with their steps and phases along these dimensions, and what is more."""
    variables: dict[str, tuple[str, ...]] = dict.fromkeys(("overshoot", "steps", "phase"), dims)
    variables |= {name: (name,) for name in dims} | more
    require("data", data, variables, "overshoots against momentum and kappa")


def _look(k: int) -> dict[str, Any]:
    marker, colour = LOSS_LOOKS[k % len(LOSS_LOOKS)]
    return {
        "linestyle": "none", "marker": marker, "color": colour, "markersize": 3.6, "markeredgewidth": 0.6,
        "markerfacecolor": "none",
    }  # fmt: skip


def _lost(data: xarray.Dataset) -> list[tuple[int, str]]:
    """Return the phases without an overshoot that the runs came to, with their labels."""
    made = data["phase"].values[data["steps"].values > 0]
    return [
        (code, phases.LABELS[code]) for code in (phases.DIVERGED, phases.UNDECIDED) if (made == code).any()
    ]


@styled
def draw_universality(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the overshoots of several losses against the inertia number κ, on the universal curve G(κ).

    Each loss has its marker and colour; momenta are not told apart. A run that diverged or was undecided is a cross
    at the upper edge.

    Parameters
    ----------
    data
        ``overshoot``, ``steps`` (0 where no run was made) and ``phase``, each along (loss, momentum, kappa).
    ax
        Where to draw; by default the axes of a new figure.

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
    >>> import selfstab as ss, xarray
    >>> coords = {"loss": ["Product"], "momentum": [0.9], "kappa": [0.1, 1.0]}
    >>> law = ss.theory.overshoot([0.1, 1.0])
    >>> data = xarray.Dataset({name: (tuple(coords), values) for name, values in {
    ...     "overshoot": [[law]], "steps": [[[9, 9]]], "phase": [[[3, 3]]]}.items()}, coords)
    >>> draw_universality(data).get_ylabel()
    'overshoot, drop/(2$y_0$)'
    """
    data = renamed.with_names_of_today(data, renamed.CELLS)
    _check(data, _CELLS)
    ax = axes_or_new(ax)
    data = data.transpose("loss", "momentum", "kappa", ...)
    kappa = data["kappa"].values
    at = np.broadcast_to(kappa, data["overshoot"].shape[1:])
    fine = np.geomspace(kappa.min(), kappa.max(), 400)
    ax.plot(fine, theory.overshoot(fine), color=THEORY_COLOUR, label=r"theory, $G(\kappa)$", zorder=1)
    ax.set(xscale="log", yscale="log", xlabel=_KAPPA, ylabel="overshoot, drop/(2$y_0$)")
    for k, loss in enumerate(data["loss"].values):
        measured = data["overshoot"].values[k]
        shown = np.isfinite(measured)
        ax.plot(at[shown], measured[shown], label=loss, **_look(k))
        _crosses(data.isel(loss=k), ax)
    return ax


def _crosses(data: xarray.Dataset, ax: Axes) -> None:
    """Mark runs without an overshoot at the upper edge, each in the colour of its phase."""
    phase = np.where(data["steps"].values > 0, data["phase"].values, phases.CATAPULT)
    at = np.broadcast_to(data["kappa"].values, phase.shape)
    for code, label in _lost(data):
        where = at[phase == code]
        ax.plot(
            where, np.full(where.size, 0.97), transform=ax.get_xaxis_transform(), clip_on=False, linestyle="none",
            marker="x", markersize=4.0, color=phases.COLOURS[code], label=label,
        )  # fmt: skip


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
    data = renamed.with_names_of_today(data, renamed.CELLS)
    _check(data, _CELLS)
    ax = axes_or_new(ax)
    ax.set_axis_off()
    grey: dict[str, Any] = {"color": "#777777"}
    point = grey | {"linestyle": "none", "marker": "o", "markersize": 3.0}
    cross: dict[str, Any] = {"linestyle": "none", "marker": "x"}
    left: list[tuple[str, dict[str, Any]]] = [(r"theory, $G(\kappa)$", {"color": THEORY_COLOUR})]
    left += [(str(loss), _look(k)) for k, loss in enumerate(data["loss"].values)]
    left += [(label, cross | {"color": phases.COLOURS[code]}) for code, label in _lost(data)]
    momenta = data["momentum"].values
    right = [
        (rf"$\beta={momentum:g}$", point | {"color": colour})
        for momentum, colour in zip(momenta, _momentum_colours(momenta), strict=True)
    ]
    right += [
        ("less than $G$", point),
        ("more than $G$", point | {"markerfacecolor": "none"}),
        (r"first order in $\varepsilon$", grey | {"linewidth": 0.8}),
        ("1%", grey | {"linestyle": ":", "linewidth": 0.8}),
    ]
    _legend(ax, left, "center left")
    _legend(ax, right, "center right")
    return ax


def _legend(
    ax: Axes, rows: list[tuple[str, dict[str, Any]]], where: Literal["center left", "center right"]
) -> None:
    handles = [ax.plot([], [], **look)[0] for _, look in rows]
    # As an artist of its own: a second legend would replace the first.
    ax.add_artist(ax.legend(handles, [label for label, _ in rows], loc=where, borderaxespad=0.0))


@styled
def draw_universality_deviation(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the size of one loss's relative deviation from the law against κ, one colour for each momentum.

    Filled where the overshoot is less than G(κ), open where it is more. Lines are theory's first order in ε, over the
    κ of the runs made.

    Parameters
    ----------
    data
        Of one loss: ``overshoot``, ``steps`` and ``phase`` along (momentum, kappa), ``first_order`` (its relative
        deviation to first order in ε) along (momentum, kappa, cause), ``sigma``, ``tau`` and the coordinate loss.
    ax
        Where to draw; by default the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these; the message names it.
    """
    one = {"loss": (), "sigma": (), "tau": ()}
    data = renamed.with_names_of_today(data, renamed.CELLS)
    _check(data, _CELLS[1:], first_order=("momentum", "kappa", "cause"), **one)
    ax = axes_or_new(ax)
    data = data.transpose("momentum", "kappa", ...)
    kappa = data["kappa"].values
    deviation = data["overshoot"].values / theory.overshoot(kappa) - 1.0
    first = np.abs(data["first_order"].sum("cause").values)
    for k, colour in enumerate(_momentum_colours(data["momentum"].values)):
        made = data["steps"].values[k] > 0
        ax.plot(kappa[made], first[k][made], color=colour, linewidth=0.8, zorder=1)
        for less in (True, False):
            chosen = (deviation[k] < 0.0) if less else (deviation[k] >= 0.0)
            ax.plot(
                kappa[chosen], np.abs(deviation[k][chosen]), linestyle="none", marker="o", color=colour,
                markerfacecolor=colour if less else "none", markersize=2.6, markeredgewidth=0.6,
            )  # fmt: skip
    ax.axhline(0.01, color="#777777", linestyle=":", linewidth=0.8, zorder=0)
    ax.set(
        xscale="log", yscale="log", xlabel=r"inertia number, $\kappa$", ylabel=r"|overshoot/$G(\kappa)-1$|"
    )
    ax.set_ylim(LEAST_DEVIATION, 3.0)
    ax.set_yticks(10.0 ** np.arange(-8, 1, 2))
    ax.tick_params(axis="y", which="minor", left=False)
    _crosses(data, ax)
    ax.set_title(str(data["loss"].item()))
    numbers = rf"$\sigma={float(data['sigma']):.2g}$, $\tau={float(data['tau']):.2g}$"
    ax.text(0.97, 0.05, numbers, transform=ax.transAxes, ha="right", fontsize=6.0)
    return ax
