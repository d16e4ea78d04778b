"""Source of the functions that take the largest eigenvalues of matrices of three to some dozen rows, lane by lane."""

from __future__ import annotations

import re
from typing import Final

from selfstab.kernels.samples import LANES

LARGE, SMALL, SHIFT = 2.0**400, 2.0**-400, 2.0**600
"""Entries between SMALL and LARGE have squares, and quotients of these, in the range of float64; SHIFT takes others
there."""

LAGUERRE_PASSES: Final = 12
"""Laguerre's iteration takes four to six passes unless eigenvalues at the top are nearly equal."""

HALVINGS: Final = 60
"""Enough for an interval of the size of the matrix."""

TOLERANCE: Final = 2.0**-51

LEAST_REST, LEAST_PIVOT = 2.0**-400, 2.0**-200
"""Of matrices whose largest entry is between 1 and 2; no square or quotient of larger numbers is subnormal."""

EXPONENT: Final = 0x7FF0000000000000
"""The bits of a number that hold its exponent."""

STATES: Final = 18
"""Rows of LANES numbers that an iteration needs beside its matrices."""


def matrix_shape(n: int) -> str:
    """Return the shape, as text, of what kernels of n weights need for their Hessians' eigenvalues.

    >>> matrix_shape(3)
    '(6, 18, 32)'
    """
    return f"({n + 3}, {max(n, STATES)}, {LANES})" if n > 2 else f"({n}, {n})"


def _with_slots(text: str) -> str:
    """Return a text with each $name replaced by its place in the flat array `state`, a row of LANES numbers each."""
    slots: dict[str, int] = {}
    return re.sub(
        r"\$(\w+)", lambda match: f"state[{LANES * slots.setdefault(match[1], len(slots))} + i]", text
    )


TOP_EIGENVALUES = _with_slots(f'''\
@compiled
def reflect(a, state, n, lanes):
    """Make matrices tridiagonal by Householder's reflections: diagonals a[k, k], squares beside them a[n + 2, k].

    A column whose rest below the tridiagonal is within 2^-200 is taken for one without.
    """
    for k in range(n - 2):
        for i in range(lanes):
            $rest = 0.0
            $product = 0.0
        for r in range(k + 2, n):
            for i in range(lanes):
                $rest = fma(a[r, k, i], a[r, k, i], $rest)
        # The vector v of the reflection takes the place of the column.
        for i in range(lanes):
            x = a[k + 1, k, i]
            reflected = $rest > {LEAST_REST!r}
            square = choose(reflected, fma(x, x, $rest), x * x)
            length = sqrt(square)
            v = x + choose(x < 0.0, -length, length)
            $inverse = choose(reflected, 1.0 / (length * abs(v)), 0.0)
            a[n + 2, k, i] = square
            a[k + 1, k, i] = v
        for r in range(k + 1, n):
            for i in range(lanes):
                a[n + 1, r, i] = a[r, r, i] * a[r, k, i]
            for c in range(k + 1, r):
                for i in range(lanes):
                    a[n + 1, r, i] = fma(a[r, c, i], a[c, k, i], a[n + 1, r, i])
            for c in range(r + 1, n):
                for i in range(lanes):
                    a[n + 1, r, i] = fma(a[c, r, i], a[c, k, i], a[n + 1, r, i])
            for i in range(lanes):
                w = a[n + 1, r, i] * $inverse
                a[n + 1, r, i] = w
                $product = fma(w, a[r, k, i], $product)
        for r in range(k + 1, n):
            for i in range(lanes):
                a[n + 1, r, i] = fma(-0.5 * $inverse * $product, a[r, k, i], a[n + 1, r, i])
        for r in range(k + 1, n):
            for c in range(k + 1, r + 1):
                for i in range(lanes):
                    change = fma(a[n + 1, r, i], a[c, k, i], a[r, k, i] * a[n + 1, c, i])
                    a[r, c, i] = a[r, c, i] - change
    for i in range(lanes):
        a[n + 2, n - 2, i] = a[n - 1, n - 2, i] * a[n - 1, n - 2, i]
        a[n + 2, n - 1, i] = 0.0


@compiled
def enclose(a, state, n, lanes):
    """Put the largest eigenvalues of tridiagonal matrices, as of reflect, into the first row of `state`.

    An interval from low to high holds the eigenvalue: above it, and only there, no pivot of the matrix less x is
    positive. From such an x Laguerre's step leads down, not past the eigenvalue; points just below and above its end
    make the interval small. After {LAGUERRE_PASSES} passes the interval is halved.
    """
    for i in range(lanes):
        $low = a[0, 0, i]
        $high = a[0, 0, i] + sqrt(a[n + 2, 0, i])
        $size = abs(a[0, 0, i]) + sqrt(a[n + 2, 0, i])
    for k in range(1, n):
        for i in range(lanes):
            beside = sqrt(a[n + 2, k - 1, i]) + sqrt(a[n + 2, k, i])
            high = a[k, k, i] + beside
            size = abs(a[k, k, i]) + beside
            $low = choose(a[k, k, i] > $low, a[k, k, i], $low)
            $high = choose(high > $high, high, $high)
            $size = choose(size > $size, size, $size)
    for i in range(lanes):
        $top = $low
        $near = {TOLERANCE!r} * $size
        $high = $high + $near
        $x = $high
    for count in range({LAGUERRE_PASSES} + {HALVINGS}):
        left = False
        for i in range(lanes):
            left = left | ($high - $low > 2.5 * $near)
        if not left:
            break
        laguerre = count < {LAGUERRE_PASSES}
        for i in range(lanes):
            pivot = a[0, 0, i] - $x
            pivot = choose(abs(pivot) < {LEAST_PIVOT!r}, -{LEAST_PIVOT!r}, pivot)
            $inverse = 1.0 / pivot
            # The slope of log|pivot| by x, the slope of that, and their sums.
            $slope = -$inverse
            $bend = -$inverse * $inverse
            $slopes = $slope
            $bends = $bend
            $most = pivot
        for k in range(1, n):
            for i in range(lanes):
                part = a[n + 2, k - 1, i] * $inverse
                pivot = (a[k, k, i] - $x) - part
                pivot = choose(abs(pivot) < {LEAST_PIVOT!r}, -{LEAST_PIVOT!r}, pivot)
                inverse = 1.0 / pivot
                slope = fma(part, $slope, -1.0) * inverse
                bend = part * fma(-$slope, $slope, $bend) * inverse - slope * slope
                $inverse = inverse
                $slope = slope
                $bend = bend
                $slopes = $slopes + slope
                $bends = $bends + bend
                $most = choose(pivot > $most, pivot, $most)
        for i in range(lanes):
            x, low, high, near = $x, $low, $high, $near
            open = high - low > 2.5 * near
            below = $most > 0.0
            low = choose(open & below, x, low)
            high = choose(open & (not below), x, high)
            square = (n - 1.0) * fma(-$slopes, $slopes, -n * $bends)
            step = n / ($slopes + sqrt(choose(square > 0.0, square, 0.0)))
            top = choose(open & (not below), x - step, $top)
            over = below | (top - near <= low)
            x = choose(over, top + near, top - near)
            inside = (x > low) & (x < high) & laguerre
            $x = choose(inside, x, 0.5 * (low + high))
            $low = low
            $high = high
            $top = top
    for i in range(lanes):
        inside = ($top >= $low) & ($top <= $high)
        state[i] = choose(inside, $top, 0.5 * ($low + $high))


@compiled
def top_eigenvalues(a, n, lanes):
    """Put the largest eigenvalues of the symmetric a[:n, :n, i] into a[n, 0, i], for each i < lanes.

    Lower triangles are read, and overwritten; so are a[n : n + 3]. It is nan where an entry is nan or infinite. Each
    matrix is scaled by powers of two, made tridiagonal, and its eigenvalue enclosed.
    """
    state = a[n].reshape(-1)
    for i in range(lanes):
        $most = 0.0
        $lost = 0.0
    for p in range(n):
        for q in range(p + 1):
            for i in range(lanes):
                size = abs(a[p, q, i])
                $most = choose(size > $most, size, $most)
                # nan, of nan and of infinity
                $lost = fma(0.0, size, $lost)
    for i in range(lanes):
        far = choose($most > {LARGE!r}, {1.0 / SHIFT!r}, choose($most < {SMALL!r}, {SHIFT!r}, 1.0))
        power = number(bits($most * far) & {EXPONENT})
        power = choose(power > 0.0, power, 1.0)
        $far = far
        $power = power
        $scale = 1.0 / power
    for p in range(n):
        for q in range(p + 1):
            for i in range(lanes):
                a[p, q, i] = a[p, q, i] * $far * $scale
    reflect(a, state, n, lanes)
    enclose(a, state, n, lanes)
    for i in range(lanes):
        state[i] = state[i] * $power / $far + $lost


''')
"""Source of the functions that take the largest eigenvalues of symmetric matrices side by side.

The error of an eigenvalue is below 10 n ulp of the matrix's norm. A reflection perturbs a matrix by a few ulp of its
norm, and there are n - 2; the signs of computed pivots are those of a matrix whose squares differ by three roundings
(Kahan); the interval's length is at most 2.5 TOLERANCE, relative to the sum of three neighbours in a row.
"""


def tops_line(n: int) -> str:
    """Return the line that calls the function for the single matrix in lane 0 of `matrix`.

    Numba compiles a function once more for each literal among its arguments: these are numbers like any other.
    """
    none = "0 * matrix.shape[0]"
    return f"top_eigenvalues(matrix, {n} + {none}, 1 + {none})"


TOPS_OF_ROWS: Final = """\
@compiled
def tops_of_rows(rows, first, a, n):
    \"\"\"Put the largest eigenvalues of triangles, which are rows from `first` on, into the row behind them.\"\"\"
    table = rows.reshape(-1, LANES)
    k = first
    for p in range(n):
        for q in range(p + 1):
            for i in range(LANES):
                a[p, q, i] = table[k, i]
            k += 1
    top_eigenvalues(a, n, table.shape[1])
    for i in range(LANES):
        table[k, i] = a[n, 0, i]


"""
"""Source of the function that does it for a block of lanes; it reads the module's LANES."""


def rows_of(n: int) -> int:
    """Return the number of rows of a block that hold a triangle and its top eigenvalue.

    >>> rows_of(3), rows_of(0)
    (7, 0)
    """
    return n * (n + 1) // 2 + 1 if n else 0
