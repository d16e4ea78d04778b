"""Quasi-hyperbolic momentum: a mean of the gradient and of averaged momentum.

v_{t+1} = momentum·v_t + (1 − momentum)·∇L(w_t),    w_{t+1} = w_t − lr_t·[(1 − nu)·∇L(w_t) + nu·v_{t+1}]
"""

from __future__ import annotations

from typing import Any

from selfstab.optimizers.arithmetic import where
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import setting


class QuasiHyperbolic(Optimizer):
    """Quasi-hyperbolic momentum.

    v_{t+1} = β v_t + (1 − β) ∇L(w_t),  w_{t+1} = w_t − η_t [(1 − ν) ∇L(w_t) + ν v_{t+1}]

    Source: [Ma2019]_. nu=0 is gradient descent, nu=1 is :class:`AveragedHeavyBall`. It is stable on a quadratic up to
    the sharpness S* = 2(1 + β)/(η[(1 − ν)(1 + β) + ν(1 − β)]).

    Parameters
    ----------
    lr
        Learning rate η per step: a number > 0 or a schedule such as :class:`LinearWarmup`.
    momentum
        β in [0, 1), per step, nondimensional.
    nu
        ν in [0, 1], the average's share of the step, nondimensional.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> optimizer = QuasiHyperbolic(lr=0.5, momentum=0.75, nu=0.5)
    >>> optimizer.max_stable_sharpness()
    7.0
    >>> round(optimizer.amplification(), 12)
    1.75
    """

    momentum: float = setting(at_least=0, below=1, symbol="β", long_name="momentum", usual=(0.0, 0.99))
    nu: float = setting(at_least=0, at_most=1, symbol="ν", long_name="share of the average in a step")

    states = ("average",)

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return w_{t+1} and v_{t+1}."""
        average = self.momentum * states[0] + (1.0 - self.momentum) * gradient
        return weights - lr * ((1.0 - self.nu) * gradient + self.nu * average), (average,)

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return v_0 of a flip, whose gradient is −v_0 (1 + β)/(1 − β); 0 at the lr 0 of a warmup."""
        step = self.nu + (1.0 - self.nu) * ((1.0 + self.momentum) / (1.0 - self.momentum))
        return (where(lr > 0.0, (previous - start) / where(lr > 0.0, lr * step, 1.0), 0.0),)

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return 2(1 + β) and (1 − ν)(1 + β) + ν(1 − β)."""
        below = (1.0 - self.nu) * (1.0 + self.momentum) + self.nu * (1.0 - self.momentum)
        return 2.0 * (1.0 + self.momentum), below
