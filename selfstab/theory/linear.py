"""Catapults of any linear optimizer: threshold, growth, amplification, inertias, overshoot, by its transfer function.

An optimizer is given as an object that has a transfer function, or as a pair (numerator, denominator). These are the
coefficients in z, the highest power first, of T in w = −T(q)∇L with q the forward shift. Heavy ball is ([lr, 0], [1,
−(1 + β), β]).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import NOT_NEGATIVE, POSITIVE, Range, joined, plain
from selfstab.theory.transfer import Expansions, expansions, flipping, transfer_function
from selfstab.transfer_functions import Inertia, amplification_of, first_to_leave, inertia_of, roots

_SHARE: Final = Range(above=0, below=1)


def threshold(optimizer: Any) -> float:
    """Return the largest stable sharpness of a linear optimizer.

    S* = −1/T(−1) where the flip comes first, as it does for every named optimizer

    Parameters
    ----------
    optimizer
        A linear optimizer with a number as lr, or (numerator, denominator) of T.

    Returns
    -------
    float
        S* in units of 1/lr: the sharpness at which the first root of 1 + S·T(z) = 0 leaves the unit circle.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer, or unstable at every sharpness.

    Notes
    -----
    Source: [Polyak1964]_ for heavy ball; proof in ``derivations/a11_linear.py``.

    Examples
    --------
    Heavy ball with lr 0.5 and momentum 0.9:

    >>> round(threshold(([0.5, 0.0], [1.0, -1.9, 0.9])), 12)
    7.6
    """
    return first_to_leave(transfer_function(optimizer, at_lr=True))[0]


def growth(optimizer: Any, excess: Any) -> Any:
    """Return the factor per step by which the swing grows at a relative excess above the threshold.

    |λ|, ln|λ| = (ε/σ)(1 − κ_x) + O(ε³)

    It is the largest modulus of the roots of 1 + (1 + ε)S*·T(z) = 0.

    Parameters
    ----------
    optimizer
        A linear optimizer, or (numerator, denominator) of T.
    excess
        ε = S/S* − 1 >= 0.

    Returns
    -------
    float or ndarray
        |λ| >= 1, of the shape of `excess`.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or excess is out of its range.

    Notes
    -----
    Source: proof in ``derivations/a11_linear.py``.

    Examples
    --------
    >>> growth(([1.0], [1.0, -1.0]), [0.0, 0.1]).round(12)
    array([1. , 1.2])
    """
    relative = NOT_NEGATIVE.checked("excess", excess)
    system = transfer_function(optimizer)
    sharpness = _of(optimizer).threshold * (1.0 + relative)
    moduli = [np.abs(roots(system, each)).max() for each in sharpness.ravel()]
    return plain(np.array(moduli).reshape(relative.shape))


def amplification(optimizer: Any) -> float:
    """Return how many times stronger self-stabilization is than gradient descent's at the same threshold.

    c₀S*/2, c₀ = lim (z − 1)T(z) at z = 1

    It is also the ratio of the two plateaus of the batch sharpness, without noise and where noise decides:
    S* and 2/c₀.

    Parameters
    ----------
    optimizer
        A linear optimizer, or (numerator, denominator) of T.

    Returns
    -------
    float
        (1 + β)/(1 − β) for heavy ball and averaged momentum, (1 + β)/(1 + β − 2νβ) for quasi-hyperbolic.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip.

    Notes
    -----
    Source: new here; proofs in ``derivations/a11_linear.py`` and ``derivations/a11_edge.py``.

    Examples
    --------
    >>> round(amplification(([1.0, 0.0], [1.0, -1.9, 0.9])), 9)
    19.0
    """
    return amplification_of(flipping(transfer_function(optimizer)))


def inertia(optimizer: Any, excess: Any) -> Inertia:
    """Return the inertia numbers of a linear optimizer's catapult from a relative excess above the threshold.

    κ_x = ε(1 − a₂/σ²), κ_y = ετ/σ, κ_e = (κ_x + 2κ_y)/3

    with −S*T(−e^D) = 1 − σD + a₂D² + ... and D·T(e^D) = c₀(1 − τD + ...).

    Parameters
    ----------
    optimizer
        A linear optimizer, or (numerator, denominator) of T.
    excess
        ε = S/S* − 1 >= 0.

    Returns
    -------
    swing, sharpness, effective
        κ_x, κ_y and κ_e, each of the shape of `excess`. Heavy ball has all three equal to :func:`inertia_number`.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or excess is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_linear.py``.

    Examples
    --------
    Quasi-hyperbolic momentum, ν = 0.7 and β = 0.9: the sharpness lags, hardly the swing.

    >>> [round(kappa, 9) for kappa in inertia(([0.37, -0.27], [1.0, -1.9, 0.9]), 1e-4)]
    [0.000113575, 0.001517211, 0.001049332]
    """
    relative = NOT_NEGATIVE.checked("excess", excess)
    return inertia_of(flipping(transfer_function(optimizer)), relative)


def linear_displacement(optimizer: Any, y0: Any, stabilization: Any = 1.0) -> Any:
    """Return the largest swing of a catapult without progressive sharpening, in the slow limit.

    A_max = √2 y₀/(b√(c₀σS*))

    Parameters
    ----------
    optimizer
        A linear optimizer, or (numerator, denominator) of T.
    y0
        S − S* at the start, >= 0.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        A_max in units of the weights, where the gradient is taken. c₀σS* is 1 for gradient descent and heavy ball.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or a number is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_linear.py``.

    Examples
    --------
    >>> round(linear_displacement(([0.37, -0.27], [1.0, -1.9, 0.9]), 0.1), 6)
    0.086693
    """
    numbers = joined(
        {
            "y0": NOT_NEGATIVE.checked("y0", y0),
            "stabilization": POSITIVE.checked("stabilization", stabilization),
        }
    )
    known = _of(optimizer)
    scale = math.sqrt(known.gain * known.sigma * known.threshold / 2.0)
    with np.errstate(over="ignore"):
        return plain(numbers["y0"] / (np.sqrt(numbers["stabilization"]) * scale))


def linear_overshoot(optimizer: Any, excess: Any) -> Any:
    """Return the drop of sharpness in a small catapult of a linear optimizer, in units of 2y₀, through third order.

    G = 1 + κ_e + 2κ_e² + G₃

    The next term is G₄ = 6κ_eG₃ − 16κ_e⁴; :func:`linear_domain` says up to which excess it is small. For larger
    catapults there is :func:`slow_overshoot`.

    Parameters
    ----------
    optimizer
        A linear optimizer, or (numerator, denominator) of T.
    excess
        ε = S/S* − 1 >= 0.

    Returns
    -------
    float or ndarray
        G, nondimensional, exactly 1 at ε = 0.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or excess is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_linear.py``.

    Examples
    --------
    >>> round(linear_overshoot(([0.37, -0.27], [1.0, -1.9, 0.9]), 1e-3), 6)
    1.010712
    """
    relative = NOT_NEGATIVE.checked("excess", excess)
    first, third = _orders(_of(optimizer))
    with np.errstate(over="ignore", invalid="ignore"):
        kappa = relative * first
        return plain(1.0 + kappa * (1.0 + 2.0 * kappa) + third * relative * relative * relative)


def linear_domain(optimizer: Any, error: Any = 0.01) -> Any:
    """Return the excess up to which the series of the overshoot holds: where its fourth order is as large as an error.

    ε = (error/|G₄|)^{1/4} with G₄ at ε = 1

    Parameters
    ----------
    optimizer
        A linear optimizer, or (numerator, denominator) of T.
    error
        Of G, in (0, 1).

    Returns
    -------
    float or ndarray
        ε, of the shape of `error`; of the right size, since orders from the fifth on are left out.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or error is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_linear.py``.

    Examples
    --------
    Without momentum the series holds for catapults of any usual size, at β = 0.9 for very small ones:

    >>> [round(linear_domain(([1.0, 0.0], [1.0, -1.0 - beta, beta])), 6) for beta in (0.0, 0.9)]
    [0.223607, 0.000493]
    """
    level = _SHARE.checked("error", error)
    first, third = _orders(_of(optimizer))
    fourth = abs(6.0 * first * third - 16.0 * first**4)
    with np.errstate(divide="ignore"):
        return plain((level / fourth) ** 0.25)


def _of(optimizer: Any) -> Expansions:
    """Return the expansions of T; those that depend on lr only through its product with the sharpness are at lr 1."""
    return expansions(transfer_function(optimizer))


def _orders(known: Expansions) -> tuple[float, float]:
    """Return κ_e and G₃ at ε = 1."""
    (p2, p3, p4), (q2, q3, q4) = known.swing, known.sharpness
    third = (
        -23.0 * p2**3 + 6.0 * p2**2 * q2 + 120.0 * p2 * q2**2 + 32.0 * q2**3
        + 126.0 * (p2 + q2) * p3 + 72.0 * (p2 + 3.0 * q2) * q3 - 63.0 * p4 - 72.0 * q4
    ) / 135.0  # fmt: skip
    return (p2 + 2.0 * q2) / (3.0 * known.sigma), third / known.sigma**3
