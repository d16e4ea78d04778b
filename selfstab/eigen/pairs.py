"""Top eigenpairs of symmetric matrices, each with its residual.

The result depends in its last bits on the number of BLAS threads; callers that need equal bits run it under
:func:`selfstab.eigen.blas.one_blas_thread`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg import lapack

from selfstab import validation
from selfstab.eigen.krylov import NotFiniteError, davidson, lanczos
from selfstab.validation import Array, Integers

DENSE_UP_TO = 64
"""Up to this size a dense eigensolver is both faster and safer than an iteration."""

LARGE, SMALL, SHIFT = 2.0**400, 2.0**-400, 2.0**600
"""Numbers between SMALL and LARGE have squares, and sums of many of them, in the range of float64; SHIFT takes others
there and changes no digit."""

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
        ‖Av − λv‖, computed from products with A; some eigenvalue lies within it of `value`.
    products
        Matrix-vector products used.
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
    mix: float = MIX,
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
    mix
        Share of a fixed random vector in a start that was given a guess, > 0. Less of it saves products where the
        guess is good, and finds a higher eigenvalue that the guess misses less surely: see the notes.

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
    product, size = _checked(matrix, dimension)
    tolerance = validation.real("tolerance", tolerance, above=0)
    mix = validation.real("mix", mix, above=0)
    if guess is not None:
        guess = validation.floats("guess", guess, shape=(size,))
        if not guess.any():
            raise ValueError("guess must not be zero, got an array of zeros")
        guess /= np.linalg.norm(guess)

    with np.errstate(over="ignore", invalid="ignore"):  # a matrix that is not finite is answered below
        if not callable(matrix) and DENSE_UP_TO < size <= dense_up_to:
            vector = _dense_top(product.whole(matrix, size))
            image, products = product(vector), 1
        elif size > DENSE_UP_TO:
            vector, image, products = lanczos(product, _start(size, guess, mix), tolerance)
        else:
            vector = _dense(product.whole(matrix, size))[-1]
            image, products = product(vector), size + 1 if callable(matrix) else 1
        value = float(vector @ image)
        residual = float(np.linalg.norm(image - value * vector))
    return Eigenpair(value / product.factor, _signed(vector, guess), residual / product.factor, products)


class _Product:
    """The product of a matrix with a vector, times a power of two that lets squares of its numbers be numbers.

    Parameters
    ----------
    product
        The function v → Av.
    """

    def __init__(self, product: Callable[[Array], Array]) -> None:
        self._product, self._known, self.factor = product, False, 1.0

    def __call__(self, v: Array) -> Array:
        """Return the product; the first one that is not 0 decides the power, if no matrix has."""
        image = self._product(v)
        self._measure(image)
        return image if self.factor == 1.0 else image * self.factor

    def whole(self, matrix: Array | Callable[[Array], Array], size: int) -> Array:
        """Return the whole matrix, row by row where it is a function, times the power that it decides."""
        if callable(matrix):
            matrix = np.array([self._product(row) for row in np.eye(size)], dtype=np.float64)
        self._measure(matrix)
        return matrix if self.factor == 1.0 else matrix * self.factor

    def _measure(self, numbers: Array) -> None:
        if not self._known:
            size = float(np.abs(numbers).max())
            self._known = size > 0.0
            if 0.0 < size < SMALL:
                self.factor = SHIFT
            elif LARGE < size < np.inf:
                self.factor = 1.0 / SHIFT


def _checked(matrix: Array | Callable[[Array], Array], dimension: int | None) -> tuple[_Product, int]:
    """Return the product with the matrix, and its number of rows."""
    if callable(matrix):
        if dimension is None:
            raise ValueError("dimension must be given with a matrix that is a function, got None")
        return _Product(_checked_product(matrix)), validation.integer("dimension", dimension, at_least=1)
    if not isinstance(matrix, np.ndarray) or matrix.dtype != np.float64:
        raise TypeError(f"matrix must be a float64 array or a function, got {validation.shown(matrix)}")
    size = len(matrix) if matrix.ndim else 0
    if dimension is not None:
        dimension = validation.integer("dimension", dimension, at_least=1)
    if matrix.shape != (size, size) or size == 0 or dimension not in (None, size):
        raise ValueError(
            f"matrix must be square with {dimension or 'one or more'} rows, got shape {matrix.shape}"
        )
    return _Product(matrix.__matmul__), size


def _checked_product(matrix: Callable[[Array], Any]) -> Callable[[Array], Array]:
    """Return the function, which from now on raises where it returns anything but a vector of real numbers."""

    def product(v: Array) -> Array:
        image = np.asarray(matrix(v))
        if image.shape != v.shape or image.dtype.kind not in "fiu":
            raise TypeError(
                f"matrix must return {v.size} real numbers for a vector of as many, got shape {image.shape} of dtype "
                f"{image.dtype}"
            )
        return image

    return product


def _dense(matrix: Array) -> Array:
    """Return all eigenvectors as rows, the eigenvalues ascending."""
    if not np.isfinite(matrix).all():
        raise NotFiniteError("matrix must be finite, got NaN or infinity")
    vectors: Array = np.ascontiguousarray(np.linalg.eigh(matrix).eigenvectors.T)
    return vectors


def _dense_top(matrix: Array) -> Array:
    """Return the top eigenvector alone, in a fraction of the time of all of them."""
    if not np.isfinite(matrix).all():
        raise NotFiniteError("matrix must be finite, got NaN or infinity")
    size = len(matrix)
    vector: Array = lapack.dsyevr(matrix, range="I", il=size, iu=size)[1][:, 0]
    return vector


def dense_top_vectors(matrices: Array) -> Array:
    """Return the top eigenvector of each matrix of up to `DENSE_UP_TO` rows, of either sign; NaN if it is not finite.

    Parameters
    ----------
    matrices
        Symmetric, shape (matrices, dimension, dimension).
    """
    finite = np.isfinite(matrices).all(axis=(1, 2))
    out = np.full(matrices.shape[:2], np.nan)
    out[finite] = np.linalg.eigh(matrices[finite]).eigenvectors[:, :, -1]
    return out


def continuous_in_sign(vectors: Array) -> Array:
    """Return rows with signs that make each one's product with the row before it >= 0.

    The first one's largest component in magnitude is positive, and so is that of a row whose product with the one
    before it is zero or NaN: the sign of :func:`top_eigenpair`.

    Examples
    --------
    >>> continuous_in_sign(np.array([[-0.8, 0.6], [-0.6, 0.8], [0.6, -0.8]])).tolist()
    [[0.8, -0.6], [0.6, -0.8], [0.6, -0.8]]
    """
    if len(vectors) == 0:
        return vectors
    with np.errstate(invalid="ignore"):
        units = vectors / np.sqrt(vectors[:, None, :] @ vectors[:, :, None])[:, 0]
        sides = np.sign((vectors[1:, None, :] @ units[:-1, :, None])[:, 0, 0])
    largest = np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=1)[:, None], axis=1)[:, 0]
    own = np.where(largest < 0.0, -1.0, 1.0)
    # A row begins anew where nothing is known of its side; after that, sides multiply up to the next such row.
    anew = np.append(True, ~(np.abs(sides) > 0.0))
    factors = np.where(anew, 1.0, np.append(1.0, sides))
    products = np.cumprod(factors)
    begun = np.maximum.accumulate(np.where(anew, np.arange(len(vectors)), 0))
    signs = own[begun] * products * products[begun]
    out: Array = vectors * signs[:, None]
    return out


def _start(size: int, guess: Array | None, mix: float) -> Array:
    generic = _generic(size)
    return generic if guess is None else guess + mix * generic


@lru_cache(maxsize=4)
def _generic(size: int) -> Array:
    vector = np.random.default_rng(0).standard_normal(size)
    vector /= np.linalg.norm(vector)
    vector.flags.writeable = False
    return vector


def _signed(vector: Array, guess: Array | None) -> Array:
    side = 0.0 if guess is None else vector @ guess
    if side == 0.0:
        side = vector[np.argmax(np.abs(vector))]
    return -vector if side < 0.0 else vector


# -- several pairs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues of both ends of a spectrum, their unit eigenvectors, and how well they converged.

    Parameters
    ----------
    values
        λ_i in descending order, shape (pairs,), in units of the matrix.
    vectors
        v_i by rows, orthonormal, shape (pairs, dimension).
    residuals
        ‖Av_i − λ_i v_i‖, from one more product each; some eigenvalue lies within it of λ_i. Shape (pairs,).
    products
        Matrix-vector products used, the residuals' included.
    converged
        Whether each residual is within the tolerance.
    matched
        The row of the guess that each eigenvector overlaps most, one guess for one vector; −1 where there was none.
        Shape (pairs,).
    """

    values: Array
    vectors: Array
    residuals: Array
    products: int
    converged: bool
    matched: Integers


def top_eigenpairs(
    matrix: Array | Callable[[Array], Array],
    count: int,
    dimension: int | None = None,
    *,
    smallest: int = 0,
    guess: Array | None = None,
    tolerance: float = 1e-10,
    most_products: int | None = None,
) -> Eigenpairs:
    r"""Return the `count` largest eigenvalues of a symmetric matrix, and perhaps the smallest, with eigenvectors.

    .. math:: A v_i = λ_i v_i, \quad v_i \cdot v_j = δ_{ij}

    Up to `DENSE_UP_TO` rows, and where a quarter of the pairs or more are asked for, a dense solver finds them; beyond,
    a block Krylov iteration does, fully orthogonalised, restarted, and carried on by the residuals of the pairs that
    have not converged yet (Davidson's method without a preconditioner). It starts at one vector for each pair, so that
    an eigenvalue is found as many times as it is repeated.

    Parameters
    ----------
    matrix
        Array of shape (dimension, dimension), taken on trust to be symmetric, or the function v → Av.
    count
        How many of the largest, >= 0.
    dimension
        Number of rows; required with a function.
    smallest
        How many of the smallest besides, >= 0.
    guess
        Rows near the eigenvectors in any order, none of them 0, any number of them, shape (rows, dimension): the last
        step's `vectors`, say.
    tolerance
        The iteration stops when each ‖Av_i − λ_i v_i‖ <= tolerance·‖A‖, with ‖A‖ the largest eigenvalue in magnitude
        that it met; rounding puts about 1e-14 out of reach.
    most_products
        The iteration gives up before it takes more products than this, by default (1000 + 2·dimension)·(count +
        smallest); `converged` is then false.

    Returns
    -------
    Eigenpairs
        Of `count` + `smallest` pairs, in descending order. Guesses are matched to eigenvectors one to one, so that the
        sum of \|guess·v\| is greatest, also where eigenvalues have crossed; a matched vector's sign makes guess·v >= 0,
        any other's largest component in magnitude is positive.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, a guess is zero, more pairs are asked for than there are, or the
        matrix holds NaN or infinity.

    Notes
    -----
    As in :func:`top_eigenpair`, `MIX` times a fixed random vector of its own is added to each unit guess, so that a
    guess of lower eigenvectors is not believed. Within an eigenspace of several dimensions any basis may come out.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = top_eigenpairs(np.diag([1.0, 3.0, -5.0, 3.0]), 2, smallest=1)
    >>> pairs.values, pairs.converged
    (array([ 3.,  3., -5.]), True)
    >>> curvatures = np.minimum(np.arange(1000.0), 997.0)  # 997 three times
    >>> top_eigenpairs(lambda v: curvatures * v, 4, 1000).values.round(6)
    array([997., 997., 997., 996.])
    """
    product, size = _checked(matrix, dimension)
    count = validation.integer("count", count, at_least=0)
    smallest = validation.integer("smallest", smallest, at_least=0)
    total = count + smallest
    if not 1 <= total <= size:
        raise ValueError(
            f"count + smallest must be from 1 to the dimension, {size}, got {count} + {smallest}"
        )
    tolerance = validation.real("tolerance", tolerance, above=0)
    if most_products is None:
        most_products = (1000 + 2 * size) * total
    most_products = validation.integer("most_products", most_products, at_least=1)
    if guess is not None:
        guess = validation.floats("guess", guess, shape=(None, size))
        if not guess.any(axis=1).all():
            raise ValueError("guess must not hold a row of zeros, got one")
        guess /= np.linalg.norm(guess, axis=1, keepdims=True)

    with np.errstate(over="ignore", invalid="ignore"):  # a matrix that is not finite is answered below
        if size <= max(DENSE_UP_TO, 4 * total):
            full = product.whole(matrix, size)
            every = _dense(full)
            vectors = np.concatenate([every[:smallest], every[size - count :]])
            products = size if callable(matrix) else 0
            norm = float(np.linalg.norm(every @ full, axis=1).max())  # the largest ‖Av‖ of all eigenvectors
        else:
            vectors, products, norm = davidson(product, _starts(size, total, guess), count, smallest, tolerance,
                                                most_products)  # fmt: skip
        images = np.array([product(vector) for vector in vectors])
        values = np.einsum("in,in->i", vectors, images)
        order = np.argsort(-values, kind="stable")
        values, vectors, images = values[order], vectors[order], images[order]
        residuals = np.linalg.norm(images - values[:, None] * vectors, axis=1)
    norm = max(norm, float(np.abs(values).max()))
    matched = _match(vectors, guess)
    for k, row in enumerate(matched):
        vectors[k] = _signed(vectors[k], None if guess is None or row < 0 else guess[row])
    converged = bool((residuals <= tolerance * norm).all())
    scale = product.factor
    return Eigenpairs(values / scale, vectors, residuals / scale, products + total, converged, matched)


def _starts(size: int, total: int, guess: Array | None) -> Array:
    """Return a start for each pair, or more if there are more guesses; shape (rows, size)."""
    rows = total if guess is None else max(total, len(guess))
    starts = np.random.default_rng(0).standard_normal((rows, size))
    starts /= np.linalg.norm(starts, axis=1, keepdims=True)
    if guess is not None:
        starts[: len(guess)] = guess + MIX * starts[: len(guess)]
    return starts


def _match(vectors: Array, guess: Array | None) -> Integers:
    matched = np.full(len(vectors), -1, dtype=np.int64)
    if guess is not None:
        from scipy.optimize import linear_sum_assignment  # a tenth of a second to import

        rows, columns = linear_sum_assignment(np.abs(vectors @ guess.T), maximize=True)
        matched[rows] = columns
    return matched
