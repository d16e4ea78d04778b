"""Aggregated momentum: the mean of several heavy balls' velocities.

v_{i,t+1} = momenta_i·v_{i,t} + ∇L(w_t),    w_{t+1} = w_t − lr_t·mean(v_{i,t+1})
"""

from __future__ import annotations

from typing import Any, Final

from selfstab.optimizers.arithmetic import where
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import setting

MOST_MOMENTA: Final = 32
"""Most momenta of an optimizer."""


class AggregatedMomentum(Optimizer):
    """Aggregated momentum: a step is the mean of several velocities, each with a momentum of its own.

    v_{i,t+1} = β_i v_{i,t} + ∇L(w_t),  w_{t+1} = w_t − η_t mean_i(v_{i,t+1})

    Source: [Lucas2019]_. One momentum is :class:`HeavyBall`. It is stable on a quadratic up to the sharpness
    S* = 2/(η mean_i(1/(1 + β_i))).

    Parameters
    ----------
    lr
        Learning rate η per step: a number > 0 or a schedule such as :class:`LinearWarmup`.
    momenta
        β_i in [0, 1), 1 to 32 of them, per step, nondimensional. Axes of sweeps call them ``momenta.0``, ``momenta.1``,
        and so on.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> optimizer = AggregatedMomentum(lr=0.5, momenta=(0.0, 0.5))
    >>> round(optimizer.max_stable_sharpness(), 12)
    4.8
    >>> optimizer.states
    ('velocity_0', 'velocity_1')
    """

    momenta: tuple[float, ...] = setting(
        default=(0.0, 0.9, 0.99),
        several=True,
        at_least=0,
        below=1,
        symbol="β",
        long_name="momentum",
        usual=(0.0, 0.99),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.momenta) > MOST_MOMENTA:
            raise ValueError(f"momenta must hold at most {MOST_MOMENTA} numbers, got {len(self.momenta)}")

    @property
    def states(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the velocities."""
        return tuple(f"velocity_{k}" for k in range(len(self.momenta)))

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return w_{t+1} and the velocities."""
        velocities = tuple(
            momentum * velocity + gradient for momentum, velocity in zip(self.momenta, states, strict=True)
        )
        return weights - lr * (_sum(velocities) * (1.0 / len(velocities))), velocities

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return the velocities of a flip, each −∇L/(1 + β_i); 0 at the lr 0 of a warmup."""
        shares = self._shares()
        step = where(lr > 0.0, lr * (_sum(shares) * (1.0 / len(shares))), 1.0)
        return tuple(where(lr > 0.0, (previous - start) / step * share, 0.0) for share in shares)

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return twice the number of momenta, and the sum of 1/(1 + β_i)."""
        shares = self._shares()
        return 2.0 * len(shares), _sum(shares)

    def _shares(self) -> tuple[Any, ...]:
        return tuple(1.0 / (1.0 + momentum) for momentum in self.momenta)


def _sum(values: tuple[Any, ...]) -> Any:
    # From the first on, not from 0, which a kernel would add.
    return sum(values[1:], values[0])
