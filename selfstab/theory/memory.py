"""The slow flow: large catapults of any linear optimizer, in which swing and sharpness remember what drove them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab.theory.arguments import NOT_NEGATIVE, Range, closed_form, plain
from selfstab.theory.linear import linear_domain, linear_overshoot
from selfstab.theory.transfer import expansions, transfer_function
from selfstab.transfer_functions import Transfer, integrated
from selfstab.validation import Array

_DIRECT: Final = Range(at_least=0, at_most=1)
_LARGEST: Final = 100.0
"""Of κ_x: beyond, the swing has too many oscillations to integrate."""
_SWING: Final = Range(at_least=0, at_most=_LARGEST)
_MEMORY: Final = Range(at_least=0, at_most=1e6)

_AT_ONCE: Final = 1e-6
"""κ_m below which a memory acts at once: G errs by less."""
_SERIES: Final = 1e-10
"""Fourth order of the series below which it is taken in place of an integration."""
_FIRST: Final = 1e-6
"""a where the integration begins: G errs by its square."""
_EVALUATIONS: Final = 120_000
"""Of the flow, after which a swing counts as one that does not die: about two seconds."""
_SMALL: Final = 1e-5
"""κ_x below which the swing has no second mode."""
_LAST: Final = 1e-14
"""The energy of a swing that has died."""


class _Endless(Exception):
    """A swing that has not died after many evaluations."""


@dataclass(frozen=True)
class SlowFlow:
    """a' + κ_xa'' = ya, y' = −direct·a²/2 − out·m, lag·m' = into·a²/2 − m.

    Parameters
    ----------
    swing
        κ_x > −1.
    direct
        Share of the push that reaches the sharpness at once.
    lag, into, out
        Time constants of the memory, what fills it and how it is read; shapes (n, n), (n,), (n,).
    """

    swing: float
    direct: float
    lag: Array
    into: Array
    out: Array

    def overshoot(self) -> float:
        """Return G of the orbit that leaves (a, y) = (0, 1), NaN if its swing has not died after a long time."""
        from scipy.integrate import solve_ivp

        kappa, direct, into, out = self.swing, self.direct, self.into, self.out
        unlag = np.linalg.inv(self.lag)
        rest = out @ self.lag

        second = kappa > _SMALL  # below, d + κd² is d/(1 − κd) up to κ², without a fast second mode
        energetic = kappa if second else 0.0
        evaluations = 0

        def slopes(_: float, state: Array) -> Array:
            nonlocal evaluations
            evaluations += 1
            if evaluations > _EVALUATIONS:
                raise _Endless
            a, slope, y, memory = state[0], state[1], state[2], state[3:]
            push = 0.5 * a * a
            y_dot = -direct * push - out @ memory
            if second:
                of_a, of_slope = slope, (y * a - slope) / kappa
            else:
                of_a, of_slope = (y - kappa * y_dot) * a / (1.0 + kappa * y), 0.0
            return np.concatenate([[of_a, of_slope, y_dot], unlag @ (into * push - memory)])

        def died(_: float, state: Array) -> float:
            energy = state[0] ** 2 + energetic * state[1] ** 2
            alive = state[2] - rest @ state[3:] >= 0.0 or state[2] >= 0.0
            return 1.0 if alive or energy > _LAST else -1.0

        died.terminal = True  # type: ignore[attr-defined]
        rate = 1.0 / (0.5 + math.sqrt(0.25 + kappa)) if second else 1.0 / (1.0 + kappa)
        push = 0.5 * _FIRST**2
        filled = np.linalg.solve(np.eye(into.size) + 2.0 * rate * self.lag, into) * push
        start = [_FIRST, rate * _FIRST, 1.0 - (direct * push + out @ filled) / (2.0 * rate), *filled]
        longest = 1e3 * (1.0 + abs(kappa)) + 1e2 * float(np.abs(self.lag).max())
        try:
            run = solve_ivp(
                slopes,
                (0.0, longest),
                start,
                method="LSODA",
                rtol=1e-10,
                atol=1e-14,
                events=died,
                t_eval=[longest],
            )
        except _Endless:
            return math.nan
        if run.status != 1:
            return math.nan
        end = run.y_events[0][-1]
        return float(0.5 * (1.0 - (end[2] - rest @ end[3:])))


@closed_form(memory=_MEMORY, direct=_DIRECT, swing=_SWING)
def memory_overshoot(memory: Any, direct: Any = 0.0, swing: Any = 0.0) -> Any:
    """Return the overshoot G of a catapult whose sharpness remembers a part of what pushes it.

    a' + κ_xa'' = ya,    y' = −φa²/2 − m,    κ_mm' = (1 − φ)a²/2 − m

    from (a, y) = (0, 1) until the memory has run out. Without κ_x it is at most 1/φ, to which it tends as κ_m → ∞:
    G = 1/φ − (1 − φ)/(φ²κ_m). With φ = 0 and κ_x = κ_m it is heavy ball's, :func:`overshoot`.

    Parameters
    ----------
    memory
        κ_m in [0, 10⁶], the memory's time in units of the time in which the swing grows by e.
    direct
        φ in [0, 1], the share of a push that acts at once: 1 − ν of quasi-hyperbolic momentum.
    swing
        κ_x in [0, 100], the swing's own inertia number.

    Returns
    -------
    float or ndarray
        G, nondimensional, to a relative 1e-6, by numerical integration.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_memory.py``.

    Examples
    --------
    >>> [round(memory_overshoot(kappa, 0.3), 4) for kappa in (2.0, 20.0, 200.0)]
    [1.9133, 3.0117, 3.2953]
    """
    out = np.empty(memory.shape)
    for k in np.ndindex(memory.shape):
        lag, direct_share = float(memory[k]), float(direct[k])
        if lag < _AT_ONCE:
            lag, direct_share = 1.0, 1.0
        flow = SlowFlow(
            float(swing[k]), direct_share, np.array([[lag]]), np.array([1.0 - direct_share]), np.ones(1)
        )
        out[k] = flow.overshoot()
    return out


def slow_overshoot(optimizer: Any, excess: Any) -> Any:
    """Return the overshoot G of a linear optimizer's catapult of any size, by its slow flow.

    a' + κ_xa'' = ya,    y' = −Σφ_jm_j,    κ_jm_j' = a²/2 − m_j,    κ_j = r(1 + p_j)/(2(1 − p_j)),    r = ε/σ

    with p_j and φ_j of (z − 1)T(z)/c₀ = Σφ_j(1 − p_j)z/(z − p_j). Its error is O(r²) with every κ fixed. So the
    memories may be long as compared with the catapult, but the rate per step must be small. Where the series of
    :func:`linear_overshoot` holds to 1e-10 it is that.

    Parameters
    ----------
    optimizer
        A linear optimizer, or (numerator, denominator) of T.
    excess
        ε = S/S* − 1 >= 0, with κ_x above −1 and at most 100.

    Returns
    -------
    float or ndarray
        G, nondimensional; NaN where the swing does not die out.

    Raises
    ------
    TypeError, ValueError
        If it is no linear optimizer or does not lose its stability by a flip, or excess is out of its range.

    Notes
    -----
    Source: new here; proof in ``derivations/a11_memory.py``.

    Examples
    --------
    Quasi-hyperbolic momentum with ν = 0.7 and a long memory: the overshoot stays below about 1/(1 − ν).

    >>> beta = 0.999
    >>> round(slow_overshoot(([1.0 - 0.7 * beta, -0.3 * beta], [1.0, -1.0 - beta, beta]), 0.01), 4)
    3.0444
    """
    relative = NOT_NEGATIVE.checked("excess", excess)
    system = transfer_function(optimizer)
    known = expansions(system)
    series = linear_domain(optimizer, _SERIES)
    out = np.empty(relative.shape)
    for k in np.ndindex(relative.shape):
        rate = float(relative[k]) / known.sigma
        swing = rate * known.swing[0]
        if not -1.0 < swing <= _LARGEST:
            allowed = (_LARGEST if swing > 0.0 else -1.0) * known.sigma / known.swing[0]
            raise ValueError(
                f"excess must be at most {allowed:.6g} of this optimizer, got {float(relative[k])!r}"
            )
        if relative[k] <= series:
            out[k] = linear_overshoot(optimizer, relative[k])
        else:
            out[k] = _flow(system, known.gain, rate, swing).overshoot()
    return plain(out)


def _flow(system: Transfer, gain: float, rate: float, swing: float) -> SlowFlow:
    """Return the slow flow: paths as one matrix A, which needs no simple poles, as (z − 1)T/c₀ = C·z(z − A)⁻¹B."""
    above, below = list(system.numerator), [*(integrated(system.denominator) or ()), 0]
    while above[-1] == 0 and below[-1] == 0:
        above, below = above[:-1], below[:-1]
    size = len(below) - 1
    matrix = np.eye(size, k=-1)
    matrix[0] = [-float(c) for c in below[1:]]
    output = np.zeros(size)
    output[size - len(above) :] = [float(c) / gain for c in above]
    unit = np.eye(size)
    averaging = np.linalg.inv(unit - matrix)
    return SlowFlow(
        swing, 0.0, 0.5 * rate * (unit + matrix) @ averaging, unit[0].copy(), np.asarray(output @ averaging)
    )
