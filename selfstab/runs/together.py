"""Several runs of one loss, a step of all of them at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.base import Optimizer
from selfstab.runs.dataset import check_records, dataset, number_of_records, recorded_steps
from selfstab.runs.problem import NOISE_ROWS, Problem
from selfstab.runs.simulate import values_at
from selfstab.runs.states import NUMBERS, State
from selfstab.runs.variables import KEEP

if TYPE_CHECKING:
    import xarray


def simulate_together(
    loss: Loss,
    optimizers: Sequence[Optimizer],
    starts: Any,
    steps: Sequence[int],
    *,
    every: Sequence[int],
    keep: Sequence[str] = ("loss", "sharpness"),
    escape: float = 1e6,
    noise: float = 0.0,
    seed: int = 0,
) -> list[xarray.Dataset]:
    """Run optimizers that differ in their learning rates only, on one loss with one noise, all at once.

    Each run has the bits of :func:`simulate`. What runs share is computed once. This is the noise of a step, and the
    calls of a step's functions, which get the weights of all runs as rows.

    Parameters
    ----------
    loss
        A loss without a kernel.
    optimizers
        One for each run, of one class, with equal numbers but lr; a rule works component by component.
    starts
        w_0 of each run, shape (runs, dimension).
    steps, every
        Of each run, as for :func:`simulate`.
    keep, escape, noise, seed
        Of all runs, as for :func:`simulate`.

    Returns
    -------
    list of xarray.Dataset
        What :func:`simulate` returns, run by run. ``seconds`` is the time of all runs over their number.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range; nothing has run then.

    Examples
    --------
    >>> import numpy as np
    >>> import selfstab as ss
    >>> loss = ss.DiagonalNetwork([[1.0, 0.0], [0.0, 2.0]], [1.0, 0.0])
    >>> runs = simulate_together(
    ...     loss, [ss.HeavyBall(0.1), ss.HeavyBall(0.2)], np.full((2, 4), 0.5), [4, 6], every=[2, 3]
    ... )
    >>> [run.step.values.tolist() for run in runs]
    [[0, 2, 4], [0, 3, 6]]
    """
    keep = validation.some_of("keep", keep, KEEP)
    problems, strides = _checked(loss, optimizers, starts, steps, every, escape, noise, seed)
    for problem, stride in zip(problems, strides, strict=True):
        # The weights and what is carried are held until all runs have ended.
        beside = problem.loss.dimension * (1 + len(problem.optimizer.carried))
        check_records(problem, stride, [KEEP[name] for name in keep], beside * len(problems))
        problem.check_rates(problem.optimizer)
    began = time.perf_counter()
    with one_blas_thread():  # the bits of a product depend on the number of threads
        recorded, ends = _recorded_states(problems, strides)
        values = [
            values_at(problem, states, keep, number_of_records(problem.steps, stride))
            for states, problem, stride in zip(recorded, problems, strides, strict=True)
        ]
    seconds = (time.perf_counter() - began) / len(problems)
    return [
        dataset(
            problem, recorded_steps(problem.steps, stride, end), data, seconds, diverged_at=end
        ).assign_attrs(every=stride)
        for problem, stride, end, data in zip(problems, strides, ends, values, strict=True)
    ]


def _checked(
    loss: Any, optimizers: Any, starts: Any, steps: Any, every: Any, escape: Any, noise: Any, seed: Any
) -> tuple[list[Problem], list[int]]:
    """Return the runs and their strides, or raise."""
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
    if loss.kernel is not None:
        raise ValueError(f"loss must have no kernel, got {loss.description}: sweep runs such a loss faster")
    optimizers = list(optimizers)
    if not optimizers:
        raise ValueError("optimizers must hold at least one, got none")
    rows = validation.floats("starts", starts, shape=(len(optimizers), loss.dimension))
    lengths, strides = list(steps), list(every)
    for name, column in (("steps", lengths), ("every", strides)):
        if len(column) != len(optimizers):
            raise ValueError(
                f"{name} must hold a number for each of {len(optimizers)} runs, got {len(column)} of them"
            )
    strides = [validation.integer("every", stride, at_least=1) for stride in strides]
    problems = [
        Problem.checked(loss, optimizer, start, None, length, escape, noise, seed)
        for optimizer, start, length in zip(optimizers, rows, lengths, strict=True)
    ]
    for optimizer in optimizers[1:]:
        if not alike(optimizers[0], optimizer):
            raise ValueError(
                f"optimizers must be equal but for lr, got {validation.shown(optimizers[0])} and "
                f"{validation.shown(optimizer)}"
            )
    return problems, strides


def alike(one: Optimizer, other: Optimizer) -> bool:
    """Whether two optimizers differ in their learning rates only.

    >>> import selfstab as ss
    >>> alike(ss.HeavyBall(0.1, 0.9), ss.HeavyBall(0.2, 0.9)), alike(ss.HeavyBall(0.1), ss.HeavyBall(0.1, 0.9))
    (True, False)
    """
    return type(one) is type(other) and one.numbers == other.numbers and one.flags == other.flags


def _recorded_states(
    problems: Sequence[Problem], strides: Sequence[int]
) -> tuple[list[list[State]], list[int]]:
    """Return the recorded states of each run, and its step of divergence, −1 if none."""
    loss, optimizer, noise = problems[0].loss, problems[0].optimizer, problems[0].noise
    recorded = [[State(0, problem.start, problem.carried)] for problem in problems]
    ends = [-1] * len(problems)
    steps, every = np.array([p.steps for p in problems]), np.array(strides)
    runs = np.flatnonzero(steps > 0)  # those under way, a row of the arrays each
    w = np.array([problems[k].start for k in runs.tolist()])
    carried = tuple(
        np.array(rows) for rows in zip(*(problems[k].carried for k in runs.tolist()), strict=True)
    )
    size = min(NOISE_ROWS, max(NUMBERS // loss.dimension, 1)) if noise > 0 else NOISE_ROWS
    first = 0
    while runs.size:
        last = min(first + size, int(steps[runs].max()))
        lr = np.zeros((len(problems), last - first))
        for k in runs.tolist():
            until = min(last, int(steps[k]))
            lr[k, : until - first] = problems[k].optimizer.rates(first, until)
        table = problems[0].noise_at(first, last) if noise > 0 else None
        for t in range(first, last):
            # An overflow shows in the weights, and ends the run there.
            with np.errstate(all="ignore"):
                point = optimizer.gradient_point(w, optimizer.of_carried(carried))
                gradient = loss.gradients_at(point) + (0.0 if table is None else table[t - first])
                w, carried = optimizer.advance(w, carried, gradient, lr[runs, t - first, None], t)
                inside = np.abs(w).max(axis=1) <= problems[0].escape
            after = t + 1
            for row in np.flatnonzero(inside & ((after % every[runs] == 0) | (after == steps[runs]))):
                recorded[runs[row]].append(
                    State(after, w[row].copy(), tuple(state[row].copy() for state in carried))
                )
            going = inside & (after < steps[runs])
            if not going.all():
                for k in runs[~inside].tolist():
                    ends[k] = after
                runs, w = runs[going], w[going]
                carried = tuple(state[going] for state in carried)
                if not runs.size:
                    break
        first = last
    return recorded, ends
