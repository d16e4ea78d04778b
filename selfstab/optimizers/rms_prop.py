"""RMSProp: the gradient divided by the root of a running mean of its squares, with momentum as an option.

v_{t+1} = β₂v_t + (1 − β₂)g_t²,   u_{t+1} = μu_t + g_t/(√v_{t+1} + ϵ),   w_{t+1} = w_t − η_t u_{t+1}
"""

from __future__ import annotations

from typing import Any

from selfstab.optimizers import second_moment as moments
from selfstab.optimizers.arithmetic import where
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import rule_field, setting


class RMSProp(Optimizer):
    """RMSProp, with momentum, and with a preconditioner that moves or, from a step on, is frozen.

    v_{t+1} = β₂ v_t + (1 − β₂) g_t²,  P_{t+1} = √v_{t+1} + ϵ,
    u_{t+1} = μ u_t + g_t/P_{t+1},  w_{t+1} = w_t − η_t u_{t+1}

    for each weight, from u_0 = v_0 = 0 [Tieleman2012]_; with bias correction P = √(v/(1 − β₂ᵗ)) + ϵ. Where P is
    constant, this is heavy ball on the loss preconditioned by P, stable on a quadratic up to the *preconditioned
    sharpness* λ_max(P^{-1/2} H P^{-1/2}) = 2(1 + μ)/η [Cohen2022]_.

    Parameters
    ----------
    lr
        Learning rate η per step, in weights: a number > 0 or a schedule such as :class:`LinearWarmup`.
    beta2
        β₂ in [0, 1), decay of the mean squared gradient per step.
    eps
        ϵ > 0, in units of the gradient.
    momentum
        μ in [0, 1), per step, of the gradients that P has divided.
    bias_correction
        Whether v is divided by the sum of the weights that it has given to gradients.
    frozen_after
        The step from which v is frozen, >= 0; None for never, see :class:`Adam`.
    second_moment
        v_0 >= 0 of every weight; above 0 it counts as the mean of many squares and is not corrected.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range, or v is to be frozen at step 0 with v_0 = 0.

    Examples
    --------
    >>> RMSProp(lr=0.01).max_stable_sharpness()  # of the preconditioned sharpness
    200.0
    """

    beta2: float = moments.beta2_setting(0.99)
    eps: float = moments.eps_setting()
    momentum: float = setting(
        default=0.0, at_least=0, below=1, symbol="μ", long_name="momentum", usual=(0.0, 0.99)
    )
    bias_correction: bool = False
    frozen_after: int | None = rule_field(
        "whole", "The step from which the preconditioner is frozen.", default=None
    )
    second_moment: float = moments.second_moment_setting()

    common_states = ("square_weight",)

    def __post_init__(self) -> None:
        super().__post_init__()
        moments.check_flags(self)

    @property
    def states(self) -> tuple[str, ...]:  # type: ignore[override] # a property, as the contract lets it be
        """Names of the states: u, v and, with bias correction, the sum of the weights that v gave to gradients."""
        return ("push", *moments.names(self))

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return w_{t+1}, and the states at t + 1."""
        squares = moments.stepped(self, states[1:], gradient, step)
        push = self.momentum * states[0] + gradient * (1.0 / moments.size(self, *squares))
        return weights - lr * push, (push, *squares)

    def preconditioner(self, states: tuple[Any, ...], gradient: Any, step: Any) -> Any:
        """Return P_{t+1}, by which the update t → t + 1 divides."""
        return moments.size(self, *moments.stepped(self, states[1:], gradient, step))

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return u = −(w_0 − w_{−1})/η, and v_0."""
        push = where(lr > 0.0, (previous - start) / where(lr > 0.0, lr, 1.0), 0.0)
        return push, *moments.begun(self)

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return 2(1 + μ) and 1, for the preconditioned sharpness."""
        return 2.0 * (1.0 + self.momentum), 1.0
