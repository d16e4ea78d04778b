"""Cycles at the edge where the sharp direction is coupled to itself, ½(y + ζx)x² − ε(x + y): growth or decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab import validation
from selfstab.theory.arguments import joined, plain


@np.errstate(over="ignore", invalid="ignore")
def cycle_drift(lr: Any, momentum: Any, zeta: Any) -> Any:
    """Return the rate at which cycles of any size at the edge gain energy on ½(y + ζx)x² − ε(x + y).

    dE/d(εt) = η²⟨y₁²⟩[2(1 + β)/(1 − β)³ − 9ζ²/(1 − β²)], E = y₁²/2 + A²/4 − ½ ln A²,
    with x = √ε(−1)^t A, y = S* + √ε y₁

    Parameters
    ----------
    lr
        Learning rate η > 0.
    momentum
        β in [0, 1).
    zeta
        ζ, the strength of the x³ term, any finite number.

    Returns
    -------
    float or ndarray
        dE/d(εt) over ⟨y₁²⟩, to leading order in ε; below 0 cycles die out. Small cycles, whose E is ⟨y₁²⟩, grow by
        exp of half of it per unit of εt.

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: new here for β > 0; proof in ``derivations/a7_drift.py``.

    Examples
    --------
    >>> round(cycle_drift(1.0, 0.0, 0.0), 12)
    2.0
    >>> round(cycle_drift(1.0, 0.5, 2.0), 12)
    -24.0
    """
    lr, momentum, zeta = joined(
        lr=validation.broadcastable("lr", lr, above=0),
        momentum=validation.broadcastable("momentum", momentum, at_least=0, below=1),
        zeta=validation.broadcastable("zeta", zeta),
    )
    rest = 1.0 - momentum
    # A product of differences keeps its digits next to the critical ζ.
    grows, damps = np.sqrt(2.0) * (1.0 + momentum), 3.0 * zeta * rest
    return plain(lr**2 * ((grows - damps) / rest**2) * ((grows + damps) / rest) / (1.0 + momentum))


def critical_coupling(momentum: Any) -> Any:
    """Return the coupling ζ beyond which cycles at the edge die out on ½(y + ζx)x² − ε(x + y).

    ζ = (√2/3)(1 + β)/(1 − β)

    Parameters
    ----------
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        ζ > 0; −ζ is critical, too.

    Raises
    ------
    TypeError, ValueError
        If momentum is not real, out of range or not finite.

    Notes
    -----
    Source: new here for β > 0; proof in ``derivations/a7_drift.py``.

    Examples
    --------
    >>> round(critical_coupling(0.5), 6)
    1.414214
    """
    momentum = validation.broadcastable("momentum", momentum, at_least=0, below=1)
    return plain(np.sqrt(2.0) / 3.0 * ((1.0 + momentum) / (1.0 - momentum)))
