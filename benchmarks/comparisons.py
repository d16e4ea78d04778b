"""All lines of the table, in order, and the run that takes them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import (
    eigenpair,
    harness,
    hessian,
    memory,
    network_sweep,
    predicted,
    start_up,
    storage,
    sweep_speed,
    transcendental,
)
from .harness import Case, Row


def cases(quick: bool) -> list[Case]:
    """Return every line to be measured."""
    return [
        *sweep_speed.cases(quick), *transcendental.cases(quick), *hessian.cases(quick),
        *eigenpair.cases(quick), *predicted.cases(quick), *start_up.cases(quick), *memory.cases(quick),
        *storage.cases(quick), *network_sweep.cases(quick),
    ]  # fmt: skip


def run(quick: bool, json_path: str | os.PathLike[str] | None, chosen: Sequence[Case] | None = None) -> int:
    """Measure the lines (all of them by default), print the table, write the JSON, return the exit code."""
    lines = cases(quick) if chosen is None else chosen
    load = harness.Load()
    rows: list[Row] = []
    for k, case in enumerate(lines):
        print(f"[{k + 1}/{len(lines)}] {case.name}", file=sys.stderr, flush=True)
        rows.append(case.row())
    report = load.report()
    if json_path is not None:
        harness.write_json(json_path, rows, quick=quick, load=report)
    about = harness.machine()
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    print(f"{about['processor']}, {about['cores']} cores; Python {about['python']}, {versions}")
    print(harness.load_line(report) + ("; quick: sizes too small to judge" if quick else "") + "\n")
    print(harness.table(rows))
    return harness.exit_code(rows)
