"""MLflow's database of runs, a file of SQLite: mlflow.db."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from selfstab.files import sizes
from selfstab.notices import printable
from selfstab.records.formats.base import Format, Match, ReadError, Table
from selfstab.records.formats.registry import register
from selfstab.records.series import columns_of_series

_BEGIN: Final = b"SQLite format 3\0"
_TABLES: Final = ("runs", "metrics", "params")
_LONGEST: Final = 10**6  # bytes of a value
_MOST_RUNS: Final = 10_000
_MOST_METRICS: Final = 1_000
_PIECE: Final = 100_000  # instructions of SQLite
_MOST_PIECES: Final = 10**5  # a row takes about twenty instructions
_ROW_BYTES: Final = 200
_INFINITE: Final = 1.797e308
"""MLflow writes the largest float for an infinite one."""


@register
class MLflowDatabase(Format):
    """MLflow's files of SQLite, with a run or several."""

    name = "MLflow's database"
    suffixes = (".db", ".sqlite", ".sqlite3")

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a file of SQLite that has MLflow's tables."""
        if not isinstance(source, Path) or not source.is_file():
            return Match.NONE
        with source.open("rb") as file:
            if file.read(len(_BEGIN)) != _BEGIN:
                return super().match(source)
        with _opened(source) as database:
            names = {
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
        return Match.CERTAIN if names.issuperset(_TABLES) else super().match(source)

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs that are not deleted and have metrics."""
        return tuple(_runs(source))

    def read(self, source: Any, member: str = "") -> Table:
        """Return a column for each metric, and the parameters as attributes."""
        runs = _runs(source)
        if not runs:
            raise ReadError("run must hold runs with metrics, got none")
        run = runs[member]
        with _opened(source) as database:
            (count,) = database.execute("SELECT COUNT(*) FROM metrics WHERE run_uuid = ?", (run,)).fetchone()
            sizes.check(f"{source.name} of {count} values", _ROW_BYTES * int(count))
            series: dict[str, tuple[list[int], list[float]]] = {}
            for key, step, value, is_nan in database.execute(
                "SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY timestamp, rowid",
                (run,),
            ):
                name = printable(str(key))
                if name not in series and len(series) >= _MOST_METRICS:
                    raise ReadError(f"run must have at most {_MOST_METRICS} metrics, got more")
                steps, values = series.setdefault(name, ([], []))
                steps.append(int(step))
                values.append(float("nan") if is_nan else float(value))
            parameters = database.execute(
                "SELECT key, value FROM params WHERE run_uuid = ? LIMIT ?", (run, _MOST_METRICS)
            ).fetchall()
        columns = columns_of_series(
            {
                name: (np.array(steps, dtype=np.float64), _values(values))
                for name, (steps, values) in series.items()
            }
        )
        later = source.with_name(source.name + "-wal")
        notes = (
            (f"What stands in {printable(later.name)} is not read: close MLflow.",) if later.exists() else ()
        )
        return Table(columns, {printable(str(key)): value for key, value in parameters}, notes=notes)


def _values(values: list[float]) -> Any:
    array = np.array(values)
    return np.where(np.abs(array) > _INFINITE, np.copysign(np.inf, array), array)


def _runs(source: Path) -> dict[str, str]:
    """Return the runs' identifiers by their names."""
    sizes.check(source.name, source.stat().st_size)
    with _opened(source) as database:
        rows = database.execute(
            "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' AND run_uuid IN "
            "(SELECT DISTINCT run_uuid FROM metrics) ORDER BY start_time, run_uuid LIMIT ?",
            (_MOST_RUNS,),
        ).fetchall()
    found: dict[str, str] = {}
    for identifier, name in rows:
        label = printable(str(name or identifier))
        found[label if label not in found else f"{label} ({printable(str(identifier))})"] = str(identifier)
    return found


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that may be somebody else's: it is read only, and nothing that it defines is run."""
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA query_only = ON")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        views = database.execute(
            "SELECT COUNT(*) FROM sqlite_master WHERE name IN (?, ?, ?) AND (type != 'table' OR sql LIKE '%VIRTUAL%')",
            _TABLES,
        ).fetchone()
        if views[0]:
            raise ReadError("run must hold MLflow's tables, got views or virtual tables in their place")
        database.set_authorizer(_allowed)
        left = [_MOST_PIECES]

        def count() -> int:
            left[0] -= 1
            return int(left[0] < 0)

        database.set_progress_handler(count, _PIECE)
        yield database
    finally:
        database.close()


def _allowed(action: int, *_: Any) -> int:
    reads = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
    return sqlite3.SQLITE_OK if action in reads else sqlite3.SQLITE_DENY
