"""A step of the predicted dynamics, with all that stands beside it, against a straightforward one in JAX."""

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

PAIRS = 3
STEPS = 20
TO_THE_EDGE = 796
"""Steps of gradient descent at lr 0.3 after which the sharpness is 5."""


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return this file's lines, measured, as records: name, unit, ours, baseline, ratio, note and more."""
    return [asdict(case.row()) for case in cases(quick)]


def cases(quick: bool) -> list[Case]:
    """Return the lines: LOBPCG with its default tolerance, and with one whose residual is ours."""

    def against(tolerance: float | None, judge: bool) -> Callable[[Case], Row]:
        def line(case: Case) -> Row:
            return _steps(case, tolerance, 3 if quick else STEPS, judge and not quick)

        return line

    return [
        Case("step of all dynamics / JAX, LOBPCG", "1/s", Target(3), against(None, judge=True)),
        Case("step of all dynamics / JAX, LOBPCG as exact as ours", "1/s", Target(3), against(3e-11, judge=False)),
    ]  # fmt: skip


@cache
def _at_the_edge() -> tuple[Any, Any]:
    if find_spec("sklearn") is None:
        raise BaselineMissing("scikit-learn, whose digits are the data, is not installed")
    loss = ss.MLP((64, 32, 1), *ss.datasets.digits(500, target="parity"))
    w = loss.initial_weights(seed=0)
    for _ in range(TO_THE_EDGE):
        w = w - 0.3 * loss.gradient(w)
    _, u = loss.sharpness(w)
    # A small flip: a large one leaves the first w† below the edge, where our δ² is smaller and theirs is not.
    return loss, w + 1e-3 * u


def _steps(case: Case, tolerance: float | None, steps: int, judge: bool) -> Row:
    if find_spec("jax") is None:
        raise BaselineMissing("JAX is not installed")
    from .jax_predicted import Dynamics

    loss, start = _at_the_edge()
    optimizer = ss.HeavyBall(0.4)
    theirs = Dynamics(loss, 0.4, start, tolerance)
    records = [theirs.step() for _ in range(3)]
    data = ss.predicted_dynamics(loss, optimizer, start, 3)
    for name in records[0]:
        ours, other = data[name].values[1:], np.array([record[name] for record in records])
        if name.endswith("x"):  # the sign of u is free
            ours, other = np.abs(ours), np.abs(other)
        # Euler's steps of the flow are the coarser ones.
        allowed = 0.05 if name.startswith("flow") else 1e-4
        if not np.allclose(ours, other, rtol=allowed, atol=1e-8):
            raise Disagreement(f"{name} differs: {ours} and {other}")

    def ours_rate() -> float:
        return steps / seconds(lambda: ss.predicted_dynamics(loss, optimizer, start, steps))

    def their_rate() -> float:
        return steps / seconds(lambda: [theirs.step() for _ in range(steps)])

    pairs = interleaved(ours_rate, their_rate, PAIRS)
    ours_residual = float((data["sharpness_residual"] / data["sharpness"]).max())
    note = f"{loss.dimension} weights; residual over S {ours_residual:.0e}, theirs {theirs.residual():.0e}"
    return judged(case.name, case.unit, pairs, case.target, judge=judge, note=note)
