"""Batch sharpness in a training loop: the curvature that batches see along their own gradients.

E gᵀHg/E gᵀg over batches, with g and H gradient and Hessian of the loss of a batch
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from selfstab import validation
from selfstab.losses.functions import differences
from selfstab.losses.functions.random_states import draw, generators_of, random_states
from selfstab.records.recording.torch_closures import Closure, gradients_as_found
from selfstab.records.recording.torch_derivatives import LossDerivatives, check_dependence
from selfstab.records.recording.torch_trial import try_products, weights_as_found
from selfstab.records.recording.torch_vectors import WeightVectors
from selfstab.records.recording.training_optimizers import OptimizerReading

Batches = Iterable[Any] | Callable[[], Iterable[Any]]


def of_torch(
    weights: Callable[[], Sequence[Any]], batch_loss: Any, batches: Batches
) -> Callable[[Any, OptimizerReading], tuple[float, float]]:
    """Return what computes the batch sharpness of a PyTorch loop, and its standard error.

    Parameters
    ----------
    weights
        Returns the parameters that are trained now.
    batch_loss
        A batch → its loss, a scalar tensor.
    batches
        The batches, as a data loader, or a function that returns them.
    """
    check(batch_loss, batches)
    tried: list[LossDerivatives] = []

    def quotient(batch: Any, generators: list[Any], optimizer: OptimizerReading) -> tuple[float, float]:
        loss, vectors = LossDerivatives(Closure(lambda: batch_loss(batch))), WeightVectors(weights())
        loss.generators = generators
        if tried:
            loss.by_differences, loss.in_double = tried[0].by_differences, tried[0].in_double
        else:
            gradient = loss.gradient(vectors)[1].cpu().numpy()
            if np.isfinite(gradient).all():
                try_products(loss, vectors, gradient, differences.generic_direction(gradient))
                tried.append(loss)
        return torch_quotient(loss, vectors, optimizer)

    def read(_: Any, optimizer: OptimizerReading) -> tuple[float, float]:
        generators = generators_of(batch_loss, batches)
        quotients = []
        # A loader that shuffles draws from torch's generator, which is the loop's.
        with random_states(generators), gradients_as_found(weights()):
            for batch in _drawn(batches):
                try:
                    quotients.append(quotient(batch, generators, optimizer))
                except (TypeError, ValueError) as error:
                    raise type(error)(f"batch_{str(error).replace('closure', 'loss', 1)}") from error
                draw(generators)  # an evaluation leaves states as they were, and batches draw on
        return ratio(quotients)

    return read


def torch_quotient(
    loss: LossDerivatives, vectors: WeightVectors, optimizer: OptimizerReading
) -> tuple[float, float]:
    """Return gᵀHg and gᵀg of one batch's loss, which includes the optimizer's weight decay."""
    with weights_as_found(vectors):
        evaluation, product = loss.evaluated(vectors)
    check_dependence(evaluation.slopes)
    decayed = optimizer.decayed(lambda v: 0.0 * v)
    force = vectors.joined(evaluation.slopes) + decayed(vectors.joined([w.detach() for w in vectors.weights]))
    curved = optimizer.decayed(product)(force)
    return float(force @ curved), float(force @ force)


def of_jax(batch_loss: Any, batches: Batches) -> Callable[[Any, OptimizerReading], tuple[float, float]]:
    """Return what computes the batch sharpness of a JAX loop, and its standard error.

    Parameters
    ----------
    batch_loss
        Parameters and a batch → its loss, a scalar.
    batches
        The batches, of one shape, or a function that returns them.
    """
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    check(batch_loss, batches)

    @jax.jit
    def quotient(parameters: Any, batch: Any, decay: Any) -> tuple[Any, Any]:
        unravel = ravel_pytree(parameters)[1]

        def force_at(p: Any) -> Any:
            return ravel_pytree(jax.grad(batch_loss)(p, batch))[0] + decay * ravel_pytree(p)[0]

        force = force_at(parameters)
        curved = jax.jvp(force_at, (parameters,), (unravel(force),))[1]
        return jnp.vdot(force, curved), jnp.vdot(force, force)

    def read(parameters: Any, optimizer: OptimizerReading) -> tuple[float, float]:
        pairs = (quotient(parameters, batch, optimizer.decay) for batch in _drawn(batches))
        return ratio((float(curvature), float(square)) for curvature, square in pairs)

    return read


def check(batch_loss: Any, batches: Any) -> None:
    """Raise TypeError unless a batch's loss is a function, and batches can be drawn again and again."""
    if not callable(batch_loss):
        raise TypeError(f"batch_loss must be a function of a batch, got {validation.shown(batch_loss)}")
    if callable(batches):
        return
    if not isinstance(batches, Iterable) or isinstance(batches, (str, Iterator)):
        raise TypeError(
            "batches must be a list, a data loader, or a function that returns batches, to be drawn at each record, "
            f"got {validation.shown(batches)}"
        )


def ratio(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return E gᵀHg/E gᵀg and its standard error over batches; NaN where all gradients vanish, or of one batch.

    >>> ratio([(1.0, 1.0), (16.0, 4.0)])[0]
    3.4
    """
    drawn = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)
    if len(drawn) == 0:
        raise ValueError("batches must hold at least one, got none")
    curvatures, squares = drawn.T
    with np.errstate(all="ignore"):
        mean = squares.mean()
        value = curvatures.mean() / mean if mean else np.nan
        rest = curvatures - value * squares
        count = rest.size * (rest.size - 1)
        error = np.sqrt(rest @ rest / count) / mean if count and mean else np.nan
    return float(value), float(error)


def _drawn(batches: Batches) -> Iterable[Any]:
    return batches() if callable(batches) else batches
