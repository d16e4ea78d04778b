"""A run step by step: by the optimizer's rule, or by a loss's kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from selfstab.losses.base.kernel import Kernel
from selfstab.runs.problem import NOISE_ROWS, Problem
from selfstab.validation import Array


@dataclass(frozen=True)
class State:
    """One step of a run: w_t, and what the optimizer carries, the displacement first."""

    step: int
    weights: Array
    carried: tuple[Array, ...]

    @property
    def velocity(self) -> Array:
        """The displacement v_t = w_t − w_{t−1}."""
        return self.carried[0]


def states(
    problem: Problem, repeat: int = 0, rates: Callable[[int, int], Array] | None = None
) -> Iterator[State]:
    """Yield the states at steps 0, 1, ... until the end, or until before the divergence.

    `rates` returns lr of the updates first, ..., last − 1; by default the optimizer's.
    """
    optimizer, loss = problem.optimizer, problem.loss
    rates = optimizer.rates if rates is None else rates
    w, carried = problem.start, problem.carried
    yield State(0, w, carried)
    for first in range(0, problem.steps, NOISE_ROWS):
        last = min(first + NOISE_ROWS, problem.steps)
        lr = rates(first, last)
        table = problem.noise_at(first, last, repeat) if problem.noise > 0 else None
        for t in range(first, last):
            # An overflow shows in the weights, and ends the run there.
            with np.errstate(all="ignore"):
                point = optimizer.gradient_point(w, optimizer.of_carried(carried))
                gradient = loss.gradient_at(point) + (0.0 if table is None else table[t - first])
                w, carried = optimizer.advance(w, carried, gradient, lr[t - first], t)
                inside = bool(np.abs(w).max() <= problem.escape)
            if not inside:
                return
            yield State(t + 1, w, carried)


class Tracer:
    """A loss's kernel of single runs, with an optimizer's settings.

    Parameters
    ----------
    kernel
        The loss's.
    problem
        The run, or another of the same optimizer.
    work
        Number of steps that are run; few are run by plain CPython, with the same bits.
    """

    def __init__(self, kernel: Kernel, problem: Problem, work: int) -> None:
        self._trace: Callable[..., int] = kernel.run_function("trace", work, problem.optimizer)
        self._reads_step = kernel.reads_step(problem.optimizer)

    def run(
        self,
        problem: Problem,
        carried: tuple[Array, ...],
        start: Array,
        first: int,
        rates: Array,
        every: int,
        records: Array,
    ) -> int:
        """Run the updates first, first + 1, ..., one for each of `rates`; return the step of divergence, −1 if none.

        `records`, shape (records, (1 + states) · dimension), gets the weights and what is carried after 0, every,
        2·every, ... updates and after the last.
        """
        kernel, last = problem.loss.kernel, first + rates.size
        assert kernel is not None
        noisy = problem.noise > 0
        ended = self._trace(
            start, *carried, *([first] if self._reads_step else []), rates, *problem.optimizer.numbers.values(),
            kernel.values, problem.noise_at(first, last) if noisy else np.zeros((1, start.size)), noisy, every,
            problem.escape, records,
        )  # fmt: skip
        return int(ended) + first if ended >= 0 else -1
