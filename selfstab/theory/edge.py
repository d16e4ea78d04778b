"""Small cycles at the edge of stability, where progressive sharpening and self-stabilization balance."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab import validation
from selfstab.theory.broadcast import joined, plain
from selfstab.validation import Array


def _cycle(lr: Any, momentum: Any, progressive_sharpening: Any) -> tuple[Array, Array]:
    """Return √(2a) = η√(2α) and β, validated and broadcast."""
    lr, momentum, alpha = joined(
        lr=validation.broadcastable("lr", lr, above=0),
        momentum=validation.broadcastable("momentum", momentum, at_least=0, below=1),
        progressive_sharpening=validation.broadcastable(
            "progressive_sharpening", progressive_sharpening, above=0
        ),
    )
    return lr * np.sqrt(2.0 * alpha), momentum


@np.errstate(over="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: [Damian2023]_; proof in ``derivations/a7_edge.py``.

    Examples
    --------
    >>> edge_displacement(0.5, stabilization=4.0)
    0.5
    """
    alpha, b2 = joined(
        progressive_sharpening=validation.broadcastable(
            "progressive_sharpening", progressive_sharpening, at_least=0
        ),
        stabilization=validation.broadcastable("stabilization", stabilization, above=0),
    )
    return plain(np.sqrt(2.0 * alpha) / np.sqrt(b2))


@np.errstate(over="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: new here; proof in ``derivations/a4_inertia.py``.

    Examples
    --------
    >>> round(edge_inertia_number(1.0, 0.9, 0.5e-4), 12)
    0.95
    """
    rate, momentum = _cycle(lr, momentum, progressive_sharpening)
    return plain((1.0 + momentum) * rate / (2.0 * (1.0 - momentum) ** 2))


@np.errstate(over="ignore", divide="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: proof in ``derivations/a7_edge.py``.

    Examples
    --------
    >>> round(cycle_period(1.0, 0.5, 0.5e-4), 6)
    314.159265
    """
    rate, momentum = _cycle(lr, momentum, progressive_sharpening)
    return plain(2.0 * np.pi * (1.0 - momentum) / rate)


@np.errstate(over="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: new here; proof in ``derivations/a7_edge.py``.

    Examples
    --------
    >>> round(cycle_growth(1.0, 0.5, 1e-6), 6)
    1.027016
    """
    kappa = np.asarray(edge_inertia_number(lr, momentum, progressive_sharpening))
    return plain(np.exp(2.0 * np.pi * kappa))
