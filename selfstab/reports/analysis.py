"""The report on a recorded run: what it says, and the files it is written to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfstab.files.writing import write_text
from selfstab.records import formats, outputs
from selfstab.records.comparison.analysis_text import as_json, meanings, summary, table
from selfstab.reports.analysis_page import page, pictures

if TYPE_CHECKING:
    import xarray

__all__ = ["as_json", "check_output", "meanings", "page", "pictures", "summary", "table", "write"]


def check_output(path: Path) -> None:
    """Raise unless an analysis can be written to `path` without harm to what is there.

    Parameters
    ----------
    path
        A page .html, a file of a format that is written, or a folder (no suffix) for page, pictures and data. The file
        has the whole analysis, or the catapults where the format is a table of rows. The folder is new, empty, or
        written by an earlier analysis.

    Raises
    ------
    ValueError, ImportError
        If it cannot.
    """
    if path.suffix not in (".html", ""):
        written = formats.suffixes(written=True)
        if not path.name.lower().endswith(written):
            raise ValueError(
                f"output must end in .html, {formats.listed(written)} or be a folder, got {path.name!r}"
            )
        outputs.check_output(path)
        return
    if not path.parent.is_dir():
        raise ValueError(f"output must be in a folder that exists, got {str(path)!r}")
    if path.suffix == ".html" and path.exists() and not path.is_file():
        raise ValueError(f"output must be a file, got {str(path)!r}, which is none; nothing was changed")
    if path.suffix == "" and path.exists():
        if not path.is_dir():
            raise ValueError(
                f"output must be a folder, got {str(path)!r}, which is none; nothing was changed"
            )
        names = {entry.name for entry in path.iterdir()}
        link = next((entry.name for entry in path.iterdir() if entry.is_symlink()), "")
        if link:  # it would be written through
            raise ValueError(
                f"output must be a folder without links, got {str(path)!r} with {link!r}; nothing was changed"
            )
        if names and not {"index.html", "catapults.csv"} <= names:
            raise ValueError(
                f"output must be a new folder or one of an earlier analysis, got {str(path)!r}; nothing was changed"
            )


def write(data: xarray.Dataset, path: Path, name: str) -> None:
    """Write an analysis: a page, a dataset, the catapults' table, or a folder with all of it.

    Parameters
    ----------
    data
        What :func:`selfstab.analyze` returns.
    path
        As for :func:`check_output`.
    name
        What the run is called on the page.
    """
    from selfstab.plotting import style

    check_output(path)
    if path.suffix == ".html":
        write_text(path, page(data, name))
    elif path.suffix:
        whole = not formats.format_to_write(path).tabular
        outputs.write(data if whole else data[_of_catapults(data)], path)
    else:
        path.mkdir(exist_ok=True)
        # First what an earlier folder is known by.
        outputs.write(data[_of_catapults(data)], path / "catapults.csv")
        write_text(path / "index.html", page(data, name))
        for picture, (draw, _) in pictures(data).items():
            style.save(draw(data), path, picture)
        outputs.write(data, path / "analysis.zarr")


def _of_catapults(data: xarray.Dataset) -> list[str]:
    return [str(name) for name, variable in data.data_vars.items() if variable.dims == ("catapult",)]
