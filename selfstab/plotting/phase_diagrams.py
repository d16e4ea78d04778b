"""Figures of sweeps: the overshoot law and phase diagrams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import phases, theory, validation
from selfstab.plotting.cell_edges import cell_edges, is_geometric
from selfstab.plotting.contract import require
from selfstab.plotting.labels import axis_label, label_of
from selfstab.plotting.legends import key_below
from selfstab.plotting.look import BLANK, MARKERS, SEQUENTIAL, THEORY_COLOUR, styled
from selfstab.plotting.methods import is_heavy_ball, momentum_colours, optimizer_name
from selfstab.plotting.style import axes_or_new
from selfstab.plotting.thresholds import draw_inertia_lines, draw_lr_at_threshold
from selfstab.plotting.ticks import name_log_ticks
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

UNIVERSAL_BELOW: Final = 0.03
"""Relative excess up to which a measured overshoot is compared with the universal law (filled markers)."""

_ALONG: Final = ("momentum", "point")


def _loss_markers(data: xarray.Dataset) -> dict[str, str]:
    """Return a marker for each loss: the variables along momentum and point but κ and ε are overshoots."""
    losses = [
        str(name) for name in data.data_vars
        if {*data[name].dims} == {*_ALONG} and name not in ("kappa", "excess")
    ]  # fmt: skip
    return {loss: MARKERS[k % len(MARKERS)] for k, loss in enumerate(losses)}


def _points(data: xarray.Dataset, ax: Axes, height: Any) -> None:
    """Draw one marker per measured overshoot: filled where ε is small, open where not."""
    for loss, marker in _loss_markers(data).items():
        for k, colour in enumerate(momentum_colours(data["momentum"].values)):
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
    for momentum, colour in zip(momenta, momentum_colours(momenta), strict=True):
        ax.plot([], [], linewidth=3.0, color=colour, label=rf"$\beta={momentum:g}$")
    for loss, marker in _loss_markers(data).items():
        ax.plot([], [], marker=marker, label=loss, **grey)
    ax.plot([], [], marker="o", markerfacecolor="none", label=rf"$\varepsilon>{UNIVERSAL_BELOW:g}$", **grey)
    ax.legend(loc="upper left", ncols=2)


def _check_law(data: xarray.Dataset) -> None:
    variables = {"momentum": ("momentum",), "kappa": _ALONG, "excess": _ALONG}
    require("data", data, variables, "overshoots against κ")
    if not _loss_markers(data):
        raise ValueError(
            "data must have the overshoots of a loss along momentum, point beside kappa and excess, "
            f"got {', '.join(map(str, data.data_vars))}"
        )


@styled
def draw_overshoot_law(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the measured overshoot against the inertia number κ, on the universal curve G(κ).

    Filled markers: relative excess ε <= 0.03, where the law is to hold; open ones: larger ε. Runs that diverged or did
    not settle have no overshoot and no marker.

    Parameters
    ----------
    data
        ``kappa`` and ``excess`` along (momentum, point); every other variable along these holds the overshoots of a
        loss, whose name it bears.
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
    """
    _check_law(data)
    ax = axes_or_new(ax)
    data = data.transpose("momentum", "point", ...)
    kappa = data["kappa"].values
    _points(data, ax, lambda _, measured: measured)
    fine = np.geomspace(np.nanmin(kappa), np.nanmax(kappa), 400)
    ax.plot(fine, theory.overshoot(fine), color=THEORY_COLOUR, label=r"theory, $G(\kappa)$", zorder=1)
    _key(data, ax)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=label_of("inertia_number", r"$\kappa=\varepsilon((1+\beta)/(1-\beta))^2$"),
    )
    ax.set(ylabel=label_of("overshoot"))
    return ax


@styled
def draw_overshoot_residual(data: xarray.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the measured overshoot, divided by the law's, minus one, against κ.

    Markers are those of :func:`draw_overshoot_law`.

    Parameters
    ----------
    data, ax
        As for :func:`draw_overshoot_law`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, linear within ±0.001 and logarithmic beyond.

    Raises
    ------
    TypeError, ValueError
        If data lacks one of these; the message names it.
    """
    _check_law(data)
    ax = axes_or_new(ax, height=1.6)
    data = data.transpose("momentum", "point", ...)
    _points(data, ax, lambda kappa, measured: measured / theory.overshoot(kappa) - 1.0)
    ax.axhline(0.0, color=THEORY_COLOUR, zorder=1, label="theory")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1e-3, linscale=0.6)
    ax.set_ylim(-1.5, 1.0)
    ax.set(
        xlabel=label_of("inertia_number", r"$\kappa=\varepsilon((1+\beta)/(1-\beta))^2$"),
        ylabel=label_of("deviation"),
    )
    return ax


_MOMENTUM_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)


@dataclass(frozen=True)
class _Map:
    """A sweep along two axes, sorted along both, and where it is drawn."""

    data: xarray.Dataset
    x: str
    y: str
    of_theory: bool
    """Whether it is over momentum and excess: 1 − β and ε on logarithmic axes, with theory's contours."""

    @classmethod
    def checked(cls, data: xarray.Dataset, variables: tuple[str, ...], x: str | None, y: str | None) -> _Map:
        words = " and ".join(repr(name) for name in variables)
        made_by = f"a sweep with measure{'s' * (len(variables) > 1)} {words}"
        require("data", data, dict.fromkeys(variables), made_by)
        dims = [str(dim) for dim in data[variables[0]].dims]
        chosen = [
            validation.one_of(word, name, dims) for word, name in (("y", y), ("x", x)) if name is not None
        ]
        long = [dim for dim in dims if data.sizes[dim] > 1 or dim in chosen]
        if len(chosen) == 2 and chosen[0] == chosen[1]:
            raise ValueError(f"x and y must be two dimensions, got {chosen[0]} twice")
        if len(long) != 2 or min(data.sizes[dim] for dim in long) < 2:
            sizes = ", ".join(f"{dim} ({data.sizes[dim]})" for dim in dims) or "none"
            more = [dim for dim in long if dim not in chosen][2 - len(chosen) :]
            advice = f": select one value of {', '.join(more)}, as data.isel({more[0]}=0)" if more else ""
            raise ValueError(
                f"data must have more than one value along two dimensions exactly, got {sizes}{advice}"
            )
        over_theory = {*long} == {"momentum", "excess"} and is_heavy_ball(data)
        # As theory's planes are drawn: ε upwards, whatever the order of the sweep's axes.
        up, right = ("excess", "momentum") if over_theory else (long[0], long[1])
        if (x or right) == up or (y or up) == right:
            up, right = right, up
        flat = data[list(variables)].squeeze([dim for dim in dims if dim not in long]).sortby([up, right])
        of_theory = over_theory and up == "excess" and bool(flat["excess"].min() > 0.0)
        of_theory = of_theory and bool(flat["momentum"].max() < 1.0)
        return cls(flat.transpose(up, right), right, up, of_theory)

    def values(self, name: str) -> Any:
        """Return a variable, shape (values of y, values of x)."""
        return self.data[name].values

    def edges(self) -> tuple[Any, Any]:
        """Return the edges of the cells along x and y."""
        x, y = self.data[self.x].values, self.data[self.y].values
        if self.of_theory:
            return cell_edges(1.0 - x, log=True), cell_edges(y, log=True)
        return cell_edges(x, log=is_geometric(x)), cell_edges(y, log=is_geometric(y))

    def dress(self, ax: Axes, contours: tuple[float, ...]) -> None:
        """Scale and name the axes."""
        if self.of_theory:
            _plane(ax, self.data, contours)
            return
        across, up = self.edges()
        for word, name, ends in (("x", self.x, across), ("y", self.y, up)):
            scale = "log" if is_geometric(self.data[name].values) else "linear"
            ax.set(
                **{f"{word}scale": scale, f"{word}label": axis_label(self.data, name)},
                **{f"{word}lim": (ends[0], ends[-1])},
            )
            if scale == "log":
                name_log_ticks(getattr(ax, f"{word}axis"))


def _plane(ax: Axes, data: xarray.Dataset, contours: tuple[float, ...]) -> None:
    """Dress the axes of a phase diagram: 1 − β on a logarithmic axis named by β, and theory's contours of κ."""
    momentum, excess = data["momentum"].values, data["excess"].values
    ax.set(xscale="log", yscale="log")
    ax.set_xlim(1.0 - momentum.min(), 1.0 - momentum.max())
    ax.set_ylim(excess.min(), excess.max())
    draw_inertia_lines(ax, (momentum.min(), momentum.max()), (excess.min(), excess.max()), contours)
    ax.set(ylabel=label_of("excess", r"$\varepsilon=S/S^*-1$"), xlabel=label_of("momentum"))
    ticks = [b for b in _MOMENTUM_TICKS if momentum.min() <= b <= momentum.max()]
    ax.set_xticks([1.0 - b for b in ticks], [f"{b:g}" for b in ticks])
    name_log_ticks(ax.yaxis)
    ax.minorticks_off()


@styled
def draw_phases(
    data: xarray.Dataset, ax: Axes | None = None, *, x: str | None = None, y: str | None = None,
    contours: tuple[float, ...] = (0.1, 1.0, 10.0), sharpness: float | None = None,
) -> Axes:  # fmt: skip
    r"""Draw how runs end against two axes of a sweep, each phase in its colour.

    Cells that have not been run, as in the store of an unfinished sweep, are white. Axes are logarithmic where the
    sweep's values are spaced geometrically. Over (β, ε), the axes are 1 − β and ε, with theory's contours of κ.

    Outcomes are named for a legend, which a new figure has below the axes. In axes of your own, call ``ax.legend()``
    within :func:`paper`, whose legends have a frame. To leave the cells free, call
    ``ax.figure.legend(loc="outside lower center")`` in a figure of layout "constrained".

    Parameters
    ----------
    data
        ``phase`` of :func:`selfstab.sweep`, more than one value along two dimensions exactly.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    x, y
        The dimension drawn to the right and the one drawn upwards; by default the second and the first (β and ε).
    contours
        Values of κ, in the plane (β, ε).
    sharpness
        S of the minimum: against momentum and lr, theory's threshold ηS = 2(1 + β) is drawn for it.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data has no phase, or not more than one value along two dimensions exactly, or x or y is none of them. If
        a sharpness is given and the axes are not momentum and lr of the heavy ball.

    Examples
    --------
    >>> import numpy as np, selfstab as ss
    >>> axes = {"lr": np.geomspace(0.1, 10.0, 5), "start.w": [0.5, 1.0, 2.0]}
    >>> data = ss.sweep(ss.DoubleWell(), ss.HeavyBall(0.1), axes, start=[1.0], steps=9, progress=False)
    >>> draw_phases(data).get_ylabel()
    'learning rate, $\\eta$ (1/sharpness)'
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    plane = _Map.checked(data, ("phase",), x, y)
    if sharpness is not None:
        sharpness = validation.real("sharpness", sharpness, above=0)
        if {plane.x, plane.y} != {"momentum", "lr"} or not is_heavy_ball(data):
            raise ValueError(
                f"sharpness needs the axes momentum and lr of HeavyBall, got {plane.y} and {plane.x} "
                f"of {optimizer_name(data)}"
            )
    with_key = ax is None
    ax = axes_or_new(ax)
    codes = list(phases.LABELS)
    phase = plane.values("phase")
    known = np.isin(phase, codes)
    ax.pcolormesh(
        *plane.edges(), np.ma.masked_array(phase, ~known),
        cmap=ListedColormap([phases.COLOURS[c] for c in codes]),
        norm=BoundaryNorm(np.array([*codes, codes[-1] + 1]) - 0.5, len(codes)), rasterized=True,
    )  # fmt: skip
    plane.dress(ax, contours)
    name_phases(ax, phase)
    if sharpness is not None:
        beta = plane.data["momentum"].values
        draw_lr_at_threshold(ax, (beta.min(), beta.max()), sharpness, upwards=plane.y == "momentum")
    if not known.all():
        ax.plot([], [], label="not run", **BLANK)
    if with_key:
        key_below(ax, columns=3)
    return ax


def name_phases(ax: Axes, phase: Any) -> None:
    """Name the phases that are there for a legend."""
    for code, label in phases.LABELS.items():
        if (phase == code).any():
            ax.plot([], [], linestyle="none", marker="s", color=phases.COLOURS[code], label=label)


_EXTENDED: Final = {
    (False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both",
}  # fmt: skip
"""At which end a colour bar has an arrow: values are below its least, or above its largest."""


_USUAL: Final = 98.0
"""Percentile at which a colour scale ends where few cells are far above all others."""

_FAR: Final = 2.0
"""Cells are far above all others where they are more than this many times that percentile."""


def _usual_top(values: Array) -> float:
    """Return the largest value, or a high percentile where few values are far above it.

    >>> _usual_top(np.arange(1.0, 10.0)), _usual_top(np.append(np.arange(1.0, 10.0), 107.0))
    (9.0, 9.0)
    """
    usual = float(np.percentile(values, _USUAL, method="lower"))
    highest = float(values.max())
    return usual if highest > _FAR * usual else highest


@styled
def draw_overshoot(
    data: xarray.Dataset, ax: Axes | None = None, *, x: str | None = None, y: str | None = None,
    contours: tuple[float, ...] = (0.1, 1.0, 10.0), least: float | None = None, largest: float | None = None,
) -> Axes:  # fmt: skip
    """Draw the overshoot against two axes of a sweep, on a logarithmic scale.

    A run without an overshoot is in the colour of how it ended. Axes and contours are those of :func:`draw_phases`.

    Parameters
    ----------
    data
        ``overshoot`` and ``phase`` of :func:`selfstab.sweep`, more than one value along two dimensions exactly.
    ax
        Where to draw; by default pyplot's current axes or a new figure's.
    x, y, contours
        As for :func:`draw_phases`.
    least, largest
        Ends of the colour scale; by default the smallest overshoot, but no less than 0.3, and the largest. Few cells
        far above all others, as of chaotic runs, do not set the scale: it then ends at the 98th percentile. An arrow
        at the bar's end says that there are values beyond.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    TypeError, ValueError
        If data has no overshoot or no phase, or in the cases of :func:`draw_phases`.
    """
    from matplotlib.colors import LogNorm

    plane = _Map.checked(data, ("overshoot", "phase"), x, y)
    ax = axes_or_new(ax)
    draw_phases(data, ax, x=plane.x, y=plane.y, contours=())
    values = np.ma.masked_invalid(plane.values("overshoot"))
    if values.count():
        top = _usual_top(values.compressed()) if largest is None else largest
        low = min(max(float(values.min()), 0.3) if least is None else least, top)
        beyond = _EXTENDED[float(values.min()) < low, float(values.max()) > top]
        norm = LogNorm(low, top)
        mesh = ax.pcolormesh(*plane.edges(), values, cmap=SEQUENTIAL, norm=norm, rasterized=True)
        name_log_ticks(ax.figure.colorbar(mesh, ax=ax, label=label_of("overshoot"), pad=0.02, extend=beyond))
    plane.dress(ax, contours)
    return ax
