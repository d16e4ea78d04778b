"""A run step by step: by the optimizer's rule, or by a loss's kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from selfstab.kernels.subnormals import normal
from selfstab.losses.base.kernel import Kernel
from selfstab.optimizers.base import Optimizer
from selfstab.runs.problem import NOISE_ROWS, Problem
from selfstab.validation import Array

NUMBERS: Final = 2**17
"""Most learning rates, numbers of noise or values of records that a part of a run with a kernel takes, or a few more.

Its tables then stay in a processor's cache, and what a part costs beside its updates does not show.
"""

_LEAST_UPDATES: Final = 2**9


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
    rows = min(NOISE_ROWS, max(NUMBERS // loss.dimension, 1)) if problem.noise > 0 else NOISE_ROWS
    for first in range(0, problem.steps, rows):
        last = min(first + rows, problem.steps)
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


def _updates_of_a_part(problem: Problem, every: int, numbers: int) -> int:
    """Return how many updates a part has, if a record has so many numbers."""
    noise = 4 * -(-problem.loss.dimension // 4) if problem.noise > 0 else 0
    return max(int(NUMBERS / (1 + noise + numbers / every)), _LEAST_UPDATES)


def _parts(first: int, last: int, every: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last step of each part: of whole strides, or within one."""
    if last == first:
        yield first, last
    length = max(size // every, 1) * every
    for begin in range(first, last, length):
        for inner in range(begin, min(begin + length, last), min(size, length)):
            yield inner, min(inner + size, begin + length, last)


def _rates(optimizer: Optimizer, first: int, last: int) -> Array:
    # A number needs no check that it is a learning rate.
    lr = optimizer.lr
    return np.full(last - first, lr) if isinstance(lr, float) else optimizer.rates(first, last)


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

    def record(
        self,
        problem: Problem,
        state: Array,
        first: int,
        last: int,
        every: int,
        records: Array,
        *,
        lr: Array | None = None,
        before_part: Callable[[], None] = lambda: None,
    ) -> int:
        """Run the updates first, ..., last − 1, a part at a time; return the step of divergence, −1 if none.

        Memory does not grow with the number of updates, and the bits do not depend on the parts.

        Parameters
        ----------
        problem
            The run.
        state
            Weights and what is carried, one after the other, at step `first`.
        first, last, every
            States are recorded at first, first + every, ... and last.
        records
            Gets them, shape (records, (1 + states) · dimension).
        lr
            Gets the learning rates of the updates that follow, shape (records,).
        before_part
            Called before each part.
        """
        every = min(every, max(last - first, 1))
        size = _updates_of_a_part(problem, every, state.size)
        between = np.empty((2, state.size))
        for begin, end in _parts(first, last, every, size):
            before_part()
            start, *carried = state.reshape(-1, problem.loss.dimension)
            rates = _rates(problem.optimizer, begin, end)
            k, beyond = divmod(begin - first, every)
            count = -(
                -(end - begin) // every
            )  # of records that the part reaches, after the one it begins with
            if every <= size:
                part = records[k : k + count + 1]
            else:
                part = between
                if not beyond:
                    records[k] = state
            if lr is not None and not beyond:
                lr[k : k + count] = rates[::every]
            diverged_at = self.run(problem, tuple(carried), start, begin, rates, every, part)
            if diverged_at >= 0:
                return diverged_at
            state = part[-1].copy()
        records[-1] = state
        if lr is not None:
            lr[-1] = problem.optimizer.rates(last, last + 1)[0]
        return -1

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
            normal(kernel.values), problem.noise_at(first, last) if noisy else np.zeros((1, start.size)), noisy, every,
            problem.escape, records,
        )  # fmt: skip
        return int(ended) + first if ended >= 0 else -1
