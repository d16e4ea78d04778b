"""Experiments on real models: heavy ball, gradient descent and other optimizers at one threshold.

A task and a setting make a comparison (:func:`compare`) or, on a grid, a survey (:func:`survey`), which
:func:`verdict` sums up. Each preset is a function with its numbers to expect: :func:`diagonal_network`,
:func:`digits_network`, :func:`onehot_network`, :func:`deep_network`, :func:`mnist_network`. A :class:`Study`
runs several optimizers in pieces, whose results are stored.
"""

from selfstab.experiments.comparison import SUMMARIES, compare
from selfstab.experiments.convolution import ConvolutionalNetwork
from selfstab.experiments.presets import (
    PRESETS,
    Preset,
    deep_network,
    diagonal_network,
    digits_network,
    mnist_network,
    onehot_network,
)
from selfstab.experiments.setting import METHODS, Setting
from selfstab.experiments.studies import Study
from selfstab.experiments.surveys import survey, verdict
from selfstab.experiments.tasks import MNIST, Digits, LossTask, SparseRegression, Trial

__all__ = [
    "METHODS",
    "MNIST",
    "PRESETS",
    "SUMMARIES",
    "ConvolutionalNetwork",
    "Digits",
    "LossTask",
    "Preset",
    "Setting",
    "SparseRegression",
    "Study",
    "Trial",
    "compare",
    "deep_network",
    "diagonal_network",
    "digits_network",
    "mnist_network",
    "onehot_network",
    "survey",
    "verdict",
]
