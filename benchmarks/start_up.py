"""What a process pays before it works: imports, `--help`, and the first sweep with a warm cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .harness import Case, Row, Target, interleaved, judged, seconds

PAIRS = 10

_IMPORT = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"

_FIRST_SWEEP = """
import json, time
begin = time.perf_counter()
import numpy as np
import selfstab as ss
from selfstab.kernels import modules
ss.sweep(
    ss.CubicTaylor(curvature=1.0), ss.HeavyBall(lr=1.0),
    {"momentum": np.linspace(0.0, 0.9, 8), "excess": np.linspace(0.01, 0.1, 8)},
    start=[1e-3, 0.0], previous=[-1e-3, 0.0], steps=100, measure=("min_sharpness", "max_sharpness"),
    progress=False,
)
print(json.dumps({"compiled": modules.LOADED.compiled, "seconds": time.perf_counter() - begin}))
"""


def cases(quick: bool) -> list[Case]:
    """Return the lines on start-up; quick ones take fewer samples and are not judged."""
    pairs = 3 if quick else PAIRS

    def against_numpy(ours: Callable[[], float], baseline: Callable[[], float]) -> Callable[[Case], Row]:
        def measure(case: Case) -> Row:
            ours()
            baseline()  # both are in the disk cache from here on
            return judged(
                case.name, case.unit, interleaved(ours, baseline, pairs), case.target, judge=not quick,
                note=f"{pairs} processes each",
            )  # fmt: skip

        return measure

    return [
        Case(
            "import selfstab / import numpy", "s", Target(1.5, at_least=False),
            against_numpy(lambda: import_seconds("selfstab"), lambda: import_seconds("numpy")),
        ),
        Case(
            "selfstab --help / python -c 'import numpy'", "s", Target(3, at_least=False),
            against_numpy(
                lambda: seconds(lambda: output(*_command(), "--help")),
                lambda: seconds(lambda: output(sys.executable, "-c", "import numpy")),
            ),
        ),
        Case("kernels compiled, second process / first", "count", Target(0, at_least=False), second_process),
    ]  # fmt: skip


def output(*command: str, **environment: str) -> str:
    """Run a program in an empty folder and return what it prints.

    Raises
    ------
    RuntimeError
        If it fails; the message is the last line of its standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(f"{Path(command[0]).name} failed: {lines[-1]}")
    return done.stdout


def import_seconds(module: str) -> float:
    """Return the time of the import statement alone in a fresh process, the interpreter's start left out."""
    return float(output(sys.executable, "-c", _IMPORT.format(module)))


def _command() -> tuple[str, ...]:
    script = Path(sys.executable).with_name("selfstab")
    return (
        (str(script),) if script.exists() else (sys.executable, "-c", "from selfstab.cli import main; main()")
    )


def second_process(case: Case) -> Row:
    """Sweep in two fresh processes on one empty cache; the second must neither compile nor write there."""
    with tempfile.TemporaryDirectory() as folder:
        first = _first_sweep(folder)
        before = _files(folder)
        second = _first_sweep(folder)
        written = len(_files(folder) ^ before)
    note = f"first sweep {first['seconds']:.2f} s cold, {second['seconds']:.2f} s warm, imports included"
    if written:
        raise RuntimeError(f"the second process changed {written} files of the cache")
    if not first["compiled"] or not before:
        raise RuntimeError("the first process, with an empty cache, compiled nothing or kept nothing")
    return judged(case.name, case.unit, [(second["compiled"], first["compiled"])], case.target, note=note)


def _first_sweep(cache: str) -> dict[str, Any]:
    times: dict[str, Any] = json.loads(output(sys.executable, "-c", _FIRST_SWEEP, SELFSTAB_CACHE_DIR=cache))
    return times


def _files(folder: str) -> set[tuple[str, int, int]]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files}
