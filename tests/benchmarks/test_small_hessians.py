"""The NumPy program that sweeps with a sharpness at each step are compared with."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.small_hessians import DenseJob, by_numpy
from tests.losses.jax_networks import CHEAP  # the module sets JAX to float64


def test_derivatives_of_the_dense_loss() -> None:
    """Protects the baseline's Hessians, which set its speed: they are those of the loss as written, without zeros."""
    job = DenseJob(4, 2, 3)

    def value(w: jax.Array) -> jax.Array:
        return 0.5 * (w[0] * w[2] + w[1] * w[3] - 1.0) ** 2 + 0.5 * jnp.sum(jnp.asarray(job.penalty) * w**2)

    w = np.array([[0.3, -1.2, 0.7, 2.0], [1.0, 0.5, -0.4, 0.1]])
    gradient, hessian = (jax.vmap(form(value)) for form in (jax.grad, jax.hessian))
    expected = jax.jit(lambda w: (gradient(w), hessian(w)), compiler_options=CHEAP)(w)
    np.testing.assert_allclose(job.gradient(w), expected[0], rtol=1e-13)
    np.testing.assert_allclose(job.hessian(w), expected[1], rtol=1e-13)
    assert (job.hessian(w) != 0.0).all()
    np.testing.assert_allclose(job.loss.value(w[0]), value(w[0]), rtol=1e-13)


def test_runs_neither_diverge_nor_come_to_rest() -> None:
    """Protects the comparison from runs that cost nothing: the sharpness still moves at the last steps."""
    job = DenseJob(8, 4, 100)
    (low, high), hessians = by_numpy(job)
    assert np.isfinite(high).all()
    assert (high > 1.1 * low).all()
    assert len(hessians) == 10
    assert (np.abs(np.linalg.eigvalsh(hessians[-1]) - np.linalg.eigvalsh(hessians[-2]))[:, -1] > 1e-9).all()
