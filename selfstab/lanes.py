"""Cells of a symbolic loss, in compiled blocks of lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import cached_property
from types import ModuleType

import numpy as np

from selfstab.axes import Plan
from selfstab.kernels import modules
from selfstab.kernels.measures import MEASURES
from selfstab.kernels.source import Variant
from selfstab.losses.symbolic import SymbolicLoss
from selfstab.schedules import LinearWarmup
from selfstab.validation import Array


class LaneRunner:
    """Runs cells of a plan whose loss is symbolic; its kernel is compiled, or loaded, on first use."""

    def __init__(self, plan: Plan, loss: SymbolicLoss, *, resumes: bool = False) -> None:
        self.plan, self._loss = plan, loss
        self.compile_seconds = 0.0
        optimizer = plan.problem.optimizer
        # In one order, so that a set of measures has one kernel.
        self._measures = tuple(name for name in MEASURES if name in plan.measures)
        self._variant = Variant(
            self._measures, plan.rate, optimizer.lookahead > 0 or "lookahead" in plan.axes,
            plan.problem.noise > 0, resumes,
        )  # fmt: skip
        self._columns = self._variant.inputs(loss.formulas)
        self._fixed = self._fixed_inputs()
        self._lock = threading.Lock()
        self._noise: dict[int, Array] = {}

    @cached_property
    def source(self) -> str:
        """Text of the kernel."""
        return self._loss.sweep_source(self._variant)

    @cached_property
    def _module(self) -> ModuleType:
        began = time.perf_counter()
        module = modules.compiled(self.source)
        _call(
            module,
            np.empty((0, len(self._columns))),
            self._table,
            np.zeros((1, 1)),
            self.plan,
            self._measures,
        )
        self.compile_seconds = time.perf_counter() - began
        return module

    @cached_property
    def _table(self) -> Array:
        problem = self.plan.problem
        return problem.optimizer.rates(0, problem.steps + 1) if self.plan.rate == "table" else np.zeros(1)

    def prepare(self) -> None:
        """Compile the kernel, or load it."""
        with self._lock:
            _ = self._module

    def stop(self) -> None:
        """Nothing to do: threads end with their block."""

    def run(self, cells: Array, repeat: int = 0) -> Array:
        """Return the measures of the cells with these flat indices, shape (measures, cells), in the plan's order."""
        self.prepare()
        out, _ = _call(
            self._module, self.inputs(cells), self._table, self._noise_of(repeat), self.plan, self._measures
        )
        return out[[self._measures.index(name) for name in self.plan.measures]]

    def continued(self, cells: Array, weights: Array, velocities: Array) -> tuple[Array, Array, Array]:
        """Run the cells from these weights and velocities, each of shape (cells, dimension).

        Returns the measures, as :meth:`run` does, and the last weights and velocities.
        """
        self.prepare()
        inputs = self.inputs(cells)
        n = self._loss.dimension
        inputs[:, -2 * n : -n], inputs[:, -n:] = weights, velocities
        out, ends = _call(
            self._module, inputs, self._table, self._noise_of(0), self.plan, self._measures, ends=2 * n
        )
        return out[[self._measures.index(name) for name in self.plan.measures]], ends[:, :n], ends[:, n:]

    def inputs(self, cells: Array) -> Array:
        """Return what the kernel gets: a row for each cell, a column for each of its inputs."""
        plan, place = self.plan, self._place
        out = np.tile(self._fixed, (len(cells), 1))
        index = np.unravel_index(cells, plan.shape)
        for (name, values), at in zip(plan.axes.items(), index, strict=True):
            out[:, place[name]] = values[at]
            if name.startswith("start.") and plan.moves_with_start:
                before = f"previous.{name.removeprefix('start.')}"
                if before not in plan.axes and before in place:
                    out[:, place[before]] = values[at]
        return out

    @cached_property
    def _place(self) -> dict[str, int]:
        """Where the kernel keeps each input, by the axis that sets it."""
        formulas, loss = self._loss.formulas, self._loss
        public = dict(zip(formulas.parameters, loss.parameters, strict=True))
        for word in ("start", "previous", "velocity"):
            public |= {
                f"{word}.{w}": f"{word}.{n}" for w, n in zip(formulas.weights, loss.weight_names, strict=True)
            }
        return {public.get(name, name): k for k, name in enumerate(self._columns)}

    def _fixed_inputs(self) -> Array:
        problem, optimizer, loss = self.plan.problem, self.plan.problem.optimizer, self._loss
        fixed = np.zeros(len(self._columns))
        fixed[: len(loss.parameters)] = loss._values
        settings = {
            "momentum": optimizer.momentum,
            "lookahead": optimizer.lookahead,
            "lr": optimizer.rates(0, 1)[0],
        }
        if isinstance(ramp := optimizer.lr, LinearWarmup):
            settings |= {"lr.start": ramp.start, "lr.end": ramp.end, "lr.steps": ramp.steps}
        for name, setting in settings.items():
            if name in self._place:
                fixed[self._place[name]] = setting
        n = loss.dimension
        fixed[-2 * n :] = [*problem.start, *(problem.velocity if self._variant.resumes else problem.previous)]
        return fixed

    def _noise_of(self, repeat: int) -> Array:
        problem = self.plan.problem
        if not self._variant.noise:
            return np.zeros((1, 1))
        with self._lock:
            if repeat not in self._noise:
                # Blocks come repeat after repeat: those under way need the last two at most.
                self._noise = {k: v for k, v in self._noise.items() if k == repeat - 1}
                self._noise[repeat] = problem.noise_at(0, problem.steps, repeat)
            return self._noise[repeat]


def _call(
    module: ModuleType,
    inputs: Array,
    table: Array,
    noise: Array,
    plan: Plan,
    measures: Sequence[str],
    ends: int = 0,
) -> tuple[Array, Array]:
    out = np.empty((len(measures), len(inputs)))
    last = np.empty((len(inputs) if ends else 0, ends))
    module.run(inputs, table, noise, plan.problem.steps, plan.problem.escape, out, last)
    return out, last
