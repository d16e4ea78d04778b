"""Source of the function that takes the top eigenvalue of two weights' matrix, whatever the size of its entries."""

from __future__ import annotations

from selfstab.kernels.eigenvalues import LARGE, SHIFT, SMALL

LEAST_SQUARE = 1e-290
"""A discriminant from here on has lost no digit to underflow."""

TOP_OF_TWO = f'''\
@compiled
def top_of_two(a, d, o):
    """Return the largest eigenvalue of the matrix [[a, o], [o, d]], as top_eigenvalues would."""
    size = choose(abs(a) > abs(d), abs(a), abs(d))
    size = choose(abs(o) > size, abs(o), size)
    if not ((abs(a) < inf) & (abs(d) < inf) & (abs(o) < inf)):
        return nan
    factor = choose(size > {LARGE!r}, {1.0 / SHIFT!r}, choose(size < {SMALL!r}, {SHIFT!r}, 1.0))
    a = a * factor
    d = d * factor
    o = 2.0 * (o * factor)
    return 0.5 * (a + d + sqrt((a - d) * (a - d) + o * o)) / factor


'''
