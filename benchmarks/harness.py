"""Interleaved pairs of measurements, verdicts, and the file and the table of them."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from . import machine
from .job import BaselineMissing

PAIRS: Final = 11

Samples = Sequence[tuple[float, float]]
"""Pairs (ours, baseline) in the order they were taken."""

Verdict = Literal["met", "MISSED", "FAILED", "not measured", "not judged"]


@dataclass(frozen=True)
class Target:
    """A bound on the ratio ours/baseline; `at_least` for rates, else at most (for times and sizes)."""

    bound: float
    at_least: bool = True

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is within the bound; NaN never is."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:.3g}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    unit: str
    target: str
    verdict: Verdict
    ours: float | None = None
    baseline: float | None = None
    ratio: float | None = None
    note: str = ""
    samples: Samples = ()


class Disagreement(Exception):
    """Ours and the baseline do not compute the same; the message says by how much."""


def interleaved(ours: Callable[[], float], baseline: Callable[[], float], pairs: int) -> Samples:
    """Measure `pairs` pairs (ours, baseline); who goes first alternates."""
    samples = []
    for k in range(pairs):
        if k % 2 == 0:
            first = ours()
            samples.append((first, baseline()))
        else:
            second = baseline()
            samples.append((ours(), second))
    return samples


def judged(
    name: str,
    unit: str,
    samples: Samples,
    target: Target,
    *,
    judge: bool = True,
    note: str = "",
) -> Row:
    """Return the row of these pairs: medians of both sides, and the median of the pairs' ratios."""
    ratio = statistics.median(one / other for one, other in samples)
    verdict: Verdict = "not judged" if not judge else "met" if target.holds(ratio) else "MISSED"
    return Row(
        name, unit, str(target), verdict,
        ours=statistics.median(one for one, _ in samples),
        baseline=statistics.median(other for _, other in samples),
        ratio=ratio, note=note, samples=samples,
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A line to be measured: `measure` returns it, or raises BaselineMissing."""

    name: str
    unit: str
    target: Target
    measure: Callable[[Case], Row]

    def row(self) -> Row:
        """Measure; a missing baseline or a failure is the row's verdict, so that the other lines go on."""
        try:
            return self.measure(self)
        except BaselineMissing as missing:
            return self._without_numbers("not measured", str(missing))
        except Exception as error:
            return self._without_numbers("FAILED", f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _without_numbers(self, verdict: Verdict, note: str) -> Row:
        return Row(self.name, self.unit, str(self.target), verdict, note=note)


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the processor time of one call, all threads together."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def exit_code(rows: Iterable[Row]) -> int:
    """Return 1 if a target was missed or a measurement failed, else 3 if a baseline was missing, else 0."""
    verdicts = {row.verdict for row in rows}
    if verdicts & {"MISSED", "FAILED"}:
        return 1
    return 3 if "not measured" in verdicts or not verdicts else 0


def number(value: float | None) -> str:
    """Return a number rounded to three digits, without an exponent from 0.0001 to 999999."""
    return "-" if value is None else f"{float(f'{value:.3g}'):g}"


def summary(row: Row) -> str:
    """Return one line on a row: its ratio and verdict, or why there are none."""
    if row.ratio is None:
        return f"{row.verdict}, {row.note}"
    verdict = f"{number(row.ratio)} (target {row.target}: {row.verdict})"
    return f"{verdict}, {number(row.ours)} against {number(row.baseline)} {row.unit}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, with the notes below."""
    from tabulate import tabulate

    lines = [
        (row.name, row.unit, *map(number, (row.ours, row.baseline, row.ratio)), row.target, row.verdict)
        for row in rows
    ]
    headers = ("ours / baseline", "unit", "ours", "baseline", "ratio", "target", "verdict")
    body = tabulate(lines, headers, disable_numparse=True)
    notes = [f"  {row.name}: {row.note}" for row in rows if row.note]
    return "\n".join([body, "", "Notes", *notes] if notes else [body])


def write_json(
    path: str | os.PathLike[str], rows: Sequence[Row], *, quick: bool, load: dict[str, Any], complete: bool
) -> None:
    """Write all that was measured, every sample included, and whether that is all that was to be."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "complete": complete,
        "machine": machine.description(),
        "load": load,
    }
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text_of(document, [asdict(row) for row in rows]), encoding="utf-8")


def text_of(document: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return a run as JSON, each of its rows on a line, so that two runs can be compared line by line."""
    head = json.dumps(document, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = ",".join(f"\n  {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f'{head},\n "rows": [{lines}{chr(10) + " " if rows else ""}]\n}}\n'
