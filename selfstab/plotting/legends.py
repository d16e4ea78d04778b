"""Keys of figures, and the letters of their panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfstab import validation
from selfstab.plotting.look import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend


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

    figure = ax.get_figure(root=True)
    if figure and isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine) and figure.axes == [ax]:
        shared_legend(figure, [ax], columns=columns)
    else:
        legend(ax)


def refresh_key(ax: Axes, *, new: bool) -> None:
    """Add a legend to new axes, and to those that have one what has been drawn since."""
    if new or ax.get_legend() is not None:
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
    >>> from selfstab.plotting.style import new_figure
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
