"""Optimizers of one's own, each defined in one place: two states, a rule that reads the step, several numbers."""

from __future__ import annotations

from selfstab.optimizers.arithmetic import sqrt, where
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.settings import setting


class TwoMomenta(Optimizer):
    """v_i ← β_i v_i + g, w ← w − η (v_1 + v_2)/2."""

    fast: float = setting(
        default=0.0, at_least=0, below=1, symbol="β₁", long_name="momentum of the fast state"
    )
    slow: float = setting(
        default=0.9, at_least=0, below=1, symbol="β₂", long_name="momentum of the slow state"
    )

    states = ("quick", "heavy")

    def rule(self, weights, states, gradient, lr, step):
        quick = self.fast * states[0] + gradient
        heavy = self.slow * states[1] + gradient
        return weights - lr * (0.5 * (quick + heavy)), (quick, heavy)

    def begin(self, start, previous, lr):
        # A flip of constant size has the gradients ±G, the states ±G/(1 + β) and the step −η times their mean.
        rate = where(lr > 0.0, lr, 1.0)
        push = 2.0 * (previous - start) / (rate * (2.0 + self.fast + self.slow))
        return push * (1.0 + self.slow), push * (1.0 + self.fast)

    def threshold_fraction(self):
        return 4.0 * (1.0 + self.fast) * (1.0 + self.slow), 2.0 + self.fast + self.slow


class Moments(Optimizer):
    """Adam [Kingma and Ba 2015]: m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², w ← w − η m̂/(√ŝ + ϵ)."""

    beta1: float = setting(default=0.9, at_least=0, below=1)
    beta2: float = setting(default=0.999, at_least=0, below=1)
    eps: float = setting(default=1e-8, above=0, unit="loss per weight")
    corrected: bool = True

    states = ("mean", "square")

    def rule(self, weights, states, gradient, lr, step):
        mean = self.beta1 * states[0] + (1.0 - self.beta1) * gradient
        square = self.beta2 * states[1] + (1.0 - self.beta2) * (gradient * gradient)
        if not self.corrected:
            return weights - lr * mean / (sqrt(square) + self.eps), (mean, square)
        size = sqrt(square / (1.0 - self.beta2 ** (step + 1.0))) + self.eps
        return weights - lr * (mean / (1.0 - self.beta1 ** (step + 1.0))) / size, (mean, square)

    def begin(self, start, previous, lr):
        return 0.0 * start, 0.0 * start

    def threshold_fraction(self):
        # Of the preconditioned sharpness.
        return 2.0 * (1.0 + self.beta1), 1.0 - self.beta1


class Aggregated(Optimizer):
    """Any number of momenta: v_i ← β_i v_i + g, w ← w − η mean(v_i)."""

    momenta: tuple[float, ...] = setting(several=True, at_least=0, below=1, long_name="momentum")

    @property
    def states(self):  # type: ignore[override] (a property, as the contract lets it be)
        return tuple(f"velocity{k}" for k in range(len(self.momenta)))

    def rule(self, weights, states, gradient, lr, step):
        states = tuple(beta * v + gradient for beta, v in zip(self.momenta, states, strict=True))
        return weights - lr * (sum(states[1:], states[0]) / len(states)), states

    def begin(self, start, previous, lr):
        shares = [1.0 / (1.0 + beta) for beta in self.momenta]
        push = (previous - start) * len(shares) / (where(lr > 0.0, lr, 1.0) * sum(shares[1:], shares[0]))
        return tuple(push * share for share in shares)

    def threshold_fraction(self):
        shares = [1.0 / (1.0 + beta) for beta in self.momenta]
        return 2.0 * len(shares), sum(shares[1:], shares[0])


class Mixed(Optimizer):
    """Half a step along the gradient, half along the velocity: v ← βv + g, w ← w − η (g + v)/2."""

    momentum: float = setting(at_least=0, below=1, symbol="β", long_name="momentum")

    states = ("velocity",)

    def rule(self, weights, states, gradient, lr, step):
        velocity = self.momentum * states[0] + gradient
        return weights - lr * (0.5 * (gradient + velocity)), (velocity,)

    def begin(self, start, previous, lr):
        # A flip: v = g/(1 + β), so that the step is −η g (2 + β)/(2(1 + β)).
        return (2.0 * (previous - start) / (where(lr > 0.0, lr, 1.0) * (2.0 + self.momentum)),)

    def threshold_fraction(self):
        return 4.0 * (1.0 + self.momentum), 2.0 + self.momentum
