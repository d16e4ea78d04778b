"""All lines of the table, in order, and the run that takes them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import (
    adaptive,
    cold_start,
    eigenpair,
    empirical_risk,
    explorer,
    harness,
    hessian,
    machine,
    memory,
    network_sweep,
    optimizers,
    predicted,
    small_hessians,
    start_up,
    storage,
    sweep_speed,
    tracking,
    transcendental,
)
from .harness import Case, Row


def cases(quick: bool) -> list[Case]:
    """Return every line to be measured."""
    return [
        *sweep_speed.cases(quick), *optimizers.cases(quick), *transcendental.cases(quick), *small_hessians.cases(quick),
        *adaptive.cases(quick),
        *empirical_risk.cases(quick), *hessian.cases(quick), *eigenpair.cases(quick), *tracking.cases(quick),
        *predicted.cases(quick),
        *start_up.cases(quick), *cold_start.cases(quick), *memory.cases(quick), *storage.cases(quick),
        *network_sweep.cases(quick), *explorer.cases(quick),
    ]  # fmt: skip


def cases_named(words: Sequence[str], quick: bool) -> list[Case]:
    """Return the lines whose names hold one of the words, in any case; all without words."""
    lines = cases(quick)
    for word in words:
        if not word or not any(word.lower() in case.name.lower() for case in lines):
            raise ValueError(f"WORDS must be in a line's name, got {word!r}; selfstab bench --list shows all")
    return [case for case in lines if not words or any(word.lower() in case.name.lower() for word in words)]


def run(quick: bool, json_path: str | os.PathLike[str] | None, lines: Sequence[Case]) -> int:
    """Measure the lines, print each and then the table, write the JSON, return the exit code.

    Interrupted, it does so for the lines it has.
    """
    about = machine.description()
    print(machine.processor_line(about), file=sys.stderr)
    load: machine.Load | None = None
    rows: list[Row] = []
    interrupted = False
    try:
        load = machine.Load()
        for k, case in enumerate(lines):
            print(f"[{k + 1}/{len(lines)}] {case.name}", file=sys.stderr, end="", flush=True)
            rows.append(case.row())
            print(f": {harness.summary(rows[-1])}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        interrupted = True
        print("\ninterrupted", file=sys.stderr)
    if load is None:
        return 130
    report = load.report()
    if json_path is not None:
        harness.write_json(json_path, rows, quick=quick, load=report, complete=not interrupted)
    print(machine.processor_line(about))
    print(machine.versions_line(about))
    print(machine.load_line(report) + ("; quick: sizes too small to judge" if quick else "") + "\n")
    print(harness.table(rows))
    return 130 if interrupted else harness.exit_code(rows)
