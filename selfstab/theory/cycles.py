"""Two-cycles beyond the threshold: the flip that bears them, their size, and their own stability."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab.theory.arguments import MOMENTUM, POSITIVE, REAL, closed_form


@closed_form(lr=POSITIVE, momentum=MOMENTUM, second=POSITIVE, third=REAL, fourth=REAL)
def flip_coefficient(lr: Any, momentum: Any, second: Any, third: Any, fourth: Any) -> Any:
    """Return the cubic coefficient of the flip at the threshold, above 0 where stable two-cycles are born.

    z' = −z + cz³, c = η(3L₃²/L₂ − L₄)/(6(1 − β))

    Parameters
    ----------
    lr
        Learning rate η > 0, at the threshold ηL₂ = 2(1 + β).
    momentum
        β in [0, 1).
    second, third, fourth
        Derivatives L₂ > 0, L₃, L₄ of a scalar loss at its minimum.

    Returns
    -------
    float or ndarray
        c per squared unit of the weight: its sign is that of 3L₃²/L₂ − L₄ at every β.

    Notes
    -----
    Source: proof in ``derivations/a9_two_cycles.py``.

    Examples
    --------
    >>> flip_coefficient(1.5, 0.5, 2.0, 6.0, 6.0)
    24.0
    """
    return lr * (3.0 * third * (third / second) - fourth) / (6.0 * (1.0 - momentum))


@closed_form(excess=REAL, second=POSITIVE, third=REAL, fourth=REAL)
def two_cycle_half_amplitude(excess: Any, second: Any, third: Any, fourth: Any) -> Any:
    """Return half the distance of the two points of the cycle near a minimum, to leading order in e.

    A² = 6L₂e/(3L₃²/L₂ − L₄), the same at every momentum

    Parameters
    ----------
    excess
        e = L₂/S* − 1, any finite number.
    second, third, fourth
        Derivatives L₂ > 0, L₃, L₄ of a scalar loss at its minimum.

    Returns
    -------
    float or ndarray
        A in units of the weight, NaN where there is no cycle. For a stable cycle both e and 3L₃²/L₂ − L₄ must be above
        0, for an unstable one both below.

    Notes
    -----
    Source: proof in ``derivations/a9_two_cycles.py``.

    Examples
    --------
    >>> two_cycle_half_amplitude(0.04, 2.0, 6.0, 6.0)
    0.1
    """
    squared = 6.0 * second * excess / (3.0 * third * (third / second) - fourth)
    return np.sqrt(np.where(np.isfinite(squared) & (squared >= 0.0), squared, np.nan))


@closed_form(lr_times_first=REAL, lr_times_second=REAL, momentum=MOMENTUM)
def two_cycle_growth(lr_times_first: Any, lr_times_second: Any, momentum: Any) -> Any:
    """Return the factor by which a small deviation from a two-cycle grows in its two steps.

    The larger |λ| of λ² − (p − 2β)λ + β² = 0, p = (1 + β − h₊)(1 + β − h₋): below 1 for −(1 − β)² < p < (1 + β)²;
    β exactly for 0 <= p <= 4β.

    Parameters
    ----------
    lr_times_first, lr_times_second
        h± = ηL'' at the cycle's two points.
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        |λ| per two steps, nondimensional.

    Notes
    -----
    Source: new here; proof in ``derivations/a9_two_cycles.py``.

    Examples
    --------
    >>> two_cycle_growth(1.0, 3.0, 0.0)
    0.0
    >>> two_cycle_growth(1.5, 2.0, 0.5)
    0.5
    """
    p = (1.0 + momentum - lr_times_first) * (1.0 + momentum - lr_times_second)
    beyond = (p < 0.0) | (p > 4.0 * momentum)
    width = np.sqrt(np.abs(p)) * np.sqrt(np.abs(p - 4.0 * momentum))
    return np.where(beyond, 0.5 * (np.abs(p - 2.0 * momentum) + width), momentum)
