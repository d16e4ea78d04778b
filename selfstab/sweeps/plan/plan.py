"""What a sweep runs: its problem, the values of its axes, and the cells they make."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import phases, validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.kernels.measures import GROUPS, MEASURES, PRECONDITIONED, measure_names
from selfstab.kernels.rates import CONSTANT, EXCESS, TABLE, RateText
from selfstab.losses.base.kernel import Kernel
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.starts import Initialization
from selfstab.losses.family import LossFamily
from selfstab.optimizers.base import Optimizer, rate_at_excess
from selfstab.optimizers.schedules import KnownSchedule
from selfstab.runs.problem import Problem
from selfstab.sweeps.plan.axes import (
    LONG_NAMES,
    RANGES,
    check_names,
    checked_axis,
    kernel_rate,
    rate_of,
    scheduled,
)
from selfstab.sweeps.plan.request import Request
from selfstab.validation import Array, Integers

if TYPE_CHECKING:
    import xarray

MOST_RUNS: Final = 2**60
"""Most cells of all repeats; beyond it their numbers leave the integers."""

_ROWS: Final = 2**16


@dataclass(frozen=True)
class Plan:
    """The validated arguments of a sweep."""

    problem: Problem
    axes: dict[str, Array]
    measures: tuple[str, ...]
    repeats: int
    rate: str
    moves_with_start: bool
    initialization: Initialization | None = None

    @classmethod
    def checked(cls, request: Request) -> Plan:
        """Return the plan of a request, or raise before anything runs.

        That the sharpness at each start is above 0, where an excess sets lr, is left to
        :meth:`check_sharpness_at_start`: it takes time where there are many.
        """
        axes, start, previous = request.axes, request.start, request.previous
        problem = Problem.checked(
            request.loss, request.optimizer, start, previous,
            request.steps, request.escape, request.noise, request.seed,
        )  # fmt: skip
        if not isinstance(axes, Mapping):
            raise TypeError(f"axes must map names to values, got {validation.shown(axes)}")
        if not axes:
            raise ValueError("axes must name at least one axis, got none")
        drawn = start if isinstance(start, Initialization) else None
        problem.check_rates(problem.optimizer)
        check_names(problem.loss, problem.optimizer, axes, drawn)
        rate = rate_of(problem.optimizer, axes)
        values = {name: checked_axis(problem, name, value) for name, value in axes.items()}
        plan = cls(
            problem, values, measure_names("measure", request.measure),
            validation.integer("repeats", request.repeats, at_least=1), rate, previous is None, drawn,
        )  # fmt: skip
        plan._check_initializations()
        plan._check_family()
        if not plan.measures:
            raise ValueError(f"measure must name at least one of {', '.join(MEASURES)}, got none")
        if (runs := plan.cells * plan.repeats) > MOST_RUNS:
            raise ValueError(f"axes and repeats must make at most 2**60 cells, got {validation.shown(runs)}")
        return plan

    @property
    def rate_text(self) -> RateText:
        """How a kernel gets the learning rate."""
        known = {text.name: text for text in (CONSTANT, EXCESS, TABLE)}
        return known[self.rate] if self.rate in known else kernel_rate(self.problem.optimizer)

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
        problem, loss = self.problem, self._loss(values)
        start = self._start(loss, values)
        previous = start if self.moves_with_start else problem.previous
        previous = _point(previous, loss, "previous", values)
        optimizer = problem.optimizer.with_numbers(
            {name: values[name] for name in problem.optimizer.numbers if name in values}
        )
        if self.rate == "excess":
            with one_blas_thread():  # the bits of a sharpness depend on the number of threads
                sharpness = loss.sharpness_at(start).value
            lr = rate_at_excess(optimizer, sharpness, values["excess"])
            optimizer = replace(optimizer, lr=lr)
        elif "lr" in values:
            optimizer = replace(optimizer, lr=values["lr"])
        else:
            optimizer = scheduled(optimizer, values)
        noise = values.get("noise", problem.noise)
        cell = replace(problem, loss=loss, start=start, previous=previous, optimizer=optimizer, noise=noise)
        return cell, values

    def _loss(self, values: Mapping[str, float]) -> Loss:
        own = {name: v for name, v in values.items() if name in self.problem.loss.parameters}
        return self.problem.loss.replace(**own) if own else self.problem.loss

    def _start(self, loss: Loss, values: Mapping[str, float]) -> Array:
        drawn = None if self.initialization is None else _initialization(self.initialization, values)
        if loss.dimension != self.problem.loss.dimension and not self._may_change_dimension:
            raise ValueError(_other_dimension(self.problem.loss, loss))
        if drawn is None:
            point = self.problem.start
        else:
            # One formula for all its parameters: what it draws does not depend on them.
            drawer = loss if loss.kernel is None else self.problem.loss
            point = drawn.weights(drawer)
            _check_drawn(point, drawn, self.problem.escape)
        return _point(point, loss, "start", values)

    @property
    def _may_change_dimension(self) -> bool:
        """Whether losses of other dimensions have a start, and no axis names a weight."""
        of_weights = (n for n in self.axes if n.startswith(("start.", "previous.")) and n not in RANGES)
        return self.initialization is not None and self.moves_with_start and not any(of_weights)

    def starts(self, values: Mapping[str, Array], count: int) -> Array:
        """Return the starts of `count` cells of a kernel with these values of axes, shape (count, dimension)."""
        loss = self.problem.loss
        if self.initialization is None or not {"start.seed", "start.scale"} & {*values}:
            points = np.tile(self.problem.start, (count, 1))
        else:
            drawn = self.initialization
            seeds = values.get("start.seed", np.full(count, float(drawn.seed)))
            scales = values.get("start.scale", np.full(count, drawn.scale))
            pairs, which = np.unique(np.stack([seeds, scales]), axis=1, return_inverse=True)
            draws = [
                _initialization(drawn, {"start.seed": seed, "start.scale": scale})
                for seed, scale in pairs.T.tolist()
            ]
            points = np.array([draw.weights(loss) for draw in draws])[which]
        for j, name in enumerate(loss.weight_names):
            points[:, j] = values.get(f"start.{name}", points[:, j])
        return points

    def _check_initializations(self) -> None:
        """Raise ValueError if what is drawn is beyond the escape: by the largest scale, or by any seed."""
        if self.initialization is None:
            return
        seeds = self.axes.get("start.seed", np.array([float(self.initialization.seed)]))
        scales = self.axes.get("start.scale", np.array([self.initialization.scale]))
        for seed, scale in [(s, scales.max()) for s in seeds] + [(seeds[0], c) for c in scales]:
            drawn = _initialization(self.initialization, {"start.seed": seed, "start.scale": scale})
            _check_drawn(drawn.weights(self.problem.loss), drawn, self.problem.escape)

    def _check_family(self) -> None:
        """Raise if the losses made along some axis have no start."""
        if not self._may_change_dimension and (other := self.of_other_dimension()) is not None:
            raise ValueError(_other_dimension(self.problem.loss, other))

    def of_other_dimension(self) -> Loss | None:
        """Return a loss along some axis whose dimension is not that of the plan's loss, if there is one."""
        if not isinstance(family := self.problem.loss, LossFamily):
            return None
        along = ((name, v) for name in family.parameters for v in self.axes.get(name, ()))
        losses = (family.replace(**{name: v}) for name, v in along)
        return next((other for other in losses if other.dimension != family.dimension), None)

    def check_sharpness_at_start(self, cells: Integers | None = None) -> None:
        """Raise ValueError if lr is set by a relative excess, and S(start) <= 0 in some cell: by default of all."""
        if self.rate != "excess":
            return
        loss = self.problem.loss
        of_loss = [name for name in self.axes if name in loss.parameters]
        names = [*of_loss, *(name for name in self.axes if name.startswith("start."))]
        if (kernel := loss.kernel) is None:
            for column in itertools.chain.from_iterable(rows.T for rows in self._settings(names, cells)):
                values = dict(zip(names, column.tolist(), strict=True))
                start = self._start(own := self._loss(values), values)
                _check_sharpness(np.array([own.sharpness_at(start).value]), start[None], values)
            return
        most = math.prod(self.axes[name].size for name in names)
        sharpness = self._sharpness_by_parameters(kernel, tuple(of_loss), most)
        for rows in self._settings(names, cells):
            # Starts with the same loss stand side by side.
            for part in np.split(rows, 1 + np.flatnonzero(np.diff(rows[: len(of_loss)]).any(axis=0)), axis=1):
                parameter_values = tuple(part[: len(of_loss), 0].tolist())
                points = self.starts(dict(zip(names, part, strict=True)), part.shape[1])
                _check_sharpness(
                    sharpness(parameter_values, points),
                    points,
                    dict(zip(of_loss, parameter_values, strict=True)),
                )

    def _sharpness_by_parameters(
        self, kernel: Kernel, names: tuple[str, ...], most: int
    ) -> Callable[[tuple[float, ...], Array], Array]:
        """Return the function (values of these loss parameters, points) → sharpness at each; `most` or fewer."""
        # The kernel is called at once: a loss of its own for each of many values would take longer than they do.
        evaluate = kernel.run_function("evaluate", most)
        values, nothing = kernel.values.copy(), np.empty(0)
        columns = [[*self.problem.loss.parameters].index(name) for name in names]

        def sharpness_at(parameter_values: tuple[float, ...], points: Array) -> Array:
            values[columns] = parameter_values
            sharpnesses = np.empty(len(points))
            evaluate(points, values, nothing, sharpnesses)
            return sharpnesses

        return sharpness_at

    def _settings(self, names: Sequence[str], cells: Integers | None) -> Iterator[Array]:
        """Yield the values that these axes take together, in all cells or some; shape (names, at most _ROWS)."""
        if cells is not None and names:
            index = dict(zip(self.axes, np.unravel_index(cells, self.shape), strict=True))
            settings = np.unique(np.stack([self.axes[name][index[name]] for name in names]), axis=1)
            yield from (settings[:, k : k + _ROWS] for k in range(0, settings.shape[1], _ROWS))
            return
        shape = tuple(self.axes[name].size for name in names)
        for first in range(0, total := math.prod(shape), _ROWS):
            count = min(_ROWS, total - first)
            at = np.unravel_index(np.arange(first, first + count), shape) if shape else ()
            rows = [self.axes[name][k] for name, k in zip(names, at, strict=True)]
            yield np.array(rows).reshape(len(names), count)


def described(plan: Plan, arrays: Mapping[str, Any]) -> xarray.Dataset:
    """Return arrays by measure as a dataset with the coordinates and attributes of the plan."""
    import xarray

    dims = [*plan.axes, "repeat"] if plan.repeats > 1 else [*plan.axes]
    coordinates: dict[str, Any] = {}
    for name, values in plan.axes.items():
        long_name, units = long_name_of(plan.problem.optimizer, name)
        coordinates[name] = (name, values, {"long_name": long_name, "units": units})
    if plan.repeats > 1:
        coordinates["repeat"] = np.arange(plan.repeats)
    # Made at once: xarray checks the whole dataset at each variable added to it.
    out = xarray.Dataset(
        {name: (dims, array, attributes_of(plan, name)) for name, array in arrays.items()},
        coordinates,
    )
    if plan.initialization is not None:
        out.attrs["initialization"] = json.dumps(asdict(plan.initialization))
    return out


def attributes_of(plan: Plan, measure: str) -> dict[str, Any]:
    """Return the attributes of a measure, with the sharpness that it is of where that is the preconditioned one."""
    attributes: dict[str, Any] = {**MEASURES[measure].attributes}
    if plan.problem.optimizer.preconditions and any(GROUPS[g].compares for g in MEASURES[measure].groups):
        attributes["sharpness"] = PRECONDITIONED
    return attributes | (phases.flag_attributes() if measure == "phase" else {})


def long_name_of(optimizer: Optimizer, name: str) -> tuple[str, str]:
    """Return an axis's long name and unit."""
    schedule = optimizer.lr
    if name in optimizer.numbers:
        known = optimizer.setting_of(name)
        return known.long_name or name, known.unit
    if name.startswith("lr.") and isinstance(schedule, KnownSchedule):
        known = schedule.settings[name.removeprefix("lr.")]
        return known.long_name, known.unit
    return LONG_NAMES.get(name, (name, "1"))


def _point(point: Array, loss: Loss, word: str, values: Mapping[str, float]) -> Array:
    point = point.copy()
    for j, name in enumerate(loss.weight_names):
        point[j] = values.get(f"{word}.{name}", point[j])
    return point


def _initialization(drawn: Initialization, values: Mapping[str, float]) -> Initialization:
    return Initialization(
        validation.whole("start.seed", values.get("start.seed", drawn.seed)),
        values.get("start.scale", drawn.scale),
    )


def _check_drawn(point: Array, drawn: Initialization, escape: float) -> None:
    if np.abs(point).max() > escape:
        raise ValueError(f"start must lie within escape = {escape:g}, got weights beyond it from {drawn}")


def _other_dimension(loss: Loss, other: Loss) -> str:
    return (
        f"start must be an Initialization, without previous and axes of weights, where the loss's dimension changes: "
        f"it is {loss.dimension} with {dict(loss.parameters)} and {other.dimension} with {dict(other.parameters)}"
    )


def _check_sharpness(sharpnesses: Array, points: Array, values: Mapping[str, float]) -> None:
    # Below 1e-300 the lr that ε asks for is beyond float64.
    good = sharpnesses > 1e-300
    if not good.all():
        worst = int(np.argmin(good))
        where = "".join(f", {name} = {v:g}" for name, v in values.items() if not name.startswith("start."))
        raise ValueError(
            f"excess must start where the sharpness is above 0, got {sharpnesses[worst]:g} at "
            f"start = {validation.shown(points[worst].tolist())}{where}"
        )
