"""The cubic model's map under any linear optimizer, iterated: an oracle that shares nothing with theory."""

import numpy as np


def map_overshoot(numerator, denominator, excess, size=1e-6):
    """Return the drop over 2y₀ from a tiny flip of constant size, until swing and memory have died.

    The states are those of the observer's form, s_k' = s_{k+1} − m_k w − n_k g with w = s_0.
    """
    m = np.asarray(denominator, dtype=float)[1:]
    n = np.concatenate([np.zeros(m.size - len(numerator)), numerator])
    threshold = -np.polyval(denominator, -1.0) / np.polyval(numerator, -1.0)
    y0 = excess * threshold
    x, y = np.zeros(m.size), np.zeros(m.size)
    x[0], y[0] = size * y0, y0
    for k in range(m.size - 1):
        x[k + 1] = -x[k] + m[k] * x[0] + n[k] * threshold * x[0]
        y[k + 1] = y[k] + m[k] * y0
    poles = np.roots(denominator)
    memory = int(40.0 / (1.0 - np.sort(np.abs(poles))[-2])) if m.size > 1 else 1
    left = memory
    while left:
        push, gradient = 0.5 * x[0] ** 2, (threshold + y[0]) * x[0]
        x, y = np.append(x[1:], 0.0) - m * x[0] - n * gradient, np.append(y[1:], 0.0) - m * y[0] - n * push
        left = left - 1 if y[0] < 0.0 and np.abs(x).max() < 1e-9 * y0 else memory
    return (y0 - y[0]) / (2.0 * y0)
