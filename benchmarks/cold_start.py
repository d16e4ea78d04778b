"""How long the first call takes in a fresh process whose cache of kernels is empty, against the time it may take."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass

from .harness import Case, Row, Target, judged
from .start_up import output

PAIRS = 5

_SWEEP = """
data = ss.sweep(
    loss, ss.HeavyBall(lr=1.0),
    {{"momentum": np.linspace(0.0, 0.9, 16), "excess": np.linspace(0.01, 0.1, 16)}},
    start=start, steps=200, progress=False, {measures}
)
"""
_RUN = "data = ss.simulate(loss, ss.HeavyBall(lr=0.1, momentum=0.9), start, steps={steps})"

# The clock starts at the call. The derivation of the loss is told apart from it; what the call imports is in it.
_PROCESS = """
import json, time
import numpy as np
import selfstab as ss
begin = time.perf_counter()
loss, start = ss.SymbolicLoss({formula!r}, {weights!r}), np.linspace(0.8, 1.1, {dimension})
derived = time.perf_counter()
busy = time.process_time()
{call}
end = time.perf_counter()
print(json.dumps(dict(call=end - derived, processor=time.process_time() - busy, loss=derived - begin)))
"""


@dataclass(frozen=True)
class FirstCall:
    """A call that meets an empty cache, and the seconds it may take."""

    name: str
    formula: str
    weights: str
    call: str
    budget: float

    @property
    def program(self) -> str:
        """The text that a fresh process runs; it prints its times."""
        names = self.weights.split()
        return _PROCESS.format(formula=self.formula, weights=names, dimension=len(names), call=self.call)


_TWO = ("(u*v - 1)**2/2 + u**4/50", "u v")
_FOUR = ("(a*b + c*d - 1)**2/2 + a**4/50", "a b c d")
CALLS = (
    FirstCall("sweep, 2 measures", *_TWO, _SWEEP.format(measures="measure=['min_sharpness', 'max_sharpness']"), 1),
    FirstCall("sweep, default measures", *_TWO, _SWEEP.format(measures=""), 2),
    FirstCall("sweep, 4 variables", *_FOUR, _SWEEP.format(measures=""), 3),
    FirstCall("simulate, 100 steps", *_TWO, _RUN.format(steps=100), 0.3),
    FirstCall("simulate, 1e5 steps", *_TWO, _RUN.format(steps=100_000), 0.3),
)  # fmt: skip


def cases(quick: bool) -> list[Case]:
    """Return the lines on first calls; quick ones run one process each and are not judged."""

    def line(first: FirstCall) -> Case:
        name = f"cold start: {first.name} / {first.budget:g} s"
        return Case(name, "s", Target(1, at_least=False), lambda case: _measured(case, first, quick))

    return [line(first) for first in CALLS]


def _measured(case: Case, first: FirstCall, quick: bool) -> Row:
    times = []
    for _ in range(1 if quick else PAIRS):
        with tempfile.TemporaryDirectory() as folder:
            times.append(json.loads(output(sys.executable, "-c", first.program, SELFSTAB_CACHE_DIR=folder)))
    processor, loss = (min(one[part] for one in times) for part in ("processor", "loss"))
    return judged(
        case.name, case.unit, [(one["call"], first.budget) for one in times], case.target, judge=not quick,
        note=f"processor time {processor:.2f} s at least; {loss:.2f} s more to derive the loss",
    )  # fmt: skip
