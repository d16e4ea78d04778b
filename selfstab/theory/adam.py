"""Adam's catapults on the cubic model: what a moving preconditioner adds to heavy ball's.

Model and notation: L(x, z) = ½(S₀ + bz)x², P = √v of each weight; b² is the argument `stabilization`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import MOMENTUM, NOT_NEGATIVE, POSITIVE, REAL, Range, closed_form

_DECAY: Final = Range(above=0, below=1)


@closed_form(beta2=_DECAY, steps=Range(above=0, finite=False))
def fading_rate(beta2: Any, steps: Any = np.inf) -> Any:
    """Return the rise per step of the relative excess while gradients are small beside their past.

    ε̇ = −ln β₂/(2(1 − β₂ᵗ)) ≈ (1 − β₂)/2

    v̂ then forgets and P = √v̂ falls. It adds to the rate d ln η/dt of a warmup.

    Parameters
    ----------
    beta2
        β₂ in (0, 1).
    steps
        t > 0, how many steps v has averaged where its bias is corrected; infinity, the default, without correction.

    Returns
    -------
    float or ndarray
        ε̇, per step.

    Notes
    -----
    Source: new here; proof in ``derivations/a13_adam.py``.

    Examples
    --------
    >>> round(fading_rate(0.999) * 1e3, 4), round(fading_rate(0.999, 500) * 1e3, 4)
    (0.5003, 1.2709)
    """
    decay = np.log(beta2)
    return decay / (2.0 * np.expm1(decay * steps))


@closed_form(
    beta2=Range(at_least=0, below=1),
    momentum=MOMENTUM,
    threshold=POSITIVE,
    stabilization=POSITIVE,
    second_moment=POSITIVE,
)
def preconditioner_share(
    beta2: Any, momentum: Any, threshold: Any, stabilization: Any = 1.0, second_moment: Any = 1.0
) -> Any:
    """Return R, the part of a catapult's stabilization that is the preconditioner's, relative to the curvature's.

    R = (1 − β₂)(1 − β)S*⁴/(2(1 + β)b²v₀)

    In the slow limit the preconditioned sharpness falls by 2y₀, as it does if P is constant. The growth of P does
    R/(1 + R) of it, and the largest swing is √(1 + R) times smaller.

    Parameters
    ----------
    beta2
        β₂ in [0, 1).
    momentum
        β₁ in [0, 1).
    threshold
        S* = 2(1 + β)√v₀/((1 − β)η) > 0, of the Hessian's sharpness at the start's P = √v₀.
    stabilization
        b² > 0.
    second_moment
        v₀ > 0, the mean squared gradient along the swing before it.

    Returns
    -------
    float or ndarray
        R, nondimensional.

    Notes
    -----
    Source: new here; proof in ``derivations/a13_adam.py``.

    Examples
    --------
    >>> round(preconditioner_share(0.999, 0.9, threshold=2.0, stabilization=1e-3), 6)
    0.421053
    """
    push = (1.0 - beta2) * (1.0 - momentum) * threshold**4
    return push / (2.0 * (1.0 + momentum) * stabilization * second_moment)


@closed_form(excess=REAL, momentum=MOMENTUM, share=NOT_NEGATIVE)
def adaptive_inertia_number(excess: Any, momentum: Any, share: Any = 0.0) -> Any:
    """Return κ_A, the first order of the overshoot of Adam's catapults: G = 1 + κ_A + O(κ²).

    κ_A = κ{[1 + 2(1 − Rρ²)/(1 + R)]/3 − ρ²R(4/3 + R)/(1 + R)²},  κ = ε/ρ²,  ρ = (1 − β)/(1 + β)

    The preconditioner takes each gradient at once: its part of the stabilization has no inertia. Near β = 1 it leaves
    κ(1 + 2/(1 + R))/3, a third of heavy ball's κ where it does all.

    Parameters
    ----------
    excess
        ε, of the preconditioned sharpness at the start, any finite number.
    momentum
        β₁ in [0, 1).
    share
        R >= 0, see :func:`preconditioner_share`; 0 at a frozen preconditioner.

    Returns
    -------
    float or ndarray
        κ_A, nondimensional.

    Notes
    -----
    Source: new here; proof in ``derivations/a13_adam.py``.

    Examples
    --------
    >>> adaptive_inertia_number(0.01, 0.9, [0.0, 1.0, 100.0]).round(4)
    array([3.61  , 2.3975, 1.2106])
    """
    rho2 = ((1.0 - momentum) / (1.0 + momentum)) ** 2
    delays = (1.0 + 2.0 * (1.0 - share * rho2) / (1.0 + share)) / 3.0
    # A fraction at a time: the square of a large share overflows.
    bend = rho2 * (share / (1.0 + share)) * ((4.0 / 3.0 + share) / (1.0 + share))
    return excess / rho2 * (delays - bend)
