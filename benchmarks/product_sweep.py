"""A hand-written kernel for ½(uv − 1)²: what a generated kernel is compared with.

Strict arithmetic in Numba, blocks of lanes, a thread pool over the blocks: written for this loss alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from .job import ESCAPE, Array, Extremes, cores

LANES = 32
CHUNK = 64
UNROLL = 4
BLOCKS_PER_TASK = 16


@dataclass(frozen=True)
class ProductJob:
    """Heavy ball on ½(uv − 1)² over a grid of momentum × relative excess, measured as :class:`SweepJob` is.

    It starts from a minimum, moved by ± `size` along the top eigenvector (v, u)/√(u² + v²).
    """

    momentum: Array
    excess: Array
    steps: int
    minimum: tuple[float, float] = (2.0, 0.5)
    size: float = 1e-3

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along momentum and along excess."""
        return self.momentum.size, self.excess.size

    @property
    def cell_steps(self) -> int:
        """Number of updates asked for."""
        return self.momentum.size * self.excess.size * self.steps

    def start(self) -> tuple[Array, Array]:
        """Return the start and the point before it."""
        centre = np.array(self.minimum)
        u = centre[::-1] / np.linalg.norm(centre)
        return centre + self.size * u, centre - self.size * u

    def nudged(self) -> ProductJob:
        """Return the job from a start moved by 10⁻¹² of its distance to the minimum."""
        return replace(self, size=self.size * (1.0 + 1e-12))

    def lr(self) -> Array:
        """Return η of each cell, shape `shape`."""
        (u, v), _ = self.start()
        sharpness = float(_sharpness(u, v))
        return (1.0 + self.excess)[None, :] * (2.0 * (1.0 + self.momentum) / sharpness)[:, None]


@njit(error_model="numpy")
def _sharpness(u, v):  # type: ignore[no-untyped-def]
    uu, vv, off = u * u, v * v, 2.0 * (u * v) - 1.0
    difference = uu - vv
    return 0.5 * (uu + vv + np.sqrt(difference * difference + 4.0 * (off * off)))


@njit(nogil=True, error_model="numpy")
def _advance(s, settings, steps):  # type: ignore[no-untyped-def]
    """Run `steps` updates (a multiple of UNROLL); rows of `s`: u, v, du, dv, smallest, largest S."""
    for _ in range(steps // UNROLL):
        for i in range(LANES):
            u, v, du, dv, smallest, largest = s[0, i], s[1, i], s[2, i], s[3, i], s[4, i], s[5, i]
            beta, eta = settings[0, i], settings[1, i]
            for _ in range(UNROLL):
                residual = u * v - 1.0
                du = beta * du - eta * (residual * v)
                dv = beta * dv - eta * (residual * u)
                u, v = u + du, v + dv
                sharpness = _sharpness(u, v)
                smallest = sharpness if sharpness < smallest else smallest
                largest = sharpness if sharpness > largest else largest
            s[0, i], s[1, i], s[2, i], s[3, i], s[4, i], s[5, i] = u, v, du, dv, smallest, largest


@njit(nogil=True, error_model="numpy")
def _locate(s, i, beta, eta, steps):  # type: ignore[no-untyped-def]
    """Run lane i one step at a time; return the first escaped step, or 0."""
    for t in range(1, steps + 1):
        u, v = s[0, i], s[1, i]
        residual = u * v - 1.0
        s[2, i] = beta * s[2, i] - eta * (residual * v)
        s[3, i] = beta * s[3, i] - eta * (residual * u)
        s[0, i] = u + s[2, i]
        s[1, i] = v + s[3, i]
        if not (abs(s[0, i]) <= ESCAPE and abs(s[1, i]) <= ESCAPE):
            return t
        sharpness = _sharpness(s[0, i], s[1, i])
        s[4, i] = min(s[4, i], sharpness)
        s[5, i] = max(s[5, i], sharpness)
    return 0


@njit(nogil=True, error_model="numpy")
def _blocks(first, last, momentum, lr, steps, start, velocity, low, high, diverged_at):  # type: ignore[no-untyped-def]
    """Run the cells first, ..., last − 1 of the flattened grid."""
    s, saved = np.empty((6, LANES)), np.empty((6, LANES))
    settings = np.empty((2, LANES))
    columns = lr.shape[1]
    for origin in range(first, last, LANES):
        count = min(LANES, last - origin)
        for i in range(LANES):
            cell = origin + (i if i < count else 0)
            settings[0, i], settings[1, i] = momentum[cell // columns], lr[cell // columns, cell % columns]
            s[0, i], s[1, i], s[2, i], s[3, i] = start[0], start[1], velocity[0], velocity[1]
            s[4, i] = s[5, i] = _sharpness(start[0], start[1])
        running = count
        t = 0
        while t < steps and running > 0:
            chunk = min(CHUNK, steps - t)
            whole = chunk - chunk % UNROLL
            for row in range(6):
                for i in range(LANES):
                    saved[row, i] = s[row, i]
            _advance(s, settings, whole)
            for i in range(LANES):
                # The sharpness is at least u² and v², so an escape shows in the largest one; NaN stays.
                calm = s[5, i] < 0.5 * ESCAPE * ESCAPE and abs(s[0, i]) <= ESCAPE and abs(s[1, i]) <= ESCAPE
                done = whole if calm else 0
                if not calm:
                    for row in range(6):
                        s[row, i] = saved[row, i]
                at = _locate(s, i, settings[0, i], settings[1, i], chunk - done)
                if at > 0:
                    if i < count:
                        diverged_at[(origin + i) // columns, (origin + i) % columns] = t + done + at
                        running -= 1
                    s[0, i], s[1, i] = start[0], start[1]
                    s[2, i] = s[3, i] = settings[0, i] = settings[1, i] = 0.0
            t += chunk
        for i in range(count):
            row, column = (origin + i) // columns, (origin + i) % columns
            low[row, column], high[row, column] = s[4, i], s[5, i]


def run(job: ProductJob) -> Extremes:
    """Run the job on all cores; the first call compiles."""
    low, high = np.empty(job.shape), np.empty(job.shape)
    diverged_at = np.full(job.shape, -1)
    start, previous = job.start()
    lr, cells, task = job.lr(), low.size, BLOCKS_PER_TASK * LANES

    def part(first: int) -> None:
        last = min(first + task, cells)
        _blocks(first, last, job.momentum, lr, job.steps, start, start - previous, low, high, diverged_at)

    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(part, range(0, cells, task)):
            pass
    return Extremes(low, high, diverged_at)
