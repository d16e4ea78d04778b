"""What is left of a catapult once sharpness is below the threshold: the oscillation's life and what it still does.

The depth is e = (S* − S)/S*, between 0 and 1: the relative excess with the other sign.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import MOMENTUM, POSITIVE, REAL, Range, closed_form

_DEPTH: Final = Range(at_least=0, at_most=1)


@closed_form(depth=_DEPTH, momentum=MOMENTUM)
def oscillation_lifetime(depth: Any, momentum: Any) -> Any:
    """Return how many steps the oscillation takes to shrink by the factor e = 2.718... at a frozen sharpness.

    −1/ln|λ|, |λ| >= √β the larger modulus of the modes at ηS = 2(1 + β)(1 − depth)

    Just below the threshold it is (1 − β)/(2(1 + β)·depth), shorter than gradient descent's; deeper it is 2/ln(1/β),
    whatever the depth.

    Parameters
    ----------
    depth
        (S* − S)/S* in [0, 1].
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        In steps; infinity at depths 0 and 1, and 0 where one step ends the oscillation (β = 0 at depth ½).

    Notes
    -----
    Source: [Polyak1964]_; proof in ``derivations/a6_prolonging.py``.

    Examples
    --------
    >>> [round(oscillation_lifetime(0.3, beta), 3) for beta in (0.0, 0.9)]
    [1.091, 18.982]
    """
    near = np.minimum(depth, 1.0 - depth)  # depths beyond ½ mirror with λ → −λ
    root = np.sqrt(momentum)
    beyond = 2.0 * (1.0 + momentum) * near
    gap = ((1.0 - momentum) / (1.0 + root)) ** 2 - beyond  # above 0 where the modes are real
    width = np.sqrt(np.where(gap > 0.0, gap * ((1.0 + root) ** 2 - beyond), 0.0))
    # 1 − |λ| = d is the smaller root of d² − (1 − β + 2(1+β)e)d + 2(1+β)e = 0.
    below_one = np.where(gap > 0.0, 2.0 * beyond / ((1.0 - momentum) + beyond + width), 1.0 - root)
    exponent = np.where(gap > 0.0, -np.log1p(-below_one), -0.5 * np.log(momentum))
    return 1.0 / exponent


@closed_form(momentum=MOMENTUM)
def prolonged_depths(momentum: Any) -> tuple[Any, Any]:
    """Return the depths between which momentum makes the oscillation live longer than gradient descent does.

    (1 − √β)/2 < depth < (1 + √β)/2, at equal thresholds and equal depths

    Parameters
    ----------
    momentum
        β in [0, 1).

    Returns
    -------
    shallowest, deepest : float or ndarray
        Relative depths (S* − S)/S*, each of the shape of `momentum`.

    Notes
    -----
    Source: new here; proof in ``derivations/a6_prolonging.py``.

    Examples
    --------
    >>> [round(depth, 4) for depth in prolonged_depths(0.9)]
    [0.0257, 0.9743]
    """
    root = np.sqrt(momentum)
    return 0.5 * (1.0 - momentum) / (1.0 + root), 0.5 * (1.0 + root)


@closed_form(
    x=REAL,
    previous=REAL,
    change=REAL,
    threshold=POSITIVE,
    momentum=MOMENTUM,
    depth=Range(above=0, below=1),
    stabilization=POSITIVE,
)
def remaining_drop(
    x: Any, previous: Any, change: Any, threshold: Any, momentum: Any, depth: Any, stabilization: Any = 1.0
) -> Any:
    """Return how far sharpness still falls from below the threshold, without progressive sharpening.

    −(β/(1 − β))(y_T − y_{T−1}) + b²[(x_T + βx_{T−1})² − 4βe x_T x_{T−1}]/(4S* e(1 − e)(1 − β)²)

    Sharpness coasts β/(1 − β) times its last step, and each swing left pushes with the full weight 1/(1 − β). The
    sum of the swings takes the depth e as frozen: it is right up to a relative O(b²x²/(S*e)²).

    Parameters
    ----------
    x, previous
        x_T and x_{T−1}, displacements along the top eigenvector from the minimum; of a flip they have opposite signs.
    change
        y_T − y_{T−1}, the last change of the sharpness: below 0 while it falls.
    threshold
        S* > 0.
    momentum
        β in [0, 1).
    depth
        e = (S* − S)/S* at step T, in (0, 1).
    stabilization
        b² > 0.

    Returns
    -------
    float or ndarray
        y_T − y_∞ in the unit of `threshold`.

    Notes
    -----
    Source: new here; proof in ``derivations/a6_prolonging.py``.

    Examples
    --------
    >>> round(remaining_drop(0.1, -0.1, 0.0, 1.0, 0.0, depth=0.5), 12)
    0.01
    >>> round(remaining_drop(0.1, -0.1, 0.0, 1.0, 0.9, depth=0.5), 12)
    1.81
    """
    squares = (x + momentum * previous) ** 2 - 4.0 * momentum * depth * x * previous
    swings = stabilization * (squares / (1.0 - momentum) ** 2) / (4.0 * depth * (1.0 - depth)) / threshold
    return swings - momentum / (1.0 - momentum) * change


@closed_form(depth=_DEPTH, momentum=MOMENTUM)
def prolonging_factor(depth: Any, momentum: Any) -> Any:
    """Return how many times gradient descent's remaining drop momentum's is, from a swing at rest.

    1 + 4βe/(1 − β)²

    Parameters
    ----------
    depth
        e = (S* − S)/S* in [0, 1]; it and the threshold are equal for both.
    momentum
        β in [0, 1).

    Returns
    -------
    float or ndarray
        The factor, nondimensional, at least 1.

    Notes
    -----
    Source: new here; proof in ``derivations/a6_prolonging.py``.

    Examples
    --------
    >>> round(prolonging_factor(0.1, 0.9), 9)
    37.0
    """
    return 1.0 + 4.0 * momentum * depth / (1.0 - momentum) ** 2
