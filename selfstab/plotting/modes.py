"""Figures of heavy ball on quadratics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import phases, theory
from selfstab.plotting.cell_edges import cell_edges
from selfstab.plotting.contract import require
from selfstab.plotting.labels import label_of
from selfstab.plotting.look import SEQUENTIAL, styled
from selfstab.plotting.style import axes_or_new

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


@styled
def draw_modes(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    r"""Draw the spectral radius ρ in the plane (ηS, β), with the boundaries of the regions.

    Boundaries from theory: (1 − √β)², (1 + √β)², 2(1 + β). Cells with ρ > 1 are in the colour of divergence.

    Parameters
    ----------
    data
        ``spectral_radius`` with dimensions momentum and lr_times_sharpness, each of at least two values.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these, or has one value only along a dimension.

    Examples
    --------
    >>> import selfstab as ss, xarray
    >>> beta, scaled = [0.0, 0.5], [0.5, 1.5, 2.5]
    >>> radius = ss.theory.spectral_radius(scaled, [[0.0], [0.5]])
    >>> coords = {"momentum": beta, "lr_times_sharpness": scaled}
    >>> data = xarray.Dataset({"spectral_radius": (tuple(coords), radius)}, coords)
    >>> draw_modes(data).get_xlabel()
    'learning rate × sharpness, $\\eta S$'
    """
    dims = ("momentum", "lr_times_sharpness")
    variables: dict[str, tuple[str, ...]] = {"spectral_radius": dims} | {name: (name,) for name in dims}
    require("data", data, variables, "the modes of heavy ball")
    ax = axes_or_new(ax)
    momentum, scaled = data["momentum"].values, data["lr_times_sharpness"].values
    radius = data["spectral_radius"].transpose("momentum", "lr_times_sharpness").values
    ax.set_facecolor(phases.COLOURS[phases.DIVERGED])
    mesh = ax.pcolormesh(
        cell_edges(scaled), cell_edges(momentum), np.ma.masked_greater(radius, 1.0),
        cmap=SEQUENTIAL, vmin=0.0, vmax=1.0, rasterized=True,
    )  # fmt: skip
    ax.figure.colorbar(mesh, ax=ax, label=label_of("spectral_radius"), pad=0.02)
    fine = np.linspace(max(momentum.min(), 0.0), momentum.max(), 400)
    low, high, threshold = theory.region_boundaries(fine)
    for name, boundary, line in (
        (r"$(1-\sqrt{\beta})^2$", low, "-"),
        (r"$(1+\sqrt{\beta})^2$", high, "--"),
        (r"$2(1+\beta)$", threshold, "-"),
    ):
        ax.plot(boundary, fine, color="white", linestyle=line, label=name)
    words: list[tuple[str, float, float, dict[str, Any]]] = [
        (r"oscillating, $\rho=\sqrt{\beta}$", 1.25, 0.6, {"color": "black"}),
        ("flip", 1.78, 0.055, {}),
        ("divergent", 3.45, 0.12, {}),
        (r"$(1-\sqrt{\beta})^2$", 0.14, 0.45, {"ha": "left"}),
        (r"$(1+\sqrt{\beta})^2$", 2.45, 0.4, {"ha": "right"}),
        (r"$2(1+\beta)$", 2.72, 0.3, {"ha": "left"}),
    ]
    for word, x, y, more in words:
        if scaled.min() <= x <= scaled.max() and momentum.min() <= y <= momentum.max():
            look: dict[str, Any] = {"color": "white", "ha": "center", "va": "center", "fontsize": 6.5}
            ax.text(x, y, word, **(look | more))
    ax.annotate(
        "monotone", (0.22, 0.1), (0.45, 0.24), color="white", fontsize=6.5,
        arrowprops={"arrowstyle": "-", "color": "white", "linewidth": 0.5},
    )  # fmt: skip
    ax.set(xlim=(scaled.min(), scaled.max()), ylim=(momentum.min(), momentum.max()))
    ax.set(xlabel=label_of("lr_times_sharpness"), ylabel=label_of("momentum"))
    return ax
