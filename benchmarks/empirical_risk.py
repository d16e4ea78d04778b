"""Sweeps of a mean over samples: `selfstab.EmpiricalRisk` against JAX, vectorised over runs and samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

import selfstab as ss

from .harness import PAIRS, Case, Disagreement, Row, Target, interleaved, judged, seconds
from .job import Array, BaselineMissing

PENALTY = 0.01


@dataclass(frozen=True)
class LogisticJob:
    """Heavy ball on logistic regression of three weights and a penalty, over momentum × learning rate.

    L = (1/n) Σᵢ log(1 + exp(−yᵢ w·xᵢ)) + ½ c |w|² with c = PENALTY. Measured is the loss at the end.
    """

    side: int
    samples: int
    steps: int

    @property
    def momentum(self) -> Array:
        """Momentum, shape (side,)."""
        return np.linspace(0.0, 0.9, self.side)

    @property
    def lr(self) -> Array:
        """Learning rate, shape (side,)."""
        return np.geomspace(0.1, 3.0, self.side)

    @property
    def cell_steps(self) -> int:
        """Number of updates."""
        return self.side**2 * self.steps

    @cached_property
    def data(self) -> tuple[Array, Array]:
        """Points, shape (samples, 3), and labels −1 and 1, shape (samples,)."""
        random = np.random.default_rng(0)
        points = random.standard_normal((self.samples, 3))
        scores = points @ [1.0, -2.0, 0.5] + random.standard_normal(self.samples)
        return points, np.where(scores > 0.0, 1.0, -1.0)

    @cached_property
    def risk(self) -> Any:
        """The loss, as a user would write it."""
        points, labels = self.data
        text = "log(1 + exp(-y*dot(w, x))) + c*dot(w, w)/2"
        return ss.EmpiricalRisk(text, {"w": 3}, {"x": points, "y": labels}, {"c": PENALTY})

    @property
    def start(self) -> Array:
        """Weights at rest at the start, shape (3,)."""
        return np.array([1.0, 1.0, -1.0])


def cases(quick: bool) -> list[Case]:
    """Return the line on risks; a quick one runs a small grid and is not judged."""
    job = LogisticJob(8, 20, 20) if quick else LogisticJob(64, 100, 200)
    return [
        Case(
            "sweep of an EmpiricalRisk / JAX, vmap and fori_loop", "M cell-steps/s", Target(1),
            lambda case: _measured(case, job, quick),
        )
    ]  # fmt: skip


def ours(job: LogisticJob) -> Array:
    """Return the last loss of each run, shape (side, side), by `selfstab.sweep` on all cores."""
    data = ss.sweep(
        job.risk, ss.HeavyBall(lr=1.0), {"momentum": job.momentum, "lr": job.lr}, start=job.start, steps=job.steps,
        measure=("final_loss",), progress=False,
    )  # fmt: skip
    losses: Array = data.final_loss.values
    return losses


def by_jax(job: LogisticJob) -> Callable[[], Array]:
    """Return the same in JAX, compiled, in float64; JAX uses all cores by itself."""
    if find_spec("jax") is None:
        raise BaselineMissing("JAX is not installed")
    import jax
    import jax.numpy as jnp
    from jax import lax

    jax.config.update("jax_enable_x64", True)
    points, labels = job.data

    def value(w: Any) -> Any:
        return jnp.mean(jnp.log(1.0 + jnp.exp(-labels * (points @ w)))) + 0.5 * PENALTY * (w @ w)

    gradient = jax.grad(value)

    def run(momentum: Any, lr: Any) -> Any:
        def step(_: Any, carry: Any) -> Any:
            w, velocity = carry
            velocity = momentum * velocity - lr * gradient(w)
            return w + velocity, velocity

        start = jnp.asarray(job.start)
        return value(lax.fori_loop(0, job.steps, step, (start, jnp.zeros_like(start)))[0])

    grid = jax.vmap(jax.vmap(run, (None, 0)), (0, None))
    vector = jax.ShapeDtypeStruct((job.side,), np.float64)
    compiled = jax.jit(grid).lower(vector, vector).compile()
    return lambda: np.asarray(compiled(job.momentum, job.lr))


def _measured(case: Case, job: LogisticJob, quick: bool) -> Row:
    theirs = by_jax(job)
    difference = float(np.max(np.abs(ours(job) / theirs() - 1.0)))
    if not difference <= 1e-8:
        raise Disagreement(f"the losses differ by {difference:.1e}, relative")
    pairs = interleaved(
        lambda: job.cell_steps / seconds(lambda: ours(job)) / 1e6,
        lambda: job.cell_steps / seconds(theirs) / 1e6,
        PAIRS,
    )
    note = f"logistic regression, 3 weights, {job.samples} samples; the losses differ by {difference:.1e}, relative"
    return judged(case.name, case.unit, pairs, case.target, judge=not quick, note=note)
