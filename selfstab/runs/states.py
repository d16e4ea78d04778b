"""A run of a loss without a kernel, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from selfstab.runs.problem import NOISE_ROWS, Problem
from selfstab.validation import Array


@dataclass(frozen=True)
class State:
    """One step of a run: w_t and v_t."""

    step: int
    weights: Array
    velocity: Array


def states(problem: Problem, repeat: int = 0) -> Iterator[State]:
    """Yield the states at steps 0, 1, ... until the end, or until before the divergence."""
    optimizer, loss = problem.optimizer, problem.loss
    w, v = problem.start, problem.velocity
    yield State(0, w, v)
    for first in range(0, problem.steps, NOISE_ROWS):
        last = min(first + NOISE_ROWS, problem.steps)
        lr = optimizer.rates(first, last)
        table = problem.noise_at(first, last, repeat) if problem.noise > 0 else None
        for t in range(first, last):
            # An overflow shows in the weights, and ends the run there.
            with np.errstate(all="ignore"):
                w, v = optimizer.update(
                    w, v, loss.gradient_at, lr[t - first], 0.0 if table is None else table[t - first]
                )
                inside = bool(np.abs(w).max() <= problem.escape)
            if not inside:
                return
            yield State(t + 1, w, v)
