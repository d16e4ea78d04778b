"""Largest eigenvalues of matrices in lanes: against mpmath, at the edges of float64, compiled and by plain CPython."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from selfstab.kernels import modules
from selfstab.kernels.eigenvalues import TOP_EIGENVALUES, matrix_shape

SOURCE = (
    TOP_EIGENVALUES
    + '''\
@entry
def tops(matrices, a, blocks, lanes, out):
    """Put the largest eigenvalues of matrices, `lanes` at a time, into `out`."""
    n = matrices.shape[1]
    for block in range(blocks):
        first = block * lanes
        for i in range(lanes):
            for p in range(n):
                for q in range(p + 1):
                    a[p, q, i] = matrices[first + i, p, q]
        top_eigenvalues(a, n, lanes)
        for i in range(lanes):
            out[first + i] = a[n, 0, i]
'''
)


def tops(matrices, lanes=1, plain=False):
    """Return the largest eigenvalues of matrices, by the compiled functions or by plain CPython."""
    function = modules.plain(SOURCE)["tops"] if plain else modules.compiled(SOURCE).tops
    shape = [int(text) for text in matrix_shape(matrices.shape[1]).strip("()").split(",")]
    out = np.empty(len(matrices))
    function(np.ascontiguousarray(matrices), np.full(shape, 0.5), len(matrices) // lanes, lanes, out)
    return out


def exact(matrix):
    """Return the largest eigenvalue and the norm of a matrix of floats, by mpmath."""
    with mpmath.workdps(60):
        largest = max((abs(x) for x in matrix.ravel()), default=0.0)
        if largest == 0.0:
            return mpmath.mpf(0), mpmath.mpf(0)
        unit = mpmath.matrix(matrix.tolist()) / mpmath.mpf(float(largest))
        values = [*mpmath.eigsy(unit, eigvals_only=True)]
        return max(values) * float(largest), max(map(abs, values)) * float(largest)


def rotated(values, generator):
    """Return a symmetric matrix with about these eigenvalues."""
    q, _ = np.linalg.qr(generator.standard_normal((len(values), len(values))))
    matrix = (q * values) @ q.T
    return np.tril(matrix) + np.tril(matrix, -1).T


def families(n):
    """Return matrices of many kinds, by name."""
    generator = np.random.default_rng(n)
    indefinite = generator.standard_normal((n, n))
    indefinite = indefinite + indefinite.T
    vector = generator.standard_normal(n)
    graded = 10.0 ** -np.arange(0.0, 4.0 * n, 4.0)
    tridiagonal = np.diag(np.ones(n)) + np.diag(np.full(n - 1, 1e-7), 1) + np.diag(np.full(n - 1, 1e-7), -1)
    wilkinson = np.diag(np.abs(np.arange(n) - (n - 1) / 2)) + np.eye(n, k=1) + np.eye(n, k=-1)
    return {
        "indefinite": indefinite,
        "negative": rotated(-1.0 - generator.random(n), generator),
        "rank one": np.outer(vector, vector),
        "minus rank one": -np.outer(vector, vector),
        "graded down": indefinite * np.sqrt(np.outer(graded, graded)),
        "graded up": indefinite * np.sqrt(np.outer(graded, graded))[::-1, ::-1],
        "graded spectrum": rotated(graded, generator),
        "repeated at the top": rotated(np.r_[[2.0] * (n - 1), 1.0], generator),
        "nearly repeated at the top": rotated(np.r_[2.0 + 1e-12 * np.arange(n - 1), 1.0], generator),
        "all repeated": 3.0 * np.eye(n),
        "all nearly repeated": np.eye(n) + 1e-8 * indefinite,
        "nearly diagonal": tridiagonal,
        "close pairs": wilkinson,
        "ones": np.ones((n, n)),
        "zeros": np.zeros((n, n)),
        "diagonal": np.diag(np.arange(n) - 5.0),
        "far scales inside": np.diag(np.arange(1.0, n + 1.0)) + 1e-160 * indefinite,
        "a huge corner": np.where(np.arange(n * n).reshape(n, n) == n * n - 1, 1e200, indefinite),
        "tiny": 1e-300 * indefinite,
        "huge": 1e300 * indefinite,
        "least normal": 2.0**-1021 * np.eye(n),
        "largest": np.where(np.eye(n) > 0, 1.7976931348623157e308, 0.0),
    }


@pytest.mark.parametrize("n", [3, 4, 7, 12, 16])
def test_against_mpmath(n):
    """Protects the sharpness of three weights and more: 10 n ulp of the norm, whatever the matrix."""
    matrices = families(n)
    for top, (name, matrix) in zip(tops(np.array([*matrices.values()])), matrices.items(), strict=True):
        expected, norm = exact(matrix)
        assert abs(mpmath.mpf(float(top)) - expected) <= 10 * n * 2.0**-53 * norm, name


@pytest.mark.parametrize("n", [3, 4, 8])
def test_bits_do_not_depend_on_lanes_nor_on_the_compiler(n):
    """Protects chunks, blocks and twins: a matrix has the same bits alone, beside any others, and in plain CPython."""
    matrices = np.array([*families(n).values()])
    matrices = np.concatenate([matrices, np.full((1, n, n), np.nan), matrices[:9]])
    alone = tops(matrices)
    assert tops(matrices, lanes=32).tobytes() == alone.tobytes()
    assert tops(matrices[::-1], lanes=16).tobytes() == alone[::-1].tobytes()
    assert tops(matrices, lanes=32, plain=True).tobytes() == alone.tobytes()


@pytest.mark.parametrize("n", [3, 6])
def test_powers_of_two_and_what_is_not_finite(n):
    """Protects scaling before squares, exact in powers of two, and NaN wherever an entry is none or infinite."""
    matrix = families(n)["indefinite"]
    powers = np.array([2.0**power for power in (-1000, -700, -401, -399, 0, 399, 401, 700, 1015)])
    scaled = tops(powers[:, None, None] * matrix)
    assert (scaled == powers * scaled[4]).all()
    for value in (np.nan, np.inf, -np.inf):
        for place in ((0, 0), (1, 0), (n - 1, 0), (n - 1, n - 1)):
            broken = matrix.copy()
            broken[place] = broken[place[::-1]] = value
            assert np.isnan(tops(broken[None])[0])
    assert str(tops(np.zeros((1, n, n)))[0]) == "0.0"
