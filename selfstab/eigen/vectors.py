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
        self._blocks: list[Any] = []
        self._count = 0
        self.append(first)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> Any:
        """Return a row."""
        return self._blocks[row // _ROWS][row % _ROWS]

    def append(self, vector: Any) -> None:
        """Add a row."""
        block, row = divmod(self._count, _ROWS)
        if block == len(self._blocks):
            first = self._like
            shape = (_ROWS, *first.shape)
            self._blocks.append(self._space.zeros(shape, dtype=first.dtype, device=first.device))
        if self._fixed:
            self._blocks[block] = self._blocks[block].at[row].set(vector)
        else:
            self._blocks[block][row] = vector
        self._count += 1

    def without_overlap(self, vector: Any) -> tuple[Any, Array]:
        """Return a vector minus its projection on the rows, which are orthonormal, and its products with them."""
        overlaps = np.zeros(self._count)
        for k, block in enumerate(self._used()):
            part = self._matmul(block, vector)
            vector = vector - self._matmul(part, block)
            overlaps[k * _ROWS : k * _ROWS + len(block)] = host(part)[: self._count - k * _ROWS]
        return vector, overlaps

    def combined(self, coefficients: Array) -> Any:
        """Return the sum of the first rows, each times its coefficient."""
        total: Any = None
        for k, block in enumerate(self._used()):
            part = coefficients[k * _ROWS : (k + 1) * _ROWS]
            if len(part) == 0:
                break
            part = np.append(part, np.zeros(len(block) - len(part)))
            image = self._matmul(like(self._like, part), block)
            total = image if total is None else total + image
        return total

    def _used(self) -> Sequence[Any]:
        """Return the blocks, the last one without rows that are empty; JAX would copy a part, so that it is whole."""
        last = self._count - (len(self._blocks) - 1) * _ROWS
        return self._blocks if self._fixed else [*self._blocks[:-1], self._blocks[-1][:last]]
