"""Momentum that averages gradients.

v_{t+1} = momentum·v_t + (1 − momentum)·∇L(w_t),    w_{t+1} = w_t − lr_t·v_{t+1}
"""

from __future__ import annotations

from typing import Any

from selfstab.optimizers.arithmetic import where
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import setting


class AveragedHeavyBall(Optimizer):
    """Heavy ball whose state is an average of the gradients.

    v_{t+1} = β v_t + (1 − β) ∇L(w_t),  w_{t+1} = w_t − η_t v_{t+1}

    Its threshold is S* = 2(1 + β)/((1 − β)η). At a constant lr it is :class:`HeavyBall` of lr (1 − β)η.

    The state is Adam's first moment without bias correction. PyTorch's ``SGD(lr, momentum=β, dampening=1 − …)`` has
    v_{t+1} = β v_t + (1 − d) ∇L with the dampening d: d = β is this optimizer, and any d is :class:`HeavyBall` of lr
    (1 − d)η. PyTorch does not dampen its first step, unless its buffer is set to 0 before.

    Parameters
    ----------
    lr
        Learning rate η per step: a number > 0 or a schedule such as :class:`LinearWarmup`.
    momentum
        β in [0, 1), per step, nondimensional.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> optimizer = AveragedHeavyBall(lr=0.5, momentum=0.75)
    >>> optimizer.max_stable_sharpness()
    28.0
    >>> optimizer.amplification()
    7.0
    """

    momentum: float = setting(at_least=0, below=1, symbol="β", long_name="momentum", usual=(0.0, 0.99))

    states = ("average",)

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return w_{t+1} and v_{t+1}."""
        average = self.momentum * states[0] + (1.0 - self.momentum) * gradient
        return weights - lr * average, (average,)

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return v_0 = (previous − start)/η_0; 0 at the lr 0 of a warmup, at which no step says what v was."""
        return (where(lr > 0.0, (previous - start) / where(lr > 0.0, lr, 1.0), 0.0),)

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return 2(1 + β) and 1 − β."""
        return 2.0 * (1.0 + self.momentum), 1.0 - self.momentum
