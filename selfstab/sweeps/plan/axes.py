"""The axes of a sweep: which names there are, and which values they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.kernels.rates import TABLE, RateText
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.starts import Initialization
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.schedules import SCHEDULES, Constant, KnownSchedule, numeric_fields, with_fields
from selfstab.runs.problem import Problem
from selfstab.validation import Array

RANGES: Final[dict[str, dict[str, Any]]] = {
    "lr": {"above": 0},
    "excess": {"above": -1},
    "noise": {"at_least": 0},
    "start.seed": {"at_least": 0, "at_most": 2**53},
    "start.scale": {"at_least": 0},
}
LONG_NAMES: Final = {
    "lr": ("learning rate", "1/sharpness"),
    "excess": ("relative excess of the sharpness at the start, S/S* - 1", "1"),
    "noise": ("standard deviation of the gradient noise", "loss per weight"),
    "start.seed": ("seed of the initial weights", "1"),
    "start.scale": ("scale of the initial weights", "1"),
}


def kernel_rate(optimizer: Optimizer) -> RateText:
    """Return how a kernel takes the learning rate of the optimizer's schedule."""
    return optimizer.lr.rate if isinstance(optimizer.lr, KnownSchedule) else TABLE


def scheduled(optimizer: Optimizer, values: Mapping[str, float]) -> Optimizer:
    """Return the optimizer with the numbers of its schedule that are set by values of axes, ``lr.NAME``."""
    if isinstance(optimizer.lr, float):
        return optimizer
    own = {name.removeprefix("lr."): v for name, v in values.items() if name.startswith("lr.")}
    return replace(optimizer, lr=with_fields(optimizer.lr, own)) if own else optimizer


def rate_of(optimizer: Optimizer, axes: Mapping[str, Any]) -> str:
    """Return how the cells' learning rates are set; raise ValueError where two settings would do it."""
    is_scheduled = not isinstance(optimizer.lr, (float, Constant))
    if "excess" in axes:
        if optimizer.preconditions:
            raise ValueError(
                f"excess must be an axis of an optimizer without a preconditioner, got {type(optimizer).__name__}, "
                "whose excess follows from the gradients it has met: use lr"
            )
        if "lr" in axes or is_scheduled:
            other = "an lr axis" if "lr" in axes else f"the schedule {optimizer.lr!r}"
            raise ValueError(f"excess must be the only setting of the learning rate, got {other} beside it")
        return "excess"
    if is_scheduled:
        if "lr" in axes:
            own = axes_of_schedule(optimizer)
            use = f"; use {', '.join(own)}" if own else ""
            raise ValueError(f"lr must not be an axis beside the schedule {optimizer.lr!r}{use}")
        return kernel_rate(optimizer).name
    return "constant"


def axes_of_schedule(optimizer: Optimizer) -> list[str]:
    """Return the axes that set numbers of the optimizer's schedule."""
    constant = isinstance(optimizer.lr, (float, Constant))
    return [] if constant else [f"lr.{name}" for name in numeric_fields(optimizer.lr)]


def check_names(
    loss: Loss, optimizer: Optimizer, axes: Mapping[Any, Any], drawn: Initialization | None
) -> None:
    """Raise ValueError unless each axis is of a number that the loss, the optimizer or the start has."""
    weights = loss.weight_names
    listed_weights = weights if len(weights) <= 8 else (*weights[:3], "...")
    own = [*optimizer.numbers, "lr", "excess", "noise", *axes_of_schedule(optimizer)]
    if taken := {*own} & {*loss.parameters}:
        raise ValueError(
            f"loss must not have a parameter called {min(taken)}, which is {type(optimizer).__name__}'s"
        )
    known = [*own, *loss.parameters]
    if drawn is not None:
        if taken := {"seed", "scale"} & {*weights}:
            raise ValueError(
                f"start must be weights where one of them is called {min(taken)}, got an Initialization"
            )
        known += ["start.seed", "start.scale"]
    points = {f"{word}.{w}" for word in ("start", "previous") for w in weights}
    for name in axes:
        if name in ("start.seed", "start.scale") and name not in known and name not in points:
            raise ValueError(f"axes: {name} needs a start that is an Initialization, got weights")
        if name not in known and (kinds := _schedules_with(name)):
            raise ValueError(
                f"axes: {name} needs an optimizer with a {' or '.join(kinds)}, got {optimizer.lr!r}"
            )
        if not isinstance(name, str) or (name not in known and name not in points):
            listed = ", ".join(
                [*known, *(f"start.{w}" for w in listed_weights), *(f"previous.{w}" for w in listed_weights)]
            )
            hint = validation.like(name, listed.split(", ")) if isinstance(name, str) else ""
            raise ValueError(f"axes must be named among {listed}, got {validation.shown(name)}{hint}")


def _schedules_with(name: Any) -> list[str]:
    """Return which schedules have the number that an axis of this name would set."""
    if not isinstance(name, str) or not name.startswith("lr."):
        return []
    number = name.removeprefix("lr.")
    return [kind for kind, known in SCHEDULES.items() if known is not Constant and number in known.settings]


def checked_axis(problem: Problem, name: str, value: Any) -> Array:
    """Return the values of an axis; raise unless the problem takes each of them."""
    axis = f"axes[{name!r}]"
    values = validation.floats(axis, value, shape=(None,))
    if values.size == 0:
        raise ValueError(f"{axis} must hold at least one value, got none")
    if name in problem.loss.parameters:
        if problem.loss.kernel is not None:
            return validation.broadcastable(f"{axis}: {name}", values, **problem.loss.domain.get(name, {}))
        for v in values:
            _accepted(axis, v, lambda v: problem.loss.replace(**{name: v}))
        return values
    optimizer, schedule = problem.optimizer, problem.optimizer.lr
    bounds = optimizer.setting_of(name).bounds if name in optimizer.numbers else RANGES.get(name, {})
    validation.broadcastable(axis, values, **bounds)
    if name in optimizer.numbers:
        try:
            optimizer.check_axis(name, values)
        except ValueError as error:
            raise ValueError(f"{axis}: {error}") from None
    if name == "start.seed":
        for v in values[values != np.floor(values)][:1]:
            validation.whole(axis, v)
    if name.startswith("lr.") and isinstance(schedule, KnownSchedule):
        validation.broadcastable(axis, values, **schedule.settings[name.removeprefix("lr.")].bounds)
    elif name.startswith("lr."):
        for v in values:
            _accepted(axis, v, lambda v: problem.check_rates(scheduled(optimizer, {name: v})))
    elif name.startswith("start.") and name not in RANGES:
        validation.broadcastable(axis, values, at_least=-problem.escape, at_most=problem.escape)
    return values


def _accepted(axis: str, value: float, make: Callable[[float], object]) -> None:
    """Raise ValueError if what an axis sets does not take the value."""
    try:
        make(float(value))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{axis}: {' '.join(str(error).split())}") from error
