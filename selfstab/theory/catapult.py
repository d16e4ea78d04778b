"""The overshoot law: how far below the threshold a catapult throws the sharpness, and how high the loss."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import NOT_NEGATIVE, POSITIVE, closed_form
from selfstab.theory.overshoot_table import CHEBYSHEV, FAR, TABLE
from selfstab.theory.spike_table import CHEBYSHEV as SPIKE_CHEBYSHEV
from selfstab.validation import Array

SERIES: Final = (1, 1, 2, 1, -10, -22, 100, 3223 / 7, -9406 / 7, -76862 / 7, 157700 / 7)
"""Coefficients of κ⁰, κ¹, ... in the series of G at κ = 0 (asymptotic): ``derivations/a5_overshoot.py``."""


@closed_form(kappa=NOT_NEGATIVE)
def overshoot(kappa: Any) -> Any:
    """Return the drop of sharpness in a catapult, in units of the slow limit's 2y₀.

    G(κ) = (y₀ − y_f)/(2y₀), from the orbit that leaves (a, y) = (0, 1) in a' + κa'' = ya, y' + κy'' = −a²/2

    G = 1 + κ + 2κ² + κ³ − 10κ⁴ − ... for small κ and G → 3.32745 κ^{2/3} for large κ.

    Parameters
    ----------
    kappa
        Inertia number κ >= 0, see :func:`inertia_number`.

    Returns
    -------
    float or ndarray
        G, nondimensional, exactly 1 at κ = 0. The relative errors of G and of G − 1 are below 1e-11 up to
        κ = 10⁴; beyond, the fitted asymptotic form is within 1e-9.

    Notes
    -----
    Source: new here; series and definition in ``derivations/a5_overshoot.py``, coefficients from
    ``derivations/overshoot_table.py``.

    Examples
    --------
    >>> overshoot(0)
    1.0
    >>> [round(g, 6) for g in overshoot([0.1, 1.0, 10.0]).tolist()]
    [1.119906, 2.653417, 13.31219]
    """
    lowest, highest = TABLE
    small, far = kappa < lowest, kappa > highest
    inside = np.clip(kappa, lowest, highest)
    position = 2.0 * (np.log(inside) - np.log(lowest)) / (np.log(highest) - np.log(lowest)) - 1.0
    scaled = np.polynomial.chebyshev.chebval(position, CHEBYSHEV)
    table = 1.0 + inside / (1.0 + inside) ** (1.0 / 3.0) * scaled
    series = np.polynomial.polynomial.polyval(np.minimum(kappa, lowest), SERIES)
    return np.where(small, series, np.where(far, _far(np.where(far, kappa, highest)), table))


def _far(kappa: Array) -> Array:
    return 0.5 + kappa ** (2.0 / 3.0) * np.polynomial.polynomial.polyval(kappa**-0.5, FAR)


@closed_form(kappa=NOT_NEGATIVE)
def spike_factor(kappa: Any) -> Any:
    """Return the height of a catapult's spike in the loss, in units of the slow limit's S*y₀²/b².

    F(κ) = ½ max a², from the orbit that leaves (a, y) = (0, 1) in a' + κa'' = ya, y' + κy'' = −a²/2

    F = 1 + 2κ + O(κ²) for small κ and F → 5.83143 for large κ: the largest swing is √F times the slow limit's.

    Parameters
    ----------
    kappa
        Inertia number κ >= 0, see :func:`inertia_number`.

    Returns
    -------
    float or ndarray
        F, nondimensional, exactly 1 at κ = 0; the relative error is below 1e-11. The spike is :func:`loss_spike`
        times it to leading order in the relative excess.

    Notes
    -----
    Source: new here; limits in ``derivations/a5_overshoot.py``, coefficients from ``derivations/spike_table.py``.

    Examples
    --------
    >>> spike_factor(0)
    1.0
    >>> [round(f, 6) for f in spike_factor([0.1, 1.0, 10.0]).tolist()]
    [1.201336, 2.289323, 4.08273]
    """
    rate = 1.0 / (0.5 + np.sqrt(0.25 + kappa))
    # κr² is 1 − r without cancellation at small κ.
    return 1.0 + kappa * rate * rate * np.polynomial.chebyshev.chebval(2.0 * rate - 1.0, SPIKE_CHEBYSHEV)


@closed_form(threshold=POSITIVE, y0=NOT_NEGATIVE, kappa=NOT_NEGATIVE)
def final_sharpness(threshold: Any, y0: Any, kappa: Any) -> Any:
    """Return the sharpness at which a catapult ends.

    S_f = S* − y₀(2G(κ) − 1)

    Parameters
    ----------
    threshold
        S* > 0.
    y0
        S − S* at the start, >= 0, absolute, in the unit of `threshold`.
    kappa
        Inertia number κ >= 0.

    Returns
    -------
    float or ndarray
        S_f in the unit of `threshold`. The law is that of the cubic model, in which the sharpness has no floor. A
        result near or below 0 says that the catapult is too large for the law.

    Notes
    -----
    Source: new here; proof in ``derivations/a5_overshoot.py``.

    Examples
    --------
    >>> final_sharpness(4.0, 0.5, 0.0)
    3.5
    """
    return threshold - y0 * (2.0 * overshoot(kappa) - 1.0)
