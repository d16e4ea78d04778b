"""Small cycles at the edge of stability, where progressive sharpening and self-stabilization balance."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, POSITIVE, closed_form
from selfstab.validation import Array

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANELS: Final = 12
_AT = ((np.arange(_PANELS)[:, None] + 0.5 * (1.0 + _NODES)) / _PANELS).ravel()
_SHARE = np.tile(0.5 * _WEIGHTS / _PANELS, _PANELS)
"""Nodes and weights of Gauss's rule on pieces of [0, 1]."""
_EXPONENTIAL: Final = [2.0 / math.factorial(k + 2) for k in range(14)]
"""Coefficients of 2(e^q − 1 − q)/q²."""


_CYCLE: Final = {"lr": POSITIVE, "momentum": MOMENTUM, "progressive_sharpening": POSITIVE}


@closed_form(progressive_sharpening=NOT_NEGATIVE, stabilization=POSITIVE)
def edge_displacement(progressive_sharpening: Any, stabilization: Any = 1.0) -> Any:
    """Return the swing at which self-stabilization balances progressive sharpening, at every momentum.

    δ = √(2α)/b, the fixed point A = δ, y = 0

    Parameters
    ----------
    progressive_sharpening
        α >= 0.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        δ in units of the weights.

    Notes
    -----
    Source: [Damian2023]_; proof in ``derivations/a7_edge.py``.

    Examples
    --------
    >>> edge_displacement(0.5, stabilization=4.0)
    0.5
    """
    return np.sqrt(2.0 * progressive_sharpening) / np.sqrt(stabilization)


@closed_form(**_CYCLE)
def edge_inertia_number(lr: Any, momentum: Any, progressive_sharpening: Any) -> Any:
    """Return the inertia number of cycles at the edge of stability.

    κ = (1 + β)√(2a)/(2(1 − β)²), a = η²α

    Parameters
    ----------
    lr
        Learning rate η > 0.
    momentum
        β in [0, 1).
    progressive_sharpening
        α > 0.

    Returns
    -------
    float or ndarray
        κ, nondimensional.

    Notes
    -----
    Source: new here; proof in ``derivations/a4_inertia.py``.

    Examples
    --------
    >>> round(edge_inertia_number(1.0, 0.9, 0.5e-4), 12)
    0.95
    """
    rate = lr * np.sqrt(2.0 * progressive_sharpening)  # √(2a)
    return (1.0 + momentum) * rate / (2.0 * (1.0 - momentum) ** 2)


@closed_form(**_CYCLE)
def cycle_period(lr: Any, momentum: Any, progressive_sharpening: Any) -> Any:
    """Return the period of small cycles of sharpness about the threshold, to leading order in a.

    2π(1 − β)/√(2a), a = η²α

    Parameters
    ----------
    lr
        Learning rate η > 0.
    momentum
        β in [0, 1).
    progressive_sharpening
        α > 0.

    Returns
    -------
    float or ndarray
        Steps per cycle; infinity where it overflows.

    Notes
    -----
    Source: proof in ``derivations/a7_edge.py``.

    Examples
    --------
    >>> round(cycle_period(1.0, 0.5, 0.5e-4), 6)
    314.159265
    """
    rate = lr * np.sqrt(2.0 * progressive_sharpening)  # √(2a)
    return 2.0 * np.pi * (1.0 - momentum) / rate


@closed_form(lr=POSITIVE, momentum=MOMENTUM, progressive_sharpening=NOT_NEGATIVE, largest_excess=NOT_NEGATIVE)
def slow_period(lr: Any, momentum: Any, progressive_sharpening: Any, largest_excess: Any) -> Any:
    """Return the period of cycles of any size about the threshold, in the slow limit.

    T = ((1 − β)/(η√α)) ∫dq/√(m² − (e^q − 1 − q)) between the zeros of the root, m = y_max/√α, q = ln(A²/δ²)

    Small cycles have :func:`cycle_period`. Large ones spend 2(1 − β)y_max/(ηα) of it on sharpening from −y_max to
    y_max. b² sets the swing of a cycle and not its period.

    Parameters
    ----------
    lr
        Learning rate η > 0.
    momentum
        β in [0, 1).
    progressive_sharpening
        α >= 0.
    largest_excess
        y_max >= 0, the largest S − S* of a cycle: :func:`slow_energy` is y_max²/2 above its least value.

    Returns
    -------
    float or ndarray
        Steps per cycle; infinity without progressive sharpening, and where it overflows.

    Notes
    -----
    Source: new here; proof in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> slow_period(1.0, 0.5, 0.5e-4, [0.0, 0.02, 0.2]).round(3)
    array([ 314.159,  511.129, 4022.644])
    """
    root = np.sqrt(progressive_sharpening)
    size = np.divide(largest_excess, root, out=np.full_like(root, np.inf), where=root > 0.0)
    return (1.0 - momentum) / lr * ((2.0 * size + _bent(size)) / root)


def _bent(size: Array) -> Array:
    """Return ∫_0^m (f(s) + f(−s) − 2s)ds/√(m² − s²), f = 2s/(e^q − 1), s² = e^q − 1 − q, of q's sign.

    2m of the whole period are left out: at q < 0 f is −2s up to a term that dies as e^{−s²}. With s = sinh(V − p²),
    m = sinh V, the root is √(sinh p² sinh(2V − p²)): nothing diverges, and the width of f at s = 1 is kept.
    """
    # Beyond 1e8 the whole is 2m to rounding; 1e-150 stands for zero.
    far = np.arcsinh(np.clip(size, 1e-150, 1e9))[..., None]
    squared = far * _AT**2
    s = np.sinh(far - squared)
    above, below = _logarithm(s), _logarithm(-s)
    f = 2.0 * s / np.expm1(above) + 2.0 * s / np.expm1(-below)  # f(−s) − 2s = 2s/(e^{−q} − 1)
    measure = (
        np.cosh(far - squared) * 2.0 * far * _AT / np.sqrt(np.sinh(squared) * np.sinh(2.0 * far - squared))
    )
    return np.asarray(np.sum(_SHARE * f * measure, axis=-1))


def _logarithm(s: Array) -> Array:
    """Return q of the sign of s with e^q − 1 − q = s², by Newton's method on the root of the left side."""
    length = np.abs(s)
    q = np.where(s > 0.0, 2.0 * np.log1p(length / np.sqrt(2.0)), -length * (np.sqrt(2.0) + length))
    for _ in range(8):
        near = np.abs(q) < 0.5
        small = np.where(near, q, 0.0)
        series = np.polynomial.polynomial.polyval(small, _EXPONENTIAL)
        large = np.where(near, 1.0, q)
        root = np.where(near, q * np.sqrt(0.5 * series), np.sign(q) * np.sqrt(np.expm1(large) - large))
        q = q - (root - s) * 2.0 * root / np.expm1(q)
    return np.asarray(q)


@closed_form(**_CYCLE)
def cycle_growth(lr: Any, momentum: Any, progressive_sharpening: Any) -> Any:
    """Return the factor by which small cycles grow from one to the next, to leading order in κ.

    exp(2πκ), κ = (1 + β)√(2a)/(2(1 − β)²), a = η²α

    Parameters
    ----------
    lr
        Learning rate η > 0.
    momentum
        β in [0, 1).
    progressive_sharpening
        α > 0.

    Returns
    -------
    float or ndarray
        The factor per cycle, above 1; infinity where it overflows.

    Notes
    -----
    Source: new here; proof in ``derivations/a7_edge.py``.

    Examples
    --------
    >>> round(cycle_growth(1.0, 0.5, 1e-6), 6)
    1.027016
    """
    kappa = edge_inertia_number(lr, momentum, progressive_sharpening)
    return np.exp(2.0 * np.pi * kappa)
