"""Folders that hold a log under one of the names that training code gives it, beside settings."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from selfstab.notices import printable
from selfstab.records import folders, settings_files
from selfstab.records.columns.roles import ALIASES, counts_of_steps, rank
from selfstab.records.formats import registry
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.frames import tag_of_path
from selfstab.records.series import columns_of_series


@registry.register
class LogFolder(Format):
    """Folders with a metrics.csv, trainer_state.json, results.txt or the like, or with a folder for each run."""

    name = "a folder with a log"

    def match(self, source: Any) -> Match:
        """Return POSSIBLE for a folder in which a log is found."""
        return (
            Match.POSSIBLE if isinstance(source, Path) and source.is_dir() and _logs(source) else Match.NONE
        )

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the paths of the runs inside, or the runs that the only log holds."""
        logs = _logs(source)
        if len(logs) > 1:
            return tuple(logs)
        path = next(iter(logs.values()))
        return registry.format_of(path).members(path)

    def usual_member(self, source: Any) -> str:
        """Return the usual run of the only log, or the last checkpoint, which holds the history of those before."""
        logs = _logs(source)
        if len(logs) == 1:
            path = next(iter(logs.values()))
            return registry.format_of(path).usual_member(path)
        steps = {name: match for name in logs if (match := re.fullmatch(r"checkpoint-(\d{1,15})", name))}
        return max(steps, key=lambda name: int(steps[name][1])) if len(steps) == len(logs) else ""

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of the log, and the settings beside it."""
        logs = _logs(source)
        path = logs[member] if len(logs) > 1 else next(iter(logs.values()))
        form = registry.format_of(path)
        registry.needed(form, f"run in {printable(path.name)}")
        inner = member if len(logs) == 1 else ""
        names = form.members(path) if not inner else ()
        table = form.read(path, inner or (names[0] if len(names) == 1 else form.usual_member(path)))
        if path.name.removesuffix(".gz") in settings_files.LOGS:
            return table
        beside, notes = settings_files.beside(path.parent)
        notes = (f"{printable(path.name)} is read, the only log in the folder.", *notes)
        return replace(table, attributes=beside | dict(table.attributes), notes=(*table.notes, *notes))


def _logs(folder: Path) -> dict[str, Path]:
    """Return the logs of a folder by the path of their own folder; the nearest ones only."""
    found: dict[str, Path] = {}
    depth = 99
    for path in folders.files(folder, 3):
        here = len(path.relative_to(folder).parts)
        if here > depth:
            break
        if path.name.removesuffix(".gz") in settings_files.LOGS:
            name = printable(path.parent.relative_to(folder).as_posix())
            place = found.get(name)
            if place is None or _order(path) < _order(place):
                found[name] = path
            depth = here
    if not found and len(readable := _readable(folder)) == 1:  # whatever it is called
        return {".": readable[0]}
    return found


def _readable(folder: Path) -> list[Path]:
    """Return the files of a folder that have a suffix of a format, and are no settings."""
    return [
        path
        for path in folders.files(folder, 0)
        if path.name.lower().endswith(registry.suffixes())
        and path.name not in (*settings_files.NAMES, "zarr.json")
        and not path.name.startswith(".")
    ]


def _order(path: Path) -> int:
    return settings_files.LOGS.index(path.name.removesuffix(".gz"))


@registry.register
class ScalarTables(Format):
    """Folders of tables .csv that hold a quantity each, as TensorBoard and W&B save them."""

    name = "a folder of tables of one quantity each"

    def match(self, source: Any) -> Match:
        """Return POSSIBLE for a folder with at least two tables, each of steps and few values."""
        if not isinstance(source, Path) or not source.is_dir():
            return Match.NONE
        return Match.POSSIBLE if len(_tables(source)) > 1 else Match.NONE

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the runs that the files' names or their columns tell."""
        runs = _runs(source)
        return tuple(runs) if len(runs) > 1 else ()

    def read(self, source: Any, member: str = "") -> Table:
        """Return the quantities of one run along their steps."""
        from selfstab.records.columns.columns import numbers

        runs = _runs(source)
        series: dict[str, Any] = {}
        notes: dict[str, None] = {}
        for path, inner in runs[member] if member else next(iter(runs.values())):
            form = registry.format_of(path)
            table = form.read(path, inner)
            notes |= dict.fromkeys(table.notes)
            if not (steps := counts_of_steps(table.columns)):
                raise ReadError(
                    f"run must have steps in {printable(path.name)}, got {', '.join(table.columns)}"
                )
            counted = numbers(steps[0], table.columns[steps[0]])
            for name in table.columns:
                if name in steps or not any(rank(role, name) is not None for role in ALIASES):
                    continue
                values = numbers(name, table.columns[name])
                known = ~np.isnan(values)
                series[name] = counted[known], values[known]
        if not series:
            raise ReadError("run must hold quantities of known names, got none")
        attributes, more = settings_files.beside(source)
        return Table(columns_of_series(series), attributes, notes=(*notes, *more))


def _tables(folder: Path) -> list[Path]:
    return [path for path in folders.files(folder, 0) if path.suffix.lower() == ".csv"][:1000]


def _runs(folder: Path) -> dict[str, list[tuple[Path, str]]]:
    """Return for each run its tables, and the run's name inside of them."""
    found: dict[str, list[tuple[Path, str]]] = {}
    for path in _tables(folder):
        inside = registry.format_of(path).members(path)
        for run, inner in [(name, name) for name in inside] or [(printable(tag_of_path(path.stem)[0]), "")]:
            found.setdefault(run, []).append((path, inner))
    return found
