"""Passes forward and backward through a fully connected network, for values and all derivatives.

Layers are numbered from 0. With ā_0 = (x, 1), weights W̄_k = (W_k; b_k) and a linear last layer L − 1,
z_k = ā_k W̄_k and ā_{k+1} = (φ(z_k), 1). A bar marks what carries the biases: W̄_k, flattened by rows, is W_k
followed by b_k, so that a layer's weights are one contiguous block. The rows of all arrays are samples.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Final

import numpy as np

from selfstab.losses.activations import Activation
from selfstab.losses.criteria import Criterion
from selfstab.losses.taylor import truncation
from selfstab.validation import Array


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass at fixed weights; lists have one entry per layer, or per hidden layer."""

    layers: list[Array]
    """W̄_k, views of the weights, (fan-in + 1, width)."""
    inputs: list[Array]
    """ā_k, (n, fan-in + 1)."""
    slopes: list[list[Array]]
    """[φ'(z_k), φ''(z_k), ...] of each hidden layer, (n, width)."""
    outputs: Array
    """f(x), (n, outputs)."""
    state: Array
    """The criterion's state at the outputs."""
    deltas: list[Array]
    """δ_k = ∂L/∂z_k, (n, width)."""
    arriving: list[Array]
    """∂L/∂φ(z_k) = δ_{k+1} W_{k+1}ᵀ of each hidden layer, (n, width)."""


@dataclass(frozen=True)
class Tangent:
    """The derivative of a pass along a direction of the weights, with its names; inputs without the ones."""

    inputs: list[Array]
    deltas: list[Array]


@dataclass(frozen=True)
class Network:
    """A fully connected network on its data, with what it is measured by."""

    widths: tuple[int, ...]
    data: Array
    """x, (n, widths[0])."""
    activation: Activation
    criterion: Criterion

    @cached_property
    def dimension(self) -> int:
        """Number of weights, biases included."""
        return sum((fan_in + 1) * width for fan_in, width in pairwise(self.widths))

    @cached_property
    def _augmented(self) -> Array:
        return with_ones(self.data)

    def layers(self, w: Array) -> list[Array]:
        """Return W̄_k, views of the weights."""
        layers, start = [], 0
        for fan_in, width in pairwise(self.widths):
            end = start + (fan_in + 1) * width
            layers.append(w[start:end].reshape(fan_in + 1, width))
            start = end
        return layers

    def forward(self, layers: list[Array], order: int) -> tuple[list[Array], list[list[Array]], Array]:
        """Return the layers' inputs ā_k, the derivatives of φ up to `order`, and the outputs."""
        inputs, slopes = [self._augmented], []
        for layer in layers[:-1]:
            values, *derivatives = self.activation(inputs[-1] @ layer, order)
            inputs.append(with_ones(values))
            slopes.append(derivatives)
        return inputs, slopes, inputs[-1] @ layers[-1]

    def value(self, w: Array) -> float:
        """Return L."""
        return self.criterion.value(self.forward(self.layers(w), order=0)[2])

    def at(self, w: Array, order: int) -> Pass:
        """Return the pass at w with the derivatives of φ up to `order` >= 1."""
        layers = self.layers(w)
        inputs, slopes, outputs = self.forward(layers, order)
        state = self.criterion.state(outputs)
        deltas, arriving = [self.criterion.slope(state)], []
        for layer, derivatives in zip(reversed(layers), reversed(slopes), strict=False):
            delta, back = deltas[-1], layer[:-1].T
            # Of a single output it is an outer product, which needs no sums.
            arriving.append(delta * back if len(back) == 1 else delta @ back)
            deltas.append(arriving[-1] * derivatives[0])
        return Pass(layers, inputs, slopes, outputs, state, deltas[::-1], arriving[::-1])

    def gradient(self, at: Pass) -> Array:
        """Return ∂L/∂W̄_k = ā_kᵀ δ_k of all layers."""
        gradient = np.empty(self.dimension)
        for out, inputs, delta in zip(self.layers(gradient), at.inputs, at.deltas, strict=True):
            np.matmul(inputs.T, delta, out=out)
        return gradient

    def product(self, at: Pass, v: Array) -> Array:
        """Return ∇²L v: the derivative along v of ∂L/∂W̄_k = ā_kᵀ δ_k."""
        along = self._tangent(at, v)
        product = np.empty(self.dimension)
        for k, out in enumerate(self.layers(product)):
            np.matmul(at.inputs[k].T, along.deltas[k], out=out)
            if k > 0:
                out[:-1] += along.inputs[k].T @ at.deltas[k]
        return product

    def _tangent(self, at: Pass, direction: Array) -> Tangent:
        layers = self.layers(direction)
        last = len(layers) - 1
        inputs: list[Array] = [np.zeros((0, 0))]  # of the data, which do not move: never used
        preactivations = []
        for k, layer in enumerate(layers):
            z = at.inputs[k] @ layer
            if k > 0:
                z += inputs[k] @ at.layers[k][:-1]
            preactivations.append(z)
            if k < last:
                inputs.append(at.slopes[k][0] * z)

        deltas = [self.criterion.bend(at.state, preactivations[last])]
        for k in range(last, 0, -1):
            slope, bend = at.slopes[k - 1][:2]
            arriving = deltas[-1] @ at.layers[k][:-1].T + at.deltas[k] @ layers[k][:-1].T
            deltas.append(slope * arriving + bend * at.arriving[k - 1] * preactivations[k - 1])
        return Tangent(inputs, deltas[::-1])

    def along(self, w: Array, directions: Sequence[Array]) -> Array:
        """Return ∇^(m+1) L(d_1, ..., d_m, ·), where m is the number of directions.

        The passes run at w + Σ ε_i d_i over truncated series, one unit for each different direction; what is
        asked for is the last coefficient of the gradient.
        """
        distinct: list[Array] = []
        orders: list[int] = []
        for direction in directions:
            for k, known in enumerate(distinct):
                if np.array_equal(direction, known):
                    orders[k] += 1
                    break
            else:
                distinct.append(direction)
                orders.append(1)
        algebra = truncation(tuple(orders))
        size, samples = algebra.size, len(self.data)
        layers, moves = self.layers(w), [self.layers(direction) for direction in distinct]
        last = len(layers) - 1

        inputs: list[Array] = []
        slopes: list[Array] = []
        outputs = np.empty((0, 0, 0))
        for k, layer in enumerate(layers):
            width = layer.shape[1]
            z = _WORKSPACE.array(f"z{k}", (size, samples, width))
            if k == 0:
                np.matmul(self._augmented, layer, out=z[0])
                if last == 0:
                    z[1:] = 0.0
                for unit, move in zip(algebra.units, moves, strict=True):
                    np.matmul(self._augmented, move[0], out=z[unit])
            else:
                np.matmul(flat(inputs[-1]), layer, out=flat(z))
                for shifts, move in zip(algebra.shifts, moves, strict=True):
                    for to, source in shifts:
                        z[to] += inputs[-1][source] @ move[k]
            if k == last:
                outputs = z
                break
            derivatives = self.activation(z[0], len(directions) + 1)
            powers = algebra.powers(z, linear=k == 0)
            values = _WORKSPACE.array(f"values{k}", (size, samples, width + 1))
            values[:, :, -1] = 0.0
            values[0, :, -1] = 1.0
            algebra.compose(powers, derivatives, out=values[:, :, :-1])
            inputs.append(values)
            slope = _WORKSPACE.array(f"slope{k}", (size, samples, width))
            slopes.append(algebra.compose(powers, derivatives[1:], out=slope))

        result = np.empty(self.dimension)
        parts = self.layers(result)
        delta = self.criterion.series(algebra, outputs)
        for k in range(last, 0, -1):
            np.matmul(flat(inputs[k - 1]).T, flat(delta[::-1]), out=parts[k])
            arriving = _WORKSPACE.array(f"arriving{k}", (size, samples, len(layers[k]) - 1))
            np.matmul(flat(delta), layers[k][:-1].T, out=flat(arriving))
            for shifts, move in zip(algebra.shifts, moves, strict=True):
                back = move[k][:-1].T
                for to, source in shifts:
                    arriving[to] += delta[source] @ back
            # Of the first layer's inputs, which do not move, only the last coefficient is asked for.
            space = _WORKSPACE.array(f"delta{k}", arriving.shape)
            delta = algebra.product(
                slopes[k - 1], arriving, only_last=k == 1, out=space[-1:] if k == 1 else space
            )
        np.matmul(self._augmented.T, delta[-1], out=parts[0])
        result *= algebra.factorial
        return result


class _Workspace(threading.local):
    """Arrays that a thread's next pass uses again, since the system hands out fresh memory as slowly as it is used."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return an array of this shape with anything in it, for whoever uses this name alone."""
        if (size := prod(shape)) > _LARGEST_KEPT:
            return np.empty(shape)
        kept = self._arrays.get(name)
        if kept is None or kept.size < size:
            kept = self._arrays[name] = np.empty(size)
        return kept[:size].reshape(shape)


_LARGEST_KEPT: Final = 2**20
_WORKSPACE: Final = _Workspace()


def with_ones(values: Array) -> Array:
    """Return the values with a column of ones after them."""
    augmented = np.empty((len(values), values.shape[1] + 1))
    augmented[:, :-1] = values
    augmented[:, -1] = 1.0
    return augmented


def flat(series: Array) -> Array:
    """Return a series with all coefficients' samples one below the other."""
    return series.reshape(-1, series.shape[-1])
