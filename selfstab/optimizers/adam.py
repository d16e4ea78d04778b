"""Adam: a running mean of gradients, divided by the root of a running mean of their squares.

m_{t+1} = β₁m_t + (1 − β₁)g_t,   v_{t+1} = β₂v_t + (1 − β₂)g_t²,   w_{t+1} = w_t − η_t m̂_{t+1}/(√v̂_{t+1} + ϵ)
"""

from __future__ import annotations

from typing import Any

from selfstab.optimizers import second_moment as moments
from selfstab.optimizers.arithmetic import where
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.second_moment import averaged
from selfstab.optimizers.settings import rule_field, setting


class Adam(Optimizer):
    """Adam, with a preconditioner that moves or, from a step on, is frozen.

    m_{t+1} = β₁ m_t + (1 − β₁) g_t,  v_{t+1} = β₂ v_t + (1 − β₂) g_t²,
    w_{t+1} = w_t − η_t m_{t+1}/P_{t+1},  P_{t+1} = (1 − β₁ᵗ⁺¹)(√(v_{t+1}/(1 − β₂ᵗ⁺¹)) + ϵ)

    for each weight, from m_0 = v_0 = 0 [Kingma2015]_; without bias correction P = √v + ϵ. Where P is constant, this is
    averaged momentum on the loss preconditioned by P. On a quadratic it is stable up to the *preconditioned sharpness*
    λ_max(P^{-1/2} H P^{-1/2}) = 2(1 + β₁)/((1 − β₁)η), 38/η at β₁ = 0.9 [Cohen2022]_.

    Parameters
    ----------
    lr
        Learning rate η per step, in weights: a number > 0 or a schedule such as :class:`LinearWarmup`.
    beta1
        β₁ in [0, 1), decay of the mean gradient per step.
    beta2
        β₂ in [0, 1), decay of the mean squared gradient per step.
    eps
        ϵ > 0, in units of the gradient.
    bias_correction
        Whether m and v are divided by the sum of the weights that they have given to gradients.
    frozen_after
        The step from which v is frozen, >= 0; None for never. It separates what Adam does at a known P from what
        the motion of P adds. Two runs that are equal up to this step differ by that motion only.
    second_moment
        v_0 >= 0 of every weight. Above 0 it counts as the mean of many squares, so that neither m nor v is corrected.
        A start at rest or a flip then has the preconditioner √v_0 + ϵ. At 0 there is no such history, and a start is
        at rest in m, whatever `previous` is.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range, or v is to be frozen at step 0 with v_0 = 0.

    Examples
    --------
    >>> optimizer = Adam(lr=0.01)
    >>> round(optimizer.max_stable_sharpness(), 6)  # of the preconditioned sharpness
    3800.0
    """

    beta1: float = setting(
        default=0.9,
        at_least=0,
        below=1,
        symbol="β₁",
        long_name="decay of the mean gradient",
        usual=(0.0, 0.99),
    )
    beta2: float = moments.beta2_setting(0.999)
    eps: float = moments.eps_setting()
    bias_correction: bool = True
    frozen_after: int | None = rule_field(
        "whole", "The step from which the preconditioner is frozen.", default=None
    )
    second_moment: float = moments.second_moment_setting()

    common_states = ("square_weight", "mean_weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        moments.check_flags(self)

    @property
    def states(self) -> tuple[str, ...]:  # type: ignore[override] # a property, as the contract lets it be
        """Names of the states: m, v and, with bias correction, the sums of the weights that they gave to gradients."""
        return ("mean", *moments.names(self), *(["mean_weight"] if self.bias_correction else []))

    def _stepped(self, states: tuple[Any, ...], gradient: Any, step: Any) -> tuple[Any, ...]:
        mean = averaged(self.beta1, states[0], gradient)
        if not self.bias_correction:
            return mean, *moments.stepped(self, states[1:], gradient, step)
        squares, weight = (
            moments.stepped(self, states[1:3], gradient, step),
            averaged(self.beta1, states[3], 1.0),
        )
        return mean, *squares, weight

    def _preconditioner(self, states: tuple[Any, ...]) -> Any:
        if not self.bias_correction:
            return moments.size(self, states[1])
        return moments.size(self, *states[1:])

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return w_{t+1}, and the states at t + 1."""
        states = self._stepped(states, gradient, step)
        return weights - lr * (states[0] * (1.0 / self._preconditioner(states))), states

    def preconditioner(self, states: tuple[Any, ...], gradient: Any, step: Any) -> Any:
        """Return P_{t+1}, by which the update t → t + 1 divides."""
        return self._preconditioner(self._stepped(states, gradient, step))

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return m = −P(w_0 − w_{−1})/η at P = √v_0 + ϵ, and v_0; m = 0 where v_0 = 0."""
        push = (previous - start) * moments.size(self, self.second_moment) / where(lr > 0.0, lr, 1.0)
        mean = where(lr > 0.0, where(self.second_moment > 0.0, push, 0.0), 0.0)
        weight = [moments.weight_begun(self)] if self.bias_correction else []
        return mean, *moments.begun(self), *weight

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return 2(1 + β₁) and 1 − β₁, for the preconditioned sharpness."""
        return 2.0 * (1.0 + self.beta1), 1.0 - self.beta1
