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

from selfstab.losses.networks.activations import Activation
from selfstab.losses.networks.criteria import Criterion
from selfstab.losses.networks.series import truncation
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

    @cached_property
    def bends(self) -> list[Array]:
        """γ_k = ∂L/∂φ(z_k)·φ''(z_k) of each hidden layer, (n, width), of a pass of order 2 or more."""
        return [arriving * slopes[1] for arriving, slopes in zip(self.arriving, self.slopes, strict=True)]


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
            arriving.append(_back(deltas[-1], layer, np.empty((len(self.data), len(layer) - 1))))
            deltas.append(arriving[-1] * derivatives[0])
        return Pass(layers, inputs, slopes, outputs, state, deltas[::-1], arriving[::-1])

    def gradient(self, at: Pass) -> Array:
        """Return ∂L/∂W̄_k = ā_kᵀ δ_k of all layers."""
        gradient = np.empty(self.dimension)
        for out, inputs, delta in zip(self.layers(gradient), at.inputs, at.deltas, strict=True):
            np.matmul(inputs.T, delta, out=out)
        return gradient

    def product(self, at: Pass, v: Array) -> Array:
        """Return ∇²L v, the derivative along v of ∂L/∂W̄_k = ā_kᵀ δ_k, from a pass of order 2 or more."""
        moves, samples = self.layers(v), len(self.data)
        product = np.empty(self.dimension)
        parts = self.layers(product)
        last = len(moves) - 1

        inputs: list[Array] = []  # derivatives along v, as all that follow; of ā_{k+1}, without the ones
        preactivations: list[Array] = []
        for k, move in enumerate(moves):
            z = np.matmul(at.inputs[k], move, out=_WORKSPACE.array(f"z{k}", (samples, move.shape[1])))
            if k > 0:
                moved = _WORKSPACE.array(f"moved z{k}", (samples, move.shape[1]))
                z += np.matmul(inputs[-1], at.layers[k][:-1], out=moved)
            if k < last:
                space = _WORKSPACE.array(f"inputs{k}", (samples, move.shape[1]))
                inputs.append(np.multiply(at.slopes[k][0], z, out=space))
            preactivations.append(z)

        delta = self.criterion.bend(at.state, preactivations[last])
        for k in range(last, 0, -1):
            np.matmul(at.inputs[k].T, delta, out=parts[k])
            parts[k][:-1] += inputs[k - 1].T @ at.deltas[k]
            space = _WORKSPACE.array(f"delta{k}", (samples, len(moves[k]) - 1))
            moved = _WORKSPACE.array(f"moved delta{k}", (samples, len(moves[k]) - 1))
            arriving = _back(delta, at.layers[k], space)
            arriving += _back(at.deltas[k], moves[k], moved)
            arriving *= at.slopes[k - 1][0]
            arriving += np.multiply(at.bends[k - 1], preactivations[k - 1], out=moved)
            delta = arriving
        np.matmul(self._augmented.T, delta, out=parts[0])
        return product

    def along(self, at: Pass, directions: Sequence[Array]) -> Array:
        """Return ∇^(m+1) L(d_1, ..., d_m, ·), where m is the number of directions, from a pass of that order.

        The passes run at w + Σ ε_i d_i over truncated series, one unit for each different direction; what is
        asked for is the last coefficient of the gradient. The pass given is their coefficient 0.
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
        layers, moves = at.layers, [self.layers(direction) for direction in distinct]
        last = len(layers) - 1

        inputs: list[Array] = []
        slopes: list[Array] = []
        outputs = np.empty((0, 0, 0))
        for k, layer in enumerate(layers):
            width = layer.shape[1]
            z = _WORKSPACE.array(f"series z{k}", (size, samples, width))
            if k == 0:
                if last == 0:
                    z[1:] = 0.0
                for unit, move in zip(algebra.units, moves, strict=True):
                    np.matmul(self._augmented, move[0], out=z[unit])
            else:
                np.matmul(flat(inputs[-1][1:]), layer, out=flat(z[1:]))
                moved = _WORKSPACE.array(f"moved z{k}", (samples, width))
                for shifts, move in zip(algebra.shifts, moves, strict=True):
                    for to, source in shifts:
                        z[to] += np.matmul(inputs[-1][source], move[k], out=moved)
            if k == last:
                z[0] = at.outputs
                outputs = z
                break
            powers = algebra.powers(z, linear=k == 0)
            values = _WORKSPACE.array(f"series values{k}", (size, samples, width + 1))
            values[:, :, -1] = 0.0
            values[0, :, -1] = 1.0
            algebra.compose(powers, [at.inputs[k + 1][:, :-1], *at.slopes[k]], out=values[:, :, :-1])
            inputs.append(values)
            slope = _WORKSPACE.array(f"series slope{k}", (size, samples, width))
            slopes.append(algebra.compose(powers, at.slopes[k], out=slope))

        result = np.empty(self.dimension)
        parts = self.layers(result)
        delta = self.criterion.series(algebra, outputs)
        for k in range(last, 0, -1):
            np.matmul(flat(inputs[k - 1]).T, flat(delta[::-1]), out=parts[k])
            arriving = _WORKSPACE.array(f"series arriving{k}", (size, samples, len(layers[k]) - 1))
            arriving[0] = at.arriving[k - 1]
            _back(flat(delta[1:]), layers[k], flat(arriving[1:]))
            moved = _WORKSPACE.array(f"moved delta{k}", arriving.shape[1:])
            for shifts, move in zip(algebra.shifts, moves, strict=True):
                for to, source in shifts:
                    arriving[to] += _back(delta[source], move[k], moved)
            # Of the first layer's inputs, which do not move, only the last coefficient is asked for.
            space = _WORKSPACE.array(f"series delta{k}", arriving.shape)
            delta = algebra.product(
                slopes[k - 1], arriving, only_last=k == 1, out=space[-1:] if k == 1 else space
            )
        np.matmul(self._augmented.T, delta[-1], out=parts[0])
        result *= algebra.factorial
        return result


def _back(delta: Array, layer: Array, out: Array) -> Array:
    """Return δ Wᵀ, what arrives at a layer's inputs but the ones."""
    back = layer[:-1].T
    # Of a single output it is an outer product, which needs no sums.
    return np.multiply(delta, back, out=out) if len(back) == 1 else np.matmul(delta, back, out=out)


class _Workspace(threading.local):
    """Arrays that a thread's next pass uses again, since the system hands out fresh memory as slowly as it is used."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return an array of this shape with anything in it, for whoever uses this name alone."""
        if (size := prod(shape)) > _LARGEST_KEPT:
            return np.empty(shape)
        memory = self._arrays.get(name)
        if memory is None or memory.size < size:
            memory = self._arrays[name] = np.empty(size)
        return memory[:size].reshape(shape)


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
