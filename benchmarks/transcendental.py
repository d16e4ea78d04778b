"""Losses with exp, sin and tanh: `selfstab.sweep` against a C loop that calls the C library's functions."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from .c_sweep import compiler
from .harness import PAIRS, Case, Disagreement, Row, Target, interleaved, judged, seconds
from .job import ESCAPE, Array, BaselineMissing, Extremes, agreement, cores

UNIT = "G cell-steps/s"
LOSSES = {"exp": "log(1 + exp(x)) - x/4", "sin": "x**2/4 + cos(x)", "tanh": "tanh(x)**2/2"}
"""The losses; their order is KIND in transcendental.c."""


@dataclass(frozen=True)
class ScalarJob:
    """Heavy ball on one of LOSSES over momentum × lr, at rest at `start`; measured as :class:`SweepJob` is."""

    kind: str
    momentum: Array
    lr: Array
    steps: int
    start: float = 1.5

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along momentum and along lr."""
        return self.momentum.size, self.lr.size

    @property
    def cell_steps(self) -> int:
        """Number of updates asked for."""
        return self.momentum.size * self.lr.size * self.steps

    def nudged(self) -> ScalarJob:
        """Return the job from a start moved by 10⁻¹² of itself."""
        return replace(self, start=self.start * (1.0 + 1e-12))


def ours(job: ScalarJob) -> Extremes:
    """Run the job with `selfstab.sweep`."""
    import selfstab as ss

    data = ss.sweep(
        ss.SymbolicLoss(LOSSES[job.kind], ["x"]), ss.HeavyBall(lr=1.0), {"momentum": job.momentum, "lr": job.lr},
        start=[job.start], steps=job.steps, measure=("min_sharpness", "max_sharpness", "diverged_at"), progress=False,
    )  # fmt: skip
    return Extremes(data.min_sharpness.values, data.max_sharpness.values, data.diverged_at.values)


@cache
def build(kind: str, lanes: int = 16) -> ctypes.CDLL:
    """Compile and load `transcendental.c`: optimized, in strict arithmetic, with the C library's functions.

    Raises
    ------
    BaselineMissing
        If there is no C compiler, or it fails.
    """
    source = Path(__file__).with_suffix(".c")
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "transcendental.so"
        command = [
            compiler(), "-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-fPIC", "-shared",
            f"-DKIND={list(LOSSES).index(kind)}", f"-DLANES={lanes}", str(source), "-o", str(shared), "-lm",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise BaselineMissing(f"the C compiler failed: {lines[0] if lines else done.returncode}")
        return ctypes.CDLL(str(shared))


def run(job: ScalarJob, lanes: int = 16) -> Extremes:
    """Run the job in C on all cores, `lanes` cells side by side."""
    momentum, lr = (np.ascontiguousarray(a) for a in np.broadcast_arrays(job.momentum[:, None], job.lr))
    start = np.full(job.shape, job.start)
    low, high, diverged_at = np.empty(job.shape), np.empty(job.shape), np.empty(job.shape, np.int64)
    sweep = build(job.kind, lanes).sweep
    sweep.restype = None
    pointer = ctypes.c_void_p
    sweep.argtypes = [
        ctypes.c_int64,
        ctypes.c_int,
        ctypes.c_int,
        *[pointer] * 3,
        ctypes.c_double,
        *[pointer] * 3,
    ]
    sweep(
        low.size, job.steps, cores(), momentum.ctypes.data, lr.ctypes.data, start.ctypes.data, ESCAPE,
        low.ctypes.data, high.ctypes.data, diverged_at.ctypes.data,
    )  # fmt: skip
    return Extremes(low, high, diverged_at)


def scalar_job(kind: str, side: int, steps: int) -> ScalarJob:
    """Return the job on side × side cells: momentum from 0 to 0.9, lr up to about twice what is stable."""
    return ScalarJob(kind, np.linspace(0.0, 0.9, side), np.geomspace(0.1, 3.0, side), steps)


def cases(quick: bool) -> list[Case]:
    """Return the lines on losses with exp, sin and tanh."""
    side, steps = (64, 200) if quick else (256, 2000)

    def line(kind: str) -> Case:
        def measure(case: Case) -> Row:
            small, job = scalar_job(kind, 31, 603), scalar_job(kind, side, steps)
            reference = run(small)
            match = agreement(ours(small), reference, run(small.nudged()))
            note = f"ours agrees on {100 * match.agreeing:.2f}% of regular cells to 1e-6 (worst {match.worst:.0e})"
            if not match.agreeing >= 0.999:
                raise Disagreement(f"{note}; {100 * match.chaotic:.1f}% of cells are chaotic")
            ours(job)
            # A cell at a time or lanes side by side, whichever is faster here.
            lanes = min((1, 16), key=lambda n: min(seconds(lambda: run(job, n)) for _ in range(2)))
            samples = interleaved(
                lambda: job.cell_steps / seconds(lambda: ours(job)) / 1e9,
                lambda: job.cell_steps / seconds(lambda: run(job, lanes)) / 1e9,
                PAIRS,
            )
            return judged(case.name, UNIT, samples, case.target, judge=not quick, note=note)

        return Case(f"sweep of a loss with {kind} / C with libm", UNIT, Target(0.8), measure)

    return [line(kind) for kind in LOSSES]
