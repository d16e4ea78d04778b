"""Momentum gradient descent: the update's sign, order and start, which the generated kernels print in the same form.

v_{t+1} = momentum·v_t − lr_t·∇L(w_t + lookahead·v_t),    w_{t+1} = w_t + v_{t+1},    v_0 = start − previous
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from selfstab import validation
from selfstab.optimizers.schedules import Constant, LinearWarmup, Schedule, rates
from selfstab.validation import Array


@dataclass(frozen=True)
class HeavyBall:
    """Polyak's heavy ball, with Nesterov's lookahead as an option.

    v_{t+1} = β v_t − η_t ∇L(w_t + γ v_t),  w_{t+1} = w_t + v_{t+1}

    with η the learning rate, β the momentum and γ the lookahead. momentum=0 is gradient descent;
    lookahead=0 is Polyak's method [Polyak1964]_, lookahead=momentum is Nesterov's.

    Parameters
    ----------
    lr
        Learning rate η per step: a number > 0 or a schedule such as :class:`LinearWarmup`.
    momentum
        β in [0, 1), per step, nondimensional.
    lookahead
        γ >= 0, nondimensional.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> optimizer = HeavyBall(lr=0.5, momentum=0.9)
    >>> optimizer.max_stable_sharpness()
    7.6
    >>> round(optimizer.matched(momentum=0.0).max_stable_sharpness(), 12)
    7.6
    """

    lr: float | Schedule
    momentum: float = 0.0
    lookahead: float = 0.0

    def __post_init__(self) -> None:
        if not _is_schedule(self.lr):
            object.__setattr__(self, "lr", validation.real("lr", self.lr, above=0))
        object.__setattr__(self, "momentum", validation.real("momentum", self.momentum, at_least=0, below=1))
        object.__setattr__(self, "lookahead", validation.real("lookahead", self.lookahead, at_least=0))

    @property
    def schedule(self) -> Schedule:
        """The learning rate as a schedule, a constant one if `lr` is a number."""
        return self.lr if isinstance(self.lr, Schedule) else Constant(self.lr)

    def max_stable_sharpness(self, step: int = 0) -> float:
        """Return S* = 2(1 + β)/(η_t(1 + 2γ)), the largest sharpness stable on a quadratic, at update `step`.

        Parameters
        ----------
        step
            The update t → t + 1 whose lr counts; it matters for schedules only.

        Returns
        -------
        float
            In units of 1/lr; infinity where the schedule's lr is 0.

        Raises
        ------
        TypeError, ValueError
            If step is not an integer from 0 to 2⁵³.
        """
        step = validation.integer("step", step, at_least=0, at_most=2**53)
        return float(self.thresholds(step, step + 1)[0])

    def rates(self, first: int, last: int) -> Array:
        """Return lr_t of the updates t = first, ..., last − 1; shape (last − first,), each finite and >= 0."""
        return rates(self.schedule, first, last)

    def thresholds(self, first: int, last: int) -> Array:
        """Return S*_t for the updates t = first, ..., last − 1; shape (last − first,)."""
        lr = self.rates(first, last)
        out = np.full(lr.shape, np.inf)
        with np.errstate(over="ignore"):
            np.divide(2.0 * (1.0 + self.momentum), lr * (1.0 + 2.0 * self.lookahead), out=out, where=lr > 0)
        return out

    def matched(self, momentum: float = 0.0, lookahead: float = 0.0) -> HeavyBall:
        """Return the optimizer of another momentum with the same threshold S*_t at every step.

        Parameters
        ----------
        momentum, lookahead
            The other optimizer's β and γ.

        Returns
        -------
        HeavyBall
            Its lr is η·[(1 + β')(1 + 2γ)]/[(1 + β)(1 + 2γ')] with β, γ this one's and β', γ' the other's;
            a schedule is scaled the same at every step.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range, or the schedule is of a class that cannot be scaled.

        Examples
        --------
        >>> round(HeavyBall(lr=0.1, momentum=0.9).matched().lr, 6)
        0.052632
        """
        other = replace(self, momentum=momentum, lookahead=lookahead)
        factor = ((1.0 + other.momentum) * (1.0 + 2.0 * self.lookahead)) / (
            (1.0 + self.momentum) * (1.0 + 2.0 * other.lookahead)
        )
        return replace(other, lr=_scaled(self.lr, factor))

    def update(
        self,
        weights: Array,
        velocity: Array,
        gradient: Callable[[Array], Array],
        lr: float,
        noise: Array | float = 0.0,
    ) -> tuple[Array, Array]:
        """Return the next weights and velocity, both of the shape of `weights`.

        Parameters
        ----------
        weights, velocity
            w_t and v_t.
        gradient
            The function w → ∇L(w); it is called once, at w_t + γ v_t.
        lr
            η_t.
        noise
            Added to the gradient.
        """
        at = weights + self.lookahead * velocity if self.lookahead else weights
        velocity = self.momentum * velocity - lr * (gradient(at) + noise)
        return weights + velocity, velocity


def _is_schedule(lr: object) -> bool:
    # Mappings, labelled arrays and a schedule's class have something called values, too.
    return isinstance(lr, Schedule) and callable(lr.values) and not isinstance(lr, (Mapping, type))


def _scaled(lr: float | Schedule, factor: float) -> float | Schedule:
    if not isinstance(lr, Schedule):
        return lr * factor
    if isinstance(lr, Constant):
        return Constant(lr.lr * factor)
    if isinstance(lr, LinearWarmup):
        return LinearWarmup(lr.start * factor, lr.end * factor, lr.steps)
    scaled: Any = getattr(lr, "scaled", None)
    if scaled is None:
        raise TypeError(
            f"lr must be a number, Constant, LinearWarmup or a schedule with .scaled(factor), got {lr!r}"
        )
    result: Schedule = scaled(factor)
    return result
