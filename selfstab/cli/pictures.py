"""Pictures that commands write: of a run, and of a sweep over two axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from selfstab.notices import printable

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Final = (".png", ".svg", ".pdf")
"""Endings of --output that ask for a picture."""


def is_picture(path: Path) -> bool:
    """Whether an output is a picture, by its suffix.

    >>> is_picture(Path("run.PNG")), is_picture(Path("run.csv"))
    (True, False)
    """
    return path.suffix.lower() in SUFFIXES


def check_output(path: Path | None, store: str | None = None) -> None:
    """Raise unless the output can be written: a picture, or a dataset as :func:`outputs.check_output` takes it."""
    from selfstab.records import outputs

    if path is None:
        return
    if not is_picture(path):
        outputs.check_output(path, store)
        return
    if not path.parent.is_dir():
        raise ValueError(f"output must be in a folder that exists, got {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"output must be a picture's file, got the folder {str(path)!r}")


def check_run(keep: tuple[str, ...], path: Path | None) -> None:
    """Raise ValueError if a run's picture is asked for without what it shows."""
    if path is not None and is_picture(path):
        for name in ("loss", "sharpness"):
            if name not in keep:
                raise ValueError(f"--keep must hold {name} for a picture, got {', '.join(keep) or 'nothing'}")


def check_sweep(axes: dict[str, int], measures: tuple[str, ...], path: Path | None) -> None:
    """Raise ValueError if a sweep's picture is asked for that cannot be drawn.

    Parameters
    ----------
    axes
        Number of values of each axis, by name.
    measures
        What is measured.
    path
        The output.
    """
    if path is None or not is_picture(path):
        return
    if len([count for count in axes.values() if count > 1]) != 2:
        sizes = ", ".join(f"{name} with {count}" for name, count in axes.items())
        raise ValueError(f"--axis must give two axes of several values for a picture, got {sizes}")
    if "phase" not in measures:
        raise ValueError(f"--measure must hold phase for a picture, got {', '.join(measures)}")


def write(data: xarray.Dataset, path: Path, draw: Any) -> str:
    """Write the picture of a dataset, and return what is said of it."""
    from selfstab.plotting import save

    save(draw(data), path.parent, path.name)
    return printable(f"wrote {path}")


def of_run(data: xarray.Dataset) -> Figure:
    """Return the figure of a run: the sharpness with its threshold, and the loss."""
    from selfstab.plotting import draw_loss, draw_sharpness, legend, style

    with style.paper():
        figure = style.new_figure(style.DOUBLE_COLUMN, 2.4)
        sharpness, loss = figure.subplots(1, 2)
        draw_sharpness(data, sharpness)
        legend(sharpness)
        draw_loss(data, loss)
    return figure


def of_sweep(data: xarray.Dataset) -> Figure:
    """Return the figure of a sweep over two axes: phases, and overshoots beside them where they were measured."""
    from selfstab.plotting import draw_overshoot, draw_phases, style

    panels: list[Callable[..., Axes]] = [draw_phases, *([draw_overshoot] if "overshoot" in data else [])]
    with style.paper():
        figure = style.new_figure(style.SINGLE_COLUMN if len(panels) == 1 else style.DOUBLE_COLUMN, 2.8)
        axes = list(figure.subplots(1, len(panels), squeeze=False)[0])
        for ax, draw in zip(axes, panels, strict=True):
            draw(data, ax)
        style.shared_legend(figure, axes, columns=4)
    return figure
