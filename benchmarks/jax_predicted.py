"""The predicted dynamics in JAX: gradient descent, constrained trajectory, prediction and gradient flow, step by step.

Written as one would from the definitions of Damian et al.: every derivative is jitted automatic differentiation, every
top eigenpair `lobpcg_standard` on Hessian-vector products, started at the last one; the flow takes Euler's steps of
η/⌈ηS⌉. Without momentum, in float64.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse.linalg import lobpcg_standard

jax.config.update("jax_enable_x64", True)


class Dynamics:
    """The state of the four trajectories of a network with one hidden layer of tanh and one output.

    Parameters
    ----------
    loss
        The network, whose data are taken over.
    lr
        Learning rate.
    start
        First weights.
    tolerance
        LOBPCG's; None is its default, the precision of float64. It multiplies the dimension, and more.
    """

    def __init__(self, loss: Any, lr: float, start: Any, tolerance: float | None) -> None:
        fan_in, width, _ = loss.widths
        inputs, targets = jnp.asarray(loss.inputs), jnp.asarray(loss.targets)
        ends = np.cumsum([fan_in * width, width, width])

        def value(w: Any) -> Any:
            first, bias, second, last = jnp.split(w, ends)
            outputs = jnp.tanh(inputs @ first.reshape(fan_in, width) + bias) @ second.reshape(width, 1) + last
            return jnp.sum((outputs - targets) ** 2) / (2 * len(inputs))

        def product(w: Any, v: Any) -> Any:
            return jax.jvp(jax.grad(value), (w,), (v,))[1]

        def top(w: Any, starts: Any) -> Any:
            values, vectors, _ = lobpcg_standard(
                lambda block: jax.vmap(lambda v: product(w, v), 1, 1)(block), starts, 200, tolerance
            )
            return values, vectors

        self.value, self.gradient = jax.jit(value), jax.jit(jax.grad(value))
        self.product, self.top = jax.jit(product), jax.jit(top)
        self.third = jax.jit(lambda w, u: jax.jvp(lambda at: product(at, u), (w,), (u,))[1])

        self.lr, self.threshold = lr, 2.0 / lr
        w = jnp.asarray(start)
        generic = jnp.asarray(np.random.default_rng(0).standard_normal((len(start), 2)))
        _, self.pair = self.top(w, generic)
        self.centre = self.projected(self.derivatives(w, self.pair[:, 0]))
        self.run = self.flow = w
        self.offset = w - self.centre[0]
        self.vectors = dict.fromkeys(("run", "predicted", "flow"), self.pair[:, 0])
        self.flow_sharpness = float(self.sharpness("flow", w))

    def derivatives(self, w: Any, guess: Any) -> Any:
        """Return weights, gradient, sharpness, u and ∇S⊥."""
        values, vectors = self.top(w, guess[:, None])
        u = vectors[:, 0]
        growth = self.third(w, u)
        return w, self.gradient(w), float(values[0]), u, growth - u * (u @ growth)

    def projected(self, centre: Any) -> Any:
        """Return the centre after three linearized projections."""
        for _ in range(3):
            w, gradient, sharpness, u, across = centre
            down = max(0.0, sharpness - self.threshold) / (across @ across) * across
            centre = self.derivatives(w - down - (u @ gradient) / sharpness * u, u)
        return centre

    def sharpness(self, name: str, w: Any) -> Any:
        """Return the sharpness of one trajectory."""
        values, vectors = self.top(w, self.vectors[name][:, None])
        self.vectors[name] = vectors[:, 0]
        return values[0]

    def step(self) -> dict[str, float]:
        """Take a step, and return what is recorded of it."""
        w, gradient, _, u, across = self.centre
        b2 = across @ across
        v, x = self.offset, u @ self.offset
        force = (
            (x**2 + 2.0 * (gradient @ across) / b2) / 2.0 * across + self.product(w, v) + x * (across @ v) * u
        )
        self.offset = v - self.lr * force
        self.run = self.run - self.lr * self.gradient(self.run)
        pieces = ceil(self.lr * self.flow_sharpness)
        for _ in range(pieces):
            self.flow = self.flow - self.lr / pieces * self.gradient(self.flow)
        self.centre = self.projected(self.derivatives(w - self.lr * gradient, u))
        w, gradient, sharpness, u, across = self.centre
        values, self.pair = self.top(w, self.pair.at[:, 0].set(u))
        predicted = w + self.offset
        record = {
            "loss": self.value(self.run), "sharpness": self.sharpness("run", self.run), "x": u @ (self.run - w),
            "predicted_loss": self.value(predicted), "predicted_sharpness": self.sharpness("predicted", predicted),
            "predicted_x": u @ self.offset,
            "constrained_loss": self.value(w), "constrained_sharpness": sharpness, "second_eigenvalue": values[1],
            "progressive_sharpening": -gradient @ across, "stabilization": across @ across,
            "flow_loss": self.value(self.flow), "flow_sharpness": self.sharpness("flow", self.flow),
        }  # fmt: skip
        self.flow_sharpness = float(record["flow_sharpness"])
        return {name: float(number) for name, number in record.items()}

    def residual(self) -> float:
        """Return ‖Hu − Su‖/S of the run's top eigenpair."""
        u = self.vectors["run"]
        image = self.product(self.run, u)
        value = u @ image
        return float(jnp.linalg.norm(image - value * u) / value)
