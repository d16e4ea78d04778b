"""Figures of the style: new ones, the axes that a drawing goes into, and how they are saved.

The names of the style stand here together: those of `look`, `labels`, `legends`, `thresholds`, `cells` and `contract`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from selfstab import validation
from selfstab.notices import notify
from selfstab.plotting.cell_edges import cell_edges as cell_edges
from selfstab.plotting.cell_edges import is_geometric as is_geometric
from selfstab.plotting.contract import require as require
from selfstab.plotting.labels import TIMES as TIMES
from selfstab.plotting.labels import axis_label as axis_label
from selfstab.plotting.legends import key_below as key_below
from selfstab.plotting.legends import label_panels as label_panels
from selfstab.plotting.legends import legend as legend
from selfstab.plotting.legends import shared_legend as shared_legend
from selfstab.plotting.look import BLANK as BLANK
from selfstab.plotting.look import DOUBLE_COLUMN as DOUBLE_COLUMN
from selfstab.plotting.look import MARKERS as MARKERS
from selfstab.plotting.look import RULES as RULES
from selfstab.plotting.look import SEQUENTIAL as SEQUENTIAL
from selfstab.plotting.look import SERIES as SERIES
from selfstab.plotting.look import SINGLE_COLUMN as SINGLE_COLUMN
from selfstab.plotting.look import THEORY_COLOUR as THEORY_COLOUR
from selfstab.plotting.look import paper as paper
from selfstab.plotting.look import styled as styled
from selfstab.plotting.thresholds import draw_threshold as draw_threshold
from selfstab.plotting.thresholds import largest as largest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCREEN_DPI: Final = 150
"""Dots per inch of figures that pyplot shows: a column's width is 506 of them."""

_SHOWN: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()
"""What a drawing of ours has put into axes."""

FORMATS: Final = ("png", "svg", "pdf")
"""What figures are saved as."""


@styled
def new_figure(width: float = SINGLE_COLUMN, height: float = 2.4) -> Figure:
    """Return an empty figure of a size in inches; it belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@styled
def shown_figure(width: float = SINGLE_COLUMN, height: float = 2.4) -> Figure:
    """Return an empty figure of pyplot's, of a size in inches: a notebook shows it, and so does ``pyplot.show()``."""
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), dpi=SCREEN_DPI, layout="constrained")


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
