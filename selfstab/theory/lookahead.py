"""Catapults with lookahead γ, Nesterov's method (γ = β) among them: oscillation and sharpness differ in inertia.

Everything here holds for −(1 − β)/4 < γ, where the flip is the first instability, and is heavy ball's at γ = 0.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, POSITIVE, REAL, Range, closed_form
from selfstab.validation import Array

_LOOKAHEAD: Final = Range(above=-0.25)


def _friction(momentum: Array, lookahead: Array) -> Array:
    """Return 1 + 4γ − β, or raise where it is not above 0."""
    friction = (1.0 - momentum) + 4.0 * lookahead
    if (friction <= 0.0).any():
        first = float(lookahead[friction <= 0.0][0])
        raise ValueError(f"lookahead must be above -(1 - momentum)/4, got {first!r}")
    return friction


@closed_form(lookahead=_LOOKAHEAD, momentum=MOMENTUM)
def envelope_momentum(momentum: Any, lookahead: Any = 0.0) -> Any:
    """Return the momentum β_e that the envelope of the oscillation obeys; sharpness keeps β itself.

    β_e = (β − 2γ)/(1 + 2γ)

    Parameters
    ----------
    momentum
        β in [0, 1).
    lookahead
        γ > −(1 − β)/4: 0 is Polyak's method, `momentum` Nesterov's.

    Returns
    -------
    float or ndarray
        β_e in (−1, 1), nondimensional.

    Notes
    -----
    Source: new here; proof in ``derivations/a5b_lookahead.py``.

    Examples
    --------
    >>> round(envelope_momentum(0.9, 0.9), 12)
    -0.321428571429
    """
    _friction(momentum, lookahead)
    return (momentum - 2.0 * lookahead) / (1.0 + 2.0 * lookahead)


@closed_form(excess=REAL, lookahead=_LOOKAHEAD, momentum=MOMENTUM)
def lookahead_rate(excess: Any, momentum: Any, lookahead: Any = 0.0) -> Any:
    """Return the rate μ at which a catapult grows from a relative excess above the threshold, to leading order.

    μ = 2(1 + β)(1 + 2γ)ε/(1 + 4γ − β)

    Parameters
    ----------
    excess
        ε = S/S* − 1 at the start, any finite number.
    momentum
        β in [0, 1).
    lookahead
        γ > −(1 − β)/4.

    Returns
    -------
    float or ndarray
        μ per step.

    Notes
    -----
    Source: new here; proof in ``derivations/a5b_lookahead.py``.

    Examples
    --------
    >>> [round(lookahead_rate(0.01, 0.9, gamma), 6) for gamma in (0.0, 0.9)]
    [0.38, 0.028757]
    """
    friction = _friction(momentum, lookahead)
    return 2.0 * (1.0 + momentum) * ((1.0 + 2.0 * lookahead) / friction) * excess


@closed_form(excess=REAL, lookahead=_LOOKAHEAD, momentum=MOMENTUM)
def lookahead_inertia_number(excess: Any, momentum: Any, lookahead: Any = 0.0) -> Any:
    """Return the number κ_e that takes the inertia number's place to second order in the overshoot.

    κ_e = (μ/3)[γ/(1 + 2γ) − 2γ + (1 + β)/(1 − β) + (1 + β)/(2(1 + 4γ − β))]

    with μ of :func:`lookahead_rate`. It is positive for 0 <= γ <= β and ε > 0, and becomes negative as γ grows
    further: such catapults drop by less than the slow limit's 2y₀.

    Parameters
    ----------
    excess
        ε = S/S* − 1 at the start, any finite number.
    momentum
        β in [0, 1).
    lookahead
        γ > −(1 − β)/4.

    Returns
    -------
    float or ndarray
        κ_e, nondimensional; :func:`inertia_number` at γ = 0.

    Notes
    -----
    Source: new here; proof in ``derivations/a5b_lookahead.py``.

    Examples
    --------
    >>> [round(lookahead_inertia_number(0.01, 0.9, gamma), 6) for gamma in (0.0, 0.9)]
    [3.61, 0.170414]
    """
    friction = _friction(momentum, lookahead)
    rate = lookahead_rate(excess, momentum, lookahead)
    bracket = (
        lookahead / (1.0 + 2.0 * lookahead)
        - 2.0 * lookahead
        + (1.0 + momentum) * (1.0 / (1.0 - momentum) + 0.5 / friction)
    )
    return rate * bracket / 3.0


@closed_form(y0=NOT_NEGATIVE, stabilization=POSITIVE, lookahead=_LOOKAHEAD, momentum=MOMENTUM)
def lookahead_displacement(y0: Any, momentum: Any, lookahead: Any = 0.0, stabilization: Any = 1.0) -> Any:
    """Return the largest swing of a catapult without progressive sharpening, in the slow limit.

    A_max = (√2 y₀/b)√((1 − β)/(1 + 4γ − β))

    Parameters
    ----------
    y0
        S − S* at the start, >= 0.
    momentum
        β in [0, 1).
    lookahead
        γ > −(1 − β)/4: at γ = 0 the swing does not depend on momentum, with lookahead it is smaller.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        A_max in units of the weights.

    Notes
    -----
    Source: new here; proof in ``derivations/a5b_lookahead.py``.

    Examples
    --------
    >>> [round(lookahead_displacement(0.1, 0.9, gamma), 6) for gamma in (0.0, 0.9)]
    [0.141421, 0.02325]
    """
    share = np.sqrt((1.0 - momentum) / _friction(momentum, lookahead))
    return np.sqrt(2.0) * y0 / np.sqrt(stabilization) * share


@closed_form(excess=NOT_NEGATIVE, lookahead=_LOOKAHEAD, momentum=MOMENTUM)
def lookahead_overshoot(excess: Any, momentum: Any, lookahead: Any = 0.0) -> Any:
    """Return the drop of sharpness in a small catapult, in units of 2y₀, through third order in the rate μ.

    G = 1 + κ_e + 2κ_e² + G₃μ³

    Both inertias enter G₃; what is left out is of order μ⁴ and, where κ_e is not small, not small either. At
    γ = 0 it is 1 + κ + 2κ² + (1 + (7/3)ρ²)κ³, ρ = (1 − β)/(1 + β), for which :func:`overshoot` is the law at any κ.

    Parameters
    ----------
    excess
        ε = S/S* − 1 at the start, >= 0.
    momentum
        β in [0, 1).
    lookahead
        γ > −(1 − β)/4.

    Returns
    -------
    float or ndarray
        G, nondimensional, exactly 1 at ε = 0.

    Notes
    -----
    Source: new here; proof in ``derivations/a5b_lookahead.py``.

    Examples
    --------
    >>> [round(lookahead_overshoot(0.001, 0.9, gamma), 6) for gamma in (0.45, 0.9)]
    [1.025008, 1.017624]
    """
    q = (1.0 + momentum) / _friction(momentum, lookahead)
    r = (1.0 + momentum) / (1.0 - momentum)
    c, g = lookahead, lookahead / (1.0 + 2.0 * lookahead)
    third = (
        r**2 * (32.0 * r + 120.0 * q - 624.0 * c + 240.0 * g)
        + r * (6.0 * q**2 - 624.0 * c * q + 276.0 * g * q + 1824.0 * c**2 - 1248.0 * c * g + 528.0 * g**2)
        + r * (204.0 + 288.0 * c - 252.0 * g)
        + q
        * (111.0 - 23.0 * q**2 - 12.0 * c * q + 114.0 * g * q + 768.0 * c**2 - 552.0 * c * g + 480.0 * g**2)
        + q * (144.0 * c - 126.0 * g)
        + c * (1536.0 * c * g - 1408.0 * c**2 - 1056.0 * g**2 - 288.0 * c + 792.0 * g - 264.0)
        + g * (320.0 * g**2 + 96.0)
    ) / 1080.0
    kappa = lookahead_inertia_number(excess, momentum, lookahead)
    rate = lookahead_rate(excess, momentum, lookahead)
    return 1.0 + kappa * (1.0 + 2.0 * kappa) + third * rate * rate * rate
