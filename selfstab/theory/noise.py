"""Noise of the curvature: where the mean square of the oscillation begins to grow."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, POSITIVE, REAL, closed_form
from selfstab.validation import Array

_ITERATIONS: Final = 12


@closed_form(lr_times_mean=NOT_NEGATIVE, momentum=MOMENTUM)
def max_stable_noise(lr_times_mean: Any, momentum: Any) -> Any:
    """Return the largest variance of the curvature, times η², at which the mean square does not grow.

    η²s² = (1 − β)ημ(2(1 + β) − ημ)/(1 + β)

    Parameters
    ----------
    lr_times_mean
        ημ >= 0, with μ the mean of the curvature, drawn independently at each step.
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        η²s², nondimensional; NaN for ημ > 2(1 + β), where even the mean diverges.

    Notes
    -----
    Source: proof in ``derivations/a10_noise.py``.

    Examples
    --------
    >>> max_stable_noise(1.0, [0.0, 0.5])
    array([1.        , 0.66666667])
    """
    room = 2.0 * (1.0 + momentum) - lr_times_mean
    return np.where(room >= 0.0, (1.0 - momentum) / (1.0 + momentum) * lr_times_mean * room, np.nan)


@closed_form(lr=POSITIVE, momentum=MOMENTUM, mean_sharpness=NOT_NEGATIVE)
def max_stable_batch_sharpness(lr: Any, momentum: Any, mean_sharpness: Any) -> Any:
    """Return the batch sharpness E h²/E h at which the mean square begins to grow.

    B = (2(1 − β) + (2β/(1 + β))ημ)/η: from 2(1 − β)/η, where noise decides, to 2(1 + β)/η without noise

    Parameters
    ----------
    lr
        Learning rate η > 0, in units of 1/sharpness.
    momentum
        β in [0, 1).
    mean_sharpness
        μ >= 0, the mean of the curvature, up to 2(1 + β)/η.

    Returns
    -------
    float or ndarray
        B in units of 1/lr; NaN for μ > 2(1 + β)/η, where even the mean diverges.

    Notes
    -----
    Source: proof in ``derivations/a10_noise.py``.

    Examples
    --------
    >>> max_stable_batch_sharpness(0.5, 0.5, [0.0, 3.0, 6.0])
    array([2., 4., 6.])
    """
    line = 2.0 * (1.0 - momentum) / lr + 2.0 * momentum / (1.0 + momentum) * mean_sharpness
    return np.where(mean_sharpness <= 2.0 * (1.0 + momentum) / lr, line, np.nan)


@closed_form(lr_times_mean=REAL, lr_times_deviation=NOT_NEGATIVE, momentum=MOMENTUM)
def mean_square_growth(lr_times_mean: Any, lr_times_deviation: Any, momentum: Any) -> Any:
    """Return the factor per step by which E x² grows when the curvature is drawn anew at each step.

    The spectral radius of [[T² + η²s², −2βT, β²], [T, −β, 0], [1, 0, 0]], T = 1 + β − ημ. It is β + d with d the one
    positive root of d³ − Dd(d + β) = η²s²(d + β)(d + 2β), D = T² − 4β. Without noise d is the largest real root (0 is
    one of them).

    Parameters
    ----------
    lr_times_mean
        ημ, any finite number.
    lr_times_deviation
        ηs >= 0.
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        The factor per step, nondimensional; |λ|² of the quadratic's mode without noise.

    Notes
    -----
    Source: proof in ``derivations/a10_noise.py``.

    Examples
    --------
    >>> round(mean_square_growth(1.0, 1.0, 0.0), 12)
    1.0
    >>> round(mean_square_growth(1.0, 0.0, 0.81), 12)
    0.81
    """
    above, spread = _discriminant(lr_times_mean, momentum), lr_times_deviation**2
    # λ = β + d: d is the one positive root of d³ + c₂d² + c₁d = c₀, and no other root is larger in modulus.
    linear, constant = -momentum * (above + 3.0 * spread), 2.0 * momentum**2 * spread
    quadratic = -(above + spread)
    finite = np.isfinite(quadratic)
    quadratic, linear, constant = (np.where(finite, c, 0.0) for c in (quadratic, linear, constant))
    # The root is at most this, and at least a third of it: Newton's method descends to it.
    largest = np.where(
        linear > 0.0,
        np.minimum(np.cbrt(constant), constant / np.where(linear > 0.0, linear, 1.0)),
        2.0 * np.maximum(np.maximum(-quadratic, np.sqrt(np.maximum(-linear, 0.0))), np.cbrt(constant)),
    )
    scale = np.where(largest > 0.0, largest, 1.0)
    c2, c1, c0 = quadratic / scale, linear / scale / scale, constant / scale / scale / scale
    d = np.ones_like(scale)
    for _ in range(_ITERATIONS):
        d = d - (((d + c2) * d + c1) * d - c0) / ((3.0 * d + 2.0 * c2) * d + c1)
    return np.where(finite, momentum + np.where(largest > 0.0, scale * d, 0.0), np.inf)


def _discriminant(product: Array, momentum: Array) -> Array:
    """Return (1 + β − ημ)² − 4β without cancellation: the rounding errors of sum and square are added."""
    partly = 1.0 + momentum
    turn = partly - product
    error = (momentum - (partly - 1.0)) + _lost(partly, product, turn)
    small = np.abs(turn) < 1e100  # beyond that 4β is nothing, and the parts would overflow
    near = np.where(small, turn, 0.0)
    high = near * 134217729.0  # 2²⁷ + 1: Dekker's halves, whose products are exact
    high = high - (high - near)
    low = near - high
    square = near * near
    rest = ((high * high - square) + 2.0 * high * low) + low * low
    return np.where(small, (square - 4.0 * momentum) + (rest + 2.0 * near * error), turn * turn)


def _lost(left: Array, right: Array, difference: Array) -> Array:
    """Return left − right − difference exactly, difference being left − right rounded."""
    part = left - difference
    return (left - (difference + part)) + (part - right)
