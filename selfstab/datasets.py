"""Data sets: real ones that come with libraries, and synthetic ones with known answers."""

from __future__ import annotations

import numpy as np

from selfstab import validation
from selfstab.validation import Array

_DIGITS = 1797


def digits(samples: int = 500, target: str = "onehot") -> tuple[Array, Array]:
    """Return handwritten digits: scikit-learn's 8×8 images, the first `samples` of them.

    inputs = pixels/16 − their mean over these samples

    Parameters
    ----------
    samples
        Number of images, 1 to 1797.
    target
        "onehot": 1 in the digit's column and 0 elsewhere, minus 0.1; "parity": +1 for even, −1 for odd.

    Returns
    -------
    inputs : ndarray
        Shape (samples, 64), pixels between 0 and 1 before the mean is subtracted.
    targets : ndarray
        Shape (samples, 10) for "onehot", (samples, 1) for "parity".

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
    validation.one_of("target", target, ("onehot", "parity"))
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError("digits needs scikit-learn: pip install 'selfstab[datasets]'") from None
    pixels, labels = load_digits(return_X_y=True)
    inputs = pixels[:samples] / 16.0
    inputs -= inputs.mean(axis=0)
    digit = labels[:samples, None]
    if target == "parity":
        return inputs, np.where(digit % 2 == 0, 1.0, -1.0)
    return inputs, np.where(digit == np.arange(10), 1.0, 0.0) - 0.1


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
    inputs = np.random.default_rng(seed).standard_normal((samples, features))
    regressor = (np.arange(features) < nonzeros).astype(np.float64)
    return inputs, inputs @ regressor
