"""A small convolutional network on MNIST, written in JAX: a task whose loss is a function of the user's own kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import datasets, validation
from selfstab.experiments.tasks import Trial
from selfstab.losses.functions.function import FunctionLoss
from selfstab.validation import Array

_SIDE: Final = 14
"""Pixels a side, after pooling."""
_PATCH: Final = 4
"""Side of the first layer's kernels."""
_STRIDE: Final = 2
"""Their distance."""
_PLACES: Final = (_SIDE - _PATCH) // _STRIDE + 1
"""Places a side of the first layer."""
_IMAGES: Final = 5000
"""Images of the data set."""
_MOST: Final = 1000
"""Most channels of a layer."""
_BLOCK: Final = 2
"""Side of the second layer's kernels, which do not overlap."""


@dataclass(frozen=True)
class ConvolutionalNetwork:
    """A convolutional tanh network of two layers on the parity of MNIST's digits; a trial's seed is its weights'.

    Images of 14×14 pixels; kernels of 4×4 at every second pixel; kernels of 2×2 blocks; one output. The loss is
    half the mean squared error. With JAX, in float64.

    Parameters
    ----------
    channels
        Kernels of the two layers.
    samples, held_out
        Images trained on, and those after them; 5000 at most together.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.

    Examples
    --------
    >>> ConvolutionalNetwork().channels
    (8, 16)
    """

    channels: tuple[int, int] = (8, 16)
    samples: int = 4000
    held_out: int = 1000

    def __post_init__(self) -> None:
        if not isinstance(self.channels, tuple) or len(self.channels) != 2:
            raise TypeError(
                f"channels must be a tuple of two integers, got {validation.shown(self.channels)}"
            )
        for count in self.channels:
            validation.integer("channels", count, at_least=1, at_most=_MOST)
        validation.integer("samples", self.samples, at_least=1, at_most=_IMAGES - 1)
        validation.integer("held_out", self.held_out, at_least=1, at_most=_IMAGES - self.samples)

    def trial(self, seed: int, scale: float) -> Trial:
        """Return the trial of a seed: weights are normal of variance 1/inputs, times `scale`; biases 0.

        Raises
        ------
        ImportError
            If JAX or mlxtend is missing.
        """
        try:
            import jax
        except ImportError:
            raise ImportError("ConvolutionalNetwork needs JAX: pip install jax") from None
        set_option: Any = jax.config.update
        set_option("jax_enable_x64", True)
        seed = validation.integer("seed", seed, at_least=0)
        inputs, targets = datasets.mnist(self.samples + self.held_out, "parity", pool=2)
        n = self.samples
        # What was trained on decides the shift.
        inputs = inputs - inputs[:n].mean(axis=0)
        places = patches(inputs)
        first, second = self.channels
        widths = [(_PATCH**2, first), (_BLOCK**2 * first, second), ((_PLACES // _BLOCK) ** 2 * second, 1)]
        rng = np.random.default_rng(seed)
        start = {}
        for k, (fan_in, width) in enumerate(widths):
            start[f"kernel_{k}"] = scale * rng.standard_normal((fan_in, width)) / np.sqrt(fan_in)
            start[f"bias_{k}"] = np.zeros(width)
        loss, held_out = (
            FunctionLoss.from_jax(_error_of(places[rows], targets[rows]), start)
            for rows in (slice(None, n), slice(n, None))
        )
        other = _outputs_of(places[n:])
        signs = np.sign(targets[n:, 0])

        def accuracy(weights: Array) -> float:
            outputs = np.asarray(other(held_out.unflatten(weights)))[:, 0]
            return float(np.mean(np.sign(outputs) == signs))

        return Trial(loss, held_out, loss.flatten(start), accuracy=accuracy)


def patches(images: Array) -> Array:
    """Return the first layer's inputs, shape (n, places, pixels of a patch), from images as rows of pixels."""
    square = images.reshape(-1, _SIDE, _SIDE)
    windows = np.lib.stride_tricks.sliding_window_view(square, (_PATCH, _PATCH), axis=(1, 2))
    windows = windows[:, ::_STRIDE, ::_STRIDE]
    return np.ascontiguousarray(windows.reshape(len(square), _PLACES**2, _PATCH**2))


def _outputs_of(places: Array) -> Callable[[Any], Any]:
    import jax.numpy as jnp

    at = jnp.asarray(places)
    blocks = _PLACES // _BLOCK

    def outputs(w: Any) -> Any:
        values = jnp.tanh(at @ w["kernel_0"] + w["bias_0"])
        values = values.reshape(len(at), blocks, _BLOCK, blocks, _BLOCK, -1).transpose(0, 1, 3, 2, 4, 5)
        values = jnp.tanh(values.reshape(len(at), blocks**2, -1) @ w["kernel_1"] + w["bias_1"])
        return values.reshape(len(at), -1) @ w["kernel_2"] + w["bias_2"]

    return outputs


def _error_of(places: Array, targets: Array) -> Callable[[Any], Any]:
    import jax.numpy as jnp

    outputs, goal = _outputs_of(places), jnp.asarray(targets)

    def error(w: Any) -> Any:
        return 0.5 * jnp.mean((outputs(w) - goal) ** 2)

    return error
