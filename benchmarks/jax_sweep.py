"""The sweep job in JAX: a jitted `lax.fori_loop` over the vectorised grid, in float64."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from .job import ESCAPE, BaselineMissing, Extremes, SweepJob


@cache
def _compiled(shape: tuple[int, int]) -> Any:
    """Return the compiled program for a grid of this shape; JAX uses all cores by itself."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    def sweep(momentum, excess, steps, c, b, drift, x0):  # type: ignore[no-untyped-def]
        start = 0.5 * (c + jnp.sqrt(c * c + 4.0 * b * b * x0 * x0))
        beta = momentum[:, None]
        eta = (1.0 + excess)[None, :] * (2.0 * (1.0 + momentum) / start)[:, None]

        def step(t, carry):  # type: ignore[no-untyped-def]
            x, z, u, v, low, high, diverged_at = carry
            u = beta * u - eta * ((c + b * z) * x)
            v = beta * v - eta * (0.5 * b * x * x - drift)
            x = x + u
            z = z + v
            inside = (jnp.abs(x) <= ESCAPE) & (jnp.abs(z) <= ESCAPE)
            diverged_at = jnp.where((diverged_at < 0) & ~inside, t + 1, diverged_at)
            running = diverged_at < 0
            h = c + b * z
            sharpness = 0.5 * (h + jnp.sqrt(h * h + 4.0 * b * b * x * x))
            low = jnp.where(running, jnp.minimum(low, sharpness), low)
            high = jnp.where(running, jnp.maximum(high, sharpness), high)
            return x, z, u, v, low, high, diverged_at

        zero = jnp.zeros(shape)
        at_start = (zero + x0, zero, zero + 2.0 * x0, zero, zero + start, zero + start, jnp.full(shape, -1))
        return lax.fori_loop(0, steps, step, at_start)[4:]

    vector = [jax.ShapeDtypeStruct((n,), np.float64) for n in shape]
    scalar = jax.ShapeDtypeStruct((), np.float64)
    steps = jax.ShapeDtypeStruct((), np.int64)
    return jax.jit(sweep).lower(*vector, steps, *[scalar] * 4).compile()


def run(job: SweepJob) -> Extremes:
    """Run the job on all cores; the first call of each grid's shape compiles.

    Raises
    ------
    BaselineMissing
        If JAX is not installed.
    """
    if find_spec("jax") is None:
        raise BaselineMissing("JAX is not installed")
    import jax

    jax.config.update("jax_enable_x64", True)
    drift = job.progressive_sharpening / job.b
    model = [np.float64(value) for value in (job.curvature, job.b, drift, job.x0)]
    out = _compiled(job.shape)(job.momentum, job.excess, np.int64(job.steps), *model)
    low, high, diverged_at = (np.asarray(one) for one in jax.block_until_ready(out))
    return Extremes(low, high, diverged_at)
