"""What a plan takes of memory: refused before anything runs where it is too much."""

from __future__ import annotations

import numpy as np

from selfstab.kernels.measures import MEASURES
from selfstab.machine import check_memory
from selfstab.sweeps.plan.plan import Plan


def check_results(plan: Plan) -> None:
    """Raise MemoryNeededError if the results of a plan do not fit in memory."""
    numbers = sum(np.dtype(MEASURES[name].dtype).itemsize for name in plan.measures)
    check_memory(
        f"the results of {plan.cells} cells with repeats = {plan.repeats}",
        plan.cells * plan.repeats * numbers,
        "give the sweep a store, or take fewer",
    )


def check_tables(plan: Plan) -> None:
    """Raise MemoryNeededError if the tables that a kernel reads by step do not fit in memory: noise and rates."""
    steps, weights = plan.problem.steps, plan.problem.loss.dimension
    numbers, names = 0, []
    if "noise" in plan.axes or plan.problem.noise > 0:
        # Of this repeat and of the one before, and one with another level.
        numbers += weights * (1 + (plan.repeats > 1) + ("noise" in plan.axes))
        names.append("noise")
    if plan.rate == "table":
        numbers += 3  # with what it takes to check them
        names.append("a schedule")
    check_memory(
        f"the tables of {' and '.join(names)} for steps = {steps}",
        8 * numbers * (steps + 1),
        "take fewer steps, or single runs by simulate, which makes them a part at a time",
    )
