"""The explicit Hessian of a network on real data against JAX, and warm Lanczos against that Hessian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

import selfstab as ss

from .harness import Case, Disagreement, Row, Target, interleaved, judged, seconds
from .job import BaselineMissing

PAIRS = 5
WIDTHS = (64, 32, 1)


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return this file's lines, measured, as records: name, unit, ours, baseline, ratio, note and more."""
    return [asdict(case.row()) for case in cases(quick)]


def cases(quick: bool) -> list[Case]:
    """Return the lines on Hessians; quick ones take few samples of the data and are not judged."""
    samples = 50 if quick else 500

    def against(program: str, judge: bool) -> Callable[[Case], Row]:
        def line(case: Case) -> Row:
            return _explicit(case, samples, program, judge and not quick)

        return line

    def warm(case: Case) -> Row:
        return _warm(case, samples, not quick)

    return [
        Case("explicit Hessian / jax.hessian, jitted", "1/s", Target(5), against("hessian", judge=True)),
        # jax.hessian is forward over reverse; reverse over reverse is the faster one here.
        Case(
            "explicit Hessian / JAX reverse over reverse", "1/s", Target(5), against("reverse", judge=False)
        ),
        Case("sharpness: warm Lanczos / explicit Hessian", "1/s", Target(1), warm),
    ]


@cache
def _network(samples: int) -> tuple[Any, Any]:
    """Return the loss and weights some way into its training by gradient descent."""
    if find_spec("sklearn") is None:
        raise BaselineMissing("scikit-learn, whose digits are the data, is not installed")
    loss = ss.MLP(WIDTHS, *ss.datasets.digits(samples, target="parity"))
    w = loss.initial_weights(seed=0)
    for _ in range(50):
        w = w - 0.2 * loss.gradient(w)
    return loss, w


@cache
def _compiled(samples: int, program: str) -> Any:
    """Return w → Hessian, compiled by JAX in float64; JAX uses all cores by itself."""
    if find_spec("jax") is None:
        raise BaselineMissing("JAX is not installed")
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    loss, w = _network(samples)
    fan_in, width, _ = WIDTHS
    inputs, targets = jnp.asarray(loss.inputs), jnp.asarray(loss.targets)
    ends = np.cumsum([fan_in * width, width, width])

    def value(w: Any) -> Any:
        first, bias, second, last = jnp.split(w, ends)
        outputs = jnp.tanh(inputs @ first.reshape(fan_in, width) + bias) @ second.reshape(width, 1) + last
        return jnp.sum((outputs - targets) ** 2) / (2 * samples)

    hessian = jax.hessian(value) if program == "hessian" else jax.jacrev(jax.grad(value))
    return jax.jit(hessian).lower(jax.ShapeDtypeStruct(w.shape, np.float64)).compile()


def _explicit(case: Case, samples: int, program: str, judge: bool) -> Row:
    loss, w = _network(samples)
    compiled = _compiled(samples, program)

    def theirs() -> Any:
        return compiled(w).block_until_ready()

    expected = np.asarray(theirs())
    difference = float(np.linalg.norm(loss.hessian(w) - expected) / np.linalg.norm(expected))
    if not difference <= 1e-10:
        raise Disagreement(f"the Hessians differ by {difference:.1e} of their norm")
    pairs = interleaved(lambda: 1 / seconds(lambda: loss.hessian(w)), lambda: 1 / seconds(theirs), PAIRS)
    note = f"{loss.dimension} weights, {samples} samples; relative difference {difference:.1e}"
    return judged(case.name, case.unit, pairs, case.target, judge=judge, note=note)


def _warm(case: Case, samples: int, judge: bool) -> Row:
    """Compare the sharpness one step of gradient descent on, warm, with the one from the explicit Hessian."""
    loss, before = _network(samples)
    guess = loss._sharpness(before).vector
    w = before - 0.2 * loss.gradient(before)
    explicit = ss.MLP(WIDTHS, loss.inputs, loss.targets)
    explicit.explicit_hessian = True

    pair, expected = loss._sharpness(w, guess), explicit._sharpness(w, guess)
    difference = abs(pair.value / expected.value - 1)
    if not difference <= 1e-10:
        raise Disagreement(f"the sharpnesses differ by {difference:.1e}, relative")
    pairs = interleaved(
        lambda: 1 / seconds(lambda: loss._sharpness(w, guess)),
        lambda: 1 / seconds(lambda: explicit._sharpness(w, guess)),
        PAIRS,
    )
    note = (
        f"{pair.products} products, residual {pair.residual / pair.value:.1e} of the sharpness, "
        f"which differs by {difference:.1e}"
    )
    return judged(case.name, case.unit, pairs, case.target, judge=judge, note=note)
