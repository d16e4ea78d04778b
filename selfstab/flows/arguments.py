"""The arguments of trajectories in place of a run, validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfstab import validation
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.dataset import check_records
from selfstab.runs.problem import Problem
from selfstab.runs.variables import Variable


def checked(
    loss: Any,
    optimizer: Any,
    start: Any,
    previous: Any,
    steps: Any,
    escape: Any,
    order: int,
    *,
    every: int | None = None,
    variables: Sequence[Variable] = (),
) -> Problem:
    """Return the arguments of a trajectory, validated.

    Parameters
    ----------
    loss, optimizer, start, previous, steps, escape
        As a user gives them.
    order
        The highest derivative that the trajectory takes.
    every, variables
        What it records, and how often: at every step where `every` is None.
    """
    problem = Problem.checked(loss, optimizer, start, previous, steps, escape, 0.0, 0)
    # Until its end a trajectory has them in lists, whose entries are objects.
    check_records(problem, every, variables, beside=5 * len(variables))
    problem.check_rates(problem.optimizer)
    if not isinstance(optimizer, HeavyBall):
        raise TypeError(
            f"optimizer must be a HeavyBall, for which the theory is made, got {validation.shown(optimizer)}"
        )
    if optimizer.lookahead != 0.0:
        raise ValueError(
            f"optimizer must have lookahead 0, for which the theory is made, got {optimizer.lookahead:g}"
        )
    if order > problem.loss.highest_derivative:
        raise ValueError(
            f"loss must have derivatives of order {order} for this, got {problem.loss.description}, "
            f"which has them up to order {problem.loss.highest_derivative}"
        )
    return problem


def momentum_of(problem: Problem) -> float:
    """Return β of a problem whose arguments are checked."""
    optimizer = problem.optimizer
    assert isinstance(optimizer, HeavyBall)
    return optimizer.momentum
