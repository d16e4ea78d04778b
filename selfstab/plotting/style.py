"""The look of every figure: column widths, embedded fonts, colours tied to meanings, and how figures are saved."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import matplotlib
import numpy as np

from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SINGLE_COLUMN: Final = 3.37
"""Width of one column of a two-column page, in inches."""

DOUBLE_COLUMN: Final = 6.93
"""Width of both columns, in inches."""

METHOD_COLOURS: Final = {"GD": "#0077bb", "PHB": "#ee7733"}
"""Gradient descent and Polyak's heavy ball (from Paul Tol's colour-blind-safe 'vibrant' scheme)."""

THEORY_COLOUR: Final = "#222222"
"""Lines of theory."""

SEQUENTIAL: Final = "viridis"
"""Perceptual, colour-blind-safe map."""

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
    "legend.frameon": False,
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
    with _SETTINGS_LOCK, matplotlib.rc_context(RULES):
        yield


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


def axes_or_new(ax: Axes | None, width: float = SINGLE_COLUMN, height: float = 2.4) -> Axes:
    """Return `ax`, or the axes of a new figure."""
    return new_figure(width, height).add_subplot() if ax is None else ax


@styled
def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG (300 dpi), SVG and PDF; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        Any figure.
    folder
        Where to; it must exist.
    name
        The files' name without suffix.

    Returns
    -------
    list of Path
        The three files.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for all formats
    dates: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    files = []
    for suffix, metadata in dates.items():
        files.append(folder / f"{name}.{suffix}")
        figure.savefig(files[-1], metadata=metadata)
    return files


def label_panels(axes: list[Axes]) -> None:
    """Put (a), (b), ... before the axes' titles."""
    for k, ax in enumerate(axes):
        ax.set_title(f"({chr(ord('a') + k)}) {ax.get_title('left')}".rstrip(), loc="left")


def shared_legend(figure: Figure, axes: list[Axes], *, columns: int) -> None:
    """Put one legend below the figure that names each label of the axes once."""
    named: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns)


def method(run: xarray.Dataset) -> str:
    """Return GD or PHB, from the settings a run carries."""
    return "GD" if momentum(run) == 0.0 else "PHB"


def momentum(run: xarray.Dataset) -> float:
    """Return the momentum of a run, from the settings it carries."""
    return float(json.loads(run.attrs["optimizer"])["momentum"])


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

    Examples
    --------
    >>> cell_edges([0.0, 1.0, 3.0])
    array([-0.5,  0.5,  2. ,  4. ])
    >>> cell_edges([1.0, 100.0], log=True).round(6)
    array([1.e-01, 1.e+01, 1.e+03])
    """
    at = np.asarray(centres, dtype=np.float64)
    if log:
        at = np.log(at)
    inner = 0.5 * (at[1:] + at[:-1])
    edges = np.concatenate([[2.0 * at[0] - inner[0]], inner, [2.0 * at[-1] - inner[-1]]])
    return np.exp(edges) if log else edges
