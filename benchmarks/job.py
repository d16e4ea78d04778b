"""The job that every baseline of the sweep runs, and the results it hands back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ESCAPE = 1e6
"""A run ends at the first step with max|w_i| above this, or with a value that is not finite."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BaselineMissing(Exception):
    """What a baseline needs is not on this machine; the message says what."""


@dataclass(frozen=True)
class SweepJob:
    """Heavy ball on L = ½(c + b z)x² − (α/b) z over a grid of momentum × relative excess.

    v ← βv − η∇L, w ← w + v from w = (x0, 0), v = (2 x0, 0), with η = (1 + ε)·2(1 + β)/S(start). Measured: the
    smallest and the largest top Hessian eigenvalue S = ½(h + √(h² + 4b²x²)), h = c + b z, over all steps (the
    start too) before the first one with max|w_i| > 10⁶ or a value that is not finite; and that step.
    """

    momentum: Array
    excess: Array
    steps: int
    curvature: float = 1.0
    progressive_sharpening: float = 0.0
    stabilization: float = 1.0
    x0: float = 1e-3

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along momentum and along excess."""
        return self.momentum.size, self.excess.size

    @property
    def cells(self) -> int:
        """Number of runs."""
        return self.momentum.size * self.excess.size

    @property
    def cell_steps(self) -> int:
        """Number of updates asked for; a run that escapes early counts in full, for everyone."""
        return self.cells * self.steps

    @property
    def b(self) -> float:
        """The slope of the sharpness along z; b² is the stabilization."""
        return float(np.sqrt(self.stabilization))

    @property
    def start_sharpness(self) -> float:
        """S at the start."""
        c, bx = self.curvature, self.b * self.x0
        return float(0.5 * (c + np.sqrt(c * c + 4.0 * bx * bx)))

    def lr(self) -> Array:
        """Return η of each cell, shape `shape`."""
        return (1.0 + self.excess)[None, :] * (2.0 * (1.0 + self.momentum) / self.start_sharpness)[:, None]

    def nudged(self) -> SweepJob:
        """Return the job from a start moved by 10⁻¹² of itself: cells that notice are chaotic."""
        return replace(self, x0=self.x0 * (1.0 + 1e-12))


def sweep_job(side: int, steps: int) -> SweepJob:
    """Return the job on side × side cells: momentum from 0 to 0.99, excess from 0.001 to 0.3."""
    return SweepJob(np.linspace(0.0, 0.99, side), np.geomspace(1e-3, 0.3, side), steps)


@dataclass(frozen=True)
class Extremes:
    """What the job measures: three arrays of the grid's shape."""

    min_sharpness: Array
    max_sharpness: Array
    diverged_at: npt.NDArray[np.int64]


Runner = Callable[[SweepJob], Extremes]


@dataclass(frozen=True)
class Agreement:
    """How far two programs agree on the cells that are not chaotic."""

    agreeing: float
    chaotic: float
    worst: float

    @property
    def holds(self) -> bool:
        """At least 99.9% of the regular cells agree, and at most a tenth of all cells are chaotic."""
        return self.agreeing >= 0.999 and self.chaotic <= 0.1


def agreement(ours: Extremes, reference: Extremes, nudged: Extremes, rtol: float = 1e-6) -> Agreement:
    """Compare `ours` with `reference`, leaving out the cells that a nudged start alone moves by rtol/10.

    Parameters
    ----------
    ours, reference
        Results of two programs on one job.
    nudged
        The reference's results from :meth:`SweepJob.nudged`.
    rtol
        The relative difference up to which the sharpnesses agree; `diverged_at` must be equal.

    Returns
    -------
    Agreement
        The share of regular cells that agree, the share of chaotic cells, the worst relative difference among
        the regular cells.
    """
    chaotic = (_difference(nudged, reference) > 0.1 * rtol) | (nudged.diverged_at != reference.diverged_at)
    regular = ~chaotic
    difference = _difference(ours, reference)
    agrees = (difference <= rtol) & (ours.diverged_at == reference.diverged_at)
    return Agreement(
        agreeing=float(agrees[regular].mean()) if regular.any() else 0.0,
        chaotic=float(chaotic.mean()),
        worst=float(difference[regular].max(initial=0.0)),
    )


def _difference(one: Extremes, other: Extremes) -> Array:
    low = np.abs(one.min_sharpness - other.min_sharpness) / np.abs(other.min_sharpness)
    high = np.abs(one.max_sharpness - other.max_sharpness) / np.abs(other.max_sharpness)
    worst: Array = np.maximum(low, high)
    return worst
