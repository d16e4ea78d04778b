"""Figures of refined phase diagrams, orbit diagrams and branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from selfstab import phases, theory, validation
from selfstab.plotting.contract import require
from selfstab.plotting.labels import QUANTITIES, label_of
from selfstab.plotting.look import BLANK, SEQUENTIAL, THEORY_COLOUR, styled
from selfstab.plotting.methods import momentum
from selfstab.plotting.phase_diagrams import name_phases
from selfstab.plotting.style import axes_or_new
from selfstab.plotting.thresholds import draw_lr_at_threshold

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from selfstab.sweeps.refinement import Box

BRANCH_COLOURS: Final = {"forward": "#117733", "backward": "#882255"}
"""The two ways along an axis (Paul Tol's colour-blind-safe 'muted' scheme): colours of no momentum."""


def _name(name: str) -> str:
    """Return the label of an axis or a measure, its name where the table has none."""
    if name == "excess":
        return label_of(name, r"$\varepsilon=S/S^*-1$")
    return label_of(name) if name in QUANTITIES else name


@styled
def draw_refined(
    data: xarray.Dataset,
    ax: Axes | None = None,
    *,
    measure: str = "phase",
    edges: bool = False,
    sharpness: float | None = None,
) -> Axes:
    """Draw the cells of a refined diagram against its two axes, each in its own size.

    Parameters
    ----------
    data
        Of :func:`selfstab.refine` along two axes; the first is drawn upwards, the second to the right.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    measure
        The phase, in the colours of the phases, or another measure on a sequential scale, which leaves out cells
        where it is not finite. The scale of diverged_at is logarithmic, and cells that never diverge are white.
    edges
        Whether to draw the outlines of the cells.
    sharpness
        S of the minimum: against momentum and lr, theory's threshold ηS = 2(1 + β) is drawn for it.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If data is not of refine or has not two axes, or the measure is not in it. If a sharpness is given and the axes
        are not momentum and lr.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm

    from selfstab.sweeps.refinement import Box

    box = Box.read(data)
    if len(box.names) != 2:
        raise ValueError(f"data must have two axes, got {', '.join(box.names)}")
    across: tuple[str, ...] = ("cell", "axis")
    require("data", data, {"position": across, "size": across}, "a dataset of refine")
    known = [str(name) for name in data.data_vars if data[name].dims == ("cell",)]
    measure = validation.one_of("measure", measure, known)
    ax = axes_or_new(ax)
    position, size = (data[name].transpose("axis", "cell").values for name in ("position", "size"))
    (bottom, left), (top, right) = (
        [box.values(k, position[k] + side * size[k]) for k in (0, 1)] for side in (-0.5, 0.5)
    )
    corners = np.stack([[left, right, right, left], [bottom, bottom, top, top]]).transpose(2, 1, 0)
    values = data[measure].values
    look: dict[str, Any] = {"rasterized": True, "linewidths": 0.25 if edges else 0.0}
    look["edgecolors"] = "white" if edges else "none"
    if measure == "phase":
        colours = np.array([phases.COLOURS[code] for code in values.tolist()])
        ax.add_collection(PolyCollection([*corners], facecolors=colours, antialiased=edges, **look))
        name_phases(ax, values)
    else:
        steps = measure == "diverged_at"
        drawable = values >= 0 if steps else np.isfinite(values)
        if drawable.any():
            if steps:  # a start beyond the escape radius diverged at step 0, which has no logarithm
                look["norm"] = LogNorm(max(values[drawable].min(), 1), max(values.max(), 2), clip=True)
            mesh = PolyCollection(
                [*corners[drawable]], array=values[drawable], cmap=SEQUENTIAL, antialiased=edges, **look
            )
            ax.add_collection(mesh)
            ax.figure.colorbar(mesh, ax=ax, label=_name(measure), pad=0.02)
        if steps and not drawable.all():
            ax.plot([], [], label="never", **BLANK)
    first, second = box.names
    ax.set(xlabel=_name(second), ylabel=_name(first))
    ax.set_xscale("log" if second in box.geometric else "linear")
    ax.set_yscale("log" if first in box.geometric else "linear")
    ax.set(xlim=(box.low[1], box.high[1]), ylim=(box.low[0], box.high[0]))
    if sharpness is not None:
        _threshold_line(ax, box, validation.real("sharpness", sharpness, above=0))
    return ax


def _threshold_line(ax: Axes, box: Box, sharpness: float) -> None:
    if {*box.names} != {"momentum", "lr"}:
        raise ValueError(f"sharpness needs the axes momentum and lr, got {', '.join(box.names)}")
    k = box.names.index("momentum")
    draw_lr_at_threshold(ax, (box.low[k], box.high[k]), sharpness, upwards=k == 0)


@styled
def draw_orbits(
    data: xarray.Dataset,
    ax: Axes | None = None,
    *,
    weight: str | None = None,
    sharpness: float | None = None,
    cycle: tuple[float, float, float] | None = None,
) -> Axes:
    """Draw an orbit diagram: the last states of each run against one axis, a dot each.

    Parameters
    ----------
    data
        ``weights`` of :func:`selfstab.orbits` along one axis; other axes have one value.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    weight
        Name of the weight; by default the first.
    sharpness
        S of the minimum: against lr, theory's threshold ηS = 2(1 + β) is drawn for it.
    cycle
        The minimum w and the derivatives L₃ and L₄ of a scalar loss there. With a sharpness, the two-cycle w ± A of
        theory's leading order is drawn beyond the threshold, up to an excess of a tenth.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If data has no weights along step, weight and an axis, or they have more than one axis. If theory is to be
        drawn against another axis than lr.
    """
    made_by = "a dataset of orbits"
    require("data", data, {"weights": None, "weight": ("weight",), "step": None}, made_by)
    states = data["weights"]
    name = _one_axis(data, [str(dim) for dim in states.dims if dim not in ("step", "weight")])
    if "step" not in states.dims:
        raise ValueError(
            f"data must have weights along step ({made_by}), got {', '.join(map(str, states.dims))}"
        )
    known = [str(w) for w in data["weight"].values]
    states = states.sel(weight=known[0] if weight is None else validation.one_of("weight", weight, known))
    ax = axes_or_new(ax)
    at = data[name].values
    dots = (
        states.squeeze([dim for dim in states.dims if dim not in (name, "step")])
        .transpose(name, "step")
        .values
    )
    size: dict[str, Any] = {"markersize": 0.6 if dots.size > 5000 else 1.5, "markeredgewidth": 0.0}
    ax.plot(
        np.repeat(at, dots.shape[1]), dots.ravel(), ".", color="#0077bb", rasterized=True, zorder=3, **size
    )
    ax.set(
        xlabel=_name(name),
        ylabel=label_of("last_weights", f"${states['weight'].item()}$"),
        xlim=(at.min(), at.max()),
    )
    if sharpness is not None or cycle is not None:
        if name != "lr" or sharpness is None:
            raise ValueError(f"theory needs the axis lr and a sharpness, got {name} and {sharpness!r}")
        if "momentum" not in data.coords:
            require("data", data, {}, made_by, attrs=("optimizer",))
        beta = float(data["momentum"].item()) if "momentum" in data.coords else momentum(data)
        s = validation.real("sharpness", sharpness, above=0)
        threshold = float(theory.max_stable_sharpness(s, beta))  # η = 2(1 + β)/S
        ax.axvline(
            threshold, color=THEORY_COLOUR, linestyle="--", linewidth=0.8, label=r"$\eta S=2(1+\beta)$"
        )
        if cycle is not None:
            minimum, third, fourth = (validation.real("cycle", value) for value in cycle)
            excess = np.linspace(0.0, 0.1, 200)
            half = theory.two_cycle_half_amplitude(excess, s, third, fourth)
            for sign, label in ((1.0, r"two-cycle, $\pm A$"), (-1.0, None)):
                ax.plot(threshold * (1.0 + excess), minimum + sign * half, color=THEORY_COLOUR, label=label)
        low, high = ax.get_ylim()
        first = dots[: max(1, len(at) // 3)]  # the key stands beside them
        ax.legend(loc="lower left" if np.nanmedian(first) > 0.5 * (low + high) else "upper left")
    return ax


@styled
def draw_continuation(
    data: xarray.Dataset,
    ax: Axes | None = None,
    *,
    measure: str = "final_loss",
    bistable: tuple[float, float] | None = None,
) -> Axes:
    """Draw a measure along the branches followed forward and backward; runs that started afresh are open markers.

    A run that diverged is a cross at the upper edge instead: what it measured before it escaped would flatten the
    rest. It shows by ``diverged_at`` or ``phase`` where data has one of them, else by a measure that is not finite.

    Parameters
    ----------
    data
        Of :func:`selfstab.continuation`; axes other than the one followed have one value.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    measure
        Which measure; of diverged_at and phase, all values are drawn.
    bistable
        The interval in which theory says that both branches live; it is shaded.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If data is not of continuation, another axis has more than one value, or the measure is not in the data.
    """
    require(
        "data",
        data,
        {"restarted": None, "direction": ("direction",)},
        "a dataset of continuation",
        attrs=("along",),
    )
    measure = validation.one_of("measure", measure, [str(n) for n in data.data_vars if n != "restarted"])
    others = [str(dim) for dim in data[measure].dims if dim != "direction"]
    name = _one_axis(data, others, str(data.attrs["along"]))
    ax = axes_or_new(ax)
    if bistable is not None:
        low, high = (validation.real("bistable", value) for value in bistable)
        ax.axvspan(low, high, color="#dddddd", linewidth=0.0, zorder=0, label="both, by theory")
    flat = data.squeeze([dim for dim in others if dim != name])
    for direction, marker in (("forward", ">"), ("backward", "<")):
        if direction not in flat["direction"].values:
            continue
        branch, colour = flat.sel(direction=direction), BRANCH_COLOURS[direction]
        at, afresh, lost = branch[name].values, branch["restarted"].values, _lost(branch, measure)
        values = np.where(lost, np.nan, branch[measure].values)
        ax.plot(at, values, color=colour, linewidth=0.7)
        look: dict[str, Any] = {
            "linestyle": "none", "color": colour, "markersize": 3.0, "markeredgewidth": 0.6,
        }  # fmt: skip
        for chosen, face, label in ((~afresh, colour, direction), (afresh, "white", f"{direction}, afresh")):
            chosen = chosen & ~lost
            if chosen.any():
                ax.plot(at[chosen], values[chosen], marker=marker, markerfacecolor=face, label=label, **look)
        if lost.any():
            height = np.full(lost.sum(), 1.0 if direction == "forward" else 0.96)
            ax.plot(
                at[lost], height, marker="x", transform=ax.get_xaxis_transform(), clip_on=False,
                label=f"{direction}, diverged", **look,
            )  # fmt: skip
    ax.set(xlabel=_name(name), ylabel=_name(measure))
    ax.legend()
    return ax


def _lost(branch: xarray.Dataset, measure: str) -> npt.NDArray[np.bool_]:
    """Return which runs are not drawn among the others: those that diverged, or have no number."""
    lost: npt.NDArray[np.bool_] = ~np.isfinite(branch[measure].values)
    if measure not in ("diverged_at", "phase"):
        if "diverged_at" in branch:
            lost |= branch["diverged_at"].values >= 0
        if "phase" in branch:
            lost |= branch["phase"].values == phases.DIVERGED
    return lost


def _one_axis(data: xarray.Dataset, names: list[str], along: str | None = None) -> str:
    """Return the axis that is drawn: `along`, or the one with more than one value; the others have one."""
    if not names:
        raise ValueError("data must have an axis, got none")
    long = [name for name in names if data.sizes[name] > 1]
    chosen = along or (long[0] if long else names[0])
    if more := [name for name in long if name != chosen]:
        raise ValueError(
            f"data must have one value along each other axis than {chosen}, got more along {more[0]}"
        )
    return chosen
