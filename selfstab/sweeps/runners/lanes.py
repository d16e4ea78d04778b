"""Cells of a loss with a kernel, in compiled blocks of lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from types import ModuleType

import numpy as np

from selfstab.kernels import modules
from selfstab.kernels.machine_code import heard
from selfstab.kernels.measures import in_order
from selfstab.kernels.subnormals import normal, without_subnormals
from selfstab.kernels.variants import Variant
from selfstab.losses.base.kernel import Kernel
from selfstab.optimizers.schedules import numeric_fields
from selfstab.optimizers.text import rule_text
from selfstab.runs.dataset import begin_import
from selfstab.sweeps.plan.axes import scheduled
from selfstab.sweeps.plan.blocks import block_size
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.sizes import check_tables
from selfstab.validation import Array, Integers


class LaneRunner:
    """Runs cells of a plan by its loss's kernel, which is compiled, or loaded, on first use."""

    def __init__(self, plan: Plan, kernel: Kernel, *, resumes: bool = False) -> None:
        check_tables(plan)
        self.plan, self._loss, self._kernel = plan, plan.problem.loss, kernel
        self.compile_seconds = 0.0
        optimizer = plan.problem.optimizer
        # In one order, so that a set of measures has one kernel.
        self._measures = in_order(plan.measures)
        self._variant = Variant(
            self._measures, rule_text(optimizer, [*plan.axes]), plan.rate_text,
            plan.problem.noise > 0 or "noise" in plan.axes, resumes,
        )  # fmt: skip
        self._columns = self._variant.inputs(kernel.formulas)
        self._fixed = self._fixed_inputs()
        self._lock = threading.Lock()
        self._noise: dict[int, Array] = {}
        self._loaded: ModuleType | None = None

    @cached_property
    def source(self) -> str:
        """Text of the kernel."""
        return self._kernel.sweep_source(self._variant)

    def _tables(self, cells: Integers, repeat: int) -> Iterator[tuple[Integers | slice, Array, Array]]:
        """Yield groups of the cells, each with its tables of lr and of noise by step."""
        plan = self.plan
        names = [n for n in plan.axes if n == "noise" or (plan.rate == "table" and n.startswith("lr."))]
        noise = self._noise_of(repeat)
        if not names:
            yield slice(None), self._table({}), noise
            return
        index = dict(zip(plan.axes, np.unravel_index(cells, plan.shape), strict=True))
        chosen, which = np.unique(
            np.stack([plan.axes[name][index[name]] for name in names]), axis=1, return_inverse=True
        )
        for k, at in enumerate(chosen.T.tolist()):
            values = dict(zip(names, at, strict=True))
            own = noise
            if "noise" in values:
                with np.errstate(over="ignore"):
                    # Adding −0.0 changes no gradient, not even the sign of a zero.
                    own = values["noise"] * noise if values["noise"] > 0.0 else np.full(noise.shape, -0.0)
            yield np.flatnonzero(which == k), self._table(values), own

    def _table(self, values: Mapping[str, float]) -> Array:
        problem = self.plan.problem
        if self.plan.rate != "table":
            return np.zeros(1)
        return scheduled(problem.optimizer, values).rates(0, problem.steps + 1)

    def prepare(self, compiling: Callable[[], None] | None = None) -> None:
        """Compile the kernel, or load it; `compiling` is called if it is compiled."""
        self._module(compiling)

    def _module(self, compiling: Callable[[], None] | None = None) -> ModuleType:
        with self._lock:
            if self._loaded is None:
                began = time.perf_counter()
                self._loaded = modules.compiled(self.source)
                nothing = np.empty((0, len(self._columns)))

                def begun() -> None:
                    if compiling is not None:
                        compiling()
                    begin_import()

                # The first call compiles, or loads what was compiled before. It runs no cell: no mode is needed.
                with heard(begun) as compilation:
                    self._call(self._loaded.run, nothing, np.zeros(1), np.zeros((1, 1)))
                self.compile_seconds = time.perf_counter() - began if compilation.begun else 0.0
            return self._loaded

    def block_size(self, cells: int, steps: int, threads: int) -> int:
        """Return the number of cells of a block: whole lanes."""
        return block_size(cells, steps * self._kernel.samples, threads, kernel=True)

    def stop(self) -> None:
        """Nothing to do: threads end with their block."""

    def run(self, cells: Integers, repeat: int = 0) -> Array:
        """Return the measures of the cells with these flat indices, shape (measures, cells), in the plan's order."""
        out, _ = self._run(cells, self.inputs(cells), repeat)
        return out

    def continued(self, cells: Integers, states: Array) -> tuple[Array, Array]:
        """Run the cells from these weights and what is carried beside them, shape (cells, (1 + states) · dimension).

        Returns the measures, as :meth:`run` does, and the same at the last step.
        """
        inputs = self.inputs(cells)
        inputs[:, -states.shape[1] :] = states
        return self._run(cells, inputs, 0, states.shape[1])

    def _run(self, cells: Integers, inputs: Array, repeat: int, ends: int = 0) -> tuple[Array, Array]:
        run = without_subnormals(self._module().run)
        out, last = np.empty((len(self._measures), len(cells))), np.empty((len(cells) if ends else 0, ends))
        for part, table, noise in self._tables(cells, repeat):
            measured, last_states = self._call(run, inputs[part], table, noise, ends)
            out[:, part] = measured
            if ends:
                last[part] = last_states
        order = [self._measures.index(name) for name in self.plan.measures]
        return out if order == [*range(len(order))] else out[order], last

    def _call(
        self, run: Callable[..., None], inputs: Array, table: Array, noise: Array, ends: int = 0
    ) -> tuple[Array, Array]:
        out = np.empty((len(self._measures), len(inputs)))
        last = np.empty((len(inputs) if ends else 0, ends))
        problem = self.plan.problem
        self._kernel.with_data(run)(normal(inputs), table, noise, problem.steps, problem.escape, out, last)
        return out, last

    def inputs(self, cells: Integers) -> Array:
        """Return what the kernel gets: a row for each cell, a column for each of its inputs."""
        plan, place = self.plan, self._place
        out = np.tile(self._fixed, (len(cells), 1))
        index = np.unravel_index(cells, plan.shape)
        values = {name: v[at] for (name, v), at in zip(plan.axes.items(), index, strict=True)}
        if any(name.startswith("start.") for name in values):
            points = plan.starts(values, len(cells))
            out[:, self._columns_of("start")] = points
            if plan.moves_with_start and not self._variant.resumes:
                out[:, self._columns_of("previous")] = points
        for name, column in values.items():
            if name in place:
                out[:, place[name]] = column
        return out

    @cached_property
    def _place(self) -> dict[str, int]:
        """Where the kernel keeps each input, by the axis that sets it."""
        formulas, loss = self._kernel.formulas, self._loss
        public = dict(zip(formulas.parameters, loss.parameters, strict=True))
        for word in ("start", *self._before):
            public |= {
                f"{word}.{w}": f"{word}.{n}" for w, n in zip(formulas.weights, loss.weight_names, strict=True)
            }
        return {public.get(name, name): k for k, name in enumerate(self._columns)}

    def _fixed_inputs(self) -> Array:
        problem, optimizer, loss = self.plan.problem, self.plan.problem.optimizer, self._loss
        fixed = np.zeros(len(self._columns))
        fixed[: len(loss.parameters)] = self._kernel.values
        settings = optimizer.numbers | {"lr": optimizer.rates(0, 1)[0]}
        settings |= {f"lr.{name}": value for name, value in numeric_fields(optimizer.lr).items()}
        for name, setting in settings.items():
            if name in self._place:
                fixed[self._place[name]] = setting
        fixed[self._columns_of("start")] = problem.start
        before = problem.carried if self._variant.resumes else (problem.previous,)
        for word, values in zip(self._before, before, strict=True):
            fixed[self._columns_of(word)] = values
        return fixed

    @property
    def _before(self) -> tuple[str, ...]:
        """Words of the inputs that the states begin from."""
        return self._variant.update.state_names if self._variant.resumes else ("previous",)

    def _columns_of(self, word: str) -> slice:
        """Return the columns of a point's inputs, one for each weight."""
        n = self._loss.dimension
        first = len(self._columns) - n * (1 + len(self._before)) + n * ("start", *self._before).index(word)
        return slice(first, first + n)

    def _noise_of(self, repeat: int) -> Array:
        problem = self.plan.problem
        if not self._variant.noise:
            return np.zeros((1, 1))
        with self._lock:
            if repeat not in self._noise:
                # Blocks come repeat after repeat: those under way need the last two at most.
                self._noise = {k: v for k, v in self._noise.items() if k == repeat - 1}
                # Along an axis of noise the levels multiply the one table.
                level = 1.0 if "noise" in self.plan.axes else problem.noise
                self._noise[repeat] = replace(problem, noise=level).noise_at(0, problem.steps, repeat)
            return self._noise[repeat]
