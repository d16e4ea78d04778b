"""Fully connected networks: the loss of their weights, with its derivatives up to the fourth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np

from selfstab import validation
from selfstab.eigen import pairs
from selfstab.losses.base.derivatives import Derivatives
from selfstab.losses.base.named_loss import number, whole
from selfstab.losses.networks.activations import ACTIVATIONS, SMOOTHNESS
from selfstab.losses.networks.criteria import CRITERIA, checked_targets
from selfstab.losses.networks.hessian import explicit_hessian
from selfstab.losses.networks.passes import SCRATCH, Network, Pass
from selfstab.losses.networks.regression import Regression
from selfstab.machine import check_memory
from selfstab.validation import Array

_OF_ONE_PASS: Final = ("value_at", "gradient_at", "hessian_operator_at", "hessian_vector_at", "third_at")
"""The methods that one pass stands for."""


class MLP(Regression):
    r"""Loss of a fully connected network with a linear last layer.

    .. math:: L(w) = \frac{1}{2n} \sum_{i=1}^n ‖f(x_i; w) − y_i‖^2 + \frac{λ}{2} ‖w‖^2

    or, with the cross-entropy, :math:`−\frac{1}{n} \sum_i y_i · \log \mathrm{softmax} f(x_i; w) + \frac{λ}{2} ‖w‖^2`.

    The weights are W1 (by rows, fan-in × width), b1, W2, b2, ... in one vector. The sharpness of networks of more than
    ``spectrum.DENSE_UP_TO`` weights comes from Lanczos on exact Hessian-vector products [Pearlmutter1994]_. Set
    `explicit_hessian` to True to take it from the explicit Hessian. Third and fourth derivatives along directions are
    coefficients of passes over truncated Taylor series.

    Parameters
    ----------
    widths
        Inputs, hidden widths and outputs: two or more integers >= 1, such as (64, 32, 1).
    inputs
        x, shape (n, widths[0]).
    targets
        y, shape (n, widths[-1]), or (n,) for a single output. With "cross-entropy": probabilities, shape
        (n, widths[-1]), each row with sum 1, or labels from 0 to widths[-1] − 1, shape (n,); kept as probabilities.
    activation
        "tanh", "relu", "gelu" (zΦ(z), exact), "softplus" or "linear". The second derivative of relu is taken as 0,
        which it is but for the jump of φ' at 0. So its Hessian is the Gauss-Newton one plus the terms that couple
        layers. Higher derivatives of a network with relu are refused.
    criterion
        "mse" or "cross-entropy".
    weight_decay
        λ >= 0, on all weights, biases included.

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

    text_settings = MappingProxyType({
        "widths": "64,32,1",
        "samples": "500",
        "target": "parity",
        "activation": "tanh",
        "criterion": "mse",
        "weight_decay": "0",
    })  # fmt: skip
    data_settings = ("samples",)

    @classmethod
    def from_text(cls, settings: Mapping[str, str]) -> Self:
        """Return the network on scikit-learn's digits, with labels as targets where the criterion needs them."""
        from selfstab.datasets import digits

        texts = {**cls.text_settings, **settings}
        widths = tuple(whole("widths", part) for part in texts["widths"].split(","))
        if texts["criterion"] == "cross-entropy" and "target" not in settings:
            texts["target"] = "labels"
        data = digits(whole("samples", texts["samples"]), texts["target"])
        decay = number("weight_decay", texts["weight_decay"])
        return cls(widths, *data, texts["activation"], criterion=texts["criterion"], weight_decay=decay)

    def __init__(
        self,
        widths: Sequence[int],
        inputs: Any,
        targets: Any,
        activation: str = "tanh",
        *,
        criterion: str = "mse",
        weight_decay: float = 0.0,
    ) -> None:
        if isinstance(widths, str) or not isinstance(widths, (Sequence, np.ndarray)):
            raise TypeError(f"widths must be two or more integers >= 1, got {validation.shown(widths)}")
        if len(widths) < 2:
            raise ValueError(f"widths must be two or more integers >= 1, got {validation.shown(widths)}")
        self.widths = tuple(validation.integer("widths", width, at_least=1) for width in widths)
        weights = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(self.widths))
        check_memory(f"the weights of widths {validation.shown(widths)}", 8 * weights, "take smaller widths")
        self.activation = validation.one_of("activation", activation, ACTIVATIONS)
        self.criterion = validation.one_of("criterion", criterion, CRITERIA)
        self.weight_decay = validation.real("weight_decay", weight_decay, at_least=0)
        self.inputs = validation.floats("inputs", inputs, shape=(None, self.widths[0]))
        if len(self.inputs) == 0:
            raise ValueError(f"inputs must hold at least one sample, got shape {self.inputs.shape}")
        self.targets = checked_targets(self.criterion, targets, len(self.inputs), self.widths[-1])
        self.highest_derivative = SMOOTHNESS.get(self.activation, 4) if len(self.widths) > 2 else 4
        self._network = Network(
            self.widths, self.inputs, ACTIVATIONS[self.activation], CRITERIA[self.criterion](self.targets)
        )
        self.explicit_hessian = self.dimension <= pairs.DENSE_UP_TO

    @property
    def dimension(self) -> int:
        """Number of weights, biases included."""
        return self._network.dimension

    @property
    def description(self) -> str:
        """The class, the network, and the data by shape and a hash of the bytes."""
        network = f"widths={self.widths}, activation={self.activation}"
        if self.criterion != "mse":
            network += f", criterion={self.criterion}"
        if self.weight_decay:
            network += f", weight_decay={self.weight_decay!r}"
        return f"MLP({network}, {self.data})"

    def check_order(self, order: int) -> None:
        """Refuse a derivative that the loss does not have."""
        if order > self.highest_derivative:
            raise ValueError(
                f"activation must have derivatives of order {order} for this, as tanh, gelu, softplus and linear have, "
                f"got {self.activation!r}, which has them up to order {self.highest_derivative}"
            )

    def of_rows(self, rows: Any) -> Self:
        """Return the loss of these rows of `inputs` and `targets`."""
        if type(self) is not MLP:
            return super().of_rows(rows)
        # What the constructor has checked is not checked again: it would take as long as a gradient.
        loss = type(self).__new__(type(self))
        loss.__dict__.update(self.__dict__)
        loss.inputs, loss.targets = self.inputs[rows], self.targets[rows]
        loss._network = Network(
            self.widths, loss.inputs, self._network.activation, CRITERIA[self.criterion](loss.targets)
        )
        return loss

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
    def value_at(self, w: Array) -> float:
        """Return L(w)."""
        return self._network.value(w) + self._penalty(w)

    @np.errstate(over="ignore", invalid="ignore")
    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return self._decayed(self._network.gradient_at(w), w)

    @np.errstate(over="ignore", invalid="ignore")
    def slopes_at(self, w: Array, direction: Array) -> Array:
        """Return ∇ℓ_i(w)·v of each sample, from one pass."""
        if type(self) is not MLP:
            return super().slopes_at(w, direction)
        slopes = self._network.slopes(self._network.at(w, 1), direction)
        return slopes + self.weight_decay * (w @ direction)

    @np.errstate(over="ignore", invalid="ignore")
    def hessian_vector_at(self, w: Array, v: Array) -> Array:
        """Return ∇²L(w) v."""
        return self._decayed(self._network.product(self._network.at(w, order=2), v), v)

    @np.errstate(over="ignore", invalid="ignore")
    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w)."""
        hessian = explicit_hessian(self._network, self._network.at(w, order=2))
        if self.weight_decay:
            hessian[np.diag_indices_from(hessian)] += self.weight_decay
        return hessian

    @np.errstate(over="ignore", invalid="ignore")
    def hessian_operator_at(self, w: Array) -> Callable[[Array], Array]:
        """Return the function v → ∇²L(w) v."""
        at = self._network.at(w, order=2)  # one pass serves all products
        return lambda v: self._decayed(self._network.product(at, v), v)

    def sharpness_at(self, w: Array, guess: Array | None = None) -> pairs.Eigenpair:
        """Return the top eigenpair at w."""
        # A class made from this one may have products of its own.
        if self.explicit_hessian or type(self).hessian_operator_at is not MLP.hessian_operator_at:
            return super().sharpness_at(w, guess)
        with SCRATCH, np.errstate(over="ignore", invalid="ignore"):
            at = self._network.at(w, 2, SCRATCH.array)
            return pairs.top_eigenpair(
                lambda v: self._decayed(self._network.product(at, v), v), self.dimension, guess=guess
            )

    def derivatives_at(self, w: Array) -> Derivatives:
        """Return the derivatives at one w."""
        # A class made from this one may have derivatives of its own.
        shared = all(getattr(type(self), name) is getattr(MLP, name) for name in _OF_ONE_PASS)
        return _LocalPass(self, w) if shared else super().derivatives_at(w)

    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return self._along(w, u, v)

    def fourth_at(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·)."""
        return self._along(w, u, v, z)

    def _along(self, w: Array, *directions: Array) -> Array:
        """Return the derivative of the gradient along directions; weight decay has none beyond the first."""
        self.check_order(len(directions) + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._network.along(self._network.at(w, len(directions) + 1), directions)

    def _penalty(self, w: Array) -> float:
        return 0.5 * self.weight_decay * float(w @ w) if self.weight_decay else 0.0

    def _decayed(self, product: Array, v: Array) -> Array:
        if self.weight_decay:
            product += self.weight_decay * v
        return product

    def _layers(self, w: Array) -> list[Array]:
        return self._network.layers(w)


@dataclass(frozen=True)
class _LocalPass(Derivatives):
    """The derivatives of a network at one w: value, gradient, products and third derivatives from one pass."""

    loss: MLP

    @cached_property
    def _pass(self) -> Pass:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.loss._network.at(self.weights, min(3, self.loss.highest_derivative))

    @cached_property
    def value(self) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.loss._network.criterion.value(self._pass.outputs) + self.loss._penalty(self.weights)

    @cached_property
    def gradient(self) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.loss._decayed(self.loss._network.gradient(self._pass), self.weights)

    @cached_property
    def product(self) -> Callable[[Array], Array]:
        return lambda v: self.loss._decayed(self.loss._network.product(self._pass, v), v)

    def third(self, u: Array, v: Array) -> Array:
        self.loss.check_order(3)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.loss._network.along(self._pass, (u, v))
