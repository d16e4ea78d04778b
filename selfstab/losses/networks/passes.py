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

from selfstab.losses.networks.activations import Activation, NewArray
from selfstab.losses.networks.criteria import Criterion
from selfstab.losses.networks.series import Truncation, truncation
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
        return with_ones(self.data, np.empty((len(self.data), self.data.shape[1] + 1)))

    def layers(self, w: Array) -> list[Array]:
        """Return W̄_k, views of the weights."""
        layers, start = [], 0
        for fan_in, width in pairwise(self.widths):
            end = start + (fan_in + 1) * width
            layers.append(w[start:end].reshape(fan_in + 1, width))
            start = end
        return layers

    def forward(
        self, layers: list[Array], order: int, array: NewArray
    ) -> tuple[list[Array], list[list[Array]], Array]:
        """Return the layers' inputs ā_k, the derivatives of φ up to `order`, and the outputs."""
        inputs, slopes, samples = [self._augmented], [], len(self.data)
        for layer in layers[:-1]:
            width = layer.shape[1]
            z = np.matmul(inputs[-1], layer, out=array((samples, width)))
            values, *derivatives = self.activation(z, order, array)
            inputs.append(with_ones(values, array((samples, width + 1))))
            slopes.append(derivatives)
        return inputs, slopes, np.matmul(inputs[-1], layers[-1], out=array((samples, layers[-1].shape[1])))

    def value(self, w: Array) -> float:
        """Return L."""
        with SCRATCH:
            return self.criterion.value(self.forward(self.layers(w), 0, SCRATCH.array)[2])

    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w), of a pass that nothing else needs; its bits are those of ``gradient(at(w, 1))``."""
        gradient = np.empty(self.dimension)
        with SCRATCH:
            layers, samples, array = self.layers(w), len(self.data), SCRATCH.array
            inputs, slopes, outputs = self.forward(layers, 1, array)
            delta = self.criterion.slope(self.criterion.state(outputs))
            parts = self.layers(gradient)
            for k in range(len(layers) - 1, 0, -1):
                np.matmul(inputs[k].T, delta, out=parts[k])
                delta = _back(delta, layers[k], array((samples, len(layers[k]) - 1)))
                delta *= slopes[k - 1][0]
            np.matmul(self._augmented.T, delta, out=parts[0])
        return gradient

    def at(self, w: Array, order: int, array: NewArray = np.empty) -> Pass:
        """Return the pass at w with the derivatives of φ up to `order` >= 1.

        With an `array` of SCRATCH it is one until the context ends.
        """
        layers, samples = self.layers(w), len(self.data)
        inputs, slopes, outputs = self.forward(layers, order, array)
        state = self.criterion.state(outputs)
        deltas, arriving = [self.criterion.slope(state)], []
        for layer, derivatives in zip(reversed(layers), reversed(slopes), strict=False):
            shape = (samples, len(layer) - 1)
            arriving.append(_back(deltas[-1], layer, array(shape)))
            deltas.append(np.multiply(arriving[-1], derivatives[0], out=array(shape)))
        return Pass(layers, inputs, slopes, outputs, state, deltas[::-1], arriving[::-1])

    def slopes(self, at: Pass, v: Array) -> Array:
        """Return ∇ℓ·v of each sample, n·Σ_k (ā_k V̄_k)·δ_k, with V̄_k the layers of v."""
        parts = (
            ((inputs @ layer) * delta).sum(axis=1)
            for inputs, layer, delta in zip(at.inputs, self.layers(v), at.deltas, strict=True)
        )
        return np.asarray(len(self.data) * sum(parts))

    def gradient(self, at: Pass) -> Array:
        """Return ∂L/∂W̄_k = ā_kᵀ δ_k of all layers."""
        gradient = np.empty(self.dimension)
        for out, inputs, delta in zip(self.layers(gradient), at.inputs, at.deltas, strict=True):
            np.matmul(inputs.T, delta, out=out)
        return gradient

    def product(self, at: Pass, v: Array) -> Array:
        """Return ∇²L v, the derivative along v of ∂L/∂W̄_k = ā_kᵀ δ_k, from a pass of order 2 or more."""
        product = np.empty(self.dimension)
        with SCRATCH:
            self._write_product(at, v, product)
        return product

    def _write_product(self, at: Pass, v: Array, product: Array) -> None:
        """Write ∇²L v into `product`."""
        moves, samples = self.layers(v), len(self.data)
        parts = self.layers(product)
        last = len(moves) - 1

        inputs: list[Array] = []  # derivatives along v, as all that follow; of ā_{k+1}, without the ones
        preactivations: list[Array] = []
        for k, move in enumerate(moves):
            shape = (samples, move.shape[1])
            z = np.matmul(at.inputs[k], move, out=SCRATCH.array(shape))
            if k > 0:
                z += np.matmul(inputs[-1], at.layers[k][:-1], out=SCRATCH.array(shape))
            if k < last:
                inputs.append(np.multiply(at.slopes[k][0], z, out=SCRATCH.array(shape)))
            preactivations.append(z)

        delta = self.criterion.bend(at.state, preactivations[last])
        for k in range(last, 0, -1):
            np.matmul(at.inputs[k].T, delta, out=parts[k])
            parts[k][:-1] += inputs[k - 1].T @ at.deltas[k]
            shape = (samples, len(moves[k]) - 1)
            arriving = _back(delta, at.layers[k], SCRATCH.array(shape))
            term = SCRATCH.array(shape)  # one after another of those that are added
            arriving += _back(at.deltas[k], moves[k], term)
            arriving *= at.slopes[k - 1][0]
            arriving += np.multiply(at.bends[k - 1], preactivations[k - 1], out=term)
            delta = arriving
        np.matmul(self._augmented.T, delta, out=parts[0])

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
        result = np.empty(self.dimension)
        with SCRATCH:
            self._write_along(at, truncation(tuple(orders)), distinct, result)
        return result

    def _write_along(self, at: Pass, algebra: Truncation, distinct: list[Array], result: Array) -> None:
        """Write the derivative along the distinct directions, each as often as the algebra's order says."""
        size, samples = algebra.size, len(self.data)
        layers, moves = at.layers, [self.layers(direction) for direction in distinct]
        last = len(layers) - 1

        inputs: list[Array] = []
        slopes: list[Array] = []
        outputs = np.empty((0, 0, 0))
        for k, layer in enumerate(layers):
            width = layer.shape[1]
            z = SCRATCH.array((size, samples, width))
            if k == 0:
                if last == 0:
                    z[1:] = 0.0
                for unit, move in zip(algebra.units, moves, strict=True):
                    np.matmul(self._augmented, move[0], out=z[unit])
            else:
                np.matmul(flat(inputs[-1][1:]), layer, out=flat(z[1:]))
                term = SCRATCH.array((samples, width))  # one after another of those that are added
                for shifts, move in zip(algebra.shifts, moves, strict=True):
                    for to, source in shifts:
                        z[to] += np.matmul(inputs[-1][source], move[k], out=term)
            if k == last:
                z[0] = at.outputs
                outputs = z
                break
            powers = algebra.powers(z, linear=k == 0)
            values = SCRATCH.array((size, samples, width + 1))
            values[:, :, -1] = 0.0
            values[0, :, -1] = 1.0
            algebra.compose(powers, [at.inputs[k + 1][:, :-1], *at.slopes[k]], out=values[:, :, :-1])
            inputs.append(values)
            slope = SCRATCH.array((size, samples, width))
            slopes.append(algebra.compose(powers, at.slopes[k], out=slope))

        parts = self.layers(result)
        delta = self.criterion.series(algebra, outputs)
        for k in range(last, 0, -1):
            np.matmul(flat(inputs[k - 1]).T, flat(delta[::-1]), out=parts[k])
            arriving = SCRATCH.array((size, samples, len(layers[k]) - 1))
            arriving[0] = at.arriving[k - 1]
            _back(flat(delta[1:]), layers[k], flat(arriving[1:]))
            term = SCRATCH.array(arriving.shape[1:])
            for shifts, move in zip(algebra.shifts, moves, strict=True):
                for to, source in shifts:
                    arriving[to] += _back(delta[source], move[k], term)
            # Of the first layer's inputs, which do not move, only the last coefficient is asked for.
            space = SCRATCH.array(arriving.shape)
            delta = algebra.product(
                slopes[k - 1], arriving, only_last=k == 1, out=space[-1:] if k == 1 else space
            )
        np.matmul(self._augmented.T, delta[-1], out=parts[0])
        result *= algebra.factorial


def _back(delta: Array, layer: Array, out: Array) -> Array:
    """Return δ Wᵀ, what arrives at a layer's inputs but the ones."""
    back = layer[:-1].T
    # Of a single output it is an outer product, for which matmul takes no BLAS.
    return np.dot(delta, back, out=out) if len(back) == 1 else np.matmul(delta, back, out=out)


class _Scratch(threading.local):
    """Arrays that a thread's next pass uses again, since the system hands out fresh memory as slowly as it is used.

    A context: each array asked for within it is one that nobody else has until it ends.
    """

    def __init__(self) -> None:
        self._arrays: list[Array] = []
        self._taken = 0
        self._before: list[int] = []  # how many were taken where each context that is open began

    def __enter__(self) -> None:
        self._before.append(self._taken)

    def __exit__(self, *error: object) -> None:
        self._taken = self._before.pop()

    def array(self, shape: tuple[int, ...]) -> Array:
        """Return an array of this shape with anything in it."""
        if (size := prod(shape)) > _LARGEST_KEPT:
            return np.empty(shape)
        place = self._taken
        self._taken += 1
        if place == len(self._arrays):
            self._arrays.append(_spread(size, place))
        elif self._arrays[place].size < size:
            self._arrays[place] = _spread(size, place)
        return self._arrays[place][:size].reshape(shape)


def _spread(size: int, place: int) -> Array:
    """Return an array that begins at a line of the cache, at another part of a page than its neighbours.

    A processor takes numbers at equal parts of two pages for one number where it reads one and writes the other.
    """
    array = np.empty(size + 512)
    first = (-(array.ctypes.data // 8) + 72 * place) % 512
    return array[first : first + size]


_LARGEST_KEPT: Final = 2**20
SCRATCH: Final = _Scratch()


def with_ones(values: Array, augmented: Array) -> Array:
    """Return the values with a column of ones after them, written into `augmented`."""
    augmented[:, :-1] = values
    augmented[:, -1] = 1.0
    return augmented


def flat(series: Array) -> Array:
    """Return a series with all coefficients' samples one below the other."""
    return series.reshape(-1, series.shape[-1])
