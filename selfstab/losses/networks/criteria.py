"""What a network's outputs are measured by, with the derivatives in the outputs.

Each criterion is a mean over samples. Its state is what its derivatives are made from, kept in a pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.networks.series import Truncation
from selfstab.validation import Array

_SUM: Final = 1e-6
"""How far from 1 the sum of a sample's probabilities may be; beyond rounding, they are divided by it."""


class Criterion(ABC):
    """L as a function of the outputs z of all samples, shape (n, outputs)."""

    def __init__(self, targets: Array) -> None:
        self.targets = targets

    @abstractmethod
    def value(self, outputs: Array) -> float:
        """Return L."""

    @abstractmethod
    def state(self, outputs: Array) -> Array:
        """Return what the derivatives are made from."""

    @abstractmethod
    def slope(self, state: Array) -> Array:
        """Return ∂L/∂z, (n, outputs)."""

    @abstractmethod
    def bend(self, state: Array, along: Array) -> Array:
        """Return the derivative of the slope along a direction of the outputs, (n, outputs)."""

    @abstractmethod
    def curvature(self, state: Array) -> Array:
        """Return ∂²L/∂z∂z of each sample: its diagonal (n, outputs) if that is all, else (n, outputs, outputs)."""

    @abstractmethod
    def series(self, algebra: Truncation, outputs: Array) -> Array:
        """Return the series of the slope, given that of the outputs."""


class MeanSquaredError(Criterion):
    """1/(2n)·Σ‖z − y‖²; its state is the residuals z − y."""

    def value(self, outputs: Array) -> float:
        """Return L."""
        residuals = outputs - self.targets
        return float(np.vdot(residuals, residuals)) / (2 * len(residuals))

    def state(self, outputs: Array) -> Array:
        """Return z − y."""
        return outputs - self.targets

    def slope(self, state: Array) -> Array:
        """Return ∂L/∂z."""
        return state / len(state)

    def bend(self, state: Array, along: Array) -> Array:
        """Return the derivative of the slope along a direction of the outputs."""
        return along / len(state)

    def curvature(self, state: Array) -> Array:
        """Return the diagonal of ∂²L/∂z∂z, 1/n."""
        return np.full_like(state, 1.0 / len(state))

    def series(self, algebra: Truncation, outputs: Array) -> Array:
        """Return the series of the slope."""
        out = outputs / len(self.targets)
        out[0] = (outputs[0] - self.targets) / len(self.targets)
        return out


class CrossEntropy(Criterion):
    """−1/n·Σ y·log softmax(z), where y are probabilities; its state is the probabilities p = softmax(z).

    ∂L/∂z = (p − y)/n, ∂²L/∂z∂z = (diag(p) − ppᵀ)/n.
    """

    def value(self, outputs: Array) -> float:
        """Return L."""
        # log Σ e^z = z_max + log(1 + the others): exact also where the others are below rounding.
        largest = outputs.argmax(axis=1)[:, None]
        shifted = outputs - np.take_along_axis(outputs, largest, axis=1)
        others = np.exp(shifted)
        np.put_along_axis(others, largest, 0.0, axis=1)
        total = np.log1p(others.sum(axis=1)).sum() - np.vdot(self.targets, shifted)
        return float(total) / len(outputs)

    def state(self, outputs: Array) -> Array:
        """Return softmax(z)."""
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def slope(self, state: Array) -> Array:
        """Return ∂L/∂z."""
        return (state - self.targets) / len(state)

    def bend(self, state: Array, along: Array) -> Array:
        """Return the derivative of the slope along a direction of the outputs."""
        mean = (state * along).sum(axis=1, keepdims=True)
        out: Array = state * (along - mean) / len(state)
        return out

    def curvature(self, state: Array) -> Array:
        """Return ∂²L/∂z∂z of each sample."""
        out = -state[:, :, None] * state[:, None, :]
        np.einsum("nqq->nq", out)[...] += state
        out /= len(state)
        return out

    def series(self, algebra: Truncation, outputs: Array) -> Array:
        """Return the series of the slope."""
        # Relative to the largest output, series and all, nothing cancels where it has all the probability.
        largest = outputs[0].argmax(axis=1)[None, :, None]
        shifted = outputs - np.take_along_axis(outputs, largest, axis=2)
        powers = algebra.compose(algebra.powers(shifted), [np.exp(shifted[0])] * 4)
        total = powers.sum(axis=2, keepdims=True)
        inverse = 1.0 / total[0]
        derivatives = [inverse, -(inverse**2), 2.0 * inverse**3, -6.0 * inverse**4]
        out = algebra.product(powers, algebra.compose(algebra.powers(total), derivatives))
        out[0] -= self.targets
        out /= len(self.targets)
        return out


CRITERIA: Final[dict[str, type[Criterion]]] = {"mse": MeanSquaredError, "cross-entropy": CrossEntropy}
"""Name to criterion."""


def checked_targets(criterion: str, targets: Any, samples: int, outputs: int) -> Array:
    """Return the targets of a criterion, shape (samples, outputs).

    Raises
    ------
    TypeError, ValueError
        If they are of the wrong kind or shape or not finite. For "cross-entropy" also if there is one output, a label
        is no integer from 0 to outputs − 1, or probabilities are negative or do not sum to 1.
    """
    array = validation.floats("targets", targets)
    if criterion == "mse":
        if outputs == 1 and array.ndim == 1:
            array = array[:, None]
        return validation.floats("targets", array, shape=(samples, outputs))
    if outputs < 2:
        raise ValueError(f"widths must end in two or more outputs with cross-entropy, got {outputs}")
    if array.ndim == 1:
        array = validation.floats("targets", array, shape=(samples,))
        bad = (array != np.floor(array)) | (array < 0) | (array >= outputs)
        if bad.any():
            raise ValueError(
                f"targets must be labels, integers from 0 to {outputs - 1}, with cross-entropy, "
                f"got {float(array[bad][0])!r}"
            )
        return np.where(array[:, None] == np.arange(outputs), 1.0, 0.0)
    array = validation.floats("targets", array, shape=(samples, outputs))
    if (array < 0).any():
        raise ValueError(f"targets must be probabilities >= 0 with cross-entropy, got {float(array.min())!r}")
    sums = array.sum(axis=1, keepdims=True)
    if (bad := np.abs(sums - 1.0) > _SUM).any():
        raise ValueError(
            "targets must be probabilities that sum to 1 in each sample with cross-entropy, got the sum "
            f"{float(sums[bad][0])!r}"
        )
    # Sums that are 1 but for rounding stay as they are, so that targets given back are the same to the last bit.
    probabilities: Array = np.where(np.abs(sums - 1.0) > 1e-14, array / sums, array)
    return probabilities
