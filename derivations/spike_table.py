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

NODES = 80
SMALLEST = 1e-13  # Chebyshev coefficients below this end the series

MANIFOLD_ORDER = 40
TAYLOR_ORDER = 26


@numba.njit(error_model="numpy")
def spike_factor(rate: float) -> float:
    """Return F at r = `rate` in [0, 1)."""
    last = MANIFOLD_ORDER
    a_n = np.zeros(last + 1)
    y_n = np.zeros(last + 1)
    a_n[1] = 1.0
    inertia = 1.0 - rate
    for n in range(2, last + 1):
        total = 0.0
        if n % 2:
            for j in range(1, n):
                total += y_n[j] * a_n[n - j]
            a_n[n] = total / (inertia * n * n + rate * n - 1.0)
        else:
            for j in range(1, n):
                total += a_n[j] * a_n[n - j]
            y_n[n] = -0.5 * total / (inertia * n * n + rate * n)
    radius = min(abs(a_n[last - 1]) ** (-1.0 / (last - 1)), abs(y_n[last]) ** (-1.0 / last))
    a, da, y, dy = 0.0, 0.0, 1.0, 0.0
    for n in range(last, 0, -1):
        power = (0.3 * radius) ** n
        a += a_n[n] * power
        da += n * a_n[n] * power
        y += y_n[n] * power
        dy += n * y_n[n] * power

    order = TAYLOR_ORDER
    at = np.zeros(order + 1)
    dat = np.zeros(order + 1)
    yt = np.zeros(order + 1)
    dyt = np.zeros(order + 1)
    while True:
        at[0], dat[0], yt[0], dyt[0] = a, da, y, dy
        for n in range(order):
            ya = 0.0
            aa = 0.0
            for j in range(n + 1):
                ya += yt[j] * at[n - j]
                aa += at[j] * at[n - j]
            at[n + 1] = dat[n] / (n + 1)
            dat[n + 1] = (ya - rate * dat[n]) / (inertia * (n + 1))
            yt[n + 1] = dyt[n] / (n + 1)
            dyt[n + 1] = (-0.5 * aa - rate * dyt[n]) / (inertia * (n + 1))
        step = np.inf
        for n in (order - 1, order):
            for size, term in (
                (abs(a) + abs(da), abs(at[n]) + abs(dat[n])),
                (abs(y) + abs(dy), abs(yt[n]) + abs(dyt[n])),
            ):
                step = min(step, 0.25 * (size / term) ** (1.0 / n))
        if _horner(dat, step) <= 0.0:
            low, high = 0.0, step
            for _ in range(60):
                middle = 0.5 * (low + high)
                if _horner(dat, middle) > 0.0:
                    low = middle
                else:
                    high = middle
            return 0.5 * _horner(at, low) ** 2
        a, da, y, dy = _horner(at, step), _horner(dat, step), _horner(yt, step), _horner(dyt, step)


@numba.njit
def _horner(coefficients: np.ndarray, step: float) -> float:
    total = 0.0
    for n in range(len(coefficients) - 1, -1, -1):
        total = total * step + coefficients[n]
    return total


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
