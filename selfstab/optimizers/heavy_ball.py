"""Momentum gradient descent.

v_{t+1} = momentum·v_t − lr_t·∇L(w_t + lookahead·v_t),    w_{t+1} = w_t + v_{t+1},    v_0 = start − previous
"""

from __future__ import annotations

from typing import Any

from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import setting


class HeavyBall(Optimizer):
    """Polyak's heavy ball, with Nesterov's lookahead as an option.

    v_{t+1} = β v_t − η_t ∇L(w_t + γ v_t),  w_{t+1} = w_t + v_{t+1}

    with η the learning rate, β the momentum and γ the lookahead. momentum=0 is gradient descent;
    lookahead=0 is Polyak's method [Polyak1964]_, lookahead=momentum is Nesterov's. It is stable on a quadratic up to
    the sharpness S* = 2(1 + β)/(η(1 + 2γ)).

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

    momentum: float = setting(
        default=0.0, at_least=0, below=1, symbol="β", long_name="momentum", usual=(0.0, 0.99)
    )
    lookahead: float = setting(
        default=0.0,
        at_least=0,
        symbol="γ",
        long_name="lookahead",
        shifts_gradient=True,
        usual=(0.0, 1.0),
        note="Equal to momentum: Nesterov.",
    )

    states = ("velocity",)
    displacement = "velocity"

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return w_{t+1} and v_{t+1}."""
        (velocity,) = states
        velocity = self.momentum * velocity - lr * gradient
        return weights + velocity, (velocity,)

    def gradient_point(self, weights: Any, states: tuple[Any, ...]) -> Any:
        """Return w_t + γ v_t."""
        (velocity,) = states
        return weights + self.lookahead * velocity if self.lookahead else weights

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return v_0 = start − previous."""
        return (start - previous,)

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return 2(1 + β) and 1 + 2γ."""
        return 2.0 * (1.0 + self.momentum), 1.0 + 2.0 * self.lookahead

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
        return super().matched(momentum=momentum, lookahead=lookahead)
