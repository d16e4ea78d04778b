"""The compiled code of a loss: what runs and sweeps call in place of its derivatives one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np

from selfstab.kernels import modules
from selfstab.kernels.run_template import run_source
from selfstab.kernels.subnormals import without_subnormals
from selfstab.kernels.sweep_template import sweep_source
from selfstab.kernels.updates import UpdateText
from selfstab.kernels.variants import LossText, Variant
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.text import rule_text
from selfstab.validation import Array

_HEAVY_BALL: Final = HeavyBall(1.0)

PLAIN_STEPS: Final = 3_000
"""Up to this many steps plain CPython is faster than compiling; the bits are the same."""


@dataclass(frozen=True, eq=False)
class KernelSource:
    """The generated modules of a formula, whatever its parameters' values; each is written on first use.

    Parameters
    ----------
    formulas
        The formulas in the kernels' names.
    title
        First line of the modules: which loss it is.
    """

    formulas: LossText
    title: str
    _sweeps: dict[Variant, str] = field(default_factory=dict, init=False, repr=False)
    _runs: dict[UpdateText, str] = field(default_factory=dict, init=False, repr=False)
    _plain_steps: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    def run(self, update: UpdateText) -> str:
        """Return the text of the module of single runs."""
        if update not in self._runs:
            self._runs[update] = run_source(self.formulas, update, self.title)
        return self._runs[update]

    def is_plain(self, steps: int) -> bool:
        """Return whether plain CPython is to run so many steps, or samples of steps."""
        if self.formulas.sample is not None:
            # Small calls add up: where there are data, those of the past count.
            self._plain_steps[0] += steps
            steps = self._plain_steps[0]
        return steps <= PLAIN_STEPS

    def sweep(self, variant: Variant) -> str:
        """Return the text of the module that sweeps."""
        if variant not in self._sweeps:
            self._sweeps[variant] = sweep_source(self.formulas, variant, self.title)
        return self._sweeps[variant]


@dataclass(frozen=True, eq=False)
class Kernel:
    """The compiled code of one loss, with the values of its parameters.

    A loss that has one is swept in lanes, and its parameters take any numbers within :attr:`Loss.domain`.

    Parameters
    ----------
    source
        The generated modules.
    values
        The parameters' values in order, shape (parameters,).
    data
        What a loss that is a mean over samples is a mean of, shape (samples, entries); None for any other.
    """

    source: KernelSource
    values: Array
    data: Array | None = None

    @property
    def formulas(self) -> LossText:
        """The loss's formulas in the kernels' names."""
        return self.source.formulas

    def run_source(self, optimizer: Optimizer = _HEAVY_BALL) -> str:
        """Return the text of the module of an optimizer's single runs."""
        return self.source.run(rule_text(optimizer))

    def sweep_source(self, variant: Variant) -> str:
        """Return the text of the module that sweeps."""
        return self.source.sweep(variant)

    @staticmethod
    def reads_step(optimizer: Optimizer) -> bool:
        """Return whether an optimizer's single runs are told the step they begin at."""
        return rule_text(optimizer).depends_on_step

    def run_function(self, name: str, steps: int, optimizer: Optimizer = _HEAVY_BALL) -> Callable[..., Any]:
        """Return a function of the module of single runs, ``trace`` or ``evaluate``.

        It is plain Python where the work is no more than :data:`PLAIN_STEPS` steps, else compiled: the bits are the
        same. The data, if there are any, are its first argument already. It computes without subnormal numbers.
        """
        return without_subnormals(self.function(self.run_source(optimizer), name, steps))

    def function(self, source: str, name: str, steps: int) -> Callable[..., Any]:
        """Return the function of a module, for so many steps, with the data as its first argument."""
        if self.source.is_plain(steps * self.samples):
            return self.with_data(modules.plain(source)[name])
        return self.with_data(getattr(modules.compiled(source), name))

    def with_data(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of a generated module with the data, if there are any, as its first argument."""
        return function if self.data is None else partial(function, self.data)

    @property
    def samples(self) -> int:
        """Number of samples that a step reads; 1 where there are no data."""
        return 1 if self.data is None else len(self.data)

    def evaluate_preconditioned(
        self,
        optimizer: Optimizer,
        records: Array,
        steps: Any,
        *,
        sharpness: bool = False,
        sizes: bool = False,
    ) -> tuple[Array, Array]:
        """Return preconditioned sharpnesses and preconditioners, each empty unless asked for.

        `records` are rows of weights and what is carried, at these steps of a run.
        """
        out = np.empty(len(records) if sharpness else 0)
        size = np.empty((len(records) if sizes else 0, len(self.formulas.weights)))
        entry = self.function(self.run_source(optimizer), "evaluate_preconditioned", len(records))
        numbers = optimizer.numbers.values()
        entry(np.ascontiguousarray(records), np.asarray(steps, np.int64), *numbers, self.values, out, size)
        return out, size

    def evaluate(self, points: Array, *, loss: bool = False, sharpness: bool = False) -> tuple[Array, Array]:
        """Return the losses and sharpnesses at rows of `points`; an empty array for what is not asked.

        Subnormal numbers are numbers here, as they are to the loss's methods; along a run they are 0.
        """
        losses, sharpnesses = np.empty(len(points) if loss else 0), np.empty(len(points) if sharpness else 0)
        self.function(self.run_source(), "evaluate", len(points))(points, self.values, losses, sharpnesses)
        return losses, sharpnesses
