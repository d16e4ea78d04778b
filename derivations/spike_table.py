"""Generator of the coefficients from which the library evaluates the spike factor F(κ).

F = ½ max a² on the orbit that leaves the unstable manifold of

    a' + κ a'' = y a,    y' + κ y'' = −a²/2

at (a, y) = (0, 1), along which a grows as e^{rt}, κr² + r = 1. In the time rt, with κr² = 1 − r, it is

    r a' + (1 − r) a'' = y a,    r y' + (1 − r) y'' = −a²/2,

regular at both ends: r = 1 is κ = 0, the slow limit with F = 1, and r = 0 is κ = ∞, the orbit without friction,
with F finite; so that one series in r holds for all κ. At r = 1 the ratio written out is 2, from F = 1 + 2κ + O(κ²)
(``a5_overshoot``).

The orbit starts on the manifold's series, a = Σ a_n s^n (odd n), y = 1 + Σ y_n s^n (even n), s = e^{rt}, and goes on by
Taylor steps, as in ``overshoot_table``; the peak is the root of a' in its step. Written out are Chebyshev coefficients
of (F − 1)/(1 − r) in 2r − 1.

Run ``python -m derivations.spike_table FILE`` to write them to FILE.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numba
import numpy as np

from derivations.overshoot_table import TAYLOR_ORDER, expand, leave, sum_of

NODES = 80
SMALLEST = 1e-13  # Chebyshev coefficients below this end the series


@numba.njit(error_model="numpy")
def spike_factor(rate: float) -> float:
    """Return F at r = `rate` in [0, 1)."""
    terms = np.zeros((4, TAYLOR_ORDER + 1))
    a, da, y, dy = leave(1.0 - rate, rate, 1.0)
    while True:
        terms[:, 0] = a, da, y, dy
        step = expand(1.0 - rate, rate, terms)
        if sum_of(terms[1], step) <= 0.0:
            low, high = 0.0, step
            for _ in range(60):
                middle = 0.5 * (low + high)
                if sum_of(terms[1], middle) > 0.0:
                    low = middle
                else:
                    high = middle
            return 0.5 * sum_of(terms[0], low) ** 2
        a, da, y, dy = (
            sum_of(terms[0], step), sum_of(terms[1], step), sum_of(terms[2], step), sum_of(terms[3], step),
        )  # fmt: skip


def chebyshev_coefficients() -> np.ndarray:
    """Return the coefficients of (F − 1)/(1 − r) over [−1, 1] ∋ 2r − 1."""
    position = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    rates = 0.5 * (position + 1.0)
    scaled = np.array([(spike_factor(r) - 1.0) / (1.0 - r) for r in rates])
    coefficients = np.polynomial.chebyshev.chebfit(position, scaled, NODES - 1)
    return coefficients[: int(np.flatnonzero(np.abs(coefficients) > SMALLEST)[-1]) + 1]


def module_text() -> str:
    """Return the source of the module of literals that the library imports."""
    rows = "".join(f"    {float(c)!r},\n" for c in chebyshev_coefficients())
    return (
        '"""Coefficients of the spike factor F(κ), written by derivations/spike_table.py."""\n\n'
        "from __future__ import annotations\n\n"
        "from typing import Final\n\n"
        "CHEBYSHEV: Final = (\n" + rows + ")\n"
        '"""(F − 1)/(1 − r) as a series in 2r − 1, r = 1/(½ + √(¼ + κ)) in [0, 1]."""\n'
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m derivations.spike_table FILE")
    Path(sys.argv[1]).write_text(module_text(), encoding="utf-8")
