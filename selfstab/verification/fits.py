"""What is fitted to measurements: orders, domains, and the modes of a recorded run."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from selfstab.validation import Array

LEVELS: Final = (0.01, 0.05, 0.2)
"""Relative errors whose domains are reported."""


def fitted_order(small: Array, errors: Array) -> float:
    """Return the slope of log(error) against log(small parameter) by least squares.

    NaN where an error is zero, negative or not finite: then there is no power to fit.

    >>> small = np.array([0.01, 0.02, 0.04])
    >>> round(fitted_order(small, 5.0 * small**3), 9)
    3.0
    """
    if not (np.isfinite(errors).all() and (errors > 0.0).all()):
        return float("nan")
    return float(np.polyfit(np.log(small), np.log(errors), 1)[0])


def largest_within(small: Array, errors: Array, level: float) -> float:
    """Return the largest value of the small parameter up to which every error is at most `level`.

    `small` ascends. Between two values the crossing is interpolated in logarithms. If no error exceeds the level
    it is the largest value tried; if the first one does, NaN. An error that is not finite exceeds every level.

    >>> largest_within(np.array([0.1, 1.0, 10.0]), np.array([0.001, 0.1, 10.0]), level=1.0)
    3.1622776601683...
    """
    beyond = ~(errors <= level)
    if not beyond.any():
        return float(small[-1])
    k = int(beyond.argmax())
    if k == 0:
        return float("nan")
    if not np.isfinite(errors[k]) or errors[k - 1] <= 0.0:
        return float(small[k - 1])
    share = np.log(level / errors[k - 1]) / np.log(errors[k] / errors[k - 1])
    return float(small[k - 1] * (small[k] / small[k - 1]) ** share)


def recurrence_roots(series: Array) -> npt.NDArray[np.complex128]:
    """Return the roots λ of the recurrence s_{t+1} = p s_t + q s_{t−1} that fits a series best.

    A series with two modes c₁λ₁^t + c₂λ₂^t obeys one exactly, so its modes are read off without a model (Prony's
    method). Each step counts relative to its size.

    Parameters
    ----------
    series
        At least four values, not all zero, shape (n,).

    Returns
    -------
    ndarray of complex128
        Two roots, the larger modulus first. A series with a single mode has it as the larger one.

    >>> recurrence_roots(0.5 ** np.arange(8.0) + (-0.25) ** np.arange(8.0)).real.round(9)
    array([ 0.5 , -0.25])
    """
    rows = np.stack([series[1:-1], series[:-2], series[2:]])
    rows /= np.abs(rows).max(axis=0)
    (p, q), *_ = np.linalg.lstsq(rows[:2].T, rows[2], rcond=None)
    roots = np.roots([1.0, -p, -q]).astype(np.complex128)
    return roots[np.argsort(-np.abs(roots), kind="stable")]
