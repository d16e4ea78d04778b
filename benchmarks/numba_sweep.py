"""The sweep job in plain Numba: one cell at a time, a `prange` over the cells."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .job import ESCAPE, Extremes, SweepJob


@njit(parallel=True)
def _sweep(momentum, lr, steps, c, b, drift, x0, escape, low, high, diverged_at):  # type: ignore[no-untyped-def]
    rows, columns = lr.shape
    for cell in prange(rows * columns):
        i, j = cell // columns, cell % columns
        beta, eta = momentum[i], lr[i, j]
        x, z, u, v = x0, 0.0, 2.0 * x0, 0.0
        h = c
        smallest = largest = 0.5 * (h + math.sqrt(h * h + 4.0 * b * b * x * x))
        at = -1
        for t in range(1, steps + 1):
            gx, gz = h * x, 0.5 * b * x * x - drift
            u = beta * u - eta * gx
            v = beta * v - eta * gz
            x += u
            z += v
            if not (abs(x) <= escape and abs(z) <= escape):
                at = t
                break
            h = c + b * z
            sharpness = 0.5 * (h + math.sqrt(h * h + 4.0 * b * b * x * x))
            smallest = min(smallest, sharpness)
            largest = max(largest, sharpness)
        low[i, j], high[i, j], diverged_at[i, j] = smallest, largest, at


def run(job: SweepJob) -> Extremes:
    """Run the job on all cores; the first call compiles."""
    low, high, diverged_at = np.empty(job.shape), np.empty(job.shape), np.empty(job.shape, np.int64)
    drift = job.progressive_sharpening / job.b
    _sweep(
        job.momentum, job.lr(), job.steps, job.curvature, job.b, drift, job.x0, ESCAPE, low, high, diverged_at
    )
    return Extremes(low, high, diverged_at)
