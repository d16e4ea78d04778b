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
    "linear": lambda z: z,
}


def mlp(widths, activation):
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
        return jnp.sum((values - targets) ** 2) / (2 * len(inputs))

    return loss


def diagonal(w, inputs, targets):
    u, v = jnp.split(w, 2)
    return jnp.sum((inputs @ (u * u - v * v) - targets) ** 2) / (4 * len(inputs))


def derivatives(loss):
    """Return the compiled (w, u, v, *data) → value, gradient, Hessian, Hessian times v, third (u, v)."""

    def everything(w, u, v, *data):
        gradient = jax.grad(loss)

        def hessian_vector(w):
            return jax.jvp(lambda w: gradient(w, *data), (w,), (v,))[1]

        product, third = jax.jvp(hessian_vector, (w,), (u,))
        return loss(w, *data), gradient(w, *data), jax.hessian(loss)(w, *data), product, third

    # Each function runs a few times only: compiling it without optimization takes half the time.
    cheap = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    compiled = jax.jit(everything, compiler_options=cheap)
    return lambda *arguments: [np.asarray(part) for part in compiled(*arguments)]


def relative_error(ours, reference):
    """Return ‖ours − reference‖/‖reference‖, or ‖ours‖ where the reference is 0."""
    return np.linalg.norm(ours - reference) / (np.linalg.norm(reference) or 1.0)


def fitted_order(error, steps):
    """Return the slope of log error against log step."""
    return np.polyfit(np.log(steps), np.log([error(step) for step in steps]), 1)[0]
