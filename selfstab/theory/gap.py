"""The sharpness gap: how far noise of the gradient keeps the mean sharpness below the threshold at the edge."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, POSITIVE, REAL, closed_form
from selfstab.transfer_functions import Transfer, characteristic, exact, impulse_energy, is_stable

_EDGE: Final = {
    "progressive_sharpening": POSITIVE,
    "noise": NOT_NEGATIVE,
    "stabilization": POSITIVE,
    "transverse_noise": NOT_NEGATIVE,
}


@closed_form(lr=POSITIVE, momentum=MOMENTUM, **_EDGE)
def sharpness_gap(
    lr: Any,
    momentum: Any,
    progressive_sharpening: Any,
    noise: Any,
    stabilization: Any = 1.0,
    transverse_noise: Any = 0.0,
) -> Any:
    """Return how far the mean sharpness is below the threshold at the edge, with noise of the gradient: heavy ball.

    ΔS = ΔS_u + ηb²σ_s²/(2α(1 − β)), with ΔS_u the smaller root of ΔS_u(1 − ΔS_u/S*) = ηb²σ_u²/(4α(1 − β))

    At matched S* momentum multiplies the gap by (1 + β)/(1 − β). Noise of the same size in all directions, such as
    that of :func:`selfstab.simulate`, is σ_s = σ_u. The gap is then three times that of σ_u alone, to leading order.

    Parameters
    ----------
    lr
        Learning rate η > 0, in units of 1/sharpness.
    momentum
        β in [0, 1).
    progressive_sharpening
        α > 0, the rate at which the gradient raises the sharpness.
    noise
        σ_u >= 0, deviation per step of the gradient's component along the swing.
    stabilization
        b² > 0.
    transverse_noise
        σ_s >= 0, deviation per step of the gradient's component along the sharpness' gradient.

    Returns
    -------
    float or ndarray
        ΔS = S* − mean S, in units of 1/lr; NaN where noise is so strong, ηb²σ_u²/(α(1 − β)) > S*, that the swing's
        variance is above its balance at every sharpness.

    Notes
    -----
    Source: [Liao2026]_ without momentum; with it, and for σ_s, new here; proof in ``derivations/a12_gap.py``.

    Examples
    --------
    >>> round(sharpness_gap(0.5, 0.5, 1e-6, 1e-4), 12)
    0.002501042536
    >>> sharpness_gap(0.5, [0.0, 0.9], 1e-6, 1e-4, transverse_noise=1e-4).round(4)
    array([0.0038, 0.0375])
    """
    scale = lr / (1.0 - momentum) * stabilization * noise**2 / (4.0 * progressive_sharpening)
    # The smaller root of ΔS(1 − ΔS/S*) = scale without cancellation, S* = 2(1 + β)/η.
    room = 1.0 - 2.0 * lr * scale / (1.0 + momentum)
    along = 2.0 * scale / (1.0 + np.sqrt(np.where(room >= 0.0, room, np.nan)))
    return along + lr / (1.0 - momentum) * stabilization * transverse_noise**2 / (
        2.0 * progressive_sharpening
    )


@closed_form(threshold=POSITIVE, sigma=POSITIVE, c0=POSITIVE, **_EDGE)
def linear_sharpness_gap(
    threshold: Any,
    sigma: Any,
    c0: Any,
    progressive_sharpening: Any,
    noise: Any,
    stabilization: Any = 1.0,
    transverse_noise: Any = 0.0,
) -> Any:
    """Return how far noise keeps the mean sharpness below the threshold at the edge: any linear optimizer.

    ΔS = (b²/(4α))(σ_u²/(σS*) + 2c₀σ_s²) to leading order in ΔS/S*

    Parameters
    ----------
    threshold
        S* > 0, in units of 1/lr.
    sigma
        σ > 0: the swing grows by ε/σ a step at a relative excess ε.
    c0
        c₀ > 0: a constant gradient moves the weights by c₀ a step; in units of lr.
    progressive_sharpening, noise, stabilization, transverse_noise
        α > 0, σ_u >= 0, b² > 0 and σ_s >= 0, as in :func:`sharpness_gap`.

    Returns
    -------
    float or ndarray
        ΔS = S* − mean S, in units of 1/lr.

    Notes
    -----
    `threshold`, `sigma` and `c0` are those of :meth:`selfstab.Optimizer.transfer_coefficients`, which are at lr 1:
    the threshold is to be divided by lr, c₀ multiplied by it. Source: new here; proof in ``derivations/a12_gap.py``.

    Examples
    --------
    Heavy ball at lr 1 and β = 1/2 has S* = 3, σ = 1/6 and c₀ = 2:

    >>> round(linear_sharpness_gap(3.0, 1 / 6, 2.0, 1e-6, 1e-4), 12), round(sharpness_gap(1.0, 0.5, 1e-6, 1e-4), 6)
    (0.005, 0.005008)
    """
    along = noise**2 / (sigma * threshold)
    return stabilization / (4.0 * progressive_sharpening) * (along + 2.0 * c0 * transverse_noise**2)


@closed_form(sigma=POSITIVE, c0=POSITIVE, inertia=REAL, progressive_sharpening=POSITIVE, spread=NOT_NEGATIVE)
def cycle_gap(sigma: Any, c0: Any, inertia: Any, progressive_sharpening: Any, spread: Any = 2.0) -> Any:
    """Return what cycles add to the sharpness gap of noise along the swing, by their inertia.

    (3/2) f c₀ασ·κ_e/ε, to first order in κ_e at y = √(αc₀σS*), the size of y in cycles

    Of heavy ball it is (3/2)fα((1 + β)/(1 − β))²/S*.

    Parameters
    ----------
    sigma, c0
        σ > 0 and c₀ > 0, as in :func:`linear_sharpness_gap`.
    inertia
        κ_e/ε, the effective inertia number of a catapult for each unit of the relative excess: the last of
        :meth:`selfstab.Optimizer.inertia` at 1; of heavy ball ((1 + β)/(1 − β))².
    progressive_sharpening
        α > 0.
    spread
        f = E(1 − b²x²/(2α))² >= 0: 2 where noise dominates, ΔS ≫ √(αc₀σS*).

    Returns
    -------
    float or ndarray
        In units of 1/lr.

    Notes
    -----
    Source: new here; proof in ``derivations/a12_gap.py``.

    Examples
    --------
    Heavy ball at lr 1 and β = 1/2:

    >>> round(cycle_gap(1 / 6, 2.0, 9.0, 1e-6), 12)
    9e-06
    """
    return 1.5 * spread * c0 * progressive_sharpening * sigma * inertia


def stationary_variance(numerator: Any, denominator: Any, sharpness: float) -> float:
    """Return E x² on ½Sx² for noise of the gradient of deviation 1: the sum of the squared impulse response.

    x = −H(q)ξ, H = T/(1 + S·T), T = N/M; E x² = Σ h_k² exactly

    Parameters
    ----------
    numerator, denominator
        N and M of an optimizer's transfer function, w = −T(q)∇L: coefficients in z, the highest power first, at its
        lr; one-dimensional, N shorter than M.
    sharpness
        S >= 0, in units of 1/lr.

    Returns
    -------
    float
        E x²/σ_u², in units of lr²; infinity where it is not stable.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, not finite, or out of its range.

    Notes
    -----
    By Åström's recursion in exact arithmetic; heavy ball's closed form is in ``derivations/a12_gap.py``.

    Examples
    --------
    Heavy ball at lr 1 and β = 1/2, S* = 3: (1 + β)/((1 − β)S(S* − S)).

    >>> round(stationary_variance([1.0, 0.0], [1.0, -1.5, 0.5], 2.0), 12)
    1.5
    """
    above = validation.floats("numerator", numerator, shape=(None,))
    below = validation.floats("denominator", denominator, shape=(None,))
    if not 0 < above.size < below.size or below[0] == 0.0:
        raise ValueError(
            "denominator must begin with another number than 0 and be longer than the numerator, of one or more, "
            f"got {validation.shown(denominator)}"
        )
    sharpness = validation.real("sharpness", sharpness, at_least=0)
    # Exactly: where poles are close together, a linear system of float64 has no digit right.
    system = Transfer(exact(above.tolist()), exact(below.tolist()))
    modes = characteristic(system, sharpness)
    if not is_stable(modes):
        return float("inf")
    energy = impulse_energy(system.numerator, modes)
    try:
        return float(energy)
    except OverflowError:
        return float("inf")
