"""Delay of a catapult under a linear warmup: the oscillation that died below the threshold must grow back.

The learning rate grows linearly and the sharpness is S, so that the relative excess is ε = ramp·t, t counted from the
crossing of the threshold.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, POSITIVE, closed_form
from selfstab.theory.catapult import overshoot
from selfstab.theory.stabilization import inertia_number
from selfstab.validation import Array

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_ITERATIONS: Final = 10


def _growth(excess: Array, momentum: Array) -> Array:
    """Return d = |λ| − 1, the larger root of d² + (1 − β − c)d − c = 0 with c = 2(1 + β)ε."""
    c = 2.0 * (1.0 + momentum) * excess
    half = 0.5 * ((1.0 - momentum) - c)
    root = np.hypot(half, np.sqrt(c))
    sum_ = np.abs(half) + root
    return np.where(half < 0.0, sum_, c / np.where(sum_ > 0.0, sum_, 1.0))


def _accumulated(excess: Array, momentum: Array) -> Array:
    d = _growth(excess, momentum)
    # The integral of ln(1+s)(1 − β/(1+s)²) over s = 0 to d, by Gauss's rule where the closed form cancels.
    near = np.minimum(d, 1.0)[..., None]
    s = 0.5 * near * (1.0 + _NODES)
    bent = (1.0 - momentum)[..., None] + momentum[..., None] * (s * (2.0 + s) / (1.0 + s) ** 2)
    small = 0.5 * near[..., 0] * np.sum(_WEIGHTS * np.log1p(s) * bent, axis=-1)
    log = np.log1p(d)
    large = (1.0 + d) * log - d - momentum * (d - log) / (1.0 + d)
    return np.where(d <= 1.0, small, large) / (2.0 * (1.0 + momentum))


@closed_form(sharpness=POSITIVE, momentum=MOMENTUM, start=NOT_NEGATIVE, end=POSITIVE, steps=POSITIVE)
def ramp_rate(sharpness: Any, momentum: Any, start: Any, end: Any, steps: Any) -> Any:
    """Return how fast a linear warmup raises the relative excess above the threshold.

    S(η₁ − η₀)/(2(1 + β)W)

    Parameters
    ----------
    sharpness
        S > 0 before the catapult.
    momentum
        β in [0, 1).
    start, end
        Learning rates η₀ >= 0 and η₁ > η₀ of :class:`selfstab.LinearWarmup`.
    steps
        Length W > 0 of the ramp in steps.

    Returns
    -------
    float or ndarray
        dε/dt per step, > 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not real, out of range or not finite, end is not above start, or the shapes do not broadcast.

    Notes
    -----
    Source: proof in ``derivations/a8_warmup.py``.

    Examples
    --------
    >>> round(ramp_rate(4.0, 0.9, 0.0, 1.9, 1000), 12)
    0.002
    """
    if (end <= start).any():
        raise ValueError(f"end must be above start, got {float(end[end <= start][0])!r}")
    return sharpness * (end - start) / (2.0 * (1.0 + momentum) * steps)


@closed_form(noise=NOT_NEGATIVE, lr=POSITIVE, momentum=MOMENTUM, ramp=POSITIVE)
def crossing_amplitude(noise: Any, lr: Any, momentum: Any, ramp: Any) -> Any:
    """Return the swing at the crossing that gradient noise amounts to, noise after the crossing included.

    x_c = (ησ/(1 − β))(π/k)^{1/4}, k = 2(1 + β)·ramp/(1 − β)

    It is the root mean square; the typical (geometric mean) value is 0.53 times that. It holds for √k ≪ 1 − β, up to
    a relative error of order k.

    Parameters
    ----------
    noise
        Standard deviation σ >= 0 of the gradient's noise along the top eigenvector, per step.
    lr
        Learning rate η > 0 at the crossing.
    momentum
        β in [0, 1).
    ramp
        dε/dt > 0 per step, see :func:`ramp_rate`.

    Returns
    -------
    float or ndarray
        x_c in units of the weights.

    Notes
    -----
    Source: new here; proof in ``derivations/a8_warmup.py``.

    Examples
    --------
    >>> round(crossing_amplitude(1e-6, 0.5, 0.5, 1e-4) * 1e6, 6)
    8.506476
    """
    k = 2.0 * (1.0 + momentum) * ramp / (1.0 - momentum)
    return lr * noise / (1.0 - momentum) * (np.pi / k) ** 0.25


@closed_form(excess=NOT_NEGATIVE, momentum=MOMENTUM)
def accumulated_growth(excess: Any, momentum: Any) -> Any:
    """Return the growth exponent that a ramp accumulates from the crossing to a relative excess, times the ramp's rate.

    I(ε) = ∫₀^ε ln|λ(ε')|dε' = (ε + ½)ln|λ| − (|λ| − β/|λ| − 1 + β)/(2(1 + β))

    It is ε²(1 + β)/(1 − β) for κ ≪ 1 and (2/3)√(2(1 + β)) ε^{3/2} for κ ≫ 1, ε ≪ 1.

    Parameters
    ----------
    excess
        ε = S/S* − 1, >= 0.
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        I, nondimensional: the swing grows by exp(I/ramp).

    Notes
    -----
    Source: new here; proof in ``derivations/a8_warmup.py``.

    Examples
    --------
    >>> round(accumulated_growth(0.01, 0.0), 9)
    9.934e-05
    """
    return _accumulated(excess, momentum)


@closed_form(excess=NOT_NEGATIVE, amplitude=NOT_NEGATIVE, momentum=MOMENTUM, ramp=POSITIVE)
def ramp_amplitude(excess: Any, amplitude: Any, momentum: Any, ramp: Any) -> Any:
    """Return the swing that has grown on a ramp from the crossing, while it is too small to bend the sharpness.

    A(ε) = A_c √((1 − β)/(|λ| − β/|λ|)) exp(I(ε)/ramp)

    Parameters
    ----------
    excess
        ε = S/S* − 1, >= 0.
    amplitude
        A_c >= 0, the swing at the crossing, see :func:`crossing_amplitude`.
    momentum
        β in [0, 1).
    ramp
        dε/dt > 0 per step: the relative error is of its order.

    Returns
    -------
    float or ndarray
        A in units of the weights; infinity where it overflows.

    Notes
    -----
    Source: new here; proof in ``derivations/a8_warmup.py``.

    Examples
    --------
    >>> round(ramp_amplitude(0.02, 1e-3, 0.9, 1e-3), 6)
    0.007625
    """
    d = _growth(excess, momentum)
    width = d + (1.0 - momentum) + momentum * d / (1.0 + d)  # |λ| − β/|λ|
    return amplitude * np.sqrt((1.0 - momentum) / width) * np.exp(_accumulated(excess, momentum) / ramp)


@closed_form(gain=NOT_NEGATIVE, momentum=MOMENTUM, ramp=POSITIVE)
def onset_excess(gain: Any, momentum: Any, ramp: Any) -> Any:
    """Return the relative excess at which a ramp has made the swing grow by a factor since the crossing.

    I(ε_on) = ramp·ln(A_sat/x_c)

    For κ_on ≪ 1 it is √((1 − β)/(1 + β)·ramp·ln(A_sat/x_c)), for κ_on ≫ 1 and ε_on ≪ 1
    (1.5·ramp·ln(A_sat/x_c)/√(2(1 + β)))^{2/3}.

    Parameters
    ----------
    gain
        ln(A_sat/x_c) >= 0, the logarithm of the factor.
    momentum
        β in [0, 1).
    ramp
        dε/dt > 0 per step.

    Returns
    -------
    float or ndarray
        ε_on, nondimensional.

    Notes
    -----
    Source: new here; proof in ``derivations/a8_warmup.py``.

    Examples
    --------
    >>> round(onset_excess(10.0, 0.9, 1e-4), 6)
    0.010495
    """
    return _onset(ramp * gain, momentum)


def _onset(target: Array, momentum: Array) -> Array:
    """Return ε with I(ε) = target, by Newton's method on logarithms: the slope lies between 1 and 2."""
    positive = np.where(target > 0.0, target, 1.0)
    excess = np.maximum(positive, np.sqrt(positive))  # whose square does not underflow
    for _ in range(_ITERATIONS):
        accumulated = _accumulated(excess, momentum)
        slope = excess * np.log1p(_growth(excess, momentum)) / accumulated
        excess = excess * np.exp(np.log(positive / accumulated) / slope)
    return np.where(target > 0.0, excess, 0.0)


@closed_form(sharpness=POSITIVE, amplitude=POSITIVE, momentum=MOMENTUM, ramp=POSITIVE, stabilization=POSITIVE)
def warmup_onset(sharpness: Any, amplitude: Any, momentum: Any, ramp: Any, stabilization: Any = 1.0) -> Any:
    """Return the relative excess at which a catapult under a ramp starts: the swing has reached its own saturation.

    I(ε_on) = ramp·ln(A_sat/x_c), A_sat = √2 y₀/b, y₀ = S ε_on/(1 + ε_on)

    The drop is 2y₀G(κ_on), y₀ = S ε_on/(1 + ε_on), κ_on the :func:`inertia_number` of ε_on; all grow
    as warmup shortens. ε_on is right to leading order in 1/ln(A_sat/x_c).

    Parameters
    ----------
    sharpness
        S > 0 before the catapult.
    amplitude
        x_c > 0, the swing at the crossing.
    momentum
        β in [0, 1).
    ramp
        dε/dt > 0 per step.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        ε_on, nondimensional; NaN where the swing is never below its saturation, so that nothing is delayed.

    Notes
    -----
    Source: new here; proof in ``derivations/a8_warmup.py``.

    Examples
    --------
    >>> round(warmup_onset(4.0, 1e-6, 0.9, 1e-4), 6)
    0.011139
    """
    # I/ramp − ln(A_sat/x_c) is convex in ln ε: from where even the largest A_sat is outgrown, Newton's method descends
    # to the largest zero.
    gain = 0.5 * (np.log(2.0) - np.log(stabilization)) + np.log(sharpness / amplitude)
    excess = _onset(ramp * np.abs(gain), momentum)
    for _ in range(3 * _ITERATIONS):
        missing = _accumulated(excess, momentum) / ramp - (gain + np.log(excess / (1.0 + excess)))
        slope = excess * np.log1p(_growth(excess, momentum)) / ramp - 1.0 / (1.0 + excess)
        step = missing / np.where(slope > 0.0, slope, np.inf)
        excess = excess * np.exp(-step)
    # Without a solution something is left missing: no slope remains, or even A_sat at ε = ∞ is below x_c.
    return np.where(np.abs(missing) < 1e-9, excess, np.nan)


@closed_form(sharpness=POSITIVE, amplitude=POSITIVE, momentum=MOMENTUM, ramp=POSITIVE, stabilization=POSITIVE)
def warmup_drop(sharpness: Any, amplitude: Any, momentum: Any, ramp: Any, stabilization: Any = 1.0) -> Any:
    """Return how far sharpness falls in the catapult that a ramp delays.

    2y₀G(κ_on), y₀ = S ε_on/(1 + ε_on), with ε_on of :func:`warmup_onset` and κ_on its :func:`inertia_number`

    In the warmup's length W it falls as W^{−1/2} for κ_on ≪ 1 and as W^{−10/9} for κ_on ≫ 1, up to the logarithm.

    Parameters
    ----------
    sharpness
        S > 0 before the catapult.
    amplitude
        x_c > 0, the swing at the crossing.
    momentum
        β in [0, 1).
    ramp
        dε/dt > 0 per step.
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        In units of sharpness; NaN where nothing is delayed.

    Notes
    -----
    Source: new here; proof in ``derivations/a8_warmup.py``.

    Examples
    --------
    >>> round(warmup_drop(4.0, 1e-6, 0.9, 1e-4), 3)
    0.608
    """
    excess = warmup_onset(sharpness, amplitude, momentum, ramp, stabilization)
    delayed = np.isfinite(excess)
    at = np.where(delayed, excess, 0.0)
    drop = 2.0 * sharpness * at / (1.0 + at) * overshoot(inertia_number(at, momentum))
    return np.where(delayed, drop, np.nan)
