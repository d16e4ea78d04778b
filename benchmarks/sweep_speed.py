"""Cell-steps per second of `selfstab.sweep` against the baselines, on jobs whose results agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from . import c_sweep, jax_sweep, numba_sweep, numpy_sweep, product_sweep
from .harness import (
    PAIRS,
    Case,
    Disagreement,
    Row,
    Target,
    cpu_seconds,
    interleaved,
    judged,
    seconds,
)
from .job import BaselineMissing, Extremes, Runner, SweepJob, agreement, cores, sweep_job
from .product_sweep import ProductJob

UNIT = "G cell-steps/s"
ProductRunner = Callable[[ProductJob], Extremes]
MEASURES = ("min_sharpness", "max_sharpness", "diverged_at")


def cases(quick: bool) -> list[Case]:
    """Return the lines on speed; quick ones run a small grid and are not judged."""
    side, steps = (96, 400) if quick else (512, 2000)
    job = sweep_job(side, steps)
    numpy_job = replace(job, steps=max(1, steps // 10))
    product_job = ProductJob(job.momentum, job.excess, steps)

    def against(runner: Runner, theirs: SweepJob = job) -> Callable[[Case], Row]:
        def measure(case: Case) -> Row:
            checked = _checked(runner)
            return _compared(case, lambda: ours(job), job, lambda: runner(theirs), theirs, quick, checked)

        return measure

    def against_product(runner: ProductRunner) -> Callable[[Case], Row]:
        def measure(case: Case) -> Row:
            checked = _checked_product(runner)
            return _compared(
                case, lambda: ours_product(product_job), product_job, lambda: runner(product_job), product_job,
                quick, checked,
            )  # fmt: skip

        return measure

    def two_threads(case: Case) -> Row:
        if cores() < 2:
            raise BaselineMissing("one core cannot run two threads at a time")
        ours(job)  # compiles
        samples = interleaved(
            lambda: job.cell_steps / cpu_seconds(lambda: ours(job, threads=2)) / 1e9,
            lambda: job.cell_steps / cpu_seconds(lambda: ours(job, threads=1)) / 1e9,
            PAIRS,
        )
        return judged(case.name, case.unit, samples, case.target, judge=not quick)

    def lengths(case: Case) -> Row:
        long, short = (replace(job, steps=count) for count in ((400, 50) if quick else (4000, 500)))
        return _by_processor_time(case, long, short, quick)

    def dying(case: Case) -> Row:
        # An oscillation dies early if the learning rate is a fifth below the threshold, and hardly shrinks if it is a
        # millionth below.
        momentum = np.linspace(0.0, 0.6, side)
        dead = replace(job, momentum=momentum, excess=np.linspace(-0.4, -0.2, side), steps=4 * steps)
        alive = replace(dead, excess=np.linspace(-2e-6, -1e-6, side))
        return _by_processor_time(case, dead, alive, quick)

    return [
        Case("sweep / C", UNIT, Target(0.9), against(c_sweep.run)),
        Case("sweep of Product / C", UNIT, Target(0.9), against_product(c_sweep.run)),
        Case("sweep / Numba prange, a cell at a time", UNIT, Target(5), against(numba_sweep.run)),
        Case("sweep / JAX fori_loop", UNIT, Target(10), against(jax_sweep.run)),
        Case("sweep / NumPy", UNIT, Target(15), against(numpy_sweep.run, numpy_job)),
        Case("SymPy loss / hand-written kernel", UNIT, Target(0.85), against_product(product_sweep.run)),
        Case("two threads / one", "G cell-steps/CPU s", Target(0.9), two_threads),
        Case("sweep of 4000 steps / of 500", "G cell-steps/CPU s", Target(0.95), lengths),
        Case("oscillations that die out / that do not", "G cell-steps/CPU s", Target(0.95), dying),
    ]


def _compared(
    case: Case, mine: Callable[[], Any], job: SweepJob | ProductJob, theirs: Callable[[], Any],
    their_job: SweepJob | ProductJob, quick: bool, note: str,
) -> Row:  # fmt: skip
    mine()
    theirs()  # compiles
    samples = interleaved(
        lambda: job.cell_steps / seconds(mine) / 1e9,
        lambda: their_job.cell_steps / seconds(theirs) / 1e9,
        PAIRS,
    )
    if their_job.steps != job.steps:
        note += f"; baseline timed over {their_job.steps} of {job.steps} steps"
    return judged(case.name, case.unit, samples, case.target, judge=not quick, note=note)


def _by_processor_time(case: Case, one: SweepJob, other: SweepJob, quick: bool) -> Row:
    """Compare two jobs of ours on one thread by processor time for each cell and step."""
    ours(one, threads=1)  # compiles
    samples = interleaved(
        lambda: one.cell_steps / cpu_seconds(lambda: ours(one, threads=1)) / 1e9,
        lambda: other.cell_steps / cpu_seconds(lambda: ours(other, threads=1)) / 1e9,
        PAIRS,
    )
    return judged(case.name, case.unit, samples, case.target, judge=not quick)


@cache
def _reference(side: int, steps: int) -> tuple[SweepJob, Extremes, Extremes]:
    job = sweep_job(side, steps)
    return job, numpy_sweep.run(job), numpy_sweep.run(job.nudged())


def _checked(runner: Runner) -> str:
    """Compare ours and the baseline with the NumPy program on a small grid; return the numbers as a note."""
    job, reference, nudged = _reference(47, 1003)
    return "; ".join(
        _agreed(who, run(job), reference, nudged) for who, run in (("ours", ours), ("baseline", runner))
    )


def _checked_product(runner: ProductRunner) -> str:
    job = ProductJob(np.linspace(0.0, 0.99, 47), np.geomspace(1e-3, 0.3, 47), 1003)
    reference, nudged = product_sweep.run(job), product_sweep.run(job.nudged())
    return "; ".join(
        _agreed(who, run(job), reference, nudged)
        for who, run in (("ours", ours_product), ("baseline", runner))
    )


def _agreed(who: str, results: Extremes, reference: Extremes, nudged: Extremes) -> str:
    match = agreement(results, reference, nudged)
    text = f"{who} agrees on {100 * match.agreeing:.2f}% of regular cells to 1e-6 (worst {match.worst:.0e})"
    if not match.holds:
        raise Disagreement(f"{text}; {100 * match.chaotic:.1f}% of cells are chaotic")
    return text


def ours(job: SweepJob, threads: int | None = None) -> Extremes:
    """Run the job with `selfstab.sweep`, by default on all cores."""
    loss = _cubic(job.curvature, job.progressive_sharpening, job.stabilization)
    return _swept(loss, job, np.array([job.x0, 0.0]), np.array([-job.x0, 0.0]), threads)


# Losses are derived before the clock starts, as C's are compiled.
@cache
def _cubic(curvature: float, progressive_sharpening: float, stabilization: float) -> Any:
    import selfstab as ss

    return ss.CubicTaylor(
        curvature=curvature, progressive_sharpening=progressive_sharpening, stabilization=stabilization
    )


@cache
def _product() -> Any:
    import sympy

    import selfstab as ss

    u, v = sympy.symbols("u v")
    return ss.SymbolicLoss((u * v - 1) ** 2 / 2, [u, v])


def ours_product(job: ProductJob) -> Extremes:
    """Run the job with `selfstab.sweep` on the loss as a user would write it in SymPy."""
    return _swept(_product(), job, *job.start())


def _swept(
    loss: Any, job: SweepJob | ProductJob, start: Any, previous: Any, threads: int | None = None
) -> Extremes:
    import selfstab as ss

    data = ss.sweep(
        loss, ss.HeavyBall(lr=1.0), {"momentum": job.momentum, "excess": job.excess},
        start=start, previous=previous, steps=job.steps, measure=MEASURES, threads=threads,
        progress=False,
    )  # fmt: skip
    low, high, diverged_at = (data[name].to_numpy().reshape(job.shape) for name in MEASURES)
    return Extremes(low, high, diverged_at)
