"""Heavy ball on a quadratic: modes, regions, threshold and the growth beyond it.

Along one eigenvector of curvature S the update is

    w_{t+1} = w_t − ηS(w_t + γ(w_t − w_{t−1})) + β(w_t − w_{t−1}),

so a mode λ^t solves λ² − (1 + β − ηS(1+γ))λ + β − γηS = 0. Its discriminant is (1+γ)²(ηS − h₋)(ηS − h₊) with
h± = ((1 ± g)/(1+γ))², g² = β − γ(1−β): written so, nothing cancels as β → 1 (h₋ = ((1−β)/(1+g))²).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from selfstab.phases import DIVERGED, MONOTONE, OSCILLATING
from selfstab.theory.arguments import MOMENTUM, POSITIVE, REAL, Range, closed_form
from selfstab.validation import Array

FLIP: Final = 5

REGIONS: Final[dict[int, str]] = {
    MONOTONE: "monotone",
    OSCILLATING: "oscillating",
    FLIP: "flip",
    DIVERGED: "divergent",
}
"""Code of a region of (ηS, β) to its word. The codes are those of a run's phase, which has none for a flip."""

_REGIONS_BY_PRODUCT: Final = np.array([MONOTONE, OSCILLATING, FLIP, DIVERGED], dtype=np.int8)


_LOOKAHEAD: Final = Range(above=-1)


@closed_form(lr=POSITIVE, momentum=MOMENTUM, lookahead=_LOOKAHEAD)
def max_stable_sharpness(lr: Any, momentum: Any, lookahead: Any = 0.0) -> Any:
    """Return the largest sharpness at which heavy ball is stable on a quadratic.

    S* = 2(1 + β)/(η(1 + 2γ)); for γ < −(1−β)/4 a complex pair leaves the unit circle before that, at
    S* = (1 − β)/(−γη).

    Parameters
    ----------
    lr
        Learning rate η > 0, in units of 1/sharpness.
    momentum
        β in [0, 1).
    lookahead
        γ > −1: 0 is Polyak's method, `momentum` Nesterov's; below 0 the gradient looks back.

    Returns
    -------
    float or ndarray
        S* in units of 1/lr, of the arguments' common shape.

    Notes
    -----
    Source: [Polyak1964]_; [Cohen2021]_ for β and γ = β; proof in ``derivations/q2_threshold.py``.

    Examples
    --------
    >>> max_stable_sharpness(0.1, [0.0, 0.9])
    array([20., 38.])
    """
    product = np.where(
        lookahead < -0.25 * (1.0 - momentum),
        (1.0 - momentum) / np.where(lookahead < 0.0, -lookahead, 1.0),
        2.0 * (1.0 + momentum) / np.where(lookahead > -0.5, 1.0 + 2.0 * lookahead, 1.0),
    )
    return product / lr


def _edges(momentum: Array, lookahead: Array) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Return h₋, h₊ between which the modes are complex, and where such an interval exists (g² >= 0)."""
    square = momentum - lookahead * (1.0 - momentum)
    exists = square >= 0.0
    g = np.sqrt(np.where(exists, square, 0.0))
    return ((1.0 - momentum) / (1.0 + g)) ** 2, ((1.0 + g) / (1.0 + lookahead)) ** 2, exists


@closed_form(lr_times_sharpness=REAL, momentum=MOMENTUM, lookahead=_LOOKAHEAD)
def modes(lr_times_sharpness: Any, momentum: Any, lookahead: Any = 0.0) -> npt.NDArray[np.complex128]:
    """Return both roots λ of the quadratic's characteristic equation.

    λ² − (1 + β − ηS(1 + γ))λ + β − γηS = 0

    Parameters
    ----------
    lr_times_sharpness
        ηS, any finite number (below 0 the curvature is negative).
    momentum
        β in [0, 1).
    lookahead
        γ > −1: 0 is Polyak's method, `momentum` Nesterov's.

    Returns
    -------
    ndarray of complex128
        The arguments' common shape with a last axis of length 2. The larger modulus comes first. Of a complex pair the
        root with positive imaginary part comes first.

    Notes
    -----
    Source: [Polyak1964]_, [Goh2017]_; proof in ``derivations/q1_modes.py``.

    Examples
    --------
    >>> modes(3.0, 0.25)
    array([-1.59307033+0.j, -0.15692967+0.j])
    """
    trace = (1.0 + momentum) - lr_times_sharpness * (1.0 + lookahead)
    determinant = momentum - lookahead * lr_times_sharpness
    lower, upper, exists = _edges(momentum, lookahead)
    # √|discriminant|; without a complex interval the discriminant is a sum of squares.
    centred = (1.0 + lookahead) * lr_times_sharpness - (2.0 - (1.0 - momentum) * (1.0 + lookahead)) / (
        1.0 + lookahead
    )
    gap = 2.0 * np.sqrt(np.where(exists, 0.0, (1.0 - momentum) * lookahead - momentum)) / (1.0 + lookahead)
    width = np.where(
        exists,
        (1.0 + lookahead)
        * np.sqrt(np.abs(lr_times_sharpness - lower))
        * np.sqrt(np.abs(lr_times_sharpness - upper)),
        np.hypot(centred, gap),
    )
    is_complex = exists & (lower < lr_times_sharpness) & (lr_times_sharpness < upper)
    larger = 0.5 * np.where(trace < 0.0, trace - width, trace + width)
    smaller = np.divide(determinant, larger, out=np.zeros_like(larger), where=larger != 0.0)
    roots = np.empty((*trace.shape, 2), dtype=np.complex128)
    roots[..., 0].real = np.where(is_complex, 0.5 * trace, larger)
    roots[..., 1].real = np.where(is_complex, 0.5 * trace, smaller)
    roots[..., 0].imag = np.where(is_complex, 0.5 * width, 0.0)
    roots[..., 1].imag = np.where(is_complex, -0.5 * width, 0.0)
    return roots


@closed_form(lr_times_sharpness=REAL, momentum=MOMENTUM, lookahead=_LOOKAHEAD)
def spectral_radius(lr_times_sharpness: Any, momentum: Any, lookahead: Any = 0.0) -> Any:
    """Return the larger modulus |λ| of the two modes: the asymptotic factor per step on a quadratic.

    Between (1 − √β)² and (1 + √β)² it is √β exactly (γ = 0); with lookahead it is √(β − γηS) where the modes
    are complex.

    Parameters
    ----------
    lr_times_sharpness
        ηS, any finite number.
    momentum
        β in [0, 1).
    lookahead
        γ > −1.

    Returns
    -------
    float or ndarray
        |λ| per step, nondimensional; below 1 where stable.

    Notes
    -----
    Source: [Polyak1964]_, [Goh2017]_; proof in ``derivations/q1_modes.py``.

    Examples
    --------
    >>> round(spectral_radius(1.0, 0.81), 12)
    0.9
    """
    roots = modes(lr_times_sharpness, momentum, lookahead)
    is_complex = roots[..., 0].imag != 0.0
    on_circle = np.sqrt(np.where(is_complex, momentum - lookahead * lr_times_sharpness, 0.0))
    return np.where(is_complex, on_circle, np.abs(roots[..., 0].real))


@closed_form(momentum=MOMENTUM)
def region_boundaries(momentum: Any) -> tuple[Any, Any, Any]:
    """Return the values of ηS at which heavy ball's behaviour on a quadratic changes (γ = 0).

    (1 − √β)², (1 + √β)², 2(1 + β)

    Parameters
    ----------
    momentum
        β in [0, 1).

    Returns
    -------
    monotone_end, oscillating_end, flip_end : float or ndarray
        ηS where oscillation, period-two decay and divergence begin; each of the shape of `momentum`.

    Notes
    -----
    Source: [Polyak1964]_, [Goh2017]_; proof in ``derivations/q1_modes.py``.

    Examples
    --------
    >>> region_boundaries(0.25)
    (0.25, 2.25, 2.5)
    """
    lower, upper, _ = _edges(momentum, np.zeros_like(momentum))
    return lower, upper, 2.0 * (1.0 + momentum)


@closed_form(lr_times_sharpness=REAL, momentum=MOMENTUM)
def region(lr_times_sharpness: Any, momentum: Any) -> Any:
    """Return the code of heavy ball's behaviour on a quadratic (γ = 0), with words in :data:`REGIONS`.

    1, monotone: 0 <= ηS <= (1 − √β)², both modes real and not negative.
    2, oscillating: up to (1 + √β)², a complex pair of modulus √β.
    5, flip: up to 2(1 + β), both modes real and negative: the sign changes every step while the size decays.
    −1, divergent: beyond, or ηS < 0.

    A run on a quadratic has the phase of the same code; one in the flip region has the phase oscillating.

    Parameters
    ----------
    lr_times_sharpness
        ηS, any finite number.
    momentum
        β in [0, 1).

    Returns
    -------
    int or ndarray of int8
        The code.

    Notes
    -----
    Source: [Polyak1964]_, [Goh2017]_; proof in ``derivations/q1_modes.py``.

    Examples
    --------
    >>> region([0.1, 1.0, 2.4, 3.0], 0.25)
    array([ 1,  2,  5, -1], dtype=int8)
    """
    bounds = region_boundaries(momentum)
    passed = sum((lr_times_sharpness > bound).astype(np.int8) for bound in bounds)
    return np.where(lr_times_sharpness < 0.0, DIVERGED, _REGIONS_BY_PRODUCT[passed]).astype(np.int8)


@closed_form(excess=REAL, momentum=MOMENTUM)
def growth_factor(excess: Any, momentum: Any) -> Any:
    """Return the factor |λ| by which the oscillation grows per step at a relative excess above the threshold.

    The larger modulus of the modes at ηS = 2(1 + β)(1 + ε), exactly. Just beyond the threshold
    |λ| = 1 + 2ε(1 + β)/(1 − β) + O(ε²): momentum multiplies the growth rate by (1 + β)/(1 − β) at equal ε.

    Parameters
    ----------
    excess
        ε = S/S* − 1, any finite number; below 0 the oscillation decays, at √β once the modes are complex.
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        |λ| per step, nondimensional.

    Notes
    -----
    Source: proof in ``derivations/q3_growth.py``.

    Examples
    --------
    >>> growth_factor(0.0, 0.9)
    1.0
    >>> round(growth_factor(0.001, 0.9), 6)
    1.03009
    """
    root = np.sqrt(momentum)
    beyond = 2.0 * (1.0 + momentum) * excess
    # ηS − (1 ± √β)² with 2(1 + β)ε kept apart, so that neither a small ε nor a small 1 − β is rounded away.
    over_upper = ((1.0 - momentum) / (1.0 + root)) ** 2 + beyond
    over_lower = (1.0 + root) ** 2 + beyond
    trace = -(1.0 + momentum) * (1.0 + 2.0 * excess)
    is_complex = (over_upper < 0.0) & (over_lower > 0.0)
    width = np.sqrt(np.abs(over_upper)) * np.sqrt(np.abs(over_lower))
    return np.where(is_complex, root, 0.5 * (np.abs(trace) + width))
