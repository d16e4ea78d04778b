"""Rows of vectors in whatever library and precision, and on whatever device, the vectors are.

Libraries are seen through the names of the Python array API standard, which NumPy, PyTorch and JAX share: ``asarray``,
``zeros``, ``matmul`` and the arrays' ``dtype`` and ``device``. A library that has them needs no code here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from selfstab.validation import Array

_ROWS: Final = 8
"""Rows of a block. Memory is taken block by block."""

_LARGE: Final = 2**19
"""Vectors of more numbers are blocks of their own: empty rows would cost more than calls do."""

_PIECE: Final = 2**16
"""Numbers of each vector that are rotated at a time."""


def namespace(vector: Any) -> Any:
    """Return the module with the array functions of a vector's library."""
    if callable(getattr(vector, "__array_namespace__", None)):
        return vector.__array_namespace__()
    return sys.modules[type(vector).__module__.partition(".")[0]]  # PyTorch has the names, and not the method


def host(numbers: Any) -> Array:
    """Return a library's numbers as a NumPy array of float64."""
    if callable(getattr(numbers, "detach", None)):
        numbers = numbers.detach().cpu()
    return np.asarray(numbers).astype(np.float64)


def like(vector: Any, numbers: Array) -> Any:
    """Return NumPy's numbers in the library and the precision of a vector, on its device."""
    return namespace(vector).asarray(numbers, dtype=vector.dtype, device=vector.device)


def rounding_unit(vector: Any) -> float:
    """Return the distance from 1 to the next number of a vector's precision; float64's for integers.

    Examples
    --------
    >>> import numpy as np
    >>> rounding_unit(np.ones(2)), rounding_unit(np.ones(2, dtype=np.float32))
    (2.220446049250313e-16, 1.1920928955078125e-07)
    """
    try:
        return float(namespace(vector).finfo(vector.dtype).eps)
    except (TypeError, ValueError):
        return float(np.finfo(np.float64).eps)


class Rows:
    """Vectors one below the other, kept in blocks of memory, and the sums of products that a Krylov space needs.

    Parameters
    ----------
    first
        The first row, which sets library, precision and device.
    """

    def __init__(self, first: Any) -> None:
        self._space, self._like = namespace(first), first
        self._fixed = hasattr(first, "at")  # JAX's arrays do not change
        # Accelerators multiply numbers of 32 bits with fewer digits unless they are told not to.
        self._matmul: Callable[[Any, Any], Any] = (
            partial(self._space.matmul, precision="highest") if self._fixed else self._space.matmul
        )
        self._rows = 1 if first.shape[0] > _LARGE else _ROWS
        self._blocks: list[Any] = []
        self._count = 0
        self.append(first)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> Any:
        """Return a row."""
        return self._blocks[row // self._rows][row % self._rows]

    def append(self, vector: Any) -> None:
        """Add a row. A large one is not copied, and must not be changed any more."""
        if self._rows == 1:
            self._blocks.append(vector.reshape(1, -1))
            self._count += 1
            return
        block, row = divmod(self._count, self._rows)
        if block == len(self._blocks):
            first = self._like
            shape = (self._rows, *first.shape)
            self._blocks.append(self._space.zeros(shape, dtype=first.dtype, device=first.device))
        if self._fixed:
            self._blocks[block] = self._blocks[block].at[row].set(vector)
        else:
            self._blocks[block][row] = vector
        self._count += 1

    def without_overlap(self, vector: Any) -> tuple[Any, Array]:
        """Return a vector minus its projection on the rows, which are orthonormal, and its products with them.

        The vector itself stays as it is.
        """
        overlaps = np.zeros(self._count)
        own = False
        for k, block in enumerate(self._used()):
            part = self._matmul(block, vector)
            if own:
                vector -= self._matmul(part, block)
            else:
                vector, own = vector - self._matmul(part, block), True
            first = k * self._rows
            overlaps[first : first + len(block)] = host(part)[: self._count - first]
        return vector, overlaps

    def combined(self, coefficients: Array) -> Any:
        """Return the sum of the first rows, each times its coefficient."""
        total: Any = None
        for k, block in enumerate(self._used()):
            part = coefficients[k * self._rows : (k + 1) * self._rows]
            if len(part) == 0:
                break
            part = np.append(part, np.zeros(len(block) - len(part)))
            image = self._matmul(like(self._like, part), block)
            if total is None:
                total = image
            else:
                total += image
            del image
        return total

    def rotated(self, coefficients: Array) -> list[Any]:
        """Return sums of the first rows, and then the rows after those; the rows themselves are of no use then.

        Parameters
        ----------
        coefficients
            A column for each sum, no more than rows; shape (rows, sums).

        Returns
        -------
        list
            Vectors. Large ones are in the memory of the old rows, if the library lets it be written to.
        """
        old, new = coefficients.shape
        if self._fixed or self._rows > 1:
            sums = [self.combined(column) for column in coefficients.T]
            return [*sums, *(self[k] for k in range(old, self._count))]
        factors = like(self._like, np.ascontiguousarray(coefficients.T))
        for first in range(0, self._like.shape[0], _PIECE):
            piece = slice(first, first + _PIECE)
            sums = self._matmul(
                factors, self._space.concatenate([row[:, piece] for row in self._blocks[:old]])
            )
            for k in range(new):
                self._blocks[k][0, piece] = sums[k]
        return [block[0] for block in [*self._blocks[:new], *self._blocks[old:]]]

    def _used(self) -> Sequence[Any]:
        """Return the blocks, the last one without rows that are empty; JAX would copy a part, so that it is whole."""
        last = self._count - (len(self._blocks) - 1) * self._rows
        return self._blocks if self._fixed else [*self._blocks[:-1], self._blocks[-1][:last]]
