"""Semidefinite complementarity: the least covariance that holds a matrix positive semidefinite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from selfstab.validation import Array

_MOST_ITERATIONS: Final = 100
_ENOUGH: Final = 1e-14
"""Complementarity and infeasibility, over the scale of the problem, at which the iteration stops."""
_PATIENCE: Final = 5
"""Iterations that gain less than a factor of two, at the limit of float64, before it stops."""
_CLOSE: Final = 1e-7
_TO_THE_BOUNDARY: Final = 0.98
_RIDGE: Final = 1e-13
"""Added to the operator, over its largest eigenvalue: of many solutions it picks one near the least."""


@dataclass(frozen=True)
class Balance:
    """A solution of X ⪰ 0, Z = A + B[X] ⪰ 0, ⟨X, Z⟩ = 0.

    Parameters
    ----------
    matrix
        X, shape (k, k).
    residual
        The largest violation of the three conditions, over the largest entry of A, once X ⪰ 0 holds.
    """

    matrix: Array
    residual: float


def packed(matrix: Array) -> Array:
    """Return a symmetric matrix as a vector, off-diagonal entries times √2: a dot product is ⟨·, ·⟩."""
    first, second = np.triu_indices(matrix.shape[-1])
    return np.asarray(matrix[first, second] * np.where(first == second, 1.0, np.sqrt(2.0)))


def unpacked(vector: Array) -> Array:
    """Return the symmetric matrix that :func:`packed` made a vector of."""
    size = round((np.sqrt(8 * vector.size + 1) - 1) / 2)
    first, second = np.triu_indices(size)
    matrix = np.empty((size, size))
    matrix[first, second] = matrix[second, first] = vector / np.where(first == second, 1.0, np.sqrt(2.0))
    return matrix


def balance(offset: Array, operator: Array) -> Balance:
    r"""Solve the semidefinite complementarity problem of a positive semidefinite operator.

    .. math:: X ⪰ 0, \quad Z = A + B[X] ⪰ 0, \quad ⟨X, Z⟩ = 0

    These are the conditions for X to minimize ½⟨X, B[X]⟩ + ⟨A, X⟩ over X ⪰ 0. One row: X = max(−A/B, 0). Else an
    interior-point method with the search direction of Helmberg, Kojima and Monteiro, and Mehrotra's corrector.

    Parameters
    ----------
    offset
        A, symmetric, shape (k, k).
    operator
        B on packed matrices (:func:`packed`), symmetric and positive semidefinite, shape (k(k + 1)/2,) * 2.

    Returns
    -------
    Balance
        X and its residual. Where B is singular and no X makes A + B[X] ⪰ 0, the residual says so.

    Examples
    --------
    >>> import numpy as np
    >>> balance(np.array([[-2.0]]), np.array([[4.0]])).matrix
    array([[0.5]])
    >>> balance(np.diag([-1.0, 3.0]), np.eye(3)).matrix.round(12)
    array([[1., 0.],
           [0., 0.]])
    """
    size = len(offset)
    zero = np.zeros((size, size))
    scale = float(np.abs(offset).max())
    if not (np.isfinite(scale) and np.isfinite(operator).all()):
        return Balance(np.full((size, size), np.nan), np.nan)
    if float(np.linalg.eigvalsh(offset)[0]) >= 0.0:
        return Balance(zero, 0.0)
    strength = float(np.linalg.eigvalsh(operator)[-1])
    if strength <= 0.0:
        return Balance(zero, _residual(zero, offset, scale))
    if size == 1:
        matrix = np.maximum(-offset / operator, 0.0)
    else:
        matrix = _interior(offset / scale, operator / strength) * (scale / strength)
    return Balance(matrix, _residual(matrix, offset + unpacked(operator @ packed(matrix)), scale))


def _residual(matrix: Array, slack: Array, scale: float) -> float:
    below = max(0.0, -float(np.linalg.eigvalsh(slack)[0]))
    trace = float(np.trace(matrix))
    touching = abs(float(np.sum(matrix * slack))) / trace if trace > 0.0 else 0.0
    return max(below, touching) / scale


def _interior(offset: Array, operator: Array) -> Array:
    """Solve the problem with entries of size 1; the result is positive semidefinite."""
    size = len(offset)
    operator = operator + _RIDGE * np.eye(len(operator))
    packing = [unpacked(row) for row in np.eye(len(operator))]
    images = [unpacked(row) for row in operator]  # B of each; B is symmetric
    x, z = np.eye(size), np.eye(size)
    best, least, stuck = x, np.inf, 0
    for _ in range(_MOST_ITERATIONS):
        short = offset + unpacked(operator @ packed(x)) - z
        gap = float(np.sum(x * z)) / size
        open_by = max(gap / max(1.0, float(np.trace(x))), float(np.abs(short).max()))
        stuck = stuck + 1 if 0.5 * least <= open_by and least < _CLOSE else 0
        if open_by < least:
            best, least = x, open_by
        if open_by <= _ENOUGH or stuck == _PATIENCE:
            break
        try:
            # dX + sym(X dZ Z⁻¹) = τZ⁻¹ − X − sym(corrector), dZ = B[dX] + short
            inverse = np.linalg.inv(z)
            system = np.array(
                [
                    packed(unit + _symmetric(x @ image @ inverse))
                    for unit, image in zip(packing, images, strict=True)
                ]
            ).T
            known = x + _symmetric(x @ short @ inverse)
            dx = unpacked(np.linalg.solve(system, packed(-known)))
            dz = unpacked(operator @ packed(dx)) + short
            length = min(_reach(x, dx), _reach(z, dz))
            after = float(np.sum((x + length * dx) * (z + length * dz))) / size
            target = gap * min(max(after / gap, 0.0), 1.0) ** 3
            aim = target * inverse - known - _symmetric(dx @ dz @ inverse)
            dx = unpacked(np.linalg.solve(system, packed(aim)))
            dz = unpacked(operator @ packed(dx)) + short
            length = min(_reach(x, dx), _reach(z, dz))
        except np.linalg.LinAlgError:  # at the limit of float64
            break
        x, z = x + length * dx, z + length * dz
    return best


def _symmetric(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)


def _reach(at: Array, along: Array) -> float:
    """Return the step, 1 at most, that stays within positive definite matrices."""
    factor = np.linalg.inv(np.linalg.cholesky(at))
    least = float(np.linalg.eigvalsh(_symmetric(factor @ along @ factor.T))[0])
    return 1.0 if least >= 0.0 else min(1.0, -_TO_THE_BOUNDARY / least)
