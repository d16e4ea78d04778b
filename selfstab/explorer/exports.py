"""Files of a state: the figure, the data, and the script that makes both."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from selfstab import plotting
from selfstab.explorer import views
from selfstab.explorer.script import script
from selfstab.plotting import style

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from selfstab.explorer.state import PageState


@dataclass(frozen=True)
class File:
    """A file to be saved by the browser."""

    name: str
    media_type: str
    content: bytes


def datasets(state: PageState, size: int = views.SIZE, along: int = views.ALONG) -> dict[str, xarray.Dataset]:
    """Return the run, the phase diagram and the orbit diagram of a state."""
    return {
        "run": views.run(state),
        "diagram": views.diagram(state, size),
        "orbits": views.orbit_diagram(state, along),
    }


@style.styled
def figure(state: PageState, data: Mapping[str, xarray.Dataset]) -> Figure:
    """Return the figure of a state in the papers' style, as its script draws it."""
    drawing = style.new_figure(style.DOUBLE_COLUMN, 6.2)
    axes = drawing.subplot_mosaic(
        [["plane", "sharpness"], ["plane", "loss"], ["phases", "orbits"]], height_ratios=[1, 1, 2]
    )
    plotting.draw_plane(data["run"], axes["plane"])
    plotting.draw_sharpness(data["run"], axes["sharpness"])
    plotting.draw_loss(data["run"], axes["loss"])
    plotting.draw_phases(data["diagram"], axes["phases"])
    plotting.draw_orbits(data["orbits"], axes["orbits"], weight=state.shown_weight)
    axes["orbits"].set_xscale(views.orbit_grid(state).axes[0][1].scale.replace("inverse", "linear"))
    style.shared_legend(drawing, list(axes.values()), columns=5)
    style.label_panels(list(axes.values()))
    return drawing


def _drawn(suffix: str) -> Callable[[PageState], bytes]:
    def content(state: PageState) -> bytes:
        drawn = figure(state, datasets(state))
        with tempfile.TemporaryDirectory() as folder:
            paths = style.save(drawn, Path(folder), "explored")
            return next(path for path in paths if path.suffix == suffix).read_bytes()

    return content


def _netcdf(state: PageState) -> bytes:
    try:
        import_module("netCDF4")
    except ImportError as error:
        raise ImportError(f"NetCDF needs netCDF4, which cannot be imported: {error}") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "explored.nc"
        for name, data in datasets(state).items():
            data.to_netcdf(path, group=name, mode="w" if name == "run" else "a", engine="netcdf4")
        return path.read_bytes()


def _tables(state: PageState) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in datasets(state).items():
            # A date of its own: the same state gives the same bytes.
            entry = zipfile.ZipInfo(f"{name}.csv", (2000, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data.to_dataframe().to_csv())
    return out.getvalue()


@dataclass(frozen=True)
class _Kind:
    label: str
    name: str
    media_type: str
    content: Callable[[PageState], bytes]


KINDS: Final[Mapping[str, _Kind]] = MappingProxyType({
    "pdf": _Kind("PDF", "explored.pdf", "application/pdf", _drawn(".pdf")),
    "svg": _Kind("SVG", "explored.svg", "image/svg+xml", _drawn(".svg")),
    "png": _Kind("PNG", "explored.png", "image/png", _drawn(".png")),
    "nc": _Kind("NetCDF", "explored.nc", "application/x-netcdf", _netcdf),
    "csv": _Kind("CSV", "explored.zip", "application/zip", _tables),
    "py": _Kind("Python", "explored.py", "text/x-python", lambda state: script(state).encode()),
})  # fmt: skip
"""What can be saved: three formats of the figure, two of the data (CSV: a table each, zipped), the script."""


def export(state: PageState, kind: str) -> File:
    """Return a file of a state.

    Parameters
    ----------
    state
        What is looked at.
    kind
        A key of KINDS.

    Raises
    ------
    TypeError, ValueError
        As :meth:`PageState.setup`.
    ImportError
        If NetCDF is asked for and netCDF4 is missing.

    Examples
    --------
    >>> from selfstab.explorer.state import PageState
    >>> export(PageState(), "py").name
    'explored.py'
    """
    entry = KINDS[kind]
    return File(entry.name, entry.media_type, entry.content(state))
