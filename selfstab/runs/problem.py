"""The arguments of a run, validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.base.loss import Loss
from selfstab.losses.base.starts import Initialization
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.schedules import KnownSchedule
from selfstab.runs.noise import normal
from selfstab.validation import Array

MOST_STEPS: Final = 2**53
"""Beyond it a step is not exact in float64."""


NOISE_ROWS = 4096


class StepRates:
    """The learning rates of a run's steps, of which a part is held at a time.

    Parameters
    ----------
    optimizer
        Whose they are.
    steps
        The last step that has one.

    Examples
    --------
    >>> import selfstab as ss
    >>> rates = StepRates(ss.HeavyBall(ss.LinearWarmup(0.0, 0.4, steps=4)), 10)
    >>> rates[1], rates[10]
    (0.1, 0.4)
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        self._optimizer, self._steps = optimizer, steps
        self._first, self._rates = 0, np.empty(0)

    def __getitem__(self, step: int) -> float:
        """Return lr of the update step → step + 1."""
        if not 0 <= step - self._first < self._rates.size:
            self._first = step
            self._rates = self._optimizer.rates(step, min(step + NOISE_ROWS, self._steps + 1))
        return float(self._rates[step - self._first])


@dataclass(frozen=True)
class Problem:
    """The validated arguments of a run."""

    loss: Loss
    optimizer: Optimizer
    start: Array
    previous: Array
    steps: int
    escape: float
    noise: float
    seed: int

    @classmethod
    def checked(
        cls,
        loss: Any,
        optimizer: Any,
        start: Any,
        previous: Any,
        steps: Any,
        escape: Any,
        noise: Any,
        seed: Any,
    ) -> Problem:
        """Return the problem, or raise before anything runs; the schedule's rates are yet to check."""
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a selfstab loss, got {validation.shown(loss)}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"optimizer must be a HeavyBall or another Optimizer, got {validation.shown(optimizer)}"
            )
        if isinstance(start, Initialization):
            start = start.weights(loss)
        first = validation.floats("start", start, shape=(loss.dimension,))
        before = (
            first.copy()
            if previous is None
            else validation.floats("previous", previous, shape=(loss.dimension,))
        )
        steps = validation.integer("steps", steps, at_least=0, at_most=MOST_STEPS)
        escape = validation.real("escape", escape, above=0)
        if np.abs(first).max() > escape:
            raise ValueError(f"start must lie within escape = {escape:g}, got {validation.shown(start)}")
        problem = cls(
            loss, optimizer, first, before,
            steps, escape,
            validation.real("noise", noise, at_least=0), validation.integer("seed", seed, at_least=0, at_most=2**63),
        )  # fmt: skip
        problem.check_states()
        return problem

    def check_states(self) -> None:
        """Raise ValueError if the optimizer begins with states that are not finite, though the displacement is."""
        if not np.isfinite(self.velocity).all():
            return
        for name, state in zip(self.optimizer.carried, self.carried, strict=True):
            if not np.isfinite(state).all():
                raise ValueError(
                    f"optimizer must begin with finite states, got {validation.shown(state)} for {name} of "
                    f"{type(self.optimizer).__name__}: let begin use where(lr > 0.0, ...), for a warmup begins at lr 0"
                )

    def check_rates(self, optimizer: Optimizer) -> None:
        """Raise if the schedule of an optimizer, this one or another, gives a step no learning rate."""
        if not isinstance(optimizer.schedule, KnownSchedule):
            for t in range(0, self.steps + 1, NOISE_ROWS):
                optimizer.rates(t, min(t + NOISE_ROWS, self.steps + 1))

    def noise_at(self, first: int, last: int, repeat: int = 0) -> Array:
        """Return the noise of the updates first, ..., last − 1; shape (last − first, dimension)."""
        out = normal(self.seed, repeat, first, last, self.loss.dimension)
        with np.errstate(over="ignore"):
            out *= self.noise
        return out

    @property
    def velocity(self) -> Array:
        """v_0 = start − previous, shape (dimension,)."""
        with np.errstate(over="ignore"):
            return self.start - self.previous

    @property
    def carried(self) -> tuple[Array, ...]:
        """What the optimizer carries at step 0, the displacement first; each of shape (dimension,)."""
        with np.errstate(all="ignore"):
            lr = self.optimizer.rates(0, 1)[0]
            states = self.optimizer.carried_at_start(self.start, self.previous, lr)
            return tuple(np.array(np.broadcast_to(state, self.start.shape), np.float64) for state in states)
