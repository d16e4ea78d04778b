"""MLflow's folders: a file for each metric, and one for each parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from selfstab.files import sizes
from selfstab.notices import printable
from selfstab.records import folders
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.series import columns_of_series

_MOST_BYTES: Final = 2**16
"""Of a parameter's file."""


@register
class MLflow(Format):
    """Folders of MLflow: of a run, of an experiment, or the whole mlruns."""

    name = "MLflow's folder"

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a folder of a run, or one that holds such folders."""
        return Match.CERTAIN if isinstance(source, Path) and source.is_dir() and _runs(source) else Match.NONE

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs."""
        runs = _runs(source)
        return () if [*runs.values()] == [source] else tuple(runs)

    def read(self, source: Any, member: str = "") -> Table:
        """Return a column for each metric, and the parameters as attributes."""
        runs = _runs(source)
        run = runs[member] if member else next(iter(runs.values()))
        series = {}
        for path in folders.files(run / "metrics"):
            name = path.relative_to(run / "metrics").as_posix()
            series[name] = _metric(path)
        if not series:
            raise ReadError("run must hold metrics, got none")
        attributes = {}
        if (run / "params").is_dir() and not (run / "params").is_symlink():
            for path in folders.files(run / "params"):
                if path.stat().st_size <= _MOST_BYTES:
                    attributes[path.relative_to(run / "params").as_posix()] = path.read_text(encoding="utf-8")
        return Table(columns_of_series(series), attributes)


def _runs(source: Path) -> dict[str, Path]:
    """Return the folders of runs at most two levels inside, by their names."""
    found: dict[str, Path] = {}
    level = [source]
    for _ in range(3):
        for folder in level:
            if (folder / "metrics").is_dir() and (
                (folder / "meta.yaml").is_file() or (folder / "params").is_dir()
            ):
                name = _name(folder)
                found[name if name not in found else f"{name} ({folder.name})"] = folder
        if found:
            return found
        level = [path for folder in level for path in sorted(folder.iterdir()) if _is_folder(path)][:1000]
    return found


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def _name(run: Path) -> str:
    """Return what a run is called, else its id."""
    tag = run / "tags" / "mlflow.runName"
    if tag.is_file() and not tag.is_symlink() and tag.stat().st_size < 1000:
        return printable(tag.read_text(encoding="utf-8").strip()) or printable(run.name)
    return printable(run.name)


def _metric(path: Path) -> tuple[Any, Any]:
    """Return steps and values of a metric's file, whose lines are of time, value and step."""
    sizes.check(path.name, 40 * path.stat().st_size)
    steps, values = [], []
    for k, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        parts = line.split()
        try:
            _, value, step = parts if len(parts) == 3 else (*parts, "0")
            values.append(float(value))
            steps.append(int(step))
        except ValueError:
            raise ValueError(
                f"metric {path.name}, line {k + 1}: {line[:60]!r} is not time, value and step"
            ) from None
    return np.array(steps, dtype=np.float64), np.array(values)
