"""One figure of the report: computed, saved, drawn, checked, and taken again where nothing has changed."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import selfstab
from selfstab import provenance, validation
from selfstab.reports import parts as report_parts
from selfstab.reports.companions import companion

if TYPE_CHECKING:
    import xarray

PREDICTIONS: Final = "predictions"
"""What the table of predictions is called among the parts of a report."""

PARTS: Final = "parts"
"""The folder of a report that keeps what is known of each finished part."""

_LIBRARIES: Final = ("numpy", "scipy", "sympy", "llvmlite", "numba", "xarray", "zarr", "matplotlib")


class CheckFailed(Exception):
    """The numbers a figure shows are not what theory says; the figure has been written."""


def titles() -> dict[str, str]:
    """Return the figures' titles by name, in the report's order."""
    return {name: companion(f"figures.{name}").TITLE for name in companion("figures").NAMES}


@dataclass
class FigurePart:
    """A figure of the report: its files, what its check verified, and what failed."""

    name: str
    title: str
    text: str
    lines: list[str] = field(default_factory=list)
    failure: str = ""
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reused: bool = False

    @property
    def picture(self) -> str:
        """The PNG's file name, or nothing if it was not drawn."""
        return next((f for f in self.files if f.endswith(".png")), "")


def _figure(name: str, folder: Path, quick: bool) -> FigurePart:
    """Return one figure, computed, saved, drawn and checked; an error is in its failure and not raised."""
    began = time.perf_counter()
    module = companion(f"figures.{name}")
    part = FigurePart(name, module.TITLE, (module.__doc__ or "").partition("\n")[2].strip())
    try:
        data = module.compute(quick)
        part.files.append(_save_data(data, folder, name))
        part.files += _save_figure(module.draw(data), folder, name)
        part.lines = module.check(data)
    except AssertionError as error:
        part.failure = f"Check failed: {error}"
    except Exception as error:  # one broken figure must not keep the others from the page
        part.failure = f"{type(error).__name__}: {error}"
    part.seconds = time.perf_counter() - began
    return part


def _save_figure(figure: Any, folder: Path, name: str) -> list[str]:
    from selfstab.plotting import style

    return [path.name for path in style.save(figure, folder, name)]


def _save_data(data: Mapping[str, xarray.Dataset], folder: Path, name: str) -> str:
    """Write a figure's datasets as the groups of one Zarr store."""
    import xarray

    path = folder / f"{name}.zarr"
    # Zarr has no specification for fixed-length strings, and warns of them.
    parts = {
        key: part.assign({n: v.astype(object) for n, v in part.variables.items() if v.dtype.kind == "U"})
        for key, part in data.items()
    }
    xarray.DataTree.from_dict(parts).to_zarr(path, mode="w", consolidated=False)
    return path.name


def make_figure(name: str, output: Path | str, quick: bool = False) -> Iterator[str]:
    """Make one figure: NAME.png, NAME.svg, NAME.pdf and its data NAME.zarr.

    Parameters
    ----------
    name
        A figure's name, see :func:`titles`.
    output
        The folder; it is made if missing.
    quick
        Coarser grids and fewer steps.

    Yields
    ------
    str
        The files written, then the numbers verified.

    Raises
    ------
    TypeError, ValueError
        If there is no such figure.
    CheckFailed
        After the files are written, if a number shown is not what theory says, or the figure could not be part.
    """
    name = validation.one_of("name", name, companion("figures").NAMES, listing="selfstab figure")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    part = _figure(name, folder, quick)
    yield from (str(folder / file) for file in part.files)
    yield from part.lines
    if part.failure:
        raise CheckFailed(f"{name}: {part.failure}")


# -- parts --------------------------------------------------------------------------------------------------------


def part_key(name: str, quick: bool) -> str:
    """Return what a part of the report stands on as a hash: the code, the versions of what it uses, and the settings.

    Parameters
    ----------
    name
        A figure, or "predictions".
    quick
        Whether grids are coarse.

    Returns
    -------
    str
        SHA-256 in hexadecimal. Any change of a source file of the package gives another for all parts, one of a
        figure's script for figures.
    """
    sources = sorted(Path(selfstab.__file__).parent.rglob("*.py"))
    if name != PREDICTIONS:
        beside = getattr(companion("figures"), "__file__", None)
        sources += sorted(Path(beside).parent.glob("*.py")) if beside else []
    return report_parts.key(
        [name, str(quick and name != PREDICTIONS), json.dumps(report_versions())], sources
    )


def figure_part(folder: Path, name: str, quick: bool, make: bool) -> FigurePart | None:
    """Return a figure: the finished one, else a new one, or None if it is not to be part."""
    key = part_key(name, quick)
    saved = report_parts.recall(folder / PARTS, name, key)
    if saved is not None:
        try:
            return FigurePart(**saved | {"reused": True})
        except TypeError:  # saved by a version whose parts have other fields
            pass
    if not make:
        return None
    report_parts.forget(folder / PARTS, name)
    part = _figure(name, folder, quick)
    if not part.failure:
        report_parts.keep(folder / PARTS, name, key, asdict(part), part.files)
    return part


def report_versions() -> dict[str, str]:
    """Return what the report's numbers and pictures were made with."""
    return provenance.this_code() | provenance.libraries(*_LIBRARIES) | {"machine": platform.machine()}
