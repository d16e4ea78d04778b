"""Activations of a network, with their first four derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import expit, ndtr

from selfstab.validation import Array

NewArray = Callable[[tuple[int, ...]], Array]
"""Shape → an array of it with anything in it."""

Activation = Callable[[Array, int, NewArray], list[Array]]
"""(z, order, array) → [φ(z), φ'(z), ..., the derivative of that order], order <= 4, each of the shape of z.

z may be overwritten, and its memory returned. `array` is where other memory may come from.
"""

SMOOTHNESS: Final[dict[str, int]] = {"relu": 2}
"""Order up to which derivatives are defined, for those that do not have all."""


def tanh(z: Array, order: int, array: NewArray = np.empty) -> list[Array]:
    """φ = tanh z, φ' = 1 − φ², φ'' = −2φφ', φ''' = (6φ² − 2)φ', φ'''' = (16 − 24φ²)φφ'.

    >>> tanh(np.zeros(1), 3)
    [array([0.]), array([1.]), array([-0.]), array([-2.])]
    """
    value = np.tanh(z, out=z)
    derivatives = [value]
    if order >= 1:
        slope = np.multiply(value, value, out=array(z.shape))
        square = slope.copy() if order >= 3 else slope
        np.subtract(1.0, slope, out=slope)
        derivatives.append(slope)
    if order >= 2:
        bend = np.multiply(-2.0, value, out=array(z.shape))
        bend *= slope
        derivatives.append(bend)
    if order >= 3:
        derivatives.append((6.0 * square - 2.0) * slope)
    if order >= 4:
        derivatives.append((16.0 - 24.0 * square) * value * slope)
    return derivatives


def gelu(z: Array, order: int, array: NewArray = np.empty) -> list[Array]:
    """φ = zΦ(z), φ' = Φ + zϕ, φ'' = (2 − z²)ϕ, φ''' = (z³ − 4z)ϕ, φ'''' = (7z² − z⁴ − 4)ϕ.

    Φ and ϕ are the normal distribution and its density.

    >>> gelu(np.array([1.0]), 0)
    [array([0.84134475])]
    """
    below = ndtr(z)
    derivatives = [z * below]
    if order >= 1:
        z = np.clip(z, -40.0, 40.0)  # beyond, ϕ is 0, and no power of z may make that NaN
        square = z * z
        density = np.exp(-0.5 * square) / np.sqrt(2.0 * np.pi)
        derivatives.append(below + z * density)
    if order >= 2:
        derivatives.append((2.0 - square) * density)
    if order >= 3:
        derivatives.append((square - 4.0) * z * density)
    if order >= 4:
        derivatives.append(((7.0 - square) * square - 4.0) * density)
    return derivatives


def softplus(z: Array, order: int, array: NewArray = np.empty) -> list[Array]:
    """φ = log(1 + e^z), φ' = σ = 1/(1 + e^(−z)), φ'' = σ(1 − σ), φ''' = (1 − 2σ)φ'', φ'''' = (1 − 6φ'')φ''.

    Tails keep their relative precision: 1 − σ(z) is σ(−z), and 1 − 2σ(z) is −tanh(z/2).

    >>> softplus(np.zeros(1), 2)
    [array([0.69314718]), array([0.5]), array([0.25])]
    """
    derivatives = [np.logaddexp(0.0, z)]
    if order >= 1:
        slope: Array = expit(z)
        derivatives.append(slope)
    if order >= 2:
        bend = slope * expit(-z)
        derivatives.append(bend)
    if order >= 3:
        derivatives.append(-np.tanh(0.5 * z) * bend)
    if order >= 4:
        derivatives.append((1.0 - 6.0 * bend) * bend)
    return derivatives


def relu(z: Array, order: int, array: NewArray = np.empty) -> list[Array]:
    """φ = max(z, 0), φ' = 1 where z > 0 and else 0 (at 0 too), φ'' = 0; order <= 2.

    φ'' is the derivative where it exists, which is everywhere but at 0; the jump of φ' there is left out.

    >>> relu(np.array([-1.0, 0.0, 2.0]), 1)
    [array([0., 0., 2.]), array([0., 0., 1.])]
    """
    return [np.maximum(z, 0.0), (z > 0.0).astype(np.float64), np.zeros_like(z)][: order + 1]


def linear(z: Array, order: int, array: NewArray = np.empty) -> list[Array]:
    """φ = z, φ' = 1, all others 0.

    >>> linear(np.array([2.0]), 2)
    [array([2.]), array([1.]), array([0.])]
    """
    return [z, np.ones_like(z), *(np.zeros_like(z) for _ in range(order - 1))][: order + 1]


ACTIVATIONS: Final[dict[str, Activation]] = {
    "tanh": tanh, "relu": relu, "gelu": gelu, "softplus": softplus, "linear": linear,
}  # fmt: skip
"""Name to activation."""
