"""The edge of stability of any linear optimizer: cycles, warmup's crossing and noise of the curvature.

Optimizers are given as in ``linear``: as objects, or as (numerator, denominator) of T.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab.theory.arguments import NOT_NEGATIVE, POSITIVE, joined, plain
from selfstab.theory.transfer import expansions, transfer_function
from selfstab.transfer_functions import characteristic, impulse_energy


def linear_cycle_period(optimizer: Any, progressive_sharpening: Any) -> Any:
    """Return the period of small cycles of sharpness about the threshold, to leading order.

    2π/ω, ω = √(2αc₀/(σS*))

    Parameters
    ----------
    optimizer
        A linear optimizer with a number as lr, or (numerator, denominator) of T.
    progressive_sharpening
        α > 0.

    Returns
    -------
    float or ndarray
        Steps per cycle. :func:`cycle_period` for heavy ball.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or α is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_edge.py``.

    Examples
    --------
    >>> round(linear_cycle_period(([1.0, 0.0], [1.0, -1.5, 0.5]), 0.5e-4), 6)
    314.159265
    """
    alpha = POSITIVE.checked("progressive_sharpening", progressive_sharpening)
    return plain(2.0 * np.pi / _frequency(optimizer, alpha))


def linear_cycle_growth(optimizer: Any, progressive_sharpening: Any) -> Any:
    """Return the factor by which small cycles grow from one to the next, to leading order.

    exp(2πκ), κ = (κ_x + κ_y)/2 with the inertias at the rate ω: κ_x = ω(σ − a₂/σ), κ_y = ωτ

    Parameters
    ----------
    optimizer
        A linear optimizer with a number as lr, or (numerator, denominator) of T.
    progressive_sharpening
        α > 0.

    Returns
    -------
    float or ndarray
        The factor per cycle; infinity where it overflows. :func:`cycle_growth` for heavy ball.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or α is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_edge.py``.

    Examples
    --------
    >>> round(linear_cycle_growth(([1.0, 0.0], [1.0, -1.5, 0.5]), 1e-6), 6)
    1.027016
    """
    alpha = POSITIVE.checked("progressive_sharpening", progressive_sharpening)
    known = expansions(transfer_function(optimizer))
    kappa = 0.5 * _frequency(optimizer, alpha) * (known.swing[0] + known.sharpness[0])
    with np.errstate(over="ignore"):
        return plain(np.exp(2.0 * np.pi * kappa))


def linear_crossing_amplitude(optimizer: Any, noise: Any, ramp: Any) -> Any:
    """Return the amplitude at which gradient noise leaves the oscillation as warmup crosses the threshold.

    x_c = (s/(σS*))(πσ/ε')^{1/4}

    Parameters
    ----------
    optimizer
        A linear optimizer with the lr of the crossing, or (numerator, denominator) of T.
    noise
        s >= 0, the standard deviation of the noise in each gradient.
    ramp
        ε' > 0, the rise of the relative excess per step; slow as compared with the optimizer's memory.

    Returns
    -------
    float or ndarray
        x_c in units of the weights, root mean square. :func:`crossing_amplitude` for heavy ball.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or a number is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_edge.py``.

    Examples
    --------
    >>> round(linear_crossing_amplitude(([1.0, 0.0], [1.0, -1.5, 0.5]), 1e-3, 1e-6), 6)
    0.0538
    """
    numbers = joined({"noise": NOT_NEGATIVE.checked("noise", noise), "ramp": POSITIVE.checked("ramp", ramp)})
    known = expansions(transfer_function(optimizer, at_lr=True))
    per_step = numbers["noise"] / (known.sigma * known.threshold)
    with np.errstate(over="ignore"):
        return plain(per_step * (np.pi * known.sigma) ** 0.25 * numbers["ramp"] ** -0.25)


def linear_batch_sharpness(optimizer: Any, mean_sharpness: Any) -> Any:
    """Return the batch sharpness E h²/E h at which the mean square begins to grow when curvatures are drawn anew.

    B = μ + s²/μ with s²Σh_k² = 1, h the response of T/(1 + μT): from 2/c₀, where noise decides, to S* without noise

    Parameters
    ----------
    optimizer
        A linear optimizer with a number as lr, or (numerator, denominator) of T.
    mean_sharpness
        μ >= 0, the mean of the curvature, up to S*.

    Returns
    -------
    float or ndarray
        B in units of 1/lr; NaN for μ > S*, where even the mean diverges. It is a line in μ for heavy ball,
        :func:`max_stable_batch_sharpness`.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or μ is out of its range.

    Notes
    -----
    Source: proof in ``derivations/a11_edge.py``.

    Examples
    --------
    >>> linear_batch_sharpness(([0.5, 0.0], [1.0, -1.5, 0.5]), [0.0, 3.0, 6.0]).round(9)
    array([2., 4., 6.])
    """
    mean = NOT_NEGATIVE.checked("mean_sharpness", mean_sharpness)
    system = transfer_function(optimizer, at_lr=True)
    known = expansions(system)
    out = np.empty(mean.shape)
    for k in np.ndindex(mean.shape):
        mu = float(mean[k])
        # Close to the ends one mode has nearly all of Σh_k², and rounding decides whether it is inside.
        if mu <= 1e-9 * known.threshold:
            out[k] = 2.0 / known.gain
        elif mu >= (1.0 - 1e-9) * known.threshold:
            out[k] = known.threshold if mu <= (1.0 + 1e-9) * known.threshold else np.nan
        else:
            response = float(impulse_energy(system.numerator, characteristic(system, mu)))
            out[k] = mu + 1.0 / (response * mu)
    return plain(out)


def _frequency(optimizer: Any, alpha: Any) -> Any:
    """Return ω of small cycles."""
    known = expansions(transfer_function(optimizer, at_lr=True))
    return np.sqrt(2.0 * known.gain / (known.sigma * known.threshold)) * np.sqrt(alpha)
