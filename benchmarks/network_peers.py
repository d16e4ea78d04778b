"""Losses of networks written in JAX and in PyTorch, as a user of either would."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from .job import BaselineMissing


def jax_loss(loss: Any) -> Any:
    """Return the mean squared error of a tanh MLP's weights as a JAX function in float64."""
    if find_spec("jax") is None:
        raise BaselineMissing("JAX is not installed")
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    inputs, targets, widths = jnp.asarray(loss.inputs), jnp.asarray(loss.targets), loss.widths

    def value(w: Any) -> Any:
        outputs = _outputs(w, inputs, widths, jnp.tanh)
        return jnp.sum((outputs - targets) ** 2) / (2 * len(inputs))

    return value


def jax_hessian(loss: Any, program: str) -> Any:
    """Return w → Hessian, compiled: forward over reverse, or "reverse" over reverse."""
    value = jax_loss(loss)
    import jax

    hessian = jax.hessian(value) if program == "hessian" else jax.jacrev(jax.grad(value))
    compiled = jax.jit(hessian).lower(jax.ShapeDtypeStruct((loss.dimension,), np.float64)).compile()
    return lambda w: compiled(w).block_until_ready()


def torch_hessian(loss: Any) -> Any:
    """Return w → Hessian by torch.func.hessian, in float64."""
    if find_spec("torch") is None:
        raise BaselineMissing("PyTorch is not installed")
    import torch

    inputs, targets = torch.as_tensor(loss.inputs), torch.as_tensor(loss.targets)

    def value(w: Any) -> Any:
        outputs = _outputs(w, inputs, loss.widths, torch.tanh)
        return ((outputs - targets) ** 2).sum() / (2 * len(inputs))

    hessian = torch.func.hessian(value)
    return lambda w: hessian(torch.as_tensor(w)).numpy()


def _outputs(w: Any, inputs: Any, widths: tuple[int, ...], tanh: Any) -> Any:
    values, start = inputs, 0
    for fan_in, width in pairwise(widths):
        if start:
            values = tanh(values)
        end = start + fan_in * width
        values = values @ w[start:end].reshape(fan_in, width) + w[end : end + width]
        start = end + width
    return values
