"""Optimizers of Keras: what each does at one step, by its numbers and its variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.optimizers.adam import Adam
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.records.recording.training_optimizers.base import OptimizerReading, divided, per_weight
from selfstab.validation import Array

KNOWN: Final = ("SGD", "Adam", "AdamW", "RMSprop")
"""Classes of ``keras.optimizers`` whose rule is understood."""

_CHANGING: Final = ("clipnorm", "clipvalue", "global_clipnorm", "ema_overwrite_frequency")
"""Settings that make an optimizer's update another one."""


def check_optimizer(optimizer: Any) -> None:
    """Refuse an optimizer of Keras whose rule is not understood.

    Raises
    ------
    TypeError, ValueError
        If it is none of `KNOWN`, or clips or overwrites weights.
    """
    import keras

    kind = next((name for name in KNOWN if _is(optimizer, getattr(keras.optimizers, name))), None)
    if kind is None:
        raise TypeError(
            f"optimizer must be one of keras.optimizers' {', '.join(KNOWN)}, got {validation.shown(optimizer)}"
        )
    for name in _CHANGING:
        value = getattr(optimizer, name, None)
        if value:
            raise ValueError(f"optimizer must leave out {name}, which changes its update, got {value}")


def _is(optimizer: Any, kind: Any) -> bool:
    """Return whether an optimizer is of a class, and steps as that does."""
    return isinstance(optimizer, kind) and type(optimizer).update_step is kind.update_step


def read_optimizer(optimizer: Any, variables: Sequence[Any], gradients: Sequence[Array]) -> OptimizerReading:
    """Return what an optimizer of Keras does at its next update.

    Parameters
    ----------
    optimizer
        One that :func:`check_optimizer` lets pass.
    variables
        What it trains, as the model lists them.
    gradients
        ∇L of each in NumPy. SGD does without.
    """
    import keras

    lr = float(keras.ops.convert_to_tensor(optimizer.learning_rate))
    sizes = [int(np.prod(variable.shape)) for variable in variables]
    decay = float(optimizer.weight_decay or 0.0)
    shrinkage = per_weight(
        [decay * optimizer._use_weight_decay(v) if decay else 0.0 for v in variables], sizes
    )
    settings = {"optimizer": f"keras.optimizers.{type(optimizer).__name__}"}
    if isinstance(optimizer, keras.optimizers.SGD):
        momentum = float(optimizer.momentum)
        ball = HeavyBall(1.0, momentum, momentum if optimizer.nesterov else 0.0)
        return OptimizerReading(ball, lr, momentum, shrinkage=shrinkage, settings=settings)
    if isinstance(optimizer, keras.optimizers.Adam):
        momentum, beta2 = float(optimizer.beta_1), float(optimizer.beta_2)
        step = int(optimizer.iterations) + 1
        squares = _means(optimizer, "_velocities", variables, [g**2 for g in gradients], beta2)
        if optimizer.amsgrad:
            largest = _state(optimizer, "_velocity_hats", variables)
            squares = [np.maximum(*pair) for pair in zip(squares, largest, strict=True)]
        correction = (1.0 - momentum**step) / (1.0 - beta2**step) ** 0.5
        sizes_of = [correction * (np.sqrt(square) + optimizer.epsilon) for square in squares]
        rule: Optimizer = Adam(1.0, momentum, beta2, max(float(optimizer.epsilon), 1e-300))
    else:
        momentum, rho = float(optimizer.momentum), float(optimizer.rho)
        squares = _means(optimizer, "_velocities", variables, [g**2 for g in gradients], rho)
        if optimizer.centered:
            centres = _means(optimizer, "_average_gradients", variables, gradients, rho)
            squares = [square - centre**2 for square, centre in zip(squares, centres, strict=True)]
        sizes_of = [np.sqrt(square + optimizer.epsilon) for square in squares]
        # Keras adds epsilon to the square, where the rule has its root beside the root.
        rule = RMSProp(1.0, rho, max(float(optimizer.epsilon), 1e-300) ** 0.5, momentum)
    flat = np.concatenate([size.reshape(-1) for size in sizes_of])
    return OptimizerReading(rule, lr, momentum, divided(1.0, flat), shrinkage=shrinkage, settings=settings)


def _state(optimizer: Any, name: str, variables: Sequence[Any]) -> list[Any]:
    """Return what an optimizer keeps of each variable; zeros before its first step."""
    import keras

    kept = getattr(optimizer, name, None)
    if not kept:
        return [np.zeros(variable.shape, np.float32) for variable in variables]
    return [keras.ops.convert_to_numpy(kept[optimizer._get_variable_index(v)]) for v in variables]


def _means(
    optimizer: Any, name: str, variables: Sequence[Any], values: Sequence[Array], share: float
) -> list[Any]:
    """Return moving means after the next update, with its values."""
    before = _state(optimizer, name, variables)
    return [share * old + (1.0 - share) * value for old, value in zip(before, values, strict=True)]
