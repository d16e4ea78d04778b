"""Networks written in JAX, as an independent statement of what they compute."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "softplus": jax.nn.softplus,
    "linear": lambda z: z,
}


def mlp(widths, activation, criterion="mse", weight_decay=0.0):
    """Return the loss of w, inputs and targets."""

    def loss(w, inputs, targets):
        values, start = inputs, 0
        for fan_in, width in pairwise(widths):
            if start:
                values = ACTIVATIONS[activation](values)
            matrix = w[start : start + fan_in * width].reshape(fan_in, width)
            start += fan_in * width
            values = values @ matrix + w[start : start + width]
            start += width
        penalty = 0.5 * weight_decay * jnp.sum(w**2)
        if criterion == "cross-entropy":
            return -jnp.sum(targets * jax.nn.log_softmax(values)) / len(inputs) + penalty
        return jnp.sum((values - targets) ** 2) / (2 * len(inputs)) + penalty

    return loss


def diagonal(depth=2):
    """Return the loss of w, inputs and targets."""

    def loss(w, inputs, targets):
        u, v = jnp.split(w, 2)
        return jnp.sum((inputs @ (u**depth - v**depth) - targets) ** 2) / (4 * len(inputs))

    return loss


CHEAP = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options of a compilation in half the time, for a function that runs a few times only."""


def hessian(loss):
    """Return the compiled (w, *data) → Hessian; uncompiled, each operation in it would be compiled by itself."""
    return jax.jit(jax.hessian(loss), compiler_options=CHEAP)


def derivatives(loss):
    """Return the compiled (w, u, v, z, *data) → value, gradient, Hessian, Hessian times v, third (u, v), fourth."""

    def everything(w, u, v, z, *data):
        gradient = jax.grad(loss)

        def hessian_vector(w):
            return jax.jvp(lambda w: gradient(w, *data), (w,), (v,))[1]

        def third(w):
            return jax.jvp(hessian_vector, (w,), (u,))

        (product, along), (_, fourth) = jax.jvp(third, (w,), (z,))
        return loss(w, *data), gradient(w, *data), jax.hessian(loss)(w, *data), product, along, fourth

    compiled = jax.jit(everything, compiler_options=CHEAP)
    return lambda *arguments: [np.asarray(part) for part in compiled(*arguments)]


def ours(loss, w, u, v, z):
    """Return what `derivatives` returns, by our own loss; up to the order that it has."""
    parts = [loss.value(w), loss.gradient(w), loss.hessian(w), loss.hessian_vector(w, v)]
    if loss.highest_derivative >= 4:
        parts += [loss.third(w, u, v), loss.fourth(w, u, v, z)]
    return parts


def relative_error(ours, reference):
    """Return ‖ours − reference‖/‖reference‖, or ‖ours‖ where the reference is 0."""
    return np.linalg.norm(ours - reference) / (np.linalg.norm(reference) or 1.0)


def fitted_order(error, steps):
    """Return the slope of log error against log step."""
    return np.polyfit(np.log(steps), np.log([error(step) for step in steps]), 1)[0]
