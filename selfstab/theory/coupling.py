"""Cycles at the edge where the sharp direction is coupled to itself, ½(y + ζx)x² − ε(x + y): growth or decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab.theory.arguments import MOMENTUM, POSITIVE, REAL, closed_form


@closed_form(lr=POSITIVE, momentum=MOMENTUM, zeta=REAL)
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
        dE/d(εt), divided by ⟨y₁²⟩, to leading order in ε; below 0 cycles die out. Small cycles, whose E is ⟨y₁²⟩, grow
        by exp of half of it per unit of εt.

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
    rest = 1.0 - momentum
    # A product of differences keeps its digits next to the critical ζ.
    grows, damps = np.sqrt(2.0) * (1.0 + momentum), 3.0 * zeta * rest
    return lr**2 * ((grows - damps) / rest**2) * ((grows + damps) / rest) / (1.0 + momentum)


@closed_form(momentum=MOMENTUM)
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

    Notes
    -----
    Source: new here for β > 0; proof in ``derivations/a7_drift.py``.

    Examples
    --------
    >>> round(critical_coupling(0.5), 6)
    1.414214
    """
    return np.sqrt(2.0) / 3.0 * ((1.0 + momentum) / (1.0 - momentum))
