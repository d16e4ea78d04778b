"""Figures of sweeps: the overshoot law and phase diagrams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import outcomes, theory
from selfstab.plotting.style import (
    SEQUENTIAL,
    THEORY_COLOUR,
    axes_or_new,
    cell_edges,
    new_figure,
    shared_legend,
    styled,
)

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

UNIVERSAL_BELOW: Final = 0.03
"""Relative excess up to which a measured overshoot is held against the universal law (filled markers)."""

LOSS_MARKERS: Final = {"CubicTaylor": "o", "Product": "s"}


def _momentum_colours(values: Any) -> list[tuple[float, float, float, float]]:
    import matplotlib

    return [tuple(row) for row in matplotlib.colormaps[SEQUENTIAL](np.linspace(0.0, 0.88, len(values)))]


def _points(data: xarray.Dataset, ax: Axes, height: Any) -> None:
    """Draw one marker per measured overshoot: filled where ε is small, open where not."""
    for loss, marker in LOSS_MARKERS.items():
        if loss not in data:
            continue
        for k, colour in enumerate(_momentum_colours(data["momentum"].values)):
            kappa, measured = data["kappa"].values[k], data[loss].values[k]
            excess = data["excess"].values[k]
            for small in (True, False):
                chosen = np.isfinite(measured) & ((excess <= UNIVERSAL_BELOW) == small)
                ax.plot(
                    kappa[chosen], height(kappa[chosen], measured[chosen]), linestyle="none", marker=marker,
                    color=colour, markerfacecolor=colour if small else "none", markersize=3.0, markeredgewidth=0.6,
                )  # fmt: skip


def _key(data: xarray.Dataset, ax: Axes) -> None:
    """Name the markers: a colour for each momentum, a shape for each loss, open where ε is large."""
    momenta = data["momentum"].values
    grey: dict[str, Any] = {
        "color": "#777777",
        "linestyle": "none",
        "markersize": 3.0,
        "markeredgewidth": 0.6,
    }
    for momentum, colour in zip(momenta, _momentum_colours(momenta), strict=True):
        ax.plot(
            [], [], linestyle="none", marker="D", markersize=3.0, color=colour, label=rf"$\beta={momentum:g}$"
        )
    for loss, marker in LOSS_MARKERS.items():
        if loss in data:
            ax.plot([], [], marker=marker, label=loss, **grey)
    ax.plot([], [], marker="o", markerfacecolor="none", label=rf"$\varepsilon>{UNIVERSAL_BELOW:g}$", **grey)
    ax.legend(loc="upper left", ncols=2)


@styled
def draw_overshoot_law(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the measured overshoot against the inertia number κ, on the universal curve G(κ).

    Filled markers: relative excess ε <= 0.03, where the law is to hold; open ones: larger ε. Runs that diverged or did
    not settle have no overshoot and no marker.

    Parameters
    ----------
    data
        Variables named after losses (CubicTaylor, Product), ``kappa`` and ``excess``, each along (momentum, point).
    ax
        Where to draw; by default the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    ax = axes_or_new(ax)
    kappa = data["kappa"].values
    _points(data, ax, lambda _, measured: measured)
    fine = np.geomspace(np.nanmin(kappa), np.nanmax(kappa), 400)
    ax.plot(fine, theory.overshoot(fine), color=THEORY_COLOUR, label=r"theory, $G(\kappa)$", zorder=1)
    _key(data, ax)
    ax.set(xscale="log", yscale="log", xlabel=r"inertia number, $\kappa=\varepsilon((1+\beta)/(1-\beta))^2$")
    ax.set(ylabel="overshoot, drop/(2$y_0$)")
    return ax


@styled
def draw_overshoot_residual(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the measured overshoot over the law's, less one, against κ; markers as in :func:`draw_overshoot_law`.

    Parameters
    ----------
    data, ax
        As for :func:`draw_overshoot_law`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, linear within ±0.001 and logarithmic beyond.
    """
    ax = axes_or_new(ax, height=1.6)
    _points(data, ax, lambda kappa, measured: measured / theory.overshoot(kappa) - 1.0)
    ax.axhline(0.0, color=THEORY_COLOUR, zorder=1, label="theory")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1e-3, linscale=0.6)
    ax.set_ylim(-1.5, 1.0)
    ax.set(
        xlabel=r"inertia number, $\kappa=\varepsilon((1+\beta)/(1-\beta))^2$",
        ylabel="overshoot/$G(\\kappa)-1$",
    )
    return ax


_MOMENTUM_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)


def _plane(ax: Axes, data: xarray.Dataset, contours: tuple[float, ...]) -> None:
    """Dress the axes of a phase diagram: 1 − β on a logarithmic axis named by β, and theory's contours of κ."""
    momentum, excess = data["momentum"].values, data["excess"].values
    ax.set(xscale="log", yscale="log")  # before the contours, whose labels are placed on the page
    if contours:
        kappa = theory.inertia_number(excess[:, None], momentum)
        lines = ax.contour(1.0 - momentum, excess, kappa, levels=contours, colors="white", linewidths=0.7)
        # Labels where the lines cross a third of the axis of ε: there (1 + β)/(1 − β) = √(κ/ε).
        third = float((excess.min() ** 2 * excess.max()) ** (1 / 3))
        places = [(2.0 / (1.0 + np.sqrt(level / third)), third) for level in contours]
        inside = [at for at in places if 1.0 - momentum.max() < at[0] < 1.0 - momentum.min()]
        if inside:
            ax.clabel(lines, fmt=lambda level: rf"$\kappa={level:g}$", fontsize=5.5, manual=inside)
    ax.set(ylabel=r"relative excess, $\varepsilon=S/S^*-1$", xlabel=r"momentum, $\beta$")
    ax.set_xlim(1.0 - momentum.min(), 1.0 - momentum.max())
    ax.set_ylim(excess.min(), excess.max())
    shown = [b for b in _MOMENTUM_TICKS if momentum.min() <= b <= momentum.max()]
    ax.set_xticks([1.0 - b for b in shown], [f"{b:g}" for b in shown])
    ax.minorticks_off()


def _edges(data: xarray.Dataset) -> tuple[Any, Any]:
    return cell_edges(1.0 - data["momentum"].values, log=True), cell_edges(data["excess"].values, log=True)


@styled
def draw_phases(
    data: xarray.Dataset, ax: Axes | None = None, *, contours: tuple[float, ...] = (0.1, 1.0, 10.0)
) -> Axes:
    """Draw how runs end over (β, ε), each outcome in its colour and named for a legend, with theory's contours of κ.

    Parameters
    ----------
    data
        ``phase`` with dimensions momentum and excess: of :func:`selfstab.sweep` over these axes.
    ax
        Where to draw; by default the axes of a new figure.
    contours
        Values of κ.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    figure = new_figure() if ax is None else None
    ax = axes_or_new(ax) if figure is None else figure.add_subplot()
    codes = list(outcomes.LABELS)
    phase = data["phase"].transpose("excess", "momentum").values
    ax.pcolormesh(
        *_edges(data), phase, cmap=ListedColormap([outcomes.COLOURS[c] for c in codes]),
        norm=BoundaryNorm(np.arange(min(codes), max(codes) + 2) - 0.5, len(codes)), rasterized=True,
    )  # fmt: skip
    _plane(ax, data, contours)
    for code in codes:
        if (phase == code).any():
            ax.plot(
                [],
                [],
                linestyle="none",
                marker="s",
                color=outcomes.COLOURS[code],
                label=outcomes.LABELS[code],
            )
    if figure is not None:
        shared_legend(figure, [ax], columns=3)
    return ax


@styled
def draw_overshoot(
    data: xarray.Dataset, ax: Axes | None = None, *, contours: tuple[float, ...] = (0.1, 1.0, 10.0),
    largest: float | None = None,
) -> Axes:  # fmt: skip
    """Draw the overshoot over (β, ε) on a logarithmic scale, with theory's contours of κ.

    A run without an overshoot is in the colour of how it ended.

    Parameters
    ----------
    data
        ``overshoot`` and ``phase`` with dimensions momentum and excess: of :func:`selfstab.sweep` over these axes.
    ax
        Where to draw; by default the axes of a new figure.
    contours
        Values of κ.
    largest
        End of the colour scale; by default the largest overshoot.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.
    """
    from matplotlib.colors import LogNorm

    ax = axes_or_new(ax)
    draw_phases(data, ax, contours=())
    values = np.ma.masked_invalid(data["overshoot"].transpose("excess", "momentum").values)
    top = float(values.max()) if largest is None else largest
    beyond = "max" if float(values.max()) > top else "neither"
    mesh = ax.pcolormesh(
        *_edges(data),
        values,
        cmap=SEQUENTIAL,
        norm=LogNorm(max(float(values.min()), 0.3), top),
        rasterized=True,
    )
    ax.figure.colorbar(mesh, ax=ax, label="overshoot, drop/(2$y_0$)", pad=0.02, extend=beyond)
    _plane(ax, data, contours)
    return ax
