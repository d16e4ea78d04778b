"""What the experiments train on: a loss, its start, and how a point does on data that was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, Protocol, get_args

import numpy as np

from selfstab import datasets, validation
from selfstab.losses.base.loss import Loss
from selfstab.losses.networks.diagonal import DiagonalNetwork
from selfstab.losses.networks.mlp import MLP
from selfstab.validation import Array

SCORES: Final = {
    "test_loss": ("loss on held-out data", "loss"),
    "test_accuracy": ("share of held-out samples classified right", "1"),
    "distance": ("distance of the regressor to the sparse solution", "1"),
    "hessian_sharpness": (
        "largest Hessian eigenvalue, where the threshold is of the preconditioned one",
        "1/lr",
    ),
}
"""What may be said of a point beside its training loss and its sharpness: long name and unit."""


@dataclass(frozen=True)
class Trial:
    """One seed of a task.

    Parameters
    ----------
    loss
        What is minimized.
    held_out
        The same loss on other data; None where there is none.
    start
        w_0.
    sparse
        The sparse regressor, where there is one.
    accuracy
        w → share of held-out samples classified right, where `held_out` does not give it.
    """

    loss: Loss
    held_out: Loss | None
    start: Array
    sparse: Array | None = None
    accuracy: Callable[[Array], float] | None = None

    def scores(self, weights: Array) -> dict[str, Array]:
        """Return the scores of each row of weights, shape (rows,) each."""
        held_out = self.held_out
        if held_out is None:
            return {}
        scores = {"test_loss": np.array([held_out.value(w) for w in weights])}
        if self.accuracy is not None:
            scores["test_accuracy"] = np.array([self.accuracy(w) for w in weights])
        elif isinstance(held_out, MLP):
            scores["test_accuracy"] = np.array([accuracy(held_out, w) for w in weights])
        elif self.sparse is not None and isinstance(held_out, DiagonalNetwork):
            away = [np.linalg.norm(held_out.regressor(w) - self.sparse) for w in weights]
            scores["distance"] = np.array(away)
        return scores


class Task(Protocol):
    """A frozen dataclass that makes trials."""

    def trial(self, seed: int, scale: float) -> Trial:
        """Return the trial of a seed, its initial weights times `scale`."""
        ...


@dataclass(frozen=True)
class LossTask:
    """A loss of your own; a trial's seed is that of its initial weights.

    Parameters
    ----------
    loss
        Any :class:`selfstab.Loss`: its method ``initial_weights`` makes the starts.
    held_out
        The same loss on other data, for the test loss; None for no test loss.

    Raises
    ------
    TypeError
        If one is no loss.

    Examples
    --------
    >>> import numpy as np, selfstab as ss
    >>> inputs = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> task = LossTask(ss.MLP((2, 4, 1), inputs, np.array([0.0, 1.0, 1.0, 0.0])))
    >>> task.trial(seed=0, scale=1.0).start.shape
    (17,)
    """

    loss: Loss
    held_out: Loss | None = None

    def __post_init__(self) -> None:
        for name, loss in (("loss", self.loss), ("held_out", self.held_out)):
            if not isinstance(loss, Loss) and (name == "loss" or loss is not None):
                raise TypeError(f"{name} must be a Loss such as an MLP, got {validation.shown(loss)}")

    def trial(self, seed: int, scale: float) -> Trial:
        """Return the trial of a seed."""
        return Trial(self.loss, self.held_out, self.loss.initial_weights(seed, scale))


def as_task(task: Task | Loss) -> Task:
    """Return a task, of a loss the :class:`LossTask` without held-out data."""
    return LossTask(task) if isinstance(task, Loss) else task


@dataclass(frozen=True)
class SparseRegression:
    """A diagonal linear network on :func:`selfstab.datasets.sparse_regression`; a trial's seed is that of its data.

    Parameters
    ----------
    samples, features, nonzeros
        Shape of the data, and number of ones in the sparse regressor.
    held_out
        Number of further samples, on which the test loss is taken.
    """

    samples: int = 40
    features: int = 100
    nonzeros: int = 5
    held_out: int = 1000

    def trial(self, seed: int, scale: float) -> Trial:
        """Return the trial of a seed: u = v = scale."""
        shape = self.features, self.nonzeros
        loss = DiagonalNetwork(*datasets.sparse_regression(self.samples, *shape, seed))
        # Seeds from here on are those of held-out data.
        other = DiagonalNetwork(*datasets.sparse_regression(self.held_out, *shape, seed + 2**32))
        sparse = (np.arange(self.features) < self.nonzeros).astype(np.float64)
        return Trial(loss, other, loss.initial_weights(scale=scale), sparse)


Target = Literal["parity", "onehot", "labels"]


@dataclass(frozen=True)
class Digits:
    """A tanh network on scikit-learn's digits; a trial's seed is that of its initial weights.

    Parameters
    ----------
    hidden
        Widths of the hidden layers.
    target
        "parity": one output, +1 for even digits and −1 for odd; "onehot": ten; "labels": ten, with the cross-entropy.
    samples, held_out
        Images trained on, and those after them, on which the test loss and accuracy are taken.
    """

    hidden: tuple[int, ...] = (32,)
    target: Target = "parity"
    samples: int = 500
    held_out: int = 500

    def __post_init__(self) -> None:
        validation.one_of("target", self.target, get_args(Target))

    def trial(self, seed: int, scale: float) -> Trial:
        """Return the trial of a seed."""
        trained, every = (
            datasets.digits(n, self.target) for n in (self.samples, self.samples + self.held_out)
        )
        return _network(self.hidden, trained, every, seed, scale)


@dataclass(frozen=True)
class MNIST:
    """A tanh network on :func:`selfstab.datasets.mnist`; a trial's seed is that of its initial weights.

    Parameters
    ----------
    hidden, target, samples, held_out
        As for :class:`Digits`.
    pool
        Images are averaged in squares of this many pixels a side.
    """

    hidden: tuple[int, ...] = (16,)
    target: Target = "parity"
    samples: int = 500
    held_out: int = 500
    pool: int = 2

    def __post_init__(self) -> None:
        validation.one_of("target", self.target, get_args(Target))

    def trial(self, seed: int, scale: float) -> Trial:
        """Return the trial of a seed."""
        trained, every = (
            datasets.mnist(n, self.target, pool=self.pool)
            for n in (self.samples, self.samples + self.held_out)
        )
        return _network(self.hidden, trained, every, seed, scale)


def _network(
    hidden: tuple[int, ...], trained: tuple[Array, Array], every: tuple[Array, Array], seed: int, scale: float
) -> Trial:
    """Return the trial of a network; held out is what `every` has beyond what is trained on."""
    inputs, targets = trained
    n = len(inputs)
    if len(every[0]) == n:
        raise ValueError("held_out must be an integer >= 1, got 0")
    # Labels are integers; ten digits of them.
    criterion, classes = ("mse", targets.shape[1]) if targets.ndim == 2 else ("cross-entropy", 10)
    widths = (inputs.shape[1], *hidden, classes)
    loss = MLP(widths, inputs, targets, criterion=criterion)
    # Both are shifted by a mean of their own: what was trained on decides the shift.
    others = every[0][n:] - every[0][:n].mean(axis=0)
    held_out = MLP(widths, others, every[1][n:], criterion=criterion)
    return Trial(loss, held_out, loss.initial_weights(seed, scale))


def outputs(network: MLP, weights: Array) -> Array:
    """Return a tanh network's outputs on its inputs, shape (n, outputs)."""
    validation.one_of("activation", network.activation, ("tanh",))
    values, at = network.inputs, 0
    for layer, (fan_in, width) in enumerate(pairwise(network.widths)):
        if layer > 0:
            values = np.tanh(values)
        matrix = weights[at : at + fan_in * width].reshape(fan_in, width)
        at += (fan_in + 1) * width
        values = values @ matrix + weights[at - width : at]
    return values


def accuracy(network: MLP, weights: Array) -> float:
    """Return the share of samples classified right: by the sign of one output, or the largest of several."""
    predictions, targets = outputs(network, weights), network.targets
    if targets.shape[1] == 1:
        return float(np.mean(np.sign(predictions) == np.sign(targets)))
    return float(np.mean(predictions.argmax(axis=1) == targets.argmax(axis=1)))
