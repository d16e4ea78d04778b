"""Losses that are means over samples: the same loss of some of them, such as a minibatch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from selfstab import validation
from selfstab.losses.base.loss import Loss
from selfstab.validation import Array


class SampleMean(Loss):
    """A loss that is a mean over samples, L(w) = (1/n) Σ ℓ_i(w), plus what does not depend on them.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.MLP((1, 1), [[1.0], [2.0], [3.0]], [0.0, 0.0, 3.0])
    >>> loss.sample_count, loss.of_samples([0, 2]).value([1.0, 0.0])
    (3, 0.25)
    """

    @property
    @abstractmethod
    def sample_count(self) -> int:
        """The number n of samples."""

    @abstractmethod
    def of_rows(self, rows: Any) -> Self:
        """Return the loss of the samples of these rows; the rows are checked."""

    def slopes_at(self, w: Array, direction: Array) -> Array:
        """Return ∇ℓ_i(w)·v of each sample, shape (n,), v the direction: their variance is that of a step's noise."""
        return np.array(
            [self.of_rows(np.array([k])).gradient_at(w) @ direction for k in range(self.sample_count)]
        )

    def of_samples(self, rows: Sequence[int]) -> Self:
        """Return the same loss of some samples, the mean over them.

        Parameters
        ----------
        rows
            Their indices, from 0 to n − 1, one or more; one that is repeated counts as often.

        Raises
        ------
        TypeError, ValueError
            If rows are not such integers.
        """
        array = np.asarray(rows)
        if array.ndim != 1 or array.size == 0:
            raise ValueError(f"rows must hold one or more indices of samples, got {validation.shown(rows)}")
        if array.dtype.kind not in "iu":
            raise TypeError(f"rows must be integers, got {validation.shown(rows)}")
        if array.min() < 0 or array.max() >= self.sample_count:
            raise ValueError(
                f"rows must be from 0 to {self.sample_count - 1}, got {int(array.min())} to {int(array.max())}"
            )
        return self.of_rows(array)


def checked_sample_mean(name: str, loss: Any) -> SampleMean:
    """Return a loss that is a mean over samples, or raise TypeError."""
    if not isinstance(loss, SampleMean):
        raise TypeError(
            f"{name} must be a mean over samples (MLP, DiagonalNetwork, EmpiricalRisk, or a subclass of "
            f"selfstab.losses.base.sample_mean.SampleMean), got {validation.shown(loss)}"
        )
    return loss
