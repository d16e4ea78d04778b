"""Memory of a sweep beyond its outputs, or of all of it with a store: it must not grow with the grid."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from .harness import Case, Row, Target, judged
from .start_up import output

_SWEEP = """
import json, resource, sys
from pathlib import Path
import numpy as np
import selfstab as ss

def sweep(side, store=None):
    return ss.sweep(
        ss.CubicTaylor(curvature=1.0), ss.HeavyBall(lr=1.0),
        {"momentum": np.linspace(0.0, 0.99, side), "excess": np.geomspace(1e-3, 0.3, side)},
        start=[1e-3, 0.0], previous=[-1e-3, 0.0], steps=16, measure=("min_sharpness", "max_sharpness"),
        progress=False, store=store,
    )

def peak():
    # A child's ru_maxrss starts at its parent's; VmHWM is its own.
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
sweep(8)
if folder is not None:
    sweep(8, folder / "small.zarr")
reset = Path("/proc/self/clear_refs")  # 5 sets VmHWM back to the present size
if reset.exists():
    reset.write_text("5")
before = peak()
found = sweep(int(sys.argv[1]), folder and folder / "large.zarr")
print(json.dumps({"growth": peak() - before, "outputs": found.nbytes if folder is None else 0}))
"""


def cases(quick: bool) -> list[Case]:
    """Return the lines on memory: how much more one sweep takes than a smaller one, in arrays of a number per cell."""
    small = 128 if quick else 1000

    def case(name: str, beyond: Callable[[int], float], large: int) -> Case:
        def measure(case: Case) -> Row:
            extra = [beyond(side) for side in (small, large)]
            note = f"{extra[0] / 1e6:.1f} MB at {small}², {extra[1] / 1e6:.1f} MB at {large}²"
            per_cell = 8 * (large**2 - small**2) / 1e6
            samples = [((extra[1] - extra[0]) / 1e6, per_cell)]
            note += "; baseline: one float64 per cell more"
            return judged(case.name, case.unit, samples, case.target, judge=not quick, note=note)

        name = f"{name}, {small}² to {large}² cells / one array of cells"
        return Case(name, "MB", Target(0.1, at_least=False), measure)

    return [
        case("memory beyond outputs", _beyond_outputs, 512 if quick else 10_000),
        case("memory with a store", _with_store, 512 if quick else 5000),
    ]


def _beyond_outputs(side: int, *folder: str) -> float:
    sizes: dict[str, Any] = json.loads(output(sys.executable, "-c", _SWEEP, str(side), *folder))
    return float(sizes["growth"] - sizes["outputs"])


def _with_store(side: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _beyond_outputs(side, folder)
