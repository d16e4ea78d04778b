"""Top eigenpairs of symmetric matrices, each with its residual.

The result depends in its last bits on the number of BLAS threads; callers that need equal bits run it under
``threadpoolctl.threadpool_limits(1)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from selfstab import validation
from selfstab.validation import Array

DENSE_UP_TO = 64
"""Up to this size a dense eigensolver is both faster and safer than an iteration."""

# Lanczos restarts from its _KEPT best vectors when it holds _BASIS of them. A warm start (about 20 products)
# rarely fills 48, and orthogonalising against so few costs less than a product with a 2000 x 2000 matrix.
_BASIS = 48
_KEPT = 12

MIX = 0.1
"""Share of a fixed random vector in a start that was given a guess; it costs about one product more."""


@dataclass(frozen=True)
class Eigenpair:
    """An eigenvalue, its unit eigenvector, the residual ‖Av − λv‖ and the products with A it took.

    Parameters
    ----------
    value
        λ, in units of the matrix.
    vector
        v, of norm 1, shape (dimension,).
    residual
        ‖Av − λv‖, computed from one more product; some eigenvalue lies within it of `value`.
    products
        Matrix-vector products used, the residual's included.
    """

    value: float
    vector: Array
    residual: float
    products: int = 0


def top_eigenpair(
    matrix: Array | Callable[[Array], Array],
    dimension: int | None = None,
    *,
    guess: Array | None = None,
    tolerance: float = 1e-10,
    dense_up_to: int = DENSE_UP_TO,
) -> Eigenpair:
    r"""Return the algebraically largest eigenvalue of a symmetric matrix and its eigenvector.

    .. math:: A v = λ v, \quad λ = \max_{‖x‖ = 1} x^\top A x

    Up to `DENSE_UP_TO` rows a dense solver finds it; beyond, the Lanczos iteration does, fully orthogonalised
    and restarted from its best Ritz vectors.

    Parameters
    ----------
    matrix
        Array of shape (dimension, dimension), taken on trust to be symmetric, or the function v → Av.
    dimension
        Number of rows; required with a function.
    guess
        Something near the eigenvector, any length but 0, shape (dimension,): the last step's, say.
    tolerance
        Lanczos stops when ‖Av − λv‖ <= tolerance·\|λ\|, or at rounding level (1e-14 times the largest
        eigenvalue in magnitude), or when it has used 1000 + 2·dimension products.
    dense_up_to
        Rows of an array up to which a dense solver finds it, where that is more than `DENSE_UP_TO`.

    Returns
    -------
    Eigenpair
        Its sign makes guess·v >= 0; without a guess (or if guess·v = 0) v's largest component in magnitude is
        positive. `residual` says how well it converged.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, guess is zero, or the matrix holds NaN or infinity.

    Notes
    -----
    The iteration starts at guess/‖guess‖ plus `MIX` times a fixed unit vector, without a guess at that
    vector. It is a draw of normal numbers, because simple vectors are orthogonal to eigenvectors of
    structured matrices (the vector of ones to all antisymmetric ones, say) and would never find those.
    The mix is there because a guess that is exactly the eigenvector of a lower eigenvalue would be
    accepted as it stands. With it, if the start has the component c along the true eigenvector, a lower
    eigenvalue λ can pass for the largest only where their gap is below tolerance·\|λ\|/c: a Ritz vector
    with no Ritz value above its own has at least the start's share of higher eigenvectors, so that its
    residual is at least c times the gap.

    Examples
    --------
    >>> import numpy as np
    >>> pair = top_eigenpair(np.diag([1.0, 3.0, -5.0]))
    >>> pair.value, pair.vector
    (3.0, array([0., 1., 0.]))
    >>> curvatures = np.arange(1000.0)
    >>> pair = top_eigenpair(lambda v: curvatures * v, 1000)
    >>> round(pair.value, 9), pair.residual < 1e-7
    (999.0, True)
    """
    if callable(matrix):
        if dimension is None:
            raise ValueError("dimension must be given with a matrix that is a function, got None")
        size = validation.integer("dimension", dimension, at_least=1)
        product = matrix
    else:
        if not isinstance(matrix, np.ndarray) or matrix.dtype != np.float64:
            raise TypeError(f"matrix must be a float64 array or a function, got {validation.shown(matrix)}")
        size = len(matrix) if matrix.ndim else 0
        if matrix.shape != (size, size) or size == 0 or dimension not in (None, size):
            raise ValueError(
                f"matrix must be square with {dimension or 'one or more'} rows, got shape {matrix.shape}"
            )
        product = matrix.__matmul__
    tolerance = validation.real("tolerance", tolerance, above=0)
    if guess is not None:
        guess = validation.floats("guess", guess, shape=(size,))
        if not guess.any():
            raise ValueError("guess must not be zero, got an array of zeros")
        guess /= np.linalg.norm(guess)

    with np.errstate(over="ignore", invalid="ignore"):  # a matrix that is not finite is answered below
        if not callable(matrix) and DENSE_UP_TO < size <= dense_up_to:
            vector, products = _dense_top(matrix), 0
        elif size > DENSE_UP_TO:
            vector, products = _lanczos(product, _start(size, guess), tolerance)
        elif callable(matrix):
            vector, products = _dense(np.array([matrix(row) for row in np.eye(size)])), size
        else:
            vector, products = _dense(matrix), 0
        image = product(vector)
    value = float(vector @ image)
    residual = float(np.linalg.norm(image - value * vector))
    return Eigenpair(value, _signed(vector, guess), residual, products + 1)


def _dense(matrix: Array) -> Array:
    if not np.isfinite(matrix).all():
        raise ValueError("matrix must be finite, got NaN or infinity")
    vector: Array = np.linalg.eigh(matrix).eigenvectors[:, -1].copy()
    return vector


def _dense_top(matrix: Array) -> Array:
    """Return the top eigenvector alone, in a fraction of the time of all of them."""
    if not np.isfinite(matrix).all():
        raise ValueError("matrix must be finite, got NaN or infinity")
    size = len(matrix)
    vector: Array = lapack.dsyevr(matrix, range="I", il=size, iu=size)[1][:, 0]
    return vector


def _start(size: int, guess: Array | None) -> Array:
    generic = np.random.default_rng(0).standard_normal(size)
    generic /= np.linalg.norm(generic)
    return generic if guess is None else guess + MIX * generic


def _signed(vector: Array, guess: Array | None) -> Array:
    side = 0.0 if guess is None else vector @ guess
    if side == 0.0:
        side = vector[np.argmax(np.abs(vector))]
    return -vector if side < 0.0 else vector


def _top(matrix: Array) -> tuple[float, float]:
    """Return the largest eigenvalue of a symmetric matrix, and the last component of its eigenvector."""
    size = len(matrix)
    values, vectors, *_ = lapack.dsyevr(matrix, range="I", il=size, iu=size)
    return float(values[0]), float(vectors[-1, 0])


def _lanczos(product: Callable[[Array], Array], start: Array, tolerance: float) -> tuple[Array, int]:
    """Return the top Ritz vector and the number of products."""
    size = start.size
    basis = np.empty((_BASIS, size))
    projected = np.zeros((_BASIS, _BASIS))  # basis · A · basisᵀ
    basis[0] = start / np.linalg.norm(start)
    filled = 0
    for products in range(1, 1000 + 2 * size):  # noqa: B007 (returned)
        image = product(basis[filled])
        known = basis[: filled + 1]
        # Orthogonalising twice keeps the basis orthogonal to rounding ("twice is enough").
        overlaps = known @ image
        image = image - overlaps @ known
        correction = known @ image
        image -= correction @ known
        projected[filled, : filled + 1] = projected[: filled + 1, filled] = overlaps + correction
        beyond = float(np.linalg.norm(image))
        filled += 1
        if not np.isfinite(beyond):
            raise ValueError("matrix must be finite, got NaN or infinity in its product with a vector")

        # The top pair alone is found in a third of the time of all; the sum of a row bounds every eigenvalue.
        held = projected[:filled, :filled]
        value, last = _top(held)
        bound = float(np.abs(held).sum(axis=1).max())
        if filled < _BASIS and beyond * abs(last) > max(tolerance * abs(value), 2e-14 * bound):
            basis[filled] = image / beyond
            continue

        values, vectors = np.linalg.eigh(held)
        # All of A·basis but the last vector's lies in the basis, so this is the top Ritz pair's residual.
        residual = beyond * abs(vectors[-1, -1])
        # Half the tolerance, so that the residual computed afterwards is within it despite rounding.
        if residual <= max(0.5 * tolerance * abs(values[-1]), 1e-14 * max(values[-1], -values[0])):
            break
        if filled == _BASIS:
            basis[:_KEPT] = vectors[:, -_KEPT:].T @ basis
            projected[:] = 0.0
            projected[range(_KEPT), range(_KEPT)] = values[-_KEPT:]
            filled = _KEPT
            vectors = np.eye(_KEPT)
        basis[filled] = image / beyond
    vector: Array = vectors[:, -1] @ basis[: len(vectors)]
    return vector / np.linalg.norm(vector), products
