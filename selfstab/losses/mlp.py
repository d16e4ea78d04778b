"""Fully connected networks with the mean squared error, and all derivatives up to the third in closed form.

Layers are numbered from 0. With ā_0 = (x, 1), weights W̄_k = (W_k; b_k) and a linear last layer L − 1,
z_k = ā_k W̄_k and ā_{k+1} = (φ(z_k), 1). A bar marks what carries the biases: W̄_k, flattened by rows, is W_k
followed by b_k, so that a layer's weights are one contiguous block. The rows of all arrays are samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from selfstab import spectrum, validation
from selfstab.losses.activations import ACTIVATIONS
from selfstab.losses.regression import Regression
from selfstab.validation import Array


@dataclass(frozen=True)
class _Pass:
    """One forward and backward pass at fixed weights; lists have one entry per layer, or per hidden layer."""

    layers: list[Array]
    """W̄_k, views of the weights, (fan-in + 1, width)."""
    inputs: list[Array]
    """ā_k, (n, fan-in + 1)."""
    slopes: list[list[Array]]
    """[φ'(z_k), φ''(z_k), ...] of each hidden layer, (n, width)."""
    residuals: Array
    """f(x) − y, (n, outputs)."""
    deltas: list[Array]
    """δ_k = ∂L/∂z_k, (n, width)."""
    arriving: list[Array]
    """∂L/∂φ(z_k) = δ_{k+1} W_{k+1}ᵀ of each hidden layer, (n, width)."""


@dataclass(frozen=True)
class _Tangent:
    """The derivative of a pass along a direction of the weights, with its names.

    Inputs are without the ones, and of the layers above the first, whose inputs do not move.
    """

    layers: list[Array]
    preactivations: list[Array]
    inputs: list[Array]
    deltas: list[Array]
    arriving: list[Array]


class MLP(Regression):
    r"""Mean squared error of a fully connected network with a linear last layer.

    .. math:: L(w) = \frac{1}{2n} \sum_{i=1}^n ‖f(x_i; w) − y_i‖^2

    The weights are W1 (by rows, fan-in × width), b1, W2, b2, ... in one vector. The sharpness of networks of
    more than ``spectrum.DENSE_UP_TO`` weights comes from Lanczos on exact Hessian-vector products
    [Pearlmutter1994]_; set `explicit_hessian` to True to take it from the explicit Hessian.

    Parameters
    ----------
    widths
        Inputs, hidden widths and outputs: two or more integers >= 1, such as (64, 32, 1).
    inputs
        x, shape (n, widths[0]).
    targets
        y, shape (n, widths[-1]), or (n,) for a single output.
    activation
        "tanh", "relu", "gelu" (zΦ(z), exact) or "linear". relu's second derivative is taken as 0, which it is
        but for the jump of φ' at 0: its Hessian is the Gauss-Newton one plus what layers do to each other.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, empty or not finite, or the lengths differ.

    Examples
    --------
    >>> loss = MLP((1, 2, 1), [[0.5], [-0.5]], [1.0, -1.0])
    >>> loss.dimension, loss.value([0.0] * 7)
    (7, 0.5)
    >>> loss.hessian([0.0] * 7).diagonal()
    array([0., 0., 0., 0., 0., 0., 1.])
    """

    def __init__(self, widths: Sequence[int], inputs: Any, targets: Any, activation: str = "tanh") -> None:
        if isinstance(widths, str) or not isinstance(widths, (Sequence, np.ndarray)):
            raise TypeError(f"widths must be two or more integers >= 1, got {validation.shown(widths)}")
        if len(widths) < 2:
            raise ValueError(f"widths must be two or more integers >= 1, got {validation.shown(widths)}")
        self.widths = tuple(validation.integer("widths", width, at_least=1) for width in widths)
        self.inputs = validation.floats("inputs", inputs, shape=(None, self.widths[0]))
        if len(self.inputs) == 0:
            raise ValueError(f"inputs must hold at least one sample, got shape {self.inputs.shape}")
        targets = validation.floats("targets", targets)
        if self.widths[-1] == 1 and targets.ndim == 1:
            targets = targets[:, None]
        self.targets = validation.floats("targets", targets, shape=(len(self.inputs), self.widths[-1]))
        self.activation = validation.one_of("activation", activation, ACTIVATIONS)
        self._augmented = _with_ones(self.inputs)
        self.explicit_hessian = self.dimension <= spectrum.DENSE_UP_TO

    @property
    def dimension(self) -> int:
        """Number of weights, biases included."""
        return sum((fan_in + 1) * width for fan_in, width in pairwise(self.widths))

    @property
    def description(self) -> str:
        """The class, the network, and the data by shape and a hash of the bytes."""
        return f"MLP(widths={self.widths}, activation={self.activation}, {self.data})"

    def initial_weights(self, seed: int = 0, scale: float = 1.0) -> Array:
        """Return random weights: entries of W_k normal with deviation scale/√fan-in, biases zero.

        W1, W2, ... are drawn in this order from ``default_rng(seed)``.
        """
        generator = np.random.default_rng(validation.integer("seed", seed, at_least=0))
        scale = validation.real("scale", scale, at_least=0)
        w = np.zeros(self.dimension)
        for layer in self._layers(w):
            fan_in = len(layer) - 1
            layer[:-1] = generator.standard_normal((fan_in, layer.shape[1])) * (scale / np.sqrt(fan_in))
        return w

    # -- derivatives, trusted -----------------------------------------------------------------------------
    # A diverging run may overflow; its result is then infinity or NaN, without a warning.

    @np.errstate(over="ignore", invalid="ignore")
    def _value(self, w: Array) -> float:
        _, _, residuals = self._forward(self._layers(w), order=0)
        return self._mean(residuals)

    def _gradient(self, w: Array) -> Array:
        return self._value_and_gradient(w)[1]

    @np.errstate(over="ignore", invalid="ignore")
    def _value_and_gradient(self, w: Array) -> tuple[float, Array]:
        at = self._pass(w, order=1)
        gradient = np.empty(self.dimension)
        for out, inputs, delta in zip(self._layers(gradient), at.inputs, at.deltas, strict=True):
            np.matmul(inputs.T, delta, out=out)
        return self._mean(at.residuals), gradient

    @np.errstate(over="ignore", invalid="ignore")
    def _hessian_vector(self, w: Array, v: Array) -> Array:
        return self._product(self._pass(w, order=2), v)

    @np.errstate(over="ignore", invalid="ignore")
    def _hessian_operator(self, w: Array) -> Callable[[Array], Array]:
        at = self._pass(w, order=2)  # one pass serves all products
        return lambda v: self._product(at, v)

    def _product(self, at: _Pass, v: Array) -> Array:
        """Return ∇²L v: the derivative along v of ∂L/∂W̄_k = ā_kᵀ δ_k."""
        along = self._tangent(at, v)
        product = np.empty(self.dimension)
        for k, out in enumerate(self._layers(product)):
            np.matmul(at.inputs[k].T, along.deltas[k], out=out)
            if k > 0:
                out[:-1] += along.inputs[k - 1].T @ at.deltas[k]
        return product

    @np.errstate(over="ignore", invalid="ignore")
    def _third(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(u, v, ·): the derivative along u and v, called mixed here, of ∂L/∂W̄_k = ā_kᵀ δ_k."""
        at = self._pass(w, order=3)
        a = self._tangent(at, u)
        b = a if v is u else self._tangent(at, v)
        last = len(at.layers) - 1

        inputs: list[Array] = []  # of the layers above the first, whose inputs do not move
        preactivations: list[Array] = []
        for k, layer in enumerate(at.layers):
            if k == 0:
                mixed = np.zeros_like(a.preactivations[0])
            else:
                mixed = inputs[k - 1] @ layer[:-1]
                mixed += a.inputs[k - 1] @ b.layers[k][:-1] + b.inputs[k - 1] @ a.layers[k][:-1]
            preactivations.append(mixed)
            if k < last:
                slope, bend, _ = at.slopes[k]
                inputs.append(slope * mixed + bend * a.preactivations[k] * b.preactivations[k])

        third = np.empty(self.dimension)
        parts = self._layers(third)
        delta = preactivations[last] / len(self.inputs)
        for k in range(last, -1, -1):
            np.matmul(at.inputs[k].T, delta, out=parts[k])
            if k > 0:
                parts[k][:-1] += a.inputs[k - 1].T @ b.deltas[k] + b.inputs[k - 1].T @ a.deltas[k]
                parts[k][:-1] += inputs[k - 1].T @ at.deltas[k]
                arriving = delta @ at.layers[k][:-1].T
                arriving += a.deltas[k] @ b.layers[k][:-1].T + b.deltas[k] @ a.layers[k][:-1].T
                below = k - 1
                slope, bend, twist = at.slopes[below]
                z_a, z_b = a.preactivations[below], b.preactivations[below]
                delta = slope * arriving + bend * (a.arriving[below] * z_b + b.arriving[below] * z_a)
                delta += at.arriving[below] * (twist * z_a * z_b + bend * preactivations[below])
        return third

    @np.errstate(over="ignore", invalid="ignore")
    def _hessian(self, w: Array) -> Array:
        """Return the full Hessian, block by block of two layers h >= k.

        Per sample, with J_jh = ∂z_j/∂z_h, γ_j = ∂L/∂φ(z_j)·φ''(z_j) in hidden layers and γ = 1/n in the last,
        ∂²L/∂z_h∂z_k = B_hk = Σ_{j>=h} J_jhᵀ diag(γ_j) J_jk (the last layer's term is Gauss-Newton's), and

        ∂²L/∂W̄_h[p,q]∂W̄_k[r,s] = Σ_i ā_h[p] ā_k[r] B_hk[q,s] + Σ_i ∂ā_h[p]/∂z_k[s] ā_k[r] δ_h[q],

        the second sum for h > k only. Summing over samples is one matrix product of (n, pairs of inputs) and
        (n, pairs of units); on the diagonal h = k one of each two symmetric pairs is enough.
        """
        at = self._pass(w, order=2)
        samples = len(self.inputs)
        bends = [arriving * bend for arriving, (_, bend) in zip(at.arriving, at.slopes, strict=True)]
        bends.append(np.full_like(at.residuals, 1.0 / samples))
        jacobians = _jacobians(at)

        hessian = np.empty((self.dimension, self.dimension))
        ends = np.cumsum([layer.size for layer in at.layers])
        spans = [slice(end - layer.size, end) for end, layer in zip(ends, at.layers, strict=True)]
        for h, layer in enumerate(at.layers):
            for k in range(h + 1):
                # Splitting axes makes views, so that the block is filled in place: axes p, q, r, s.
                block = hessian[spans[h], spans[k]].reshape(*layer.shape, *at.layers[k].shape)
                between = _between_units(bends, jacobians, h, k)
                if h == k:
                    _fill_diagonal_block(block, at.inputs[h], between)
                else:
                    _fill_block(block, at, jacobians, between, h, k)
                    hessian[spans[k], spans[h]] = hessian[spans[h], spans[k]].T
        return hessian

    # -- passes -------------------------------------------------------------------------------------------

    def _layers(self, w: Array) -> list[Array]:
        layers, start = [], 0
        for fan_in, width in pairwise(self.widths):
            end = start + (fan_in + 1) * width
            layers.append(w[start:end].reshape(fan_in + 1, width))
            start = end
        return layers

    def _mean(self, residuals: Array) -> float:
        return float(np.vdot(residuals, residuals)) / (2 * len(residuals))

    def _forward(self, layers: list[Array], order: int) -> tuple[list[Array], list[list[Array]], Array]:
        """Return the layers' inputs ā_k, the derivatives of φ up to `order`, and the residuals."""
        activation = ACTIVATIONS[self.activation]
        inputs, slopes = [self._augmented], []
        for layer in layers[:-1]:
            values, *derivatives = activation(inputs[-1] @ layer, order)
            inputs.append(_with_ones(values))
            slopes.append(derivatives)
        return inputs, slopes, inputs[-1] @ layers[-1] - self.targets

    def _pass(self, w: Array, order: int) -> _Pass:
        layers = self._layers(w)
        inputs, slopes, residuals = self._forward(layers, order)
        deltas, arriving = [residuals / len(residuals)], []
        for layer, derivatives in zip(reversed(layers), reversed(slopes), strict=False):
            arriving.append(deltas[-1] @ layer[:-1].T)
            deltas.append(arriving[-1] * derivatives[0])
        return _Pass(layers, inputs, slopes, residuals, deltas[::-1], arriving[::-1])

    def _tangent(self, at: _Pass, direction: Array) -> _Tangent:
        layers = self._layers(direction)
        last = len(layers) - 1
        inputs: list[Array] = []
        preactivations = []
        for k, layer in enumerate(layers):
            z = at.inputs[k] @ layer
            if k > 0:
                z += inputs[k - 1] @ at.layers[k][:-1]
            preactivations.append(z)
            if k < last:
                inputs.append(at.slopes[k][0] * z)

        deltas, arriving = [preactivations[last] / len(self.inputs)], []
        for k in range(last, 0, -1):
            slope, bend = at.slopes[k - 1][:2]
            arriving.append(deltas[-1] @ at.layers[k][:-1].T + at.deltas[k] @ layers[k][:-1].T)
            deltas.append(slope * arriving[-1] + bend * at.arriving[k - 1] * preactivations[k - 1])
        return _Tangent(layers, preactivations, inputs, deltas[::-1], arriving[::-1])


def _with_ones(values: Array) -> Array:
    augmented = np.ones((len(values), values.shape[1] + 1))
    augmented[:, :-1] = values
    return augmented


# -- the Hessian's blocks ---------------------------------------------------------------------------------


def _jacobians(at: _Pass) -> dict[tuple[int, int], Array]:
    """Return ∂z_j/∂z_h by (j, h) for j > h, each of shape (n, width of h, width of j)."""
    jacobians: dict[tuple[int, int], Array] = {}
    for j, layer in enumerate(at.layers[1:], start=1):
        slope = at.slopes[j - 1][0]
        jacobians[j, j - 1] = slope[:, :, None] * layer[:-1]
        for h in range(j - 1):
            jacobians[j, h] = (jacobians[j - 1, h] * slope[:, None, :]) @ layer[:-1]
    return jacobians


def _between_units(bends: list[Array], jacobians: dict[tuple[int, int], Array], h: int, k: int) -> Array:
    """Return B_hk, shape (n, width of h, width of k)."""
    if h == k:
        between = np.zeros((*bends[h].shape, bends[h].shape[1]))
        np.einsum("nqq->nq", between)[...] = bends[h]
    else:
        between = bends[h][:, :, None] * jacobians[h, k].transpose(0, 2, 1)
    for j in range(h + 1, len(bends)):
        if bends[j].any():  # relu and linear layers bend nothing
            between += (jacobians[j, h] * bends[j][:, None, :]) @ jacobians[j, k].transpose(0, 2, 1)
    return between


def _fill_diagonal_block(block: Array, inputs: Array, between: Array) -> None:
    fan_in, width = block.shape[:2]
    (p, r), (q, s) = np.triu_indices(fan_in), np.triu_indices(width)
    input_pairs = np.take(inputs, p, axis=1) * np.take(inputs, r, axis=1)
    unit_pairs = np.take(between.reshape(len(between), -1), q * width + s, axis=1)
    by_pairs = input_pairs.T @ unit_pairs
    by_units = np.take(by_pairs, _pair_numbers(width), axis=1)
    block.transpose(0, 2, 1, 3)[...] = np.take(by_units, _pair_numbers(fan_in), axis=0)


def _pair_numbers(size: int) -> npt.NDArray[np.intp]:
    """Return the symmetric table of each pair's number in ``np.triu_indices(size)``."""
    first, second = np.triu_indices(size)
    numbers = np.empty((size, size), dtype=np.intp)
    numbers[first, second] = numbers[second, first] = np.arange(first.size)
    return numbers


def _fill_block(
    block: Array, at: _Pass, jacobians: dict[tuple[int, int], Array], between: Array, h: int, k: int
) -> None:
    fan_in, width, fan_in_below, width_below = block.shape
    samples = len(between)
    block.transpose(0, 2, 1, 3)[...] = _summed(
        _outer(at.inputs[h], at.inputs[k]), between.reshape(samples, -1)
    ).reshape(fan_in, fan_in_below, width, width_below)
    moved = _outer(at.deltas[h], at.inputs[k])
    slope = at.slopes[h - 1][0]
    if h == k + 1:  # a unit's input moves with its own preactivation only: p = s
        np.einsum("pqrp->pqr", block[:-1])[...] += _summed(slope, moved).reshape(-1, width, fan_in_below)
    else:
        sources = (jacobians[h - 1, k] * slope[:, None, :]).reshape(samples, -1)
        block[:-1].transpose(3, 0, 1, 2)[...] += _summed(sources, moved).reshape(
            width_below, fan_in - 1, width, fan_in_below
        )


def _outer(left: Array, right: Array) -> Array:
    """Return each sample's products of a left and a right entry, shape (n, left × right)."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def _summed(left: Array, right: Array) -> Array:
    """Return the sum over samples of left ⊗ right."""
    product: Array = left.T @ right
    return product
