"""Self-stabilization under momentum: how a swing pushes sharpness down, and the slow limit of one swing.

Model and notation: L(x, z) = ½(S* + y)x² − (α/b)z with y = bz, so that y = S − S* to first order; b² is the
argument `stabilization`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, POSITIVE, REAL, Range, closed_form


@closed_form(steps=Range(at_least=0, finite=False, whole=True), momentum=MOMENTUM)
def stabilization_weight(steps: Any, momentum: Any) -> Any:
    """Return how many times one gradient has been applied after `steps` updates, velocity included.

    w_k = 1 + β + ... + β^{k−1} = (1 − β^k)/(1 − β), at most 1/(1 − β).

    It is the weight of η(α − b²x_s²/2) in y_t − y_0 with k = t − s: a swing keeps pushing sharpness down.

    Parameters
    ----------
    steps
        k >= 0, whole numbers, the update that used the gradient included; infinity gives the limit.
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        w_k, nondimensional.

    Raises
    ------
    TypeError, ValueError
        If an argument is not real or out of range, steps is not whole, or the shapes do not broadcast.

    Notes
    -----
    Source: [Phunyaphibarn2024]_; proof in ``derivations/a1_unrolled.py``.

    Examples
    --------
    >>> stabilization_weight([0, 1, 2, float("inf")], 0.5)
    array([0. , 1. , 1.5, 2. ])
    """
    below_one = -np.expm1(steps * np.log(np.where(momentum > 0.0, momentum, 0.5)))  # 1 − β^k
    below_one = np.where(momentum > 0.0, below_one, np.where(steps > 0.0, 1.0, 0.0))
    return below_one / (1.0 - momentum)


@closed_form(excess=REAL, momentum=MOMENTUM)
def inertia_number(excess: Any, momentum: Any) -> Any:
    """Return the inertia number κ of a catapult from a relative excess above the threshold.

    κ = ε((1 + β)/(1 − β))² = (1 + β)ηy₀/(2(1 − β)²)

    It is the inertia of the envelope divided by its friction. κ ≪ 1 is the slow limit, where momentum changes the
    speed of a catapult and not its size. At equal ε and threshold it is ((1 + β)/(1 − β))² times gradient descent's.

    Parameters
    ----------
    excess
        ε = S/S* − 1 at the start, any finite number (there is no catapult below 0).
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        κ, nondimensional.

    Notes
    -----
    Source: new here; proof in ``derivations/a4_inertia.py``.

    Examples
    --------
    >>> round(inertia_number(0.01, 0.9), 12)
    3.61
    """
    return excess * ((1.0 + momentum) / (1.0 - momentum)) ** 2


@closed_form(y=REAL, amplitude=NOT_NEGATIVE, progressive_sharpening=NOT_NEGATIVE, stabilization=POSITIVE)
def slow_energy(y: Any, amplitude: Any, progressive_sharpening: Any = 0.0, stabilization: Any = 1.0) -> Any:
    """Return the quantity that the slow limit of a catapult conserves, at every momentum.

    H = y²/2 − α ln A + b²A²/4

    Parameters
    ----------
    y
        S − S*, any finite number.
    amplitude
        A >= 0, the swing |x| along the top eigenvector.
    progressive_sharpening
        α >= 0.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        H in units of sharpness squared; +infinity at A = 0 if α > 0.

    Notes
    -----
    Source: [Damian2023]_ for gradient descent; proof at any momentum in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> slow_energy(0.0, 2.0)
    1.0
    """
    logarithm = np.log(np.where(progressive_sharpening > 0.0, amplitude, 1.0))
    return 0.5 * y**2 - progressive_sharpening * logarithm + 0.25 * (np.sqrt(stabilization) * amplitude) ** 2


@closed_form(y0=NOT_NEGATIVE, stabilization=POSITIVE)
def max_displacement(y0: Any, stabilization: Any = 1.0) -> Any:
    """Return the largest swing of a catapult in the slow limit without progressive sharpening.

    A_max = √2 y₀/b

    Parameters
    ----------
    y0
        S − S* at the start, >= 0.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        A_max in units of the weights.

    Notes
    -----
    Source: proof in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> round(max_displacement(0.1), 6)
    0.141421
    """
    return np.sqrt(2.0) * y0 / np.sqrt(stabilization)


@closed_form(threshold=POSITIVE, y0=NOT_NEGATIVE, stabilization=POSITIVE)
def loss_spike(threshold: Any, y0: Any, stabilization: Any = 1.0) -> Any:
    """Return the height of a catapult's spike in the loss, in the slow limit without progressive sharpening.

    ½S*A_max² = S*y₀²/b²

    Parameters
    ----------
    threshold
        S* > 0.
    y0
        S − S* at the start, >= 0.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        In units of the loss.

    Notes
    -----
    Source: proof in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> loss_spike(4.0, 0.5, stabilization=2.0)
    0.5
    """
    return threshold * y0**2 / stabilization


@closed_form(time=REAL, lr=POSITIVE, momentum=MOMENTUM, y0=NOT_NEGATIVE, stabilization=POSITIVE)
def slow_orbit(time: Any, lr: Any, momentum: Any, y0: Any, stabilization: Any = 1.0) -> tuple[Any, Any]:
    """Return the catapult's course in the slow limit without progressive sharpening.

    y = −y₀ tanh(rt), A = (√2 y₀/b) sech(rt), r = ηy₀/(1 − β)

    Parameters
    ----------
    time
        t in steps, counted from the largest swing: any finite numbers.
    lr
        Learning rate η > 0.
    momentum
        β in [0, 1).
    y0
        S − S* at the start, >= 0.
    stabilization
        b² > 0.

    Returns
    -------
    y, amplitude : float or ndarray
        S − S* and the swing |x|, of the arguments' common shape.

    Notes
    -----
    Source: proof in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> y, amplitude = slow_orbit([-1e4, 0.0, 1e4], lr=0.1, momentum=0.5, y0=0.02)
    >>> y
    array([ 0.02, -0.  , -0.02])
    >>> round(float(amplitude[1]), 6)
    0.028284
    """
    phase = time * (lr * y0 / (1.0 - momentum))
    decay = np.exp(-np.abs(phase))  # sech without cosh, which overflows
    swing = np.sqrt(2.0) * y0 / np.sqrt(stabilization) * (2.0 * decay / (1.0 + decay**2))
    return -y0 * np.tanh(phase), swing
