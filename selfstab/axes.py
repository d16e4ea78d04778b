"""The axes of a grid: their names and ranges, and the cells they make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import outcomes, validation
from selfstab.kernels.measures import MEASURES
from selfstab.kernels.source import RATE_INPUTS, Rate
from selfstab.losses.symbolic import SymbolicLoss
from selfstab.optimizers import HeavyBall
from selfstab.schedules import Constant, LinearWarmup
from selfstab.trajectory import Problem
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

MOST_RUNS: Final = 2**60
"""Most cells of all repeats; beyond it their numbers leave the integers."""

_ROWS: Final = 2**16

_RANGES: Final[dict[str, dict[str, Any]]] = {
    "momentum": {"at_least": 0, "below": 1},
    "lookahead": {"at_least": 0},
    "lr": {"above": 0},
    "excess": {"above": -1},
    "lr.start": {"at_least": 0},
    "lr.end": {"above": 0},
    "lr.steps": {"at_least": 1},
}
LONG_NAMES: Final = {
    "momentum": ("momentum", "1"),
    "lookahead": ("lookahead", "1"),
    "lr": ("learning rate", "1/sharpness"),
    "excess": ("relative excess of the sharpness at the start, S/S* - 1", "1"),
    "lr.start": ("learning rate at the start of the warmup", "1/sharpness"),
    "lr.end": ("learning rate after the warmup", "1/sharpness"),
    "lr.steps": ("length of the warmup", "step"),
}


@dataclass(frozen=True)
class Plan:
    """The validated arguments of a sweep."""

    problem: Problem
    axes: dict[str, Array]
    measures: tuple[str, ...]
    repeats: int
    rate: Rate
    moves_with_start: bool

    @classmethod
    def checked(
        cls, loss: Any, optimizer: Any, axes: Any, start: Any, steps: Any, previous: Any, measure: Any, escape: Any,
        noise: Any, seed: Any, repeats: Any, *, sharpness: bool = True,
    ) -> Plan:  # fmt: skip
        """Return the plan, or raise before anything runs; without `sharpness` that at the starts is yet to check."""
        problem = Problem.checked(loss, optimizer, start, previous, steps, escape, noise, seed)
        if not isinstance(axes, Mapping):
            raise TypeError(f"axes must map names to values, got {validation.shown(axes)}")
        if not axes:
            raise ValueError("axes must name at least one axis, got none")
        rate = _rate(problem.optimizer, axes)
        for name in axes:
            _check_name(problem, name, rate)
        values = {name: _axis(problem, name, value) for name, value in axes.items()}
        plan = cls(
            problem, values, validation.some_of("measure", measure, MEASURES),
            validation.integer("repeats", repeats, at_least=1), rate, previous is None,
        )  # fmt: skip
        if not plan.measures:
            raise ValueError(f"measure must name at least one of {', '.join(MEASURES)}, got none")
        if (runs := plan.cells * plan.repeats) > MOST_RUNS:
            raise ValueError(f"axes and repeats must make at most 2**60 cells, got {validation.shown(runs)}")
        if sharpness:
            plan.check_sharpness_at_start()
        return plan

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis."""
        return tuple(v.size for v in self.axes.values())

    @property
    def cells(self) -> int:
        """Number of cells of the grid."""
        return math.prod(self.shape)

    def cell(self, index: int) -> tuple[Problem, dict[str, float]]:
        """Return the problem of one cell, built from the public objects, and its values by axis."""
        at = dict(zip(self.axes, np.unravel_index(index, self.shape), strict=True))
        values = {name: float(self.axes[name][k]) for name, k in at.items()}
        problem = self.problem
        own = {name: v for name, v in values.items() if name in problem.loss.parameters}
        loss = problem.loss.replace(**own) if own else problem.loss
        start = self._point(problem.start, "start", values)
        previous = start if self.moves_with_start else problem.previous
        previous = self._point(previous, "previous", values)
        optimizer = replace(
            problem.optimizer,
            momentum=values.get("momentum", problem.optimizer.momentum),
            lookahead=values.get("lookahead", problem.optimizer.lookahead),
        )
        if self.rate == "excess":
            threshold_lr = 2.0 * (1.0 + optimizer.momentum)
            ahead = 1.0 + 2.0 * optimizer.lookahead
            optimizer = replace(
                optimizer, lr=(1.0 + values["excess"]) * threshold_lr / (loss._sharpness(start).value * ahead)
            )
        elif "lr" in values:
            optimizer = replace(optimizer, lr=values["lr"])
        elif isinstance(optimizer.lr, LinearWarmup):
            ramp = {name[3:]: v for name, v in values.items() if name.startswith("lr.")}
            optimizer = replace(optimizer, lr=replace(optimizer.lr, **ramp))
        return replace(problem, loss=loss, start=start, previous=previous, optimizer=optimizer), values

    def _point(self, point: Array, word: str, values: Mapping[str, float]) -> Array:
        point = point.copy()
        for j, name in enumerate(self.problem.loss.weight_names):
            point[j] = values.get(f"{word}.{name}", point[j])
        return point

    def check_sharpness_at_start(self) -> None:
        """Raise ValueError if lr is set by a relative excess, and some cell's S(start) <= 0, where it means nothing."""
        if self.rate != "excess":
            return
        of_loss = {name: v for name, v in self.axes.items() if name in self.problem.loss.parameters}
        of_start = {name: v for name, v in self.axes.items() if name.startswith("start.")}
        sharpness = self._sharpness_by_parameters(tuple(of_loss))
        for points in self._starts(of_start):
            for chosen in itertools.product(*(v.tolist() for v in of_loss.values())):
                # Below 1e-300 the lr that ε asks for is beyond float64.
                good = (found := sharpness(chosen, points)) > 1e-300
                if not good.all():
                    worst = int(np.argmin(good))
                    where = "".join(f", {name} = {v:g}" for name, v in zip(of_loss, chosen, strict=True))
                    raise ValueError(
                        f"excess must start where the sharpness is above 0, got {found[worst]:g} at "
                        f"start = {validation.shown(points[worst].tolist())}{where}"
                    )

    def _sharpness_by_parameters(self, names: tuple[str, ...]) -> Callable[[tuple[float, ...], Array], Array]:
        """Return the function (values of these loss parameters, points) → sharpness at each point."""
        loss = self.problem.loss
        if not isinstance(loss, SymbolicLoss):

            def of_any(chosen: tuple[float, ...], points: Array) -> Array:
                own = loss.replace(**dict(zip(names, chosen, strict=True))) if names else loss
                return np.array([own._sharpness(w).value for w in points])

            return of_any
        # The kernel is called at once: a loss of its own for each of many values would take longer than they do.
        evaluate = loss._run_entry("evaluate", self.cells)
        values, nothing = loss._values, np.empty(0)
        columns = [[*loss.parameters].index(name) for name in names]

        def of_symbolic(chosen: tuple[float, ...], points: Array) -> Array:
            values[columns] = chosen
            found = np.empty(len(points))
            evaluate(points, values, nothing, found)
            return found

        return of_symbolic

    def _starts(self, axes: Mapping[str, Array]) -> Iterator[Array]:
        """Yield all starts that the axes make, shape (at most _ROWS, dimension) at a time."""
        shape = tuple(v.size for v in axes.values())
        total = math.prod(shape)
        for first in range(0, total, _ROWS):
            index = np.arange(first, min(first + _ROWS, total))
            points = np.tile(self.problem.start, (index.size, 1))
            for (name, values), at in zip(
                axes.items(), np.unravel_index(index, shape) if shape else (), strict=True
            ):
                points[:, self.problem.loss.weight_names.index(name.removeprefix("start."))] = values[at]
            yield points


def described(plan: Plan, arrays: Mapping[str, Any]) -> xarray.Dataset:
    """Return arrays by measure as a dataset with the coordinates and attributes of the plan."""
    import xarray

    dims = [*plan.axes, "repeat"] if plan.repeats > 1 else [*plan.axes]
    out = xarray.Dataset(coords=dict(plan.axes))
    if plan.repeats > 1:
        out = out.assign_coords(repeat=np.arange(plan.repeats))
    for name, array in arrays.items():
        out[name] = (dims, array)
        out[name].attrs.update(MEASURES[name].attributes)
        if name == "phase":
            out[name].attrs.update(outcomes.flag_attributes())
    for name in plan.axes:
        long_name, units = LONG_NAMES.get(name, (name, "1"))
        out[name].attrs.update(long_name=long_name, units=units)
    return out


def _rate(optimizer: HeavyBall, axes: Mapping[str, Any]) -> Rate:
    scheduled = not isinstance(optimizer.lr, (float, Constant))
    if "excess" in axes:
        if "lr" in axes or scheduled:
            other = "an lr axis" if "lr" in axes else f"the schedule {optimizer.lr!r}"
            raise ValueError(f"excess must be the only setting of the learning rate, got {other} beside it")
        return "excess"
    if scheduled:
        if "lr" in axes:
            raise ValueError(
                f"lr must not be an axis beside the schedule {optimizer.lr!r}; use lr.start, lr.end, lr.steps"
            )
        return "ramp" if isinstance(optimizer.lr, LinearWarmup) else "table"
    return "constant"


def _check_name(problem: Problem, name: Any, rate: Rate) -> None:
    weights = problem.loss.weight_names
    shown = weights if len(weights) <= 8 else (*weights[:3], "...")
    known = ["momentum", "lookahead", "lr", "excess", *RATE_INPUTS["ramp"], *problem.loss.parameters]
    points = {f"{word}.{w}" for word in ("start", "previous") for w in weights}
    if not isinstance(name, str) or (name not in known and name not in points):
        listed = ", ".join([*known, *(f"start.{w}" for w in shown), *(f"previous.{w}" for w in shown)])
        raise ValueError(f"axes must be named among {listed}, got {validation.shown(name)}")
    if name.startswith("lr.") and rate != "ramp":
        raise ValueError(f"axes: {name} needs an optimizer with a LinearWarmup, got {problem.optimizer.lr!r}")


def _axis(problem: Problem, name: str, value: Any) -> Array:
    values = validation.floats(f"axes[{name!r}]", value, shape=(None,))
    if values.size == 0:
        raise ValueError(f"axes[{name!r}] must hold at least one value, got none")
    validation.broadcastable(f"axes[{name!r}]", values, **_RANGES.get(name, {}))
    if name in problem.loss.parameters:
        for v in values:
            problem.loss.replace(**{name: v})
    if name.startswith("start."):
        validation.broadcastable(f"axes[{name!r}]", values, at_least=-problem.escape, at_most=problem.escape)
    return values
