"""Lanczos for one eigenpair, a block iteration for several: matrices are seen through their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import lapack, qr

from selfstab.eigen.vectors import rounding_unit
from selfstab.validation import Array

# Lanczos restarts from its _KEPT best vectors when it holds _BASIS of them. A warm start (about 20 products)
# rarely fills 48, and orthogonalising against so few costs less than a product with a 2000 x 2000 matrix.
_BASIS = 48
_KEPT = 12

# Residual, relative to the matrix's norm, that rounding in float64 leaves.
_ROUNDING = 1e-14

# A block of starts grows faster than one start.
_ROWS_PER_PAIR = 8


class NotFiniteError(ValueError):
    """A matrix has entries, or products, beyond the range of float64."""


def rounding(image: Any) -> float:
    """Return the residual, relative to the matrix's norm, that the precision of its products leaves.

    One rule for all iterations. It is 1e-14 in float64, and more in proportion in a precision of fewer digits.

    Parameters
    ----------
    image
        A product with the matrix, of any library.

    Examples
    --------
    >>> rounding(np.ones(2)), round(rounding(np.ones(2, dtype=np.float32)), 8)
    (1e-14, 5.37e-06)
    """
    return _ROUNDING * max(1.0, rounding_unit(image) / float(np.finfo(np.float64).eps))


def _top(matrix: Array) -> tuple[float, float]:
    """Return the largest eigenvalue of a symmetric matrix, and the last component of its eigenvector."""
    size = len(matrix)
    values, vectors, *_ = lapack.dsyevr(matrix, range="I", il=size, iu=size)
    return float(values[0]), float(vectors[-1, 0])


def lanczos(product: Callable[[Array], Array], start: Array, tolerance: float) -> tuple[Array, Array, int]:
    """Return the top Ritz vector, its image by the matrix and the number of products.

    The image is the products taken, combined as the vector is: it owes nothing to the basis being orthogonal.
    """
    size = start.size
    basis, images = np.empty((_BASIS, size)), np.empty((_BASIS, size))
    projected = np.zeros((_BASIS, _BASIS))  # basis · A · basisᵀ
    basis[0] = start / np.linalg.norm(start)
    filled = 0
    floor = 0.0
    for products in range(1, 1000 + 2 * size):  # noqa: B007 (returned)
        image = product(basis[filled])
        floor = max(floor, rounding(image))
        images[filled] = image
        known = basis[: filled + 1]
        # Orthogonalising twice keeps the basis orthogonal to rounding ("twice is enough").
        overlaps = known @ images[filled]
        image = images[filled] - overlaps @ known
        correction = known @ image
        image -= correction @ known
        projected[filled, : filled + 1] = projected[: filled + 1, filled] = overlaps + correction
        beyond = float(np.linalg.norm(image))
        filled += 1
        if not np.isfinite(beyond):
            raise NotFiniteError("matrix must be finite, got NaN or infinity in its product with a vector")

        # The top pair alone is found in a third of the time of all; the sum of a row bounds every eigenvalue.
        tridiagonal = projected[:filled, :filled]
        value, last = _top(tridiagonal)
        bound = float(np.abs(tridiagonal).sum(axis=1).max())
        if filled < _BASIS and beyond * abs(last) > max(tolerance * abs(value), 2.0 * floor * bound):
            basis[filled] = image / beyond
            continue

        values, vectors = np.linalg.eigh(tridiagonal)
        # All of A·basis but the last vector's lies in the basis, so this is the top Ritz pair's residual.
        residual = beyond * abs(vectors[-1, -1])
        # Half the tolerance, so that the residual computed afterwards is within it despite rounding.
        if residual <= max(0.5 * tolerance * abs(values[-1]), floor * max(values[-1], -values[0])):
            break
        if filled == _BASIS:
            basis[:_KEPT] = vectors[:, -_KEPT:].T @ basis
            images[:_KEPT] = vectors[:, -_KEPT:].T @ images
            projected[:] = 0.0
            projected[range(_KEPT), range(_KEPT)] = values[-_KEPT:]
            filled = _KEPT
            vectors = np.eye(_KEPT)
        basis[filled] = image / beyond
    vector: Array = vectors[:, -1] @ basis[: len(vectors)]
    image = vectors[:, -1] @ images[: len(vectors)]
    length = np.linalg.norm(vector)
    return vector / length, image / length, products


def _independent(rows: Array, basis: Array) -> Array:
    """Return an orthonormal basis, by rows, of what the rows add to the span of an orthonormal basis."""
    for _ in range(2):  # "twice is enough"
        rows = rows - (rows @ basis.T) @ basis
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(lengths).all():
            raise NotFiniteError("matrix must be finite, got NaN or infinity in its product with a vector")
        rows = rows[lengths[:, 0] > 0.0] / lengths[lengths[:, 0] > 0.0]
    # Rows that nearly depend on others are left for the next turn.
    columns, upper, _ = qr(rows.T, mode="economic", pivoting=True)
    new = columns[:, np.abs(upper.diagonal()) > 1e-3].T
    return np.ascontiguousarray(new)


def _are_noise(residuals: Array, product: Callable[[Array], Array], ritz: Array, images: Array) -> bool:
    """Return whether residuals are no larger than what products taken anew differ by from sums of earlier ones."""
    again = np.array([product(vector) for vector in ritz])
    noise = np.linalg.norm(again - images, axis=1)
    return bool((np.linalg.norm(residuals, axis=1) <= 4.0 * noise).all())


def davidson(
    product: Callable[[Array], Array],
    starts: Array,
    count: int,
    smallest: int,
    tolerance: float,
    most_products: int,
) -> tuple[Array, int, float]:
    """Return Ritz vectors by rows, the smallest ones' first; the number of products; an estimate of ‖A‖."""
    pairs, size = count + smallest, starts.shape[1]
    capacity = min(size, max(_BASIS, _ROWS_PER_PAIR * len(starts)))
    retained = max(_KEPT, 2 * pairs) // 2 if smallest else max(_KEPT, 2 * pairs)
    basis, images = np.empty((capacity, size)), np.empty((capacity, size))
    projected = np.zeros((capacity, capacity))  # basis · A · basisᵀ
    filled = products = 0
    norm = floor = 0.0
    least, since = np.inf, 0  # a residual, and the products taken since without one of half its size
    new = _independent(starts, basis[:0])
    if len(new) < pairs:
        more = np.random.default_rng(1).standard_normal((pairs, size))
        new = np.concatenate([new, _independent(more, new)])[: len(starts)]
    while True:
        first, filled = filled, filled + len(new)
        basis[first:filled] = new
        for k in range(first, filled):
            image = product(basis[k])
            floor = max(floor, rounding(image))
            images[k] = image
        products += len(new)
        since += len(new)
        block = images[first:filled] @ basis[:filled].T
        if not np.isfinite(block).all():
            raise NotFiniteError("matrix must be finite, got NaN or infinity in its product with a vector")
        projected[first:filled, :filled] = block
        projected[:filled, first:filled] = block.T

        values, vectors = np.linalg.eigh(projected[:filled, :filled])
        norm = max(norm, float(np.abs(values).max()))
        ends = np.r_[0:smallest, filled - count : filled]
        ritz = vectors[:, ends].T @ basis[:filled]
        ritz_images = vectors[:, ends].T @ images[:filled]
        residuals = ritz_images - values[ends, None] * ritz
        # Half the tolerance, so that the residuals computed afterwards are within it despite rounding.
        lengths = np.linalg.norm(residuals, axis=1)
        open_ = lengths > max(0.5 * tolerance, floor) * norm
        if not open_.any() or products + open_.sum() + pairs > most_products:
            break
        if lengths.max() < 0.5 * least:
            least, since = float(lengths.max()), 0
        elif since >= capacity and products + 2 * pairs <= most_products:
            products, since = products + pairs, 0
            if _are_noise(residuals, product, ritz, ritz_images):
                break
        if filled + open_.sum() > capacity:
            keep = np.r_[0 : retained if smallest else 0, filled - (retained if count else 0) : filled]
            basis[: len(keep)] = vectors[:, keep].T @ basis[:filled]
            images[: len(keep)] = vectors[:, keep].T @ images[:filled]
            filled = len(keep)
            projected[:] = 0.0
            projected[range(filled), range(filled)] = values[keep]
        new = _independent(residuals[open_], basis[:filled])
        if len(new) == 0:  # what is left is rounding
            break
    # Orthonormal to rounding, also after many restarts.
    vectors = np.linalg.qr(ritz.T).Q.T
    return np.ascontiguousarray(vectors), products, norm
