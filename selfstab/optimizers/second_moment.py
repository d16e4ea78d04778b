"""The running mean of squared gradients that Adam and RMSProp divide by: its numbers, its step and its size."""

from __future__ import annotations

from typing import Any

from selfstab import validation
from selfstab.optimizers.arithmetic import sqrt, where
from selfstab.optimizers.settings import setting


def averaged(decay: Any, average: Any, value: Any) -> Any:
    """Return an exponential average with one value more."""
    return decay * average + (1.0 - decay) * value


def beta2_setting(default: float) -> Any:
    """Return the field of β₂."""
    return setting(
        default=default,
        at_least=0,
        below=1,
        symbol="β₂",
        long_name="decay of the mean squared gradient",
        usual=(0.9, 0.9999),
    )


def eps_setting() -> Any:
    """Return the field of ϵ."""
    return setting(
        default=1e-8,
        above=0,
        symbol="ϵ",
        long_name="number added to the root of the mean squared gradient",
        unit="loss per weight",
        usual=(1e-8, 1.0),
    )


def second_moment_setting() -> Any:
    """Return the field of v₀."""
    return setting(
        default=0.0,
        at_least=0,
        symbol="v₀",
        long_name="mean squared gradient at the start",
        unit="(loss per weight)²",
        usual=(0.0, 1.0),
    )


def check_flags(optimizer: Any) -> None:
    """Raise TypeError or ValueError unless the flags are such, and v is known where it is frozen."""
    if not isinstance(optimizer.bias_correction, bool):
        raise TypeError(
            f"bias_correction must be True or False, got {validation.shown(optimizer.bias_correction)}"
        )
    if optimizer.frozen_after is None:
        return
    step = validation.integer("frozen_after", optimizer.frozen_after, at_least=0, at_most=2**53)
    object.__setattr__(optimizer, "frozen_after", step)
    if step == 0 and optimizer.second_moment == 0.0:
        raise ValueError(
            "frozen_after must be >= 1 where second_moment is 0, got 0: no gradient has been squared before step 0"
        )


def names(optimizer: Any) -> tuple[str, ...]:
    """Return the states: v and, with bias correction, the sum 1 − β₂ᵗ of the weights that it has given to gradients."""
    return ("square", "square_weight") if optimizer.bias_correction else ("square",)


def weight_begun(optimizer: Any) -> Any:
    """Return a sum of weights at step 0: 1 where v₀ > 0, which counts as the mean of many squares, else 0."""
    return where(optimizer.second_moment > 0.0, 1.0, 0.0)


def begun(optimizer: Any) -> tuple[Any, ...]:
    """Return the states at step 0."""
    return (optimizer.second_moment, *([weight_begun(optimizer)] if optimizer.bias_correction else []))


def stepped(optimizer: Any, squares: tuple[Any, ...], gradient: Any, step: Any) -> tuple[Any, ...]:
    """Return the states with the gradient of this step, or as they were where v is frozen."""
    after = tuple(
        averaged(optimizer.beta2, own, value)
        for own, value in zip(squares, (gradient * gradient, 1.0), strict=False)
    )
    if optimizer.frozen_after is None:
        return after
    moves = step < optimizer.frozen_after
    return tuple(where(moves, new, old) for new, old in zip(after, squares, strict=True))


def size(optimizer: Any, square: Any, weight: Any = None, mean_weight: Any = 1.0) -> Any:
    """Return c(√v̂ + ϵ), with v̂ = v/`weight`, the sum of its weights, and c that of the mean's weights."""
    if weight is None:
        return sqrt(square) + optimizer.eps
    # The one quotient is of numbers that all weights have in common: roots and quotients are what a step's time is.
    return sqrt(square * (mean_weight * mean_weight / weight)) + optimizer.eps * mean_weight
