"""The look of every figure: column widths, embedded fonts, colours tied to meanings, and how figures are saved."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import matplotlib
import numpy as np

from selfstab import validation
from selfstab.forks import free_in_children
from selfstab.notices import notify
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

SINGLE_COLUMN: Final = 3.37
"""Width of one column of a two-column page, in inches."""

DOUBLE_COLUMN: Final = 6.93
"""Width of both columns, in inches."""


SERIES: Final = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
"""Colours of things that have none of their own, in turn (Paul Tol's 'bright' scheme)."""

MARKERS: Final = ("o", "s", "D", "^", "v", "P")
"""Markers of things that have none of their own, in turn."""

THEORY_COLOUR: Final = "#222222"
"""Lines of theory."""

TIMES: Final = {
    "step": "step, $t$",
    "effective_time": r"effective time, $\Sigma\eta_t/(1-\beta)$ (1/$S$)",
}
"""What a run may be drawn against, and the words at the axis."""

SEQUENTIAL: Final = "viridis"
"""Perceptual, colour-blind-safe map."""

BLANK: Final[Any] = {
    "linestyle": "none",
    "marker": "s",
    "color": "white",
    "markeredgecolor": "#777777",
    "markeredgewidth": 0.4,
}
"""The legend's mark of cells that are left white."""

RULES: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # shipped with Matplotlib: the same letters on every machine
    "mathtext.fontset": "dejavusans",
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "xtick.labelsize": 6.0,
    "ytick.labelsize": 6.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 6.0,
    # A frame of the background's colour: words over dark cells stay legible.
    "legend.frameon": True,
    "legend.facecolor": "white",
    "legend.edgecolor": "white",
    "legend.framealpha": 0.9,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "image.cmap": SEQUENTIAL,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "selfstab",
}
"""Matplotlib settings of the paper style."""

# Matplotlib's settings are the whole process's: two threads in and out of the style would leave it switched on.
_SETTINGS_LOCK: Final = threading.RLock()
free_in_children(_SETTINGS_LOCK)

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def paper() -> Iterator[None]:
    """Apply the paper style within a ``with`` block, and leave Matplotlib's settings as they were.

    Examples
    --------
    >>> import matplotlib
    >>> before = matplotlib.rcParams["font.size"]
    >>> with paper():
    ...     matplotlib.rcParams["font.size"]
    7.0
    >>> matplotlib.rcParams["font.size"] == before
    True
    """
    with _SETTINGS_LOCK:
        interactive = matplotlib.is_interactive()
        try:
            with matplotlib.rc_context(RULES):
                try:
                    yield
                finally:
                    # A notebook's backend is loaded with the first figure, and switches this on for good.
                    interactive = matplotlib.is_interactive()
        finally:
            matplotlib.interactive(interactive)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Return `draw`, run in the paper style."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with paper():
            return draw(*args, **kwargs)

    return inside


@styled
def new_figure(width: float = SINGLE_COLUMN, height: float = 2.4) -> Figure:
    """Return an empty figure of a size in inches; it belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


SCREEN_DPI: Final = 150
"""Dots per inch of figures that pyplot shows: a column's width is 506 of them."""

_SHOWN: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()
"""What a drawing of ours has put into axes."""


def axes_or_new(
    ax: Axes | None, width: float = SINGLE_COLUMN, height: float = 2.4, *, shows: str = ""
) -> Axes:
    """Return `ax`, or pyplot's current axes; those of a new figure where these show something else of ours.

    Parameters
    ----------
    ax
        The axes to draw into, or None.
    width, height
        Of a new figure, in inches.
    shows
        What is drawn, if a second drawing of the same belongs into the same axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes. Without `ax` its figure is pyplot's: a notebook shows it, and so does ``pyplot.show()``.

    Raises
    ------
    TypeError
        If ax is neither axes nor None.

    Examples
    --------
    >>> first = axes_or_new(None, shows="sharpness")
    >>> axes_or_new(None, shows="sharpness") is first, axes_or_new(None, shows="loss") is first
    (True, False)
    """
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be Matplotlib's axes or None, got {validation.shown(ax)}")
    if ax is None:
        from matplotlib import pyplot

        if pyplot.get_fignums():
            ax = pyplot.gca()
        if ax is None or (ax in _SHOWN and (not shows or _SHOWN[ax] != shows)):
            ax = shown_figure(width, height).add_subplot()
    _SHOWN[ax] = shows
    return ax


@styled
def shown_figure(width: float = SINGLE_COLUMN, height: float = 2.4) -> Figure:
    """Return an empty figure of pyplot's, of a size in inches: a notebook shows it, and so does ``pyplot.show()``."""
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), dpi=SCREEN_DPI, layout="constrained")


FORMATS: Final = ("png", "svg", "pdf")
"""What figures are saved as."""


@styled
def save(figure: Figure | Axes, folder: Path | str, name: str) -> list[Path]:
    """Write a figure as PNG (300 dpi), SVG and PDF; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        Any figure, or axes of it.
    folder
        Where to; it must exist.
    name
        The files' name. With the suffix .png, .svg or .pdf that file alone is written.

    Returns
    -------
    list of Path
        The files: three, or the one that `name` asks for.

    Raises
    ------
    TypeError, ValueError
        If figure is no figure of Matplotlib, folder no path, or name no name of a file.
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> ax = new_figure().add_subplot()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save(ax, folder, "sharpness")], len(save(ax, folder, "sharpness.pdf"))
    (['sharpness.png', 'sharpness.svg', 'sharpness.pdf'], 1)
    """
    drawing = _figure_of(figure)
    if not isinstance(name, str) or not name or Path(name).name != name or "\0" in name:
        raise ValueError(
            f"name must be a file's name without a folder, such as 'sharpness', got {validation.shown(name)}"
        )
    try:
        folder = Path(folder)
    except TypeError:
        raise TypeError(f"folder must be a path, got {validation.shown(folder)}") from None
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must exist, got {str(folder)!r}")
    stem, _, suffix = name.rpartition(".")
    of_one = bool(stem) and suffix.lower() in FORMATS
    stem, suffixes = (stem, [suffix]) if of_one else (name, [*FORMATS])
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")  # laid out once for all formats
    dates: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    files = []
    for suffix in suffixes:
        files.append(folder / f"{stem}.{suffix}")
        drawing.savefig(files[-1], metadata=dates[suffix.lower()], dpi=RULES["savefig.dpi"])
    return files


def _figure_of(drawing: Any) -> Figure:
    """Return the figure that is given, or that axes belong to; TypeError if there is none."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    figure = drawing
    while isinstance(figure, (Axes, SubFigure)):
        figure = figure.figure
    if not isinstance(figure, Figure):
        raise TypeError(
            f"figure must be a Matplotlib figure or axes of one, such as plt.gcf(), got {validation.shown(drawing)}"
        )
    return figure


def require(
    name: str,
    data: Any,
    variables: Mapping[str, tuple[str, ...] | None],
    made_by: str,
    *,
    attrs: tuple[str, ...] = (),
) -> None:
    """Raise unless `data` is a dataset that holds what is to be drawn.

    Parameters
    ----------
    name
        The argument's name, for the message.
    data
        What was passed.
    variables
        Names of variables or coordinates, and the dimensions of each in any order (None: any dimensions).
    made_by
        What has them, for the message.
    attrs
        Names of attributes.

    Raises
    ------
    TypeError
        If it is no dataset.
    ValueError
        If something is missing.

    Examples
    --------
    >>> import xarray
    >>> data = xarray.Dataset({"phase": ("lr", [1, 2])})
    >>> require("data", data, {"overshoot": None}, "a sweep with measure 'overshoot'")
    Traceback (most recent call last):
    ...
    ValueError: data must have the variable overshoot (a sweep with measure 'overshoot'), got phase
    """
    import xarray

    if not isinstance(data, xarray.Dataset):
        raise TypeError(f"{name} must be a dataset ({made_by}), got {validation.shown(data)}")
    for kind, required, present in (
        ("variable", variables, data.variables),
        ("attribute", attrs, data.attrs),
    ):
        if missing := [word for word in required if word not in present]:
            what = f"the {kind}{'s' * (len(missing) > 1)} {', '.join(missing)}"
            raise ValueError(
                validation.one_line(
                    f"{name} must have {what} ({made_by}), got {', '.join(map(str, present)) or 'none'}"
                )
            )
    for word, dims in variables.items():
        if dims is not None and {*data[word].dims} != {*dims}:
            along = ", ".join(dims) or "no dimension"
            raise ValueError(
                f"{name} must have {word} along {along} ({made_by}), "
                f"got it along {', '.join(map(str, data[word].dims)) or 'no dimension'}"
            )


def axis_label(data: xarray.Dataset, name: str) -> str:
    """Return what to write at an axis: a coordinate's long_name and units, or its name.

    >>> import xarray
    >>> lr = ("lr", [0.1, 0.2], {"long_name": "learning rate", "units": "1/sharpness"})
    >>> axis_label(xarray.Dataset(coords={"lr": lr}), "lr")
    'learning rate (1/sharpness)'
    """
    attrs = data[name].attrs
    units = str(attrs.get("units", "1"))
    return str(attrs.get("long_name", name)) + (f" ({units})" if units not in ("", "1") else "")


def label_panels(axes: list[Axes]) -> None:
    """Put (a), (b), ... before the axes' titles."""
    for k, ax in enumerate(axes):
        ax.set_title(f"({chr(ord('a') + k)}) {ax.get_title('left')}".rstrip(), loc="left")


def shared_legend(figure: Figure, axes: list[Axes], *, columns: int) -> None:
    """Put one legend below the figure that names each label of the axes once."""
    named = _named(axes)
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns)


def key_below(ax: Axes, *, columns: int) -> None:
    """Put the legend of axes below the figure, or into the axes where the figure leaves no room for it."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = _figure_of(ax)
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine) and figure.axes == [ax]:
        shared_legend(figure, [ax], columns=columns)
    else:
        legend(ax)


@styled
def legend(ax: Axes, **options: Any) -> Legend:
    """Add the legend of the style to axes, each label named once.

    Parameters
    ----------
    ax
        The axes.
    **options
        Passed to Matplotlib's, such as loc or ncols.

    Returns
    -------
    matplotlib.legend.Legend
        The legend.

    Examples
    --------
    >>> ax = new_figure().add_subplot()
    >>> for _ in range(2):
    ...     _ = ax.plot([0, 1], label="slow limit")
    >>> [text.get_text() for text in legend(ax, loc="upper left").get_texts()]
    ['slow limit']
    """
    if not hasattr(ax, "get_legend_handles_labels"):
        raise TypeError(f"ax must be axes of Matplotlib, got {validation.shown(ax)}")
    named = _named([ax])
    return ax.legend(list(named.values()), list(named), **options)


def _named(axes: list[Axes]) -> dict[str, Any]:
    """Return what each label of the axes stands for, the first where there are several."""
    named: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    return named


def line_properties(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties of a line by their long names; TypeError if one is none.

    >>> line_properties({"lw": 2, "color": "red"})
    {'linewidth': 2, 'color': 'red'}
    """
    from matplotlib import cbook
    from matplotlib.lines import Line2D

    try:
        named: dict[str, Any] = cbook.normalize_kwargs(dict(line), Line2D)
        Line2D([], []).set(**named)
    except (AttributeError, TypeError, ValueError) as error:
        raise TypeError(
            f"line must be properties of a Matplotlib line, got {validation.shown(dict(line))}: "
            + validation.one_line(str(error))
        ) from None
    return named


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


def is_geometric(values: Any) -> bool:
    """Whether three or more numbers above 0 have equal ratios, to a thousandth, rather than equal differences.

    >>> is_geometric([0.1, 1.0, 10.0]), is_geometric([1.0, 1.1, 1.2]), is_geometric([0.0, 1.0, 10.0])
    (True, False, False)
    """
    at = np.asarray(values, dtype=np.float64)
    if at.size < 3 or at.min() <= 0.0:
        return False
    ratios, differences = np.diff(np.log(at)), np.diff(at)
    uneven = np.ptp(ratios) / np.abs(ratios).max()
    return bool(uneven < min(1e-3, np.ptp(differences) / np.abs(differences).max()))


def cell_edges(centres: Any, *, log: bool = False) -> Array:
    """Return the edges of a heat map's cells, for pcolormesh.

    Inner edges are halfway between centres (on a log axis: at geometric means), outer edges as far beyond the
    outer centres as the next inner edges are before them.

    Parameters
    ----------
    centres
        Increasing or decreasing, shape (n,), n >= 2; above 0 if log.
    log
        Whether the axis is logarithmic.

    Returns
    -------
    ndarray
        Shape (n + 1,).

    Raises
    ------
    ValueError
        If there are fewer than two.

    Examples
    --------
    >>> cell_edges([0.0, 1.0, 3.0])
    array([-0.5,  0.5,  2. ,  4. ])
    >>> cell_edges([1.0, 100.0], log=True).round(6)
    array([1.e-01, 1.e+01, 1.e+03])
    """
    at = np.asarray(centres, dtype=np.float64)
    if at.size < 2:
        raise ValueError(f"centres must be at least two, got {validation.shown(at.tolist())}")
    if log:
        at = np.log(at)
    inner = 0.5 * (at[1:] + at[:-1])
    edges = np.concatenate([[2.0 * at[0] - inner[0]], inner, [2.0 * at[-1] - inner[-1]]])
    return np.exp(edges) if log else edges


def __getattr__(name: str) -> Any:
    # Version 0.1 had what is of methods here.
    from selfstab.plotting import methods

    if name[:2] == "__" or name not in vars(methods):
        raise AttributeError(f"module 'selfstab.plotting.style' has no attribute {name!r}")
    notify(
        f"plotting.style.{name} is now plotting.methods.{name}; the old name goes with version 0.4",
        DeprecationWarning,
    )
    return vars(methods)[name]
