"""Sweeps that take the sharpness at each step, in 4 variables and more, against NumPy's `eigvalsh` over the grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import selfstab as ss

from .harness import PAIRS, Case, Disagreement, Row, Target, cpu_seconds, interleaved, judged
from .job import Array

SIZES = (4, 8, 12)
BASELINE_STEPS = 10
"""Steps over which NumPy is timed, spread over the run."""


@dataclass(frozen=True)
class DenseJob:
    """Heavy ball on ½(Σᵢ uᵢvᵢ − 1)² + ½ Σⱼ cⱼwⱼ², w = (u, v), over momentum × relative excess.

    The Hessian has no zero entry, and the numbers c keep its eigenvalues apart.
    """

    dimension: int
    side: int
    steps: int

    @property
    def momentum(self) -> Array:
        """Momentum, shape (side,)."""
        return np.linspace(0.0, 0.9, self.side)

    @property
    def excess(self) -> Array:
        """Relative excess of the learning rate, shape (side,): below 0, where no run diverges."""
        return -np.geomspace(0.9, 0.3, self.side)

    @property
    def cells(self) -> int:
        """Number of runs."""
        return self.side**2

    @property
    def penalty(self) -> Array:
        """The numbers c, shape (dimension,)."""
        return np.linspace(0.01, 0.05, self.dimension)

    @property
    def start(self) -> Array:
        """Weights at rest at the start, shape (dimension,): near the valley Σᵢ uᵢvᵢ = 1."""
        w = np.linspace(0.7, 1.3, self.dimension)
        return 1.02 * w / np.sqrt(float(w[: self.dimension // 2] @ w[self.dimension // 2 :]))

    @cached_property
    def loss(self) -> Any:
        """The loss, as a user would write it."""
        half = self.dimension // 2
        names = [f"{letter}{k}" for letter in "uv" for k in range(half)]
        products = " + ".join(f"u{k}*v{k}" for k in range(half))
        squares = " + ".join(
            f"{c!r}*{name}**2/2" for c, name in zip(self.penalty.tolist(), names, strict=True)
        )
        return ss.SymbolicLoss(f"({products} - 1)**2/2 + {squares}", names)

    def gradient(self, w: Array) -> Array:
        """Return the gradient at weights of shape (cells, dimension)."""
        return self._residual(w)[:, None] * self._crossed(w) + self.penalty * w

    def hessian(self, w: Array) -> Array:
        """Return the Hessian, shape (cells, dimension, dimension)."""
        crossed = self._crossed(w)
        exchange = np.roll(np.eye(self.dimension), self.dimension // 2, axis=0)
        outer = crossed[:, :, None] * crossed[:, None, :]
        return outer + self._residual(w)[:, None, None] * exchange + np.diag(self.penalty)

    def _crossed(self, w: Array) -> Array:
        return np.roll(w, self.dimension // 2, axis=1)

    def _residual(self, w: Array) -> Array:
        half = self.dimension // 2
        residual: Array = np.sum(w[:, :half] * w[:, half:], axis=1) - 1.0
        return residual


def cases(quick: bool) -> list[Case]:
    """Return a line for each number of weights; quick ones run a small grid and are not judged."""
    side, steps = (8, 20) if quick else (32, 100)

    def line(dimension: int) -> Case:
        return Case(
            f"sweep with sharpness at each step, {dimension} variables / NumPy eigvalsh, one thread",
            "M cell-steps/CPU s", Target(3), lambda case: _measured(case, DenseJob(dimension, side, steps), quick),
        )  # fmt: skip

    return [line(dimension) for dimension in SIZES]


def ours(job: DenseJob) -> tuple[Array, Array]:
    """Return the smallest and the largest sharpness of each cell, by `selfstab.sweep` on one thread."""
    data = ss.sweep(
        job.loss, ss.HeavyBall(lr=1.0), {"momentum": job.momentum, "excess": job.excess}, start=job.start,
        steps=job.steps, measure=("min_sharpness", "max_sharpness"), threads=1, progress=False,
    )  # fmt: skip
    return data.min_sharpness.values.ravel(), data.max_sharpness.values.ravel()


def by_numpy(job: DenseJob) -> tuple[tuple[Array, Array], list[Array]]:
    """Return the same by NumPy, and the Hessians of all cells at BASELINE_STEPS of the steps."""
    beta = np.repeat(job.momentum, job.side)[:, None]
    w = np.repeat(job.start[None, :], job.cells, axis=0)
    velocity = np.zeros_like(w)
    sharpness = np.linalg.eigvalsh(job.hessian(w))[:, -1]
    excess = np.tile(job.excess, job.side)[:, None]
    lr = (1.0 + excess) * 2.0 * (1.0 + beta) / sharpness[:, None]
    low, high, hessians = sharpness.copy(), sharpness.copy(), []
    every = max(1, job.steps // BASELINE_STEPS)
    for step in range(1, job.steps + 1):
        velocity = beta * velocity - lr * job.gradient(w)
        w = w + velocity
        hessian = job.hessian(w)
        sharpness = np.linalg.eigvalsh(hessian)[:, -1]
        low, high = np.minimum(low, sharpness), np.maximum(high, sharpness)
        if step % every == 0:
            hessians.append(hessian)
    return (low, high), hessians


def _measured(case: Case, job: DenseJob, quick: bool) -> Row:
    """Compare a whole sweep, with its updates and Hessians, with the eigenvalues alone in NumPy."""
    with threadpool_limits(1, user_api="blas"):
        expected, hessians = by_numpy(job)
        difference = max(
            float(np.max(np.abs(one - other) / np.abs(other))) for one, other in zip(ours(job), expected, strict=True)
        )  # fmt: skip
        if not difference <= 1e-8:
            raise Disagreement(f"the sharpnesses differ by {difference:.1e}, relative")
        matrices = sum(len(one) for one in hessians)
        pairs = interleaved(
            lambda: job.cells * job.steps / cpu_seconds(lambda: ours(job)) / 1e6,
            lambda: matrices / cpu_seconds(lambda: [np.linalg.eigvalsh(one) for one in hessians]) / 1e6,
            PAIRS,
        )
    note = f"{job.cells} cells, {job.steps} steps; the baseline takes eigenvalues alone; difference {difference:.1e}"
    return judged(case.name, case.unit, pairs, case.target, judge=not quick, note=note)
