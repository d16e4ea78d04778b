"""Self-stabilization under momentum: how a swing pushes sharpness down, and the slow limit of one swing.

Model and notation: L(x, z) = ½(S* + y)x² − (α/b)z with y = bz, so that y = S − S* to first order; b² is the
argument `stabilization`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab import validation
from selfstab.theory.arguments import joined, plain
from selfstab.validation import Array


def _momentum(value: Any) -> Array:
    return validation.broadcastable("momentum", value, at_least=0, below=1)


def _stabilization(value: Any) -> Array:
    return validation.broadcastable("stabilization", value, above=0)


def _y0(value: Any) -> Array:
    return validation.broadcastable("y0", value, at_least=0)


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
    steps = validation.broadcastable("steps", steps, at_least=0, finite=False)
    fractional = steps[np.floor(steps) != steps]
    if fractional.size:
        raise ValueError(f"steps must be whole numbers >= 0, got {float(fractional[0])!r}")
    steps, momentum = joined(steps=steps, momentum=_momentum(momentum))
    below_one = -np.expm1(steps * np.log(np.where(momentum > 0.0, momentum, 0.5)))  # 1 − β^k
    below_one = np.where(momentum > 0.0, below_one, np.where(steps > 0.0, 1.0, 0.0))
    return plain(below_one / (1.0 - momentum))


@np.errstate(over="ignore")
def inertia_number(excess: Any, momentum: Any) -> Any:
    """Return the inertia number κ of a catapult from a relative excess over the threshold.

    κ = ε((1 + β)/(1 − β))² = (1 + β)ηy₀/(2(1 − β)²)

    It measures the inertia of the envelope over its friction: κ ≪ 1 is the slow limit, where momentum changes
    the speed of a catapult and not its size. At equal ε and threshold it is ((1 + β)/(1 − β))² times gradient
    descent's.

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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: new here; proof in ``derivations/a4_inertia.py``.

    Examples
    --------
    >>> round(inertia_number(0.01, 0.9), 12)
    3.61
    """
    excess, momentum = joined(excess=validation.broadcastable("excess", excess), momentum=_momentum(momentum))
    return plain(excess * ((1.0 + momentum) / (1.0 - momentum)) ** 2)


@np.errstate(over="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: [Damian2023]_ for gradient descent; proof at any momentum in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> slow_energy(0.0, 2.0)
    1.0
    """
    y, amplitude, alpha, b2 = joined(
        y=validation.broadcastable("y", y),
        amplitude=validation.broadcastable("amplitude", amplitude, at_least=0),
        progressive_sharpening=validation.broadcastable(
            "progressive_sharpening", progressive_sharpening, at_least=0
        ),
        stabilization=_stabilization(stabilization),
    )
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.where(alpha > 0.0, amplitude, 1.0))
    return plain(0.5 * y**2 - alpha * logarithm + 0.25 * (np.sqrt(b2) * amplitude) ** 2)


@np.errstate(over="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: proof in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> round(max_displacement(0.1), 6)
    0.141421
    """
    y0, b2 = joined(y0=_y0(y0), stabilization=_stabilization(stabilization))
    return plain(np.sqrt(2.0) * y0 / np.sqrt(b2))


@np.errstate(over="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

    Notes
    -----
    Source: proof in ``derivations/a3_slow_limit.py``.

    Examples
    --------
    >>> loss_spike(4.0, 0.5, stabilization=2.0)
    0.5
    """
    threshold, y0, b2 = joined(
        threshold=validation.broadcastable("threshold", threshold, above=0),
        y0=_y0(y0),
        stabilization=_stabilization(stabilization),
    )
    return plain(threshold * y0**2 / b2)


@np.errstate(over="ignore", invalid="ignore")
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

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, or the shapes do not broadcast.

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
    t, lr, momentum, y0, b2 = joined(
        time=validation.broadcastable("time", time),
        lr=validation.broadcastable("lr", lr, above=0),
        momentum=_momentum(momentum),
        y0=_y0(y0),
        stabilization=_stabilization(stabilization),
    )
    phase = t * (lr * y0 / (1.0 - momentum))
    decay = np.exp(-np.abs(phase))  # sech without cosh, which overflows
    swing = np.sqrt(2.0) * y0 / np.sqrt(b2) * (2.0 * decay / (1.0 + decay**2))
    return plain(-y0 * np.tanh(phase)), plain(swing)
