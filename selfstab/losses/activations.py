"""Activations of a network, with their first three derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import ndtr

from selfstab.validation import Array

Activation = Callable[[Array, int], list[Array]]
"""(z, order) → [φ(z), φ'(z), ..., the derivative of that order], order <= 3, each of the shape of z."""


def tanh(z: Array, order: int) -> list[Array]:
    """φ = tanh z, φ' = 1 − φ², φ'' = −2φφ', φ''' = (6φ² − 2)φ'.

    >>> tanh(np.zeros(1), 3)
    [array([0.]), array([1.]), array([-0.]), array([-2.])]
    """
    value = np.tanh(z)
    derivatives = [value]
    if order >= 1:
        square = value * value
        slope = 1.0 - square
        derivatives.append(slope)
    if order >= 2:
        derivatives.append(-2.0 * value * slope)
    if order >= 3:
        derivatives.append((6.0 * square - 2.0) * slope)
    return derivatives


def gelu(z: Array, order: int) -> list[Array]:
    """φ = zΦ(z), φ' = Φ + zϕ, φ'' = (2 − z²)ϕ, φ''' = (z³ − 4z)ϕ; Φ, ϕ: normal distribution, density.

    >>> gelu(np.array([1.0]), 0)
    [array([0.84134475])]
    """
    below = ndtr(z)
    derivatives = [z * below]
    if order >= 1:
        square = z * z
        density = np.exp(-0.5 * square) / np.sqrt(2.0 * np.pi)
        derivatives.append(below + z * density)
    if order >= 2:
        derivatives.append((2.0 - square) * density)
    if order >= 3:
        derivatives.append((square - 4.0) * z * density)
    return derivatives


def relu(z: Array, order: int) -> list[Array]:
    """φ = max(z, 0), φ' = 1 where z > 0 and else 0 (at 0 too), φ'' = φ''' = 0.

    φ'' is the derivative where it exists, which is everywhere but at 0; the jump of φ' there is left out.

    >>> relu(np.array([-1.0, 0.0, 2.0]), 1)
    [array([0., 0., 2.]), array([0., 0., 1.])]
    """
    return [np.maximum(z, 0.0), (z > 0.0).astype(np.float64), np.zeros_like(z), np.zeros_like(z)][: order + 1]


def linear(z: Array, order: int) -> list[Array]:
    """φ = z, φ' = 1, φ'' = φ''' = 0.

    >>> linear(np.array([2.0]), 2)
    [array([2.]), array([1.]), array([0.])]
    """
    return [z, np.ones_like(z), np.zeros_like(z), np.zeros_like(z)][: order + 1]


ACTIVATIONS: Final[dict[str, Activation]] = {"tanh": tanh, "relu": relu, "gelu": gelu, "linear": linear}
"""Name to activation."""
