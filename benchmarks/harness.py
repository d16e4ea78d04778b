"""Interleaved pairs of measurements, verdicts, and the machine they were taken on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from .job import BaselineMissing, cores

PAIRS: Final = 5

Samples = Sequence[tuple[float, float]]
"""Pairs (ours, baseline) in the order they were taken."""

BUSY: Final = 0.1
"""The share of the machine's time that other processes may take before it counts as loaded."""

Verdict = Literal["met", "MISSED", "FAILED", "not measured", "not judged"]

PACKAGES = ("selfstab", "numpy", "scipy", "sympy", "numba", "llvmlite", "xarray", "jax", "jaxlib", "torch")


@dataclass(frozen=True)
class Target:
    """A bound on the ratio ours/baseline; `at_least` for rates, else at most (for times and sizes)."""

    bound: float
    at_least: bool = True

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is within the bound; NaN never is."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


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
    """Return a number with three digits."""
    return "-" if value is None else f"{value:.3g}"


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


class Load:
    """How busy other processes keep the machine, before the run and during it."""

    def __init__(self, wait: float = 1.0) -> None:
        begin = _busy_seconds()
        time.sleep(wait)
        self._begin, self._own, self._clock = _busy_seconds(), _own_seconds(), time.monotonic()
        self._before = None
        if begin is not None and self._begin is not None:
            self._before = max(0.0, (self._begin - begin) / wait / _machine_cores())
        self._per_core = os.getloadavg()[0] / cores() if hasattr(os, "getloadavg") else None

    def report(self) -> dict[str, Any]:
        """Return shares of the machine's time (None where it cannot be told), and whether it was loaded.

        Without the system's own count of busy time the load average before the run decides.
        """
        during = None
        now = _busy_seconds()
        if now is not None and self._begin is not None:
            others = (now - self._begin) - (_own_seconds() - self._own)
            during = max(0.0, others / (time.monotonic() - self._clock) / _machine_cores())
        known = [share for share in (self._before, during) if share is not None]
        if not known and self._per_core is not None:
            known = [self._per_core]
        return {
            "others_before": self._before,
            "others_during": during,
            "load_average_per_core_before": self._per_core,
            "loaded": max(known, default=0.0) > BUSY,
        }


def _machine_cores() -> int:
    return os.cpu_count() or 1


def _busy_seconds() -> float | None:
    """Return the seconds all cores together have been busy since boot, where /proc/stat tells."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def load_line(load: dict[str, Any]) -> str:
    """Return one line on the load for people."""

    def share(value: float | None) -> str:
        return "unknown" if value is None else f"{100 * value:.0f}%"

    before, during = share(load["others_before"]), share(load["others_during"])
    state = "LOADED MACHINE, the ratios are not to be relied on" if load["loaded"] else "quiet machine"
    return f"{state} (other processes: {before} of the machine before, {during} during)"


def machine() -> dict[str, Any]:
    """Return the processor, the system and the versions of what was measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if information.exists():
        for line in information.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = [fields[key] for key in ("cpu family", "model") if key in fields]
    return f"{name} (family {numbers[0]}, model {numbers[1]})" if len(numbers) == 2 else name


def write_json(
    path: str | os.PathLike[str], rows: Sequence[Row], *, quick: bool, load: dict[str, Any], complete: bool
) -> None:
    """Write all that was measured, every sample included, and whether that is all that was to be."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "complete": complete,
        "machine": machine(),
        "load": load,
        "rows": [asdict(row) for row in rows],
    }
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
