"""How a task is trained: the threshold that all methods share, and each method's steps in the same effective time.

At the same threshold an optimizer moves its amplification times as far in a step as gradient descent, heavy ball
(1 + β)/(1 − β) times. An effective time is c₀ Σ η_t, with c₀ the mean step at lr 1 in a constant gradient of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, overload

import numpy as np

from selfstab import validation
from selfstab.optimizers.adam import Adam
from selfstab.optimizers.averaged import AveragedHeavyBall
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.optimizers.schedules import LinearWarmup
from selfstab.validation import Array

METHODS: Final = ("phb", "gd_time", "gd_steps")
"""Heavy ball; gradient descent for as much effective time; gradient descent for as many steps."""


@dataclass(frozen=True)
class Setting:
    """How a task is trained; of both methods, what is not said to be heavy ball's.

    Parameters
    ----------
    threshold
        S* > 0 after the warmup; lr = 2(1 + β)/S*.
    momentum
        β in (0, 1) of heavy ball.
    warmup
        Heavy ball's steps of linear warmup from lr 0, >= 0.
    steps
        Heavy ball's steps, >= 1; rounded up to whole records.
    scale
        Factor of the initial weights, > 0.
    records
        Records of each run after the start, >= 4, if `steps` allow an odd number of steps between them.
    noise
        Standard deviation of the gradient's noise.
    seeds
        Seeds of the trials, and of their noise.
    """

    threshold: float
    momentum: float
    warmup: int
    steps: int
    scale: float = 1.0
    records: int = 100
    noise: float = 1e-7
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        validation.real("threshold", self.threshold, above=0)
        validation.real("momentum", self.momentum, above=0, below=1)
        validation.integer("warmup", self.warmup, at_least=0)
        validation.integer("steps", self.steps, at_least=1)
        validation.real("scale", self.scale, above=0)
        validation.integer("records", self.records, at_least=4)
        validation.real("noise", self.noise, at_least=0)
        if not isinstance(self.seeds, tuple) or not self.seeds:
            raise ValueError(
                f"seeds must be a tuple of at least one integer, got {validation.shown(self.seeds)}"
            )
        for seed in self.seeds:
            validation.integer("seeds", seed, at_least=0)

    @property
    def stretch(self) -> float:
        """(1 + β)/(1 − β), gradient descent's steps in the effective time of one of heavy ball's."""
        return (1.0 + self.momentum) / (1.0 - self.momentum)

    @property
    def every(self) -> int:
        """Heavy ball's steps between records, odd."""
        return max(self.steps // self.records, 1) | 1

    @overload
    def plan(self, method: str) -> tuple[HeavyBall, int, int]: ...

    @overload
    def plan(self, method: Optimizer) -> tuple[Optimizer, int, int]: ...

    def plan(self, method: str | Optimizer) -> tuple[Optimizer, int, int]:
        """Return a method's optimizer, its steps, and the steps between its records.

        Parameters
        ----------
        method
            One of `METHODS`, or an optimizer, whose lr does not matter. It gets this threshold and warmup, and as many
            steps as make up heavy ball's effective time. Adam's and RMSProp's are those at a constant preconditioner.

        Returns
        -------
        optimizer, steps, every
            The optimizer with its warmup to the threshold, and two numbers of steps.

        Examples
        --------
        >>> import selfstab as ss
        >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, records=8)
        >>> setting.plan(ss.HeavyBall(1.0))[1:] == setting.plan("gd_time")[1:]
        True
        >>> setting.plan(ss.QuasiHyperbolic(1.0, momentum=0.9, nu=0.5))[1:]
        (63, 7)
        """
        if isinstance(method, Optimizer):
            optimizer, stretch = method, self.stretch / at_rest(method).amplification()
        else:
            validation.one_of("method", method, METHODS)
            optimizer = HeavyBall(1.0, self.momentum if method == "phb" else 0.0)
            stretch = self.stretch if method == "gd_time" else 1.0
        # Odd, and nearest to the effective time of heavy ball's.
        every = 2 * round((stretch * self.every - 1.0) / 2.0) + 1
        records = -(-self.steps // self.every)
        if isinstance(method, Optimizer):
            # Of few steps the nearest odd number is far off: more or fewer records make up for it.
            every = max(every, 1)
            records = max(round(stretch * self.every * records / every), 1)
        lr = optimizer.at_excess(self.threshold)
        warmup = round(stretch * self.warmup)
        schedule = LinearWarmup(0.0, lr, warmup) if warmup else lr
        return replace(optimizer, lr=schedule), records * every, every


def effective_times(optimizer: Optimizer, steps: int) -> Array:
    """Return c₀ Σ η over the updates before each step from 0 to `steps`, shape (steps + 1,).

    c₀ is the mean step at lr 1 in a constant gradient of 1; 1/(1 − β) of heavy ball.
    """
    elapsed = np.concatenate([[0.0], np.cumsum(optimizer.schedule.values(0, steps))])
    # Heavy ball's divisor in float64, which is not the inverse of c₀ as a number of float64.
    if isinstance(optimizer, HeavyBall):
        return elapsed / (1.0 - optimizer.momentum)
    return elapsed * at_rest(optimizer).transfer_coefficients().c0


def at_rest(optimizer: Optimizer) -> Optimizer:
    """Return the linear optimizer that it is while its preconditioner is constant.

    Adam is averaged momentum then, and RMSProp heavy ball.

    Examples
    --------
    >>> import selfstab as ss
    >>> at_rest(ss.Adam(0.1, beta1=0.5)), at_rest(ss.RMSProp(0.1, momentum=0.9))
    (AveragedHeavyBall(lr=1.0, momentum=0.5), HeavyBall(lr=1.0, momentum=0.9, lookahead=0.0))
    """
    if isinstance(optimizer, Adam):
        return AveragedHeavyBall(1.0, optimizer.beta1)
    if isinstance(optimizer, RMSProp):
        return HeavyBall(1.0, optimizer.momentum)
    return optimizer
