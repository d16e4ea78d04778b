"""What a training loop's optimizer does at one step: an optimizer of selfstab, and a factor for each weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from selfstab import theory, validation
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.validation import Array

PerWeight = Array | float
"""One number for each weight, shape (dimension,), or one for all of them."""


@dataclass(frozen=True)
class OptimizerReading:
    r"""An optimizer at one step: its rule for a reference learning rate, and what sets single weights apart.

    Weight i moves by a linear rule T of the gradients,
    :math:`w_i = -η\, m_i\, T(q)(\nabla L + Λw)_i - η\, d_i λ_i w_i`, with η the reference learning rate.

    Parameters
    ----------
    optimizer
        The rule, whose lr does not count.
    lr
        η >= 0, in units of 1/sharpness. Where groups differ in it alone it is the largest of theirs.
    momentum
        β in [0, 1), of a velocity or of an average; NaN of a rule without one. Where groups differ in it, rule, lr and
        momentum are those of the group that a flip moves most (`flip_gains`).
    scale
        m >= 0: a weight's own learning rate divided by η, and divided by its preconditioner; its group's share of the
        largest gain, where momenta differ. 1 for all weights where there is none of that.
    decay
        λ of each weight that adds λw to its gradient: the loss gains λw²/2 and the Hessian λ.
    shrinkage
        dλ of each weight that is shrunk beside its gradient (decoupled weight decay, AdamW): ηdλ of it in a step.
    settings
        What the library calls the optimizer and its numbers, for the record.
    clipping_factor
        What this step's gradients are multiplied by so that their norm is not above a limit; 1 where they are not.
    """

    optimizer: Optimizer
    lr: float
    momentum: float
    scale: PerWeight = 1.0
    decay: PerWeight = 0.0
    shrinkage: PerWeight = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    clipping_factor: float = 1.0

    @property
    def lookahead(self) -> float:
        """γ of a heavy ball, else 0."""
        return self.optimizer.lookahead if isinstance(self.optimizer, HeavyBall) else 0.0

    @property
    def preconditioned(self) -> bool:
        """Whether weights differ, so that the threshold is of the preconditioned sharpness."""
        return not (isinstance(self.scale, float) and self.scale == 1.0)

    def check_size(self, dimension: int) -> None:
        """Raise ValueError if factors of single weights are not as many as the weights."""
        if not isinstance(self.scale, float) and self.scale.shape != (dimension,):
            raise ValueError(
                f"preconditioner must be one number for each of {dimension} weights, got {self.scale.size}"
            )

    def threshold(self, vector: Array | None = None) -> float:
        """Return S*, the largest matching sharpness stable on a quadratic, in units of 1/lr.

        Decoupled weight decay takes S*(1)/2 times dλ from it, with S*(1) the threshold at lr 1: for AdamW
        (1 + β)λ/(1 − β). Where λ differs among weights, their mean over the swing counts.

        Parameters
        ----------
        vector
            Unit eigenvector of the matching sharpness; only needed where `shrinkage` differs among weights.
        """
        if not self.lr > 0:
            return math.inf
        if isinstance(self.optimizer, HeavyBall):  # which knows of other instabilities at large lookahead
            bound = float(
                theory.max_stable_sharpness(self.lr, self.optimizer.momentum, self.optimizer.lookahead)
            )
        else:
            bound = float(self.optimizer.thresholds_of(self.lr))
        if isinstance(self.shrinkage, float):
            mean = self.shrinkage
        else:
            mean = float(vector**2 @ self.shrinkage) if vector is not None else float(self.shrinkage.mean())
        return bound - 0.5 * bound * self.lr * mean if mean else bound

    def decayed(self, product: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return products with the Hessian of the loss that includes weight decay."""
        if isinstance(self.decay, float) and self.decay == 0.0:
            return product
        return lambda v: product(v) + _like(self.decay, v) * v

    def matching(self, product: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return products with M^½ H M^½, M = diag(scale), whose largest eigenvalue the threshold is of."""
        numbers = np.sqrt(self.scale)
        roots: dict[type, Any] = {}

        def scaled(v: Any) -> Any:
            root = roots.setdefault(type(v), None)
            if root is None:
                root = roots[type(v)] = _like(numbers, v)
            return root * product(root * v)

        return scaled

    def decay_energy(self, arrays: Sequence[Any]) -> float:
        """Return Σ λw²/2, what weight decay adds to the loss; `arrays` are the weights in order, in pieces."""
        if isinstance(self.decay, float):
            return 0.5 * self.decay * sum(float((w * w).sum()) for w in arrays) if self.decay else 0.0
        total, first = 0.0, 0
        for w in arrays:
            flat = w.reshape(-1)
            decay = self.decay[first : first + len(flat)]
            total, first = total + 0.5 * float((_like(decay, flat) * flat) @ flat), first + len(flat)
        return total


def _like(values: PerWeight, v: Any) -> Any:
    """Return one number for each weight as an array of v's own library, on its device."""
    return v.new_tensor(values) if hasattr(v, "new_tensor") else values


def per_weight(values: Sequence[float], sizes: Sequence[int], dtype: Any = np.float64) -> PerWeight:
    """Return one number for each weight from one for each array of weights; a float where all are equal.

    Examples
    --------
    >>> per_weight([0.1, 0.0], [2, 1]), per_weight([0.1, 0.1], [2, 1])
    (array([0.1, 0.1, 0. ]), 0.1)
    """
    first = float(values[0])
    if all(value == first for value in values):
        return first
    return np.repeat(np.asarray(values, dtype=dtype), sizes)


def divided(factors: PerWeight, divisors: Any) -> PerWeight:
    """Return factors divided by a preconditioner; 0 where the factor is 0, whatever divides it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(factors) > 0, factors / divisors, 0.0).astype(divisors.dtype)


def flip_gains(
    rates: Sequence[float], momenta: Sequence[float], lookaheads: Sequence[float]
) -> tuple[int, list[float]]:
    r"""Return which of several groups moves most by a gradient that flips each step, and all others' share of that.

    Each group is heavy ball, of its own η, β and γ. A flip of its gradients moves it by η(1 + 2γ)/(2(1 + β)) times
    them. With these gains on the diagonal of G, the quadratic is stable up to a largest eigenvalue of G^½ H G^½ of 1.

    Parameters
    ----------
    rates, momenta, lookaheads
        η, β in [0, 1) and γ >= 0 of each group.

    Returns
    -------
    int, list of float
        The group with the largest gain, whose threshold counts, and each group's gain divided by it.

    Notes
    -----
    A mode :math:`z^t w` has :math:`\sum_i |w_i|^2/T_i(z) + w^*Hw = 0`, with T = η((1 + γ)z − γ)/((z − 1)(z − β)). At
    z = e^{iθ}, 1/T has an imaginary part of the sign of sin θ [1 − β + 2γ(1 − cos θ)]. It has one sign for all groups,
    so no complex pair leaves the unit circle: z = −1 does, alone.

    Examples
    --------
    >>> flip_gains([0.1, 0.1], [0.9, 0.0], [0.0, 0.0])
    (1, [0.5263157894736842, 1.0])
    """
    gains = list(rates)
    if len(set(momenta)) > 1 or len(set(lookaheads)) > 1:
        triples = zip(rates, momenta, lookaheads, strict=True)
        gains = [lr * (1.0 + 2.0 * gamma) / (1.0 + beta) for lr, beta, gamma in triples]
    first = max(range(len(gains)), key=gains.__getitem__)
    top = gains[first]
    return first, [gain / top if top > 0 else 1.0 for gain in gains]


def several_momenta(momenta: Sequence[float]) -> dict[str, list[float]]:
    """Return all momenta of groups that differ in it, for the record."""
    distinct = sorted(set(momenta))
    return {"momenta": distinct} if len(distinct) > 1 else {}


def heavy_ball_of(q: float, p: float, a: float, b: float) -> tuple[float, float]:
    """Return lr and lookahead of heavy ball of momentum a that answers as m' = am + bg, w −= pm + qg.

    Its transfer function is (q(z − a) + pb)/((z − 1)(z − a)).

    Raises
    ------
    ValueError
        If the lookahead is negative.
    """
    constant = p * b - q * a
    rate = q + constant
    if not rate > 0:
        return (0.0, 0.0) if q == 0 and p == 0 else (float(rate), 0.0)
    lookahead = -constant / rate
    if lookahead < -1e-9:
        raise ValueError(
            "optimizer must answer a gradient at once, as heavy ball and Nesterov do, got a lookahead of "
            f"{lookahead:.3g}"
        )
    return float(rate), 0.0 if lookahead < 1e-9 else float(lookahead)


def of_selfstab(optimizer: Optimizer, step: int, preconditioner: Any = None) -> OptimizerReading:
    """Return the reading of an optimizer of selfstab.

    Parameters
    ----------
    optimizer
        Whose rule the loop follows.
    step
        t, which decides a schedule's lr.
    preconditioner
        P of each weight, by which the update t → t + 1 divides; needed where the optimizer has one.

    Raises
    ------
    ValueError
        If a preconditioner is missing, or out of its range.
    """
    lr = float(optimizer.rates(step, step + 1)[0])
    scale: PerWeight = 1.0
    if preconditioner is not None:
        size = np.asarray(preconditioner)
        if size.dtype.kind not in "fiu" or size.ndim != 1 or not bool((size > 0).all()):
            raise ValueError(
                "preconditioner must be one number > 0 for each weight, got "
                + validation.shown(preconditioner)
            )
        size = size if size.dtype == np.float32 else size.astype(np.float64)
        scale = 1.0 / size
    elif optimizer.preconditions:
        raise ValueError(
            f"preconditioner must be given to log: the threshold of {optimizer.known_as} is of the Hessian divided by "
            "it, got None"
        )
    return OptimizerReading(optimizer, lr, momentum_of(optimizer), scale)


def momentum_of(optimizer: Optimizer) -> float:
    """Return β, as runs record it: momentum, or beta1 of Adam; NaN of an optimizer without such a number."""
    for name in ("momentum", "beta1"):
        if name in optimizer.numbers:
            return optimizer.numbers[name]
    return math.nan


def with_numbers(reading: OptimizerReading, numbers: Mapping[str, Any]) -> OptimizerReading:
    """Return a reading with another lr, momentum or lookahead in place of the optimizer's, where it is not None.

    Raises
    ------
    TypeError, ValueError
        If one is out of its range, or momentum or lookahead are given and the optimizer is no heavy ball.
    """
    values = {}
    for name, below in (("lr", None), ("momentum", 1.0), ("lookahead", None)):
        if numbers.get(name) is not None:
            values[name] = validation.real(name, numbers[name], at_least=0, below=below)
    lr = values.pop("lr", reading.lr)
    if values:
        if not isinstance(reading.optimizer, HeavyBall):
            name, value = next(iter(values.items()))
            raise ValueError(f"{name} must be left out: the optimizer has its own, got {value:g}")
        optimizer = reading.optimizer.with_numbers(values)
        reading = replace(reading, optimizer=optimizer, momentum=optimizer.momentum)
    return replace(reading, lr=lr)


def clipping_factor(norm: float, largest: float) -> float:
    """Return what a gradient of this norm is multiplied by where norms are clipped, as PyTorch does.

    >>> round(clipping_factor(4.0, 1.0), 6), clipping_factor(0.5, 1.0)
    (0.25, 1.0)
    """
    return min(1.0, largest / (norm + 1e-6))
