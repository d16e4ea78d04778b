"""The look of every figure: column widths, embedded fonts, colours and markers, and the style that sets them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

import matplotlib

from selfstab.forks import free_in_children

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
