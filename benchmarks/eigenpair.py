"""The top eigenpair of a network's Hessian, warm, against LOBPCG on Hessian-vector products of JAX."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

import selfstab as ss
from selfstab.eigen import pairs as eigenpairs

from .harness import Case, Disagreement, Row, Target, interleaved, judged, seconds
from .job import BaselineMissing

PAIRS = 15
LR = 0.2
NETWORKS = {"64-32-1": ((64, 32, 1), "parity"), "64-28-10": ((64, 28, 10), "onehot")}


def cases(quick: bool) -> list[Case]:
    """Return the lines on eigenpairs; quick ones take few samples of the data and are not judged."""

    def line(name: str) -> Case:
        return Case(
            f"warm top eigenpair / JAX LOBPCG, {name}",
            "1/s",
            Target(1),
            lambda case: _warm(case, name, quick),
        )

    return [line(name) for name in NETWORKS]


@cache
def _network(name: str, samples: int) -> tuple[Any, Any]:
    """Return the loss and weights some way into its training by gradient descent."""
    if find_spec("sklearn") is None:
        raise BaselineMissing("scikit-learn, whose digits are the data, is not installed")
    widths, target = NETWORKS[name]
    loss = ss.MLP(widths, *ss.datasets.digits(samples, target=target))
    w = loss.initial_weights(seed=0)
    for _ in range(50):
        w = w - LR * loss.gradient(w)
    return loss, w


def _lobpcg(loss: Any, w: Any) -> Any:
    """Return (w, guess) → (value, vector), compiled by JAX in float64; JAX uses all cores by itself."""
    if find_spec("jax") is None:
        raise BaselineMissing("JAX is not installed")
    import jax
    import jax.numpy as jnp
    from jax.experimental.sparse.linalg import lobpcg_standard

    jax.config.update("jax_enable_x64", True)
    inputs, targets = jnp.asarray(loss.inputs), jnp.asarray(loss.targets)
    fan_in, width, outputs = loss.widths
    ends = np.cumsum([fan_in * width, width, width * outputs])

    def value(w: Any) -> Any:
        first, bias, second, last = jnp.split(w, ends)
        hidden = jnp.tanh(inputs @ first.reshape(fan_in, width) + bias)
        return jnp.sum((hidden @ second.reshape(width, outputs) + last - targets) ** 2) / (2 * len(inputs))

    def top(w: Any, guess: Any) -> Any:
        def products(vectors: Any) -> Any:
            return jax.vmap(lambda v: jax.jvp(jax.grad(value), (w,), (v,))[1], 1, 1)(vectors)

        values, vectors, _ = lobpcg_standard(products, guess[:, None])
        return values[0], vectors[:, 0]

    shape = jax.ShapeDtypeStruct(w.shape, np.float64)
    return jax.jit(top).lower(shape, shape).compile()


def _warm(case: Case, name: str, quick: bool) -> Row:
    """Compare the eigenpair one step of gradient descent on, from the last one; ours to LOBPCG's residual."""
    loss, before = _network(name, 50 if quick else 500)
    compiled = _lobpcg(loss, before)
    guess = loss.sharpness_at(before).vector
    w = before - LR * loss.gradient(before)

    expected = float(np.linalg.eigvalsh(loss.hessian(w))[-1])
    value, vector = map(np.asarray, compiled(w, guess))
    theirs = float(np.linalg.norm(loss.hessian_vector(w, vector) - value * vector) / value)

    def ours() -> eigenpairs.Eigenpair:
        return eigenpairs.top_eigenpair(
            loss.hessian_operator_at(w), loss.dimension, guess=guess, tolerance=max(theirs, 1e-13)
        )

    pair = ours()
    for who, found in (("ours", pair.value), ("LOBPCG's", float(value))):
        if not abs(found / expected - 1) <= 1e-10:
            raise Disagreement(
                f"{who} sharpness differs from the dense one by {abs(found / expected - 1):.1e}"
            )
    if not pair.residual / pair.value <= 1.01 * max(theirs, 1e-13):
        raise Disagreement(f"our residual is {pair.residual / pair.value:.1e}, LOBPCG's {theirs:.1e}")
    pairs = interleaved(
        lambda: 1 / seconds(ours),
        lambda: 1 / seconds(lambda: compiled(w, guess)[0].block_until_ready()),
        PAIRS,
    )
    note = (
        f"{loss.dimension} weights; residual {pair.residual / pair.value:.1e} of the sharpness in {pair.products} "
        f"products, LOBPCG's {theirs:.1e}"
    )
    return judged(case.name, case.unit, pairs, case.target, judge=not quick, note=note)
