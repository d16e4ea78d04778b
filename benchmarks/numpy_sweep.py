"""The sweep job in NumPy: all cells at once, one step at a time, into preallocated buffers."""

from __future__ import annotations

import numpy as np

from .job import ESCAPE, Extremes, SweepJob


def run(job: SweepJob) -> Extremes:
    """Run the job; a cell that has escaped rests at the start, where it adds nothing to its measures."""
    c, b, drift, bb4 = job.curvature, job.b, job.progressive_sharpening / job.b, 4.0 * job.stabilization
    beta = np.repeat(job.momentum[:, None], job.excess.size, axis=1)
    eta = job.lr()
    x, z = np.full(job.shape, job.x0), np.zeros(job.shape)
    u, v = np.full(job.shape, 2.0 * job.x0), np.zeros(job.shape)
    low = np.full(job.shape, 2.0 * job.start_sharpness)
    high = low.copy()
    diverged_at = np.full(job.shape, -1)
    h, square = np.full(job.shape, c), np.full(job.shape, job.x0**2)
    work, twice = np.empty(job.shape), np.empty(job.shape)
    within, other = np.empty(job.shape, bool), np.empty(job.shape, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(1, job.steps + 1):
            # u = βu − η h x;  v = βv − η(½ b x² − α/b)
            np.multiply(h, x, out=work)
            np.multiply(work, eta, out=work)
            np.multiply(u, beta, out=u)
            np.subtract(u, work, out=u)
            np.multiply(square, 0.5 * b, out=work)
            np.subtract(work, drift, out=work)
            np.multiply(work, eta, out=work)
            np.multiply(v, beta, out=v)
            np.subtract(v, work, out=v)
            np.add(x, u, out=x)
            np.add(z, v, out=z)
            np.less_equal(np.abs(x, out=work), ESCAPE, out=within)
            np.less_equal(np.abs(z, out=work), ESCAPE, out=other)
            np.logical_and(within, other, out=within)
            if not within.all():
                gone = ~within
                diverged_at[gone] = t
                x[gone] = job.x0
                for array in (z, u, v, beta, eta):
                    array[gone] = 0.0
            # 2S = h + √(h² + 4b²x²)
            np.multiply(z, b, out=h)
            np.add(h, c, out=h)
            np.multiply(x, x, out=square)
            np.multiply(square, bb4, out=work)
            np.multiply(h, h, out=twice)
            np.add(work, twice, out=twice)
            np.sqrt(twice, out=twice)
            np.add(h, twice, out=twice)
            np.minimum(low, twice, out=low)
            np.maximum(high, twice, out=high)
    return Extremes(0.5 * low, 0.5 * high, diverged_at)
