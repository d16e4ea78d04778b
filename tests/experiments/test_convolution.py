"""The convolutional network is one: its outputs are a convolution's, computed pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from selfstab import datasets
from selfstab.experiments.convolution import ConvolutionalNetwork, patches
from selfstab.experiments.tasks import Digits

SMALL = ConvolutionalNetwork((2, 3), samples=12, held_out=8)


@pytest.fixture(scope="module")
def trial():
    pytest.importorskip("jax")
    return SMALL.trial(3, 1.5)


def outputs(image, w):
    """Return the network's output on a 14×14 image, by loops."""
    first = np.zeros((6, 6, 2))
    for i, j, k in np.ndindex(first.shape):
        kernel = w["kernel_0"][:, k].reshape(4, 4)
        first[i, j, k] = np.tanh(
            (image[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] * kernel).sum() + w["bias_0"][k]
        )
    second = np.zeros((3, 3, 3))
    for i, j, k in np.ndindex(second.shape):
        kernel = w["kernel_1"][:, k].reshape(2, 2, 2)
        second[i, j, k] = np.tanh(
            (first[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] * kernel).sum() + w["bias_1"][k]
        )
    return float(second.ravel() @ w["kernel_2"][:, 0] + w["bias_2"][0])


def test_the_loss_is_a_convolutional_networks(trial):
    """Protects the network: loss, held-out loss and accuracy against loops over pixels and kernels."""
    w = trial.start + 0.1 * np.random.default_rng(0).standard_normal(trial.start.size)
    tree = {name: np.asarray(value) for name, value in trial.loss.unflatten(w).items()}
    inputs, targets = datasets.mnist(20, "parity", pool=2)
    inputs = inputs - inputs[:12].mean(axis=0)
    predicted = np.array([outputs(image.reshape(14, 14), tree) for image in inputs])
    squares = 0.5 * (predicted - targets[:, 0]) ** 2
    assert trial.loss.value(w) == pytest.approx(squares[:12].mean(), rel=1e-12)
    scores = trial.scores(w[None])
    assert scores["test_loss"][0] == pytest.approx(squares[12:].mean(), rel=1e-12)
    assert scores["test_accuracy"][0] == np.mean(np.sign(predicted[12:]) == targets[12:, 0])


def test_the_start_is_the_seeds(trial):
    """Protects the start: scale times a seed's weights, and biases of 0."""
    other = SMALL.trial(3, 3.0)
    assert np.array_equal(2.0 * trial.start, other.start)
    assert not np.array_equal(trial.start, SMALL.trial(4, 1.5).start)
    assert (np.asarray(trial.loss.unflatten(trial.start)["bias_1"]) == 0.0).all()


def test_patches_are_those_of_the_image():
    """Protects the first layer's inputs."""
    image = np.arange(196.0)
    rows = patches(image[None])[0]
    assert np.array_equal(rows[7].reshape(4, 4), image.reshape(14, 14)[2:6, 2:6])


def test_labels_are_trained_by_the_cross_entropy():
    """Protects the target "labels": the loss is the mean of −log softmax at the labels, held out as well."""
    trial = Digits((4,), "labels", samples=60, held_out=40).trial(3, 1.0)
    assert trial.loss.criterion == trial.held_out.criterion == "cross-entropy"
    _, labels = datasets.digits(100, "labels")
    from selfstab.experiments.tasks import outputs as of_network

    for network, own in ((trial.loss, labels[:60]), (trial.held_out, labels[60:])):
        z = of_network(network, trial.start)
        log = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        assert network.value(trial.start) == pytest.approx(-log[np.arange(len(own)), own].mean(), rel=1e-12)
    assert trial.scores(trial.start[None])["test_accuracy"][0] == np.mean(z.argmax(axis=1) == labels[60:])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"channels": (3,)}, TypeError, "channels must be a tuple of two integers, got"),
        ({"channels": (3, 0)}, ValueError, "channels must be"),
        ({"samples": 0}, ValueError, "samples must be"),
        ({"samples": 4500, "held_out": 501}, ValueError, "held_out must be"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message):
        ConvolutionalNetwork(**arguments)
