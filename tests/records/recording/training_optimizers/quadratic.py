"""A quadratic on which an optimizer's own steps say where its threshold is: they die out below and grow above."""

from __future__ import annotations

import numpy as np

_RNG = np.random.default_rng(3)
_ROOT = _RNG.normal(size=(5, 5))
HESSIAN = _ROOT @ _ROOT.T / 5 + 0.1 * np.eye(5)
"""Of the loss ½wᵀHw."""
START = _RNG.normal(size=5)
SQUARES = np.array([0.3, 4.0, 1.0, 0.02, 9.0])
"""Mean squared gradients of Adam and its like, which stand still where beta2 is 1 to rounding."""
STILL = 1.0 - 1e-9
NEAR = 0.02


def dies_out(sizes):
    """Return whether the last steps are smaller than those before; `sizes` along the run."""
    third = len(sizes) // 3
    return np.log(sizes[-third:]).mean() < np.log(sizes[third : 2 * third]).mean()


def critical_factor(read):
    """Return what lr is to be multiplied by for a matching sharpness at the threshold.

    `read` takes a factor on lr and returns matching sharpness and threshold, which is a/lr less what weight decay
    beside the gradient takes.
    """
    (sharpness, one), (_, half) = read(1.0), read(2.0)
    above = 2.0 * (one - half)
    return above / (sharpness + above - one)
