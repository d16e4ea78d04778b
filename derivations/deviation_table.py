"""Generator of the coefficients from which the library evaluates P, Q and R of the overshoot's deviation.

They belong to the equations of a5_deviation, linearized in ε about the orbit that defines G:

    a' + κa'' = a(y + ε(½σ(y − 1)² + τa²)) − εμ[a],    y' + κy'' = −½a²(1 + εσ(y − 1)) − εμ[y],
    μ[f] = (2/3)κf''' + (1/3)κ²f'''',

with σ, τ and μ one at a time. On the unstable manifold both orders are power series in s = e^{λt}, κλ² + λ = 1; μ
changes λ, which a stretch of time undoes: t → (1 + εm)t adds −m(f' + 2κf''), and m is chosen so that s keeps its rate.
From there orbit and deviations are integrated together until the oscillation is gone.

Written out are Chebyshev coefficients of P(1 + κ)^{−4/3}, Q(1 + κ)^{−2/3} and R(1 + κ)^{2/3}/κ² in log κ over
[0.02, 100]. Run ``python -m derivations.deviation_table FILE`` to write them to FILE (a few minutes).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

TABLE = (0.02, 100.0)  # the range of κ
NODES = 48
SMALLEST = 1e-11  # Chebyshev coefficients below this end a series
SCALES = ((0.0, -4.0 / 3.0), (0.0, -2.0 / 3.0), (-2.0, 2.0 / 3.0))  # powers of κ and 1 + κ
NAMES = ("P", "Q", "R")
ORDER = 14  # of the power series on the unstable manifold


def deviations(kappa: float) -> np.ndarray:
    """Return G, P, Q, R at one κ."""
    state, stretch = _manifold(kappa)

    def slope(_: float, w: np.ndarray) -> list[float]:
        a, a1, z, z1 = w[:4]  # z = y − 1
        y = 1.0 + z
        a2, z2 = (y * a - a1) / kappa, (-0.5 * a * a - z1) / kappa
        a3, z3 = (z1 * a + y * a1 - a2) / kappa, (-a * a1 - z2) / kappa
        a4 = (z2 * a + 2.0 * z1 * a1 + y * a2 - a3) / kappa
        z4 = (-a1 * a1 - a * a2 - z3) / kappa
        pushes = (
            (0.5 * z * z * a, -0.5 * a * a * z),
            (a**3, 0.0),
            (_map_terms(kappa, stretch, a1, a2, a3, a4), _map_terms(kappa, stretch, z1, z2, z3, z4)),
        )
        out = [a1, a2, z1, z2]
        for (push_a, push_z), k in zip(pushes, (4, 8, 12), strict=True):
            b, b1, x, x1 = w[k : k + 4]
            out += [b1, (y * b + x * a + push_a - b1) / kappa, x1, (-a * b + push_z - x1) / kappa]
        return out

    def gone(_: float, w: np.ndarray) -> float:
        return (w[0] ** 2 + kappa * w[1] ** 2) / 1e-26 - 1.0 if w[2] < -1.0 else 1.0

    gone.terminal = True  # type: ignore[attr-defined]
    orbit = solve_ivp(slope, (0.0, 1e6), state, method="DOP853", rtol=1e-12, atol=1e-14, events=gone)
    end = orbit.y[2::4, -1] + kappa * orbit.y[3::4, -1]  # z + κz' no longer changes
    depth, along_sigma, along_tau, along_map = end
    return np.array([-depth, -along_sigma - 0.5 * depth**2, -along_tau, -along_map]) / 2.0


def _map_terms(kappa, stretch, first, second, third, fourth):
    return -2.0 / 3.0 * kappa * third - kappa**2 / 3.0 * fourth - stretch * (first + 2.0 * kappa * second)


def _manifold(kappa: float) -> tuple[np.ndarray, float]:
    """Return the start, orbit and three deviations (a, a', y − 1, y') each, and m."""
    rate = 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * kappa))
    n = np.arange(ORDER + 1)
    a, z = np.zeros(ORDER + 1), np.zeros(ORDER + 1)
    a[1] = 1.0
    in_a = np.where(n < 2, np.inf, kappa * (n * rate) ** 2 + n * rate - 1.0)
    in_z = np.where(n < 2, np.inf, kappa * (n * rate) ** 2 + n * rate)

    def product(*factors: np.ndarray) -> np.ndarray:
        total = factors[0]
        for factor in factors[1:]:
            total = np.convolve(total, factor)[: ORDER + 1]
        return total

    for k in range(2, ORDER + 1):
        a[k], z[k] = a[k] + product(z, a)[k] / in_a[k], -0.5 * product(a, a)[k] / in_z[k]
    stretch = -(2.0 / 3.0 * kappa * rate**3 + kappa**2 / 3.0 * rate**4) / (rate + 2.0 * kappa * rate**2)
    map_a, map_z = (
        _map_terms(kappa, stretch, *(f * (n * rate) ** power for power in (1, 2, 3, 4))) for f in (a, z)
    )
    pushes = (
        (0.5 * product(z, z, a), -0.5 * product(a, a, z)),
        (product(a, a, a), np.zeros(ORDER + 1)),
        (map_a, map_z),
    )
    series = [a, z]
    for push_a, push_z in pushes:
        b, x = np.zeros(ORDER + 1), np.zeros(ORDER + 1)
        for k in range(2, ORDER + 1):
            b[k] = (product(x, a) + product(z, b) + push_a)[k] / in_a[k]
            x[k] = (-product(a, b) + push_z)[k] / in_z[k]
        series += [b, x]
    radius = min(abs(a[ORDER - 1]) ** (-1.0 / (ORDER - 1)), abs(z[ORDER]) ** (-1.0 / ORDER))
    powers = (0.05 * radius) ** n
    return np.array([value for f in series for value in (f @ powers, (n * rate * f) @ powers)]), stretch


def chebyshev_coefficients() -> list[np.ndarray]:
    """Return the coefficients of P, Q, R, scaled, over [−1, 1] ∋ position of log κ in the table's range."""
    lowest, highest = np.log(TABLE)
    position = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    kappa = np.exp(lowest + 0.5 * (highest - lowest) * (position + 1.0))
    values = np.array([deviations(k)[1:] for k in kappa])
    out = []
    for column, (power, far) in zip(values.T, SCALES, strict=True):
        scaled = column * kappa**power * (1.0 + kappa) ** far
        fitted = np.polynomial.chebyshev.chebfit(position, scaled, NODES - 1)
        out.append(fitted[: int(np.flatnonzero(np.abs(fitted) > SMALLEST)[-1]) + 1])
    return out


def module_text() -> str:
    """Return the source of the module of literals that the library imports."""
    text = (
        '"""Coefficients of the overshoot\'s deviation, written by derivations/deviation_table.py."""\n\n'
        "from __future__ import annotations\n\n"
        "from typing import Final\n\n"
        f"TABLE: Final = ({TABLE[0]!r}, {TABLE[1]!r})\n"
        '"""The range of κ of the Chebyshev series."""\n\n'
        f"SCALES: Final = {SCALES!r}\n"
        '"""Powers of κ and 1 + κ by which P, Q and R are multiplied in the series."""\n'
    )
    for name, coefficients in zip(NAMES, chebyshev_coefficients(), strict=True):
        rows = "".join(f"    {float(c)!r},\n" for c in coefficients)
        text += f"\n{name}: Final = (\n{rows})\n"
    return text


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m derivations.deviation_table FILE")
    Path(sys.argv[1]).write_text(module_text(), encoding="utf-8")
