"""What the theory says of a recorded run's optimizer: threshold, growth and overshoot, by the optimizer's rule.

Heavy ball, averaged and dampened momentum, and Adam and RMSProp at a constant preconditioner, are one rule:
heavy ball of another lr. Its laws hold for swings of any size. Any other linear optimizer has those of its transfer
function.
"""

from __future__ import annotations

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import theory, validation
from selfstab.optimizers.adam import Adam
from selfstab.optimizers.averaged import AveragedHeavyBall
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.linear import LinearOptimizer
from selfstab.optimizers.registry import registered
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.validation import Array

_LONGEST: Final = 4096
"""Of a setting's text."""


class Laws(ABC):
    """The laws of one optimizer's catapults, at learning rates and momenta that may change along a run."""

    @abstractmethod
    def thresholds(self, lr: Array, momentum: Array) -> Array:
        """Return S* at each record."""

    @abstractmethod
    def catapults(self, excess: Array, y0: Array, momentum: Array, threshold: Array) -> dict[str, Array]:
        """Return κ, the overshoot and the drop of each catapult, and its loss spike times b²."""

    @abstractmethod
    def radius(self, lr: Array, sharpness: Array, momentum: float) -> Array:
        """Return the growth per step at each record's sharpness."""

    @abstractmethod
    def drift(self, lr: float, momentum: float) -> float:
        """Return how far a constant gradient of 1 moves the weights in a step, in the long run."""

    formula = "that of the optimizer's transfer function"
    """Of the threshold, as text."""

    point = 1.0
    """How far out the gradient is taken at the flip, divided by how far out the weights are."""


@dataclass(frozen=True)
class HeavyBallLaws(Laws):
    """Those of heavy ball with the lr η times a gain.

    Parameters
    ----------
    lookahead
        γ.
    gain
        What the learning rate is multiplied by; None for 1 − β, of averaged momentum.
    """

    lookahead: float = 0.0
    gain: float | None = 1.0

    @property
    def formula(self) -> str:  # type: ignore[override]
        """S* = 2(1 + β)/η, with the lookahead and the gain that there are.

        >>> HeavyBallLaws(0.0, None).formula, HeavyBallLaws(0.9).formula
        ('S* = 2(1 + β)/((1 − β)η)', 'S* = 2(1 + β)/(η(1 + 2γ)), γ = 0.9 the lookahead')
        """
        if self.gain is None:
            return "S* = 2(1 + β)/((1 − β)η)"
        if self.lookahead:
            return f"S* = 2(1 + β)/(η(1 + 2γ)), γ = {self.lookahead:g} the lookahead"
        return "S* = 2(1 + β)/η" if self.gain == 1.0 else f"S* = 2(1 + β)/({self.gain:g}η)"

    def rate(self, lr: Any, momentum: Any) -> Any:
        """Return η times the gain: the lr of heavy ball with the same steps."""
        if self.gain is None:
            return lr * (1.0 - momentum)
        return lr if self.gain == 1.0 else lr * self.gain

    @property
    def point(self) -> float:  # type: ignore[override]
        """1 + 2γ."""
        return 1.0 + 2.0 * self.lookahead

    def thresholds(self, lr: Array, momentum: Array) -> Array:
        """Return 2(1 + β)/(η(1 + 2γ))."""
        limits = 2.0 * (1.0 + momentum) / (self.rate(lr, momentum) * (1.0 + 2.0 * self.lookahead))
        return np.where(limits > 2e307, np.inf, limits)

    def catapults(self, excess: Array, y0: Array, momentum: Array, threshold: Array) -> dict[str, Array]:
        """Return the law of swings of any size; with lookahead, its series."""
        beta, ahead = momentum, self.lookahead
        kappa = (
            theory.lookahead_inertia_number(excess, beta, ahead)
            if ahead
            else theory.inertia_number(excess, beta)
        )
        law = theory.lookahead_overshoot(excess, beta, ahead) if ahead else theory.overshoot(kappa)
        swing_out = theory.lookahead_displacement(y0, beta, ahead)
        factor = 1.0 if ahead else theory.spike_factor(kappa)
        return {
            "inertia_number": kappa,
            "predicted_overshoot": law,
            "predicted_drop": 2.0 * y0 * law,
            "spike": 0.5 * threshold * swing_out**2 * factor,
        }

    def radius(self, lr: Array, sharpness: Array, momentum: float) -> Array:
        """Return the spectral radius."""
        rate = np.maximum(self.rate(lr, momentum) * sharpness, 0.0)
        return np.asarray(theory.spectral_radius(rate, momentum, self.lookahead))

    def drift(self, lr: float, momentum: float) -> float:
        """Return η/(1 − β)."""
        return float(self.rate(lr, momentum) / (1.0 - momentum))


@dataclass(frozen=True)
class LinearLaws(Laws):
    """Those of a linear optimizer, by its transfer function.

    Parameters
    ----------
    optimizer
        Whose lr does not count.
    """

    optimizer: Optimizer

    def thresholds(self, lr: Array, momentum: Array) -> Array:
        """Return S* of the optimizer."""
        return self.optimizer.thresholds_of(lr)

    def catapults(self, excess: Array, y0: Array, momentum: Array, threshold: Array) -> dict[str, Array]:
        """Return κ_e and the slow flow's overshoot; NaN where a catapult is too large for it."""
        law = np.full(np.shape(excess), np.nan)
        for k, one in enumerate(np.asarray(excess)):
            if one >= 0 and np.isfinite(one):
                try:
                    law[k] = theory.slow_overshoot(self.optimizer, float(one))
                except ValueError:  # beyond the flow's domain
                    continue
        out = theory.linear_displacement(self.optimizer, np.maximum(y0, 0.0))
        return {
            "inertia_number": np.asarray(self.optimizer.inertia(np.maximum(excess, 0.0)).effective),
            "predicted_overshoot": law,
            "predicted_drop": 2.0 * y0 * law,
            "spike": 0.5 * threshold * np.asarray(out) ** 2,
        }

    def radius(self, lr: Array, sharpness: Array, momentum: float) -> Array:
        """Return the growth above the threshold, and 1 below."""
        excess = np.maximum(sharpness / self.optimizer.thresholds_of(lr) - 1.0, 0.0)
        return np.asarray(theory.growth(self.optimizer, excess))

    def drift(self, lr: float, momentum: float) -> float:
        """Return ηc₀."""
        return lr * self.optimizer.transfer_coefficients().c0


def laws_of(optimizer: Optimizer | None, lookahead: float = 0.0) -> Laws:
    """Return the laws of an optimizer, at a constant preconditioner; those of heavy ball without one.

    Parameters
    ----------
    optimizer
        Of a recorded run; None for heavy ball.
    lookahead
        γ of heavy ball.

    Raises
    ------
    ValueError
        If the optimizer has no law here: it is not linear, or does not lose its stability by a flip.

    Examples
    --------
    >>> float(laws_of(Adam(1.0, beta1=0.9)).thresholds(np.array([0.01]), np.array([0.9]))[0].round(9))
    3800.0
    """
    if optimizer is None or isinstance(optimizer, (HeavyBall, RMSProp)):
        return HeavyBallLaws(lookahead)
    if isinstance(optimizer, (Adam, AveragedHeavyBall)):
        return HeavyBallLaws(0.0, None)
    if isinstance(optimizer, LinearOptimizer) and (gain := _dampened(optimizer)):
        return HeavyBallLaws(0.0, gain)
    try:
        optimizer.transfer_coefficients()
    except (NotImplementedError, ValueError) as error:
        raise ValueError(
            f"run must be of an optimizer whose catapults have a law, got {optimizer.known_as}: {error}"
        ) from None
    return LinearLaws(optimizer)


def _dampened(optimizer: LinearOptimizer) -> float:
    """Return g of T = gz/((z − 1)(z − β)), heavy ball's of lr g; 0 of any other."""
    above, below = optimizer.numerator, optimizer.denominator
    if len(below) != 3 or len(above) != 2 or above[1] or below[0] != 1.0:
        return 0.0
    return above[0] if abs(sum(below)) < 1e-12 else 0.0


def momentum_of_rule(optimizer: Optimizer) -> float | None:
    """Return the momentum of an optimizer that is heavy ball of another lr; None of any other."""
    if isinstance(optimizer, LinearOptimizer) and _dampened(optimizer):
        return optimizer.denominator[2]
    return next(
        (optimizer.numbers[name] for name in ("momentum", "beta1") if name in optimizer.numbers), None
    )


def optimizer_of(settings: Mapping[str, Any]) -> Optimizer | None:
    """Return the optimizer that a run says it is of, at lr 1; None of one that selfstab does not know.

    Parameters
    ----------
    settings
        Name and numbers, as a run's attribute `optimizer` has them.

    Examples
    --------
    >>> optimizer_of({"name": "AggregatedMomentum", "momenta.0": 0.0, "momenta.1": 0.9})
    AggregatedMomentum(lr=1.0, momenta=(0.0, 0.9))
    """
    kind = registered().get(str(settings.get("name")))
    if kind is None:
        return None
    several: dict[str, list[float]] = {}
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name in ("name", "lr"):
            continue
        base, dot, _ = name.partition(".")
        if dot:
            several.setdefault(base, []).append(value)
        else:
            values[name] = _value(value)
    try:
        return kind(1.0, **values, **{name: tuple(parts) for name, parts in several.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"run must say settings that its optimizer has, got {validation.shown(json.dumps(dict(settings)))}: {error}"
        ) from None


def _value(value: Any) -> Any:
    """Return a setting, of which some are kept as text; it is parsed, never evaluated."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value
