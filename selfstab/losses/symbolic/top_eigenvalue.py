"""Source of the functions that take the top eigenvalue of a matrix, whatever the size of its entries."""

from __future__ import annotations

JACOBI_SWEEPS = 12

LARGEST = 1.7976931348623157e308
"""The largest number."""

LARGE, SMALL, SHIFT = 2.0**400, 2.0**-400, 2.0**600
"""Entries between SMALL and LARGE have squares, and quotients of these, in the range of float64; SHIFT takes others
there."""

LEAST_SQUARE = 1e-290
"""A discriminant from here on has lost no digit to underflow."""

TOP_EIGENVALUE = f'''\
@compiled
def top_eigenvalue(a, n):
    """Return the largest eigenvalue of the symmetric a[:n, :n], which is overwritten, by cyclic Jacobi rotations.

    It is nan where an entry is nan or infinite. Entries beyond 2^400 or all within 2^-400 are multiplied by a power of
    two, so that none of their products leaves the range of a number.
    """
    size = 0.0
    for p in range(n):
        for q in range(p, n):
            if not (abs(a[p, q]) <= {LARGEST!r}):
                # nan, of nan and of infinity
                return a[p, q] - a[p, q]
            size = choose(abs(a[p, q]) > size, abs(a[p, q]), size)
    factor = choose(size > {LARGE!r}, {1.0 / SHIFT!r}, choose(size < {SMALL!r}, {SHIFT!r}, 1.0))
    if factor != 1.0:
        for p in range(n):
            for q in range(n):
                a[p, q] = a[p, q] * factor
    for sweep in range({JACOBI_SWEEPS}):
        off = 0.0
        for p in range(n - 1):
            for q in range(p + 1, n):
                off = off + abs(a[p, q])
        if off == 0.0:
            break
        for p in range(n - 1):
            for q in range(p + 1, n):
                apq = a[p, q]
                if apq != 0.0:
                    theta = (a[q, q] - a[p, p]) / (2.0 * apq)
                    size = abs(theta)
                    tangent = 1.0 / (size + sqrt(theta * theta + 1.0))
                    tangent = choose(theta < 0.0, -tangent, tangent)
                    cosine = 1.0 / sqrt(tangent * tangent + 1.0)
                    sine = tangent * cosine
                    a[p, p] = a[p, p] - tangent * apq
                    a[q, q] = a[q, q] + tangent * apq
                    a[p, q] = 0.0
                    a[q, p] = 0.0
                    for k in range(n):
                        if k != p and k != q:
                            akp = a[k, p]
                            akq = a[k, q]
                            a[k, p] = cosine * akp - sine * akq
                            a[p, k] = a[k, p]
                            a[k, q] = sine * akp + cosine * akq
                            a[q, k] = a[k, q]
    top = a[0, 0]
    for p in range(1, n):
        top = choose(a[p, p] > top, a[p, p], top)
    return top / factor


'''


TOP_OF_TWO = f'''\
@compiled
def top_of_two(a, d, o):
    """Return the largest eigenvalue of the matrix [[a, o], [o, d]], as top_eigenvalue would."""
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
