"""The overshoot on a general loss: how its curved sharpness and its quartic part change the drop of a catapult."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, REAL, Range, closed_form
from selfstab.theory.catapult import overshoot
from selfstab.theory.deviation_table import SCALES, TABLE, P, Q, R
from selfstab.theory.stabilization import inertia_number
from selfstab.validation import Array

SERIES: Final = (
    (
        -2 / 3,
        -8 / 3,
        -118 / 15,
        -128 / 15,
        4244 / 105,
        14128 / 105,
        -10970 / 21,
        -334832 / 105,
        29913964 / 3465,
    ),
    (
        4 / 3,
        16 / 3,
        188 / 15,
        -32 / 15,
        -11752 / 105,
        -8672 / 105,
        196436 / 105,
        54976 / 15,
        -138608216 / 3465,
    ),
    (0.0, 0.0, 7 / 3, 14.0, 52 / 5, -3512 / 15, -23063 / 35, 99202 / 21),
)
"""Coefficients of κ⁰, κ¹, ... in the series of P, Q and R at κ = 0 (asymptotic): ``derivations/a5_deviation.py``."""


@closed_form(kappa=Range(at_least=0, at_most=TABLE[1]), sharpness_curvature=REAL, quartic=REAL)
def overshoot_deviation(kappa: Any, sharpness_curvature: Any = 0.0, quartic: Any = 0.0) -> Any:
    """Return how much the overshoot on a loss differs from the law's G(κ), per relative excess ε.

    D = σP(κ) + τQ(κ) + R(κ), so that drop/(2y₀) = G(κ) + εD + O(ε²)

    P, Q and R are the same for every loss; R belongs to the map and is all there is on the cubic model. At small
    κ D = (4τ − 2σ)/3, and for large κ σP → −1.23516 σG² while τQ grows as G only.

    Parameters
    ----------
    kappa
        Inertia number κ from 0 to 100, see :func:`inertia_number`.
    sharpness_curvature
        σ = S·S''/b², see :func:`deviation_coefficients`.
    quartic
        τ, see :func:`deviation_coefficients`.

    Returns
    -------
    float or ndarray
        D, nondimensional. The relative errors of P and Q are below 1e-8, that of R below 1e-6.

    Notes
    -----
    Source: new here; proof in ``derivations/a5_deviation.py``, coefficients from ``derivations/deviation_table.py``.

    Examples
    --------
    >>> round(overshoot_deviation(0.0, sharpness_curvature=5 / 6, quartic=-1 / 3), 12)
    -1.0
    """
    of_curvature, of_quartic, of_map = (_universal(k, kappa) for k in range(3))
    return sharpness_curvature * of_curvature + quartic * of_quartic + of_map


def _universal(which: int, kappa: Array) -> Array:
    """Return P, Q or R (0, 1, 2) at κ."""
    lowest, highest = TABLE
    power, far = SCALES[which]
    inside = np.maximum(kappa, lowest)
    position = 2.0 * np.log(inside / lowest) / np.log(highest / lowest) - 1.0
    scaled = np.polynomial.chebyshev.chebval(position, (P, Q, R)[which])
    series = np.polynomial.polynomial.polyval(np.minimum(kappa, lowest), SERIES[which])
    return np.where(kappa < lowest, series, scaled * inside**-power * (1.0 + inside) ** -far)


@closed_form(excess=NOT_NEGATIVE, momentum=MOMENTUM, sharpness_curvature=REAL, quartic=REAL)
def overshoot_on_loss(excess: Any, momentum: Any, sharpness_curvature: Any = 0.0, quartic: Any = 0.0) -> Any:
    """Return the drop of sharpness in a catapult on a general loss, in units of 2y₀, with its first correction.

    drop/(2y₀) = G(κ) + ε[σP(κ) + τQ(κ) + R(κ)] + O(ε²), κ = ε((1 + β)/(1 − β))²

    The remainder is O(ε²) at fixed momentum and at fixed κ. The relative error is of the order of
    three terms: 2εGσ, 2εG and ετ. Here 2εG is the relative drop, and the second term comes from the steps of the map.
    Where these are not small the result means nothing.

    Parameters
    ----------
    excess
        ε = S/S* − 1 >= 0 at the start, which is a minimum.
    momentum
        β in [0, 1), with κ at most 100.
    sharpness_curvature, quartic
        σ and τ of the loss at the start, see :func:`deviation_coefficients`.

    Returns
    -------
    float or ndarray
        drop/(2y₀), nondimensional, without the remainder.

    Notes
    -----
    Source: new here; proof in ``derivations/a5_deviation.py``.

    Examples
    --------
    The product ½(uv − 1)² at sharpness 4 has σ = 5/6, τ = −1/3; the law alone says 1.01020:

    >>> round(overshoot_on_loss(0.01, 0.0, 5 / 6, -1 / 3), 5)
    0.99979
    """
    kappa = inertia_number(excess, momentum)
    deviation = overshoot_deviation(kappa, sharpness_curvature, quartic)
    return overshoot(kappa) + excess * deviation


def deviation_coefficients(
    hessian: Any, third: Any, fourth: Any, *, flat: float = 1e-8
) -> tuple[float, float]:
    """Return the two numbers of a loss at a minimum on which the overshoot's deviation depends.

    σ = S·S''/b², τ = (S/b²)(L₄[u, u, u, u]/6 − ½∇S·H⁺∇S), ∇S = L₃[u, u]

    S'' = L₄[u, u, s, s] − ∇S·H⁺L₃[s, s] + 2Σ_i (L₃[u, s, e_i])²/(S − h_i). It is the second derivative of the
    sharpness along the minima's geodesic in the direction s in which it grows fastest, at the rate b.

    Parameters
    ----------
    hessian, third, fourth
        The loss's derivatives H, L₃, L₄ at a minimum, shapes (n, n), (n, n, n) and (n, n, n, n).
    flat
        Eigenvalues of H up to this share of the largest count as zero: they span the minima's tangent.

    Returns
    -------
    sharpness_curvature, quartic : float
        σ and τ, nondimensional.

    Raises
    ------
    TypeError, ValueError
        If an array is not real or has another shape. If H has an eigenvalue below zero, none above or none that is
        flat, or its largest is not simple. If the sharpness does not grow along the minima.

    Notes
    -----
    Source: new here; proof in ``derivations/a5_deviation.py``.

    Examples
    --------
    Of ½(1 + z + ½z²)x² at the origin, weights (x, z):

    >>> third, fourth = np.zeros((2, 2, 2)), np.zeros((2, 2, 2, 2))
    >>> third[0, 0, 1] = third[0, 1, 0] = third[1, 0, 0] = 1.0
    >>> for at in [(0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (1, 0, 1, 0), (1, 1, 0, 0)]:
    ...     fourth[at] = 1.0
    >>> deviation_coefficients(np.diag([1.0, 0.0]), third, fourth)
    (1.0, 0.0)
    """
    hessian = validation.floats("hessian", hessian, shape=(None, None))
    n = hessian.shape[0]
    hessian = validation.floats("hessian", hessian, shape=(n, n))
    third = validation.floats("third", third, shape=(n,) * 3)
    fourth = validation.floats("fourth", fourth, shape=(n,) * 4)
    curvatures, modes = np.linalg.eigh(hessian)
    top, sharpest = float(curvatures[-1]), modes[:, -1]
    level = flat * abs(top)
    if top <= 0.0 or curvatures[0] < -level:
        raise ValueError(f"hessian must be a minimum's, got eigenvalues {curvatures[0]:g} to {top:g}")
    tangent = modes[:, curvatures <= level]
    if not tangent.size:
        raise ValueError(f"hessian must have a flat direction, got the least eigenvalue {curvatures[0]:g}")
    if top - curvatures[-2] <= level:
        raise ValueError(f"hessian must have a simple largest eigenvalue, got {top:g} twice")
    gradient = third @ sharpest @ sharpest
    along = tangent.T @ gradient
    rate = float(np.linalg.norm(along))
    if rate <= flat * np.linalg.norm(gradient):
        raise ValueError(f"sharpness must grow along the minima, got the rate {rate:g}")
    direction = tangent @ (along / rate)
    stiff = np.where(curvatures <= level, np.inf, curvatures)
    pushed = (modes.T @ gradient) / stiff  # H⁺∇S by modes
    turned = modes.T @ (third @ direction @ sharpest)
    bent = fourth @ direction @ direction @ sharpest @ sharpest
    second = (
        bent
        - pushed @ (modes.T @ (third @ direction @ direction))
        + 2.0 * np.sum(turned[:-1] ** 2 / (top - curvatures[:-1]))
    )
    quartic = fourth @ sharpest @ sharpest @ sharpest @ sharpest / 6.0 - 0.5 * pushed @ (modes.T @ gradient)
    return float(top * second / rate**2), float(top * quartic / rate**2)
