"""Top eigenpairs of symmetric matrices, each with its residual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from selfstab.validation import Array

DENSE_UP_TO = 64
"""Up to this size a dense eigensolver is both faster and safer than an iteration."""


@dataclass(frozen=True)
class Eigenpair:
    """An eigenvalue, its unit eigenvector, the residual ‖Av − λv‖ and the products with A it took."""

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
) -> Eigenpair:
    """Return the algebraically largest eigenvalue of a symmetric matrix, given as array or as matvec."""
    raise NotImplementedError
