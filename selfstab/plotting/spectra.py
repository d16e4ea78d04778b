"""Figures of Hessian spectra over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.plotting.contract import require
from selfstab.plotting.labels import axis_label, label_of
from selfstab.plotting.look import THEORY_COLOUR, styled
from selfstab.plotting.methods import METHOD_COLOURS, method
from selfstab.plotting.style import axes_or_new, line_properties
from selfstab.plotting.thresholds import draw_threshold

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

BULK_COLOUR: Final = "#999999"
"""Eigenvalues other than the sharpness."""

_AS_PICTURE: Final = 50
"""Lines beyond which they are one picture in a PDF or SVG, not paths."""


@styled
def draw_spectrum(
    data: xarray.Dataset,
    ax: Axes | None = None,
    *,
    against: str = "step",
    threshold: bool = True,
    **line: Any,
) -> Axes:
    """Draw Hessian eigenvalues against time, and the threshold S*.

    The sharpness has the method's colour, all others are grey.

    Parameters
    ----------
    data
        Of :func:`hessian_spectrum`: ``eigenvalue`` along step and rank; of a run's weights also its
        ``max_stable_sharpness`` and settings. Without settings, the sharpness is black.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    against
        The horizontal axis: step, or another variable along step.
    threshold
        Whether to draw S*, where it is known.
    **line
        Passed to the sharpness's line.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If the data lack one of these; the message names it.
    """
    made_by = "of hessian_spectrum"
    require("data", data, {against: ("step",), "rank": ("rank",), "eigenvalue": ("step", "rank")}, made_by)
    if data.sizes["step"] == 0 or data.sizes["rank"] == 0:
        raise ValueError(f"data must hold an eigenvalue ({made_by}), got none")
    ax = axes_or_new(ax)
    at = np.asarray(data[against].values, dtype=np.float64)
    values = data["eigenvalue"].transpose("step", "rank").values
    top = data["rank"].values == 0
    others = values[:, ~top]
    point: dict[str, Any] = {"marker": "o"} if at.size == 1 else {}  # which a line would not show
    if others.shape[1]:
        drawn = ax.plot(
            at,
            others,
            color=BULK_COLOUR,
            linewidth=0.4,
            rasterized=others.shape[1] > _AS_PICTURE,
            zorder=1.8,
            **point,
        )
        drawn[0].set_label("other eigenvalues")
    if top.any():
        name = method(data) if "optimizer" in data.attrs else None
        look = {
            "color": METHOD_COLOURS.get(name or "", THEORY_COLOUR),
            "label": f"{name or ''} sharpness".strip(),
            **point,
        }
        ax.plot(at, values[:, top][:, 0], **(look | line_properties(line)))
    if threshold and "max_stable_sharpness" in data:
        draw_threshold(ax, at, data["max_stable_sharpness"].values, near=values)
    ax.set_xlabel(axis_label(data, against))
    ax.set_ylabel(label_of("eigenvalues"))
    return ax
