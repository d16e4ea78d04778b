"""Memory of a sweep beyond its outputs: it must not grow with the grid."""

from __future__ import annotations

import json
import sys
from typing import Any

from .harness import Case, Row, Target, judged
from .start_up import output

_SWEEP = """
import json, resource, sys
from pathlib import Path
import numpy as np
import selfstab as ss

def sweep(side):
    return ss.sweep(
        ss.CubicTaylor(curvature=1.0), ss.HeavyBall(lr=1.0),
        {"momentum": np.linspace(0.0, 0.99, side), "excess": np.geomspace(1e-3, 0.3, side)},
        start=[1e-3, 0.0], previous=[-1e-3, 0.0], steps=16, measure=("min_sharpness", "max_sharpness"),
        progress=False,
    )

def peak():
    # A child's ru_maxrss starts at its parent's; VmHWM is its own.
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

sweep(8)
reset = Path("/proc/self/clear_refs")  # 5 sets VmHWM back to the present size
if reset.exists():
    reset.write_text("5")
before = peak()
found = sweep(int(sys.argv[1]))
print(json.dumps({"growth": peak() - before, "outputs": found.nbytes}))
"""


def cases(quick: bool) -> list[Case]:
    """Return the line on memory: growth of the peak beyond the outputs, in arrays of one number per cell."""
    small, large = (128, 512) if quick else (512, 2048)

    def measure(case: Case) -> Row:
        extra = [_beyond_outputs(side) for side in (small, large)]
        grown = (extra[1] - extra[0]) / 1e6
        note = (
            f"beyond the outputs {extra[0] / 1e6:.1f} MB at {small}², {extra[1] / 1e6:.1f} MB at {large}²"
            "; baseline: one float64 per cell more"
        )
        per_cell = 8 * (large**2 - small**2) / 1e6
        return judged(case.name, case.unit, [(grown, per_cell)], case.target, judge=not quick, note=note)

    name = f"memory beyond outputs, {small}² to {large}² cells / one array of cells"
    return [Case(name, "MB", Target(0.5, at_least=False), measure)]


def _beyond_outputs(side: int) -> float:
    found: dict[str, Any] = json.loads(output(sys.executable, "-c", _SWEEP, str(side)))
    return float(found["growth"] - found["outputs"])
