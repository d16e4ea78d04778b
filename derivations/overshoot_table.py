"""Generator of the coefficients from which the library evaluates the overshoot G(κ).

G is defined by the orbit that leaves the unstable manifold of

    a' + κ a'' = y a,    y' + κ y'' = −a²/2

at (a, y) = (0, 1): y ends at 1 − 2G. The orbit is computed in three parts, none of which is a fit:

1. On the unstable manifold a = Σ a_n s^n (odd n), y = 1 + Σ y_n s^n (even n), s = e^{μt}, κμ² + μ = 1.
Equal
   powers give (κ n²μ² + nμ − 1) a_n = Σ_j y_j a_{n−j} and (κ n²μ² + nμ) y_n = −½ Σ_j a_j a_{n−j}; the start
   lies inside the radius of convergence.
2. Taylor steps of order 26, whose size keeps the last terms at rounding level.
3. Once a² is small, y_f = y + κy' − ½∫a² exactly (the second equation integrated to infinity), and with y
   frozen at y_f = −Z the first equation, times a and times a' and integrated, gives
   ∫a² = (κ a a' + ½κ²a'² + ½κZa² + ½a²)/Z.

Written out are Chebyshev coefficients of (G − 1)(1 + κ)^{1/3}/κ in log κ over [0.02, 10⁴], and those of
G = ½ + κ^{2/3}(c0 + c1 κ^{−1/2} + c2 κ^{−1} + c3 κ^{−3/2}) beyond, fitted to orbits up to κ = 3·10⁶.

Run ``python -m derivations.overshoot_table FILE`` to write them to FILE (about half a minute).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numba
import numpy as np

TABLE = (0.02, 1e4)  # the range of κ of the Chebyshev series
NODES = 96
SMALLEST = 1e-14  # Chebyshev coefficients below this end the series
FAR = np.geomspace(3e3, 3e6, 25)
FAR_POWERS = (0.0, -0.5, -1.0, -1.5)

MANIFOLD_ORDER = 40
TAYLOR_ORDER = 26


@numba.njit(error_model="numpy")
def leave(inertia: float, friction: float, rate: float) -> tuple[float, float, float, float]:
    """Return (a, a', y, y') on the unstable manifold of (0, 1), inside its series' radius of convergence.

    The orbit of friction·a' + inertia·a'' = ya, friction·y' + inertia·y'' = −a²/2 that leaves as e^{rate·t}.
    """
    last = MANIFOLD_ORDER
    a_n = np.zeros(last + 1)
    y_n = np.zeros(last + 1)
    a_n[1] = 1.0
    for n in range(2, last + 1):
        total = 0.0
        growth = n * rate
        if n % 2:
            for j in range(1, n):
                total += y_n[j] * a_n[n - j]
            a_n[n] = total / (inertia * growth**2 + friction * growth - 1.0)
        else:
            for j in range(1, n):
                total += a_n[j] * a_n[n - j]
            y_n[n] = -0.5 * total / (inertia * growth**2 + friction * growth)
    radius = min(abs(a_n[last - 1]) ** (-1.0 / (last - 1)), abs(y_n[last]) ** (-1.0 / last))
    a, da, y, dy = 0.0, 0.0, 1.0, 0.0
    for n in range(last, 0, -1):
        power = (0.3 * radius) ** n
        a += a_n[n] * power
        da += n * rate * a_n[n] * power
        y += y_n[n] * power
        dy += n * rate * y_n[n] * power
    return a, da, y, dy


@numba.njit(error_model="numpy")
def expand(inertia: float, friction: float, terms: np.ndarray) -> float:
    """Fill the Taylor series of a, a', y, y', the rows of `terms`, from their first; return how far they hold."""
    order = TAYLOR_ORDER
    at, dat, yt, dyt = terms[0], terms[1], terms[2], terms[3]
    for n in range(order):
        ya = 0.0
        aa = 0.0
        for j in range(n + 1):
            ya += yt[j] * at[n - j]
            aa += at[j] * at[n - j]
        at[n + 1] = dat[n] / (n + 1)
        dat[n + 1] = (ya - friction * dat[n]) / (inertia * (n + 1))
        yt[n + 1] = dyt[n] / (n + 1)
        dyt[n + 1] = (-0.5 * aa - friction * dyt[n]) / (inertia * (n + 1))
    step = np.inf
    for n in (order - 1, order):
        for row in (0, 2):
            size = abs(terms[row, 0]) + abs(terms[row + 1, 0])
            term = abs(terms[row, n]) + abs(terms[row + 1, n])
            step = min(step, 0.25 * (size / term) ** (1.0 / n))
    return step


@numba.njit
def sum_of(coefficients: np.ndarray, step: float) -> float:
    """Return the Taylor series' value at `step`."""
    total = 0.0
    for n in range(len(coefficients) - 1, -1, -1):
        total = total * step + coefficients[n]
    return total


@numba.njit(error_model="numpy")
def overshoot(kappa: float, tail: float = 1e-9) -> float:
    """Return G(κ) for κ > 0; part 3 starts where ½∫a² < tail·|y|, and errs by about the square of that."""
    terms = np.zeros((4, TAYLOR_ORDER + 1))
    a, da, y, dy = leave(kappa, 1.0, 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * kappa)))
    while True:
        if y < 0.0:
            rest = 0.5 * _rest(kappa, -y, a, da)
            if rest < tail * -y and abs(kappa * dy) < tail * -y:
                final = y + kappa * dy - rest
                final = y + kappa * dy - 0.5 * _rest(kappa, -final, a, da)
                return 0.5 * (1.0 - final)
        terms[:, 0] = a, da, y, dy
        step = expand(kappa, 1.0, terms)
        a, da, y, dy = (
            sum_of(terms[0], step), sum_of(terms[1], step), sum_of(terms[2], step), sum_of(terms[3], step),
        )  # fmt: skip


@numba.njit
def _rest(kappa: float, z: float, a: float, da: float) -> float:
    """Return ∫a² from now on, with y frozen at −z."""
    return (kappa * a * da + 0.5 * (kappa * da) ** 2 + 0.5 * kappa * z * a * a + 0.5 * a * a) / z


def chebyshev_coefficients() -> np.ndarray:
    """Return the coefficients over [−1, 1] ∋ position of log κ in the table's range."""
    lowest, highest = np.log(TABLE)
    position = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    kappa = np.exp(lowest + 0.5 * (highest - lowest) * (position + 1.0))
    scaled = np.array([(overshoot(k) - 1.0) / k * (1.0 + k) ** (1.0 / 3.0) for k in kappa])
    coefficients = np.polynomial.chebyshev.chebfit(position, scaled, NODES - 1)
    return coefficients[: int(np.flatnonzero(np.abs(coefficients) > SMALLEST)[-1]) + 1]


def far_coefficients() -> tuple[np.ndarray, float]:
    """Return c0, c1, ... and the largest relative misfit in G for κ >= 10⁴."""
    values = np.array([overshoot(k) for k in FAR])
    basis = FAR[:, None] ** np.array(FAR_POWERS)
    coefficients = np.linalg.lstsq(basis, (values - 0.5) * FAR ** (-2.0 / 3.0), rcond=None)[0]
    model = 0.5 + FAR ** (2.0 / 3.0) * (basis @ coefficients)
    return coefficients, float(np.max(np.abs(model / values - 1.0), where=TABLE[1] <= FAR, initial=0.0))


def module_text() -> str:
    """Return the source of the module of literals that the library imports."""
    far, misfit = far_coefficients()
    chebyshev = chebyshev_coefficients()
    rows = "".join(f"    {float(c)!r},\n" for c in chebyshev)
    return (
        '"""Coefficients of the overshoot G(κ), written by derivations/overshoot_table.py."""\n\n'
        "from __future__ import annotations\n\n"
        "from typing import Final\n\n"
        f"TABLE: Final = ({TABLE[0]!r}, {TABLE[1]!r})\n"
        '"""The range of κ of the Chebyshev series."""\n\n'
        "CHEBYSHEV: Final = (\n" + rows + ")\n"
        '"""(G − 1)(1 + κ)^{1/3}/κ as a series in the position of log κ in the table, from −1 to 1."""\n\n'
        "FAR: Final = (" + ", ".join(repr(float(c)) for c in far) + ")\n"
        '"""G = ½ + κ^{2/3}(c0 + c1 κ^{−1/2} + c2 κ^{−1} + c3 κ^{−3/2}) beyond the table, '
        f'within {misfit:.0e}."""\n'
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m derivations.overshoot_table FILE")
    Path(sys.argv[1]).write_text(module_text(), encoding="utf-8")
