"""The top eigenvalues of a Hessian from record to record, each found from the last one's vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from selfstab.eigen.blas import one_blas_thread
from selfstab.eigen.krylov import NotFiniteError
from selfstab.eigen.krylov_space import Goal, KrylovSpace, start
from selfstab.eigen.pairs import DENSE_UP_TO, top_eigenpair, top_eigenpairs
from selfstab.eigen.vectors import host, like, namespace
from selfstab.validation import Array

TOLERANCES: Final = {"float64": 1e-10, "float32": 1e-4}
"""Relative residual at which the sharpness of up to `EXACT_UP_TO` weights counts as converged, by precision."""

EXACT_UP_TO: Final = 1000
"""Up to this many weights products cost so little that the sharpness is as exact as they allow."""

ACCURACY: Final = 1e-4
"""Relative error of the sharpness of more weights, where nothing else is asked for."""

CHECKED_EVERY: Final = 16
"""Records with a limited number of products from one whose error is measured to the next."""

KEPT: Final = 3
"""Vectors that the next record starts from: a second eigenvalue may have become the largest by then."""

_SHARES: Final = (1.0, 0.1, 0.05)
_GENERIC_SHARE: Final = 0.03
"""Shares of these vectors in the start, and of a fixed random one, without which no other vector could be found."""


@dataclass(frozen=True)
class Measurement:
    """The sharpness at one record.

    Parameters
    ----------
    sharpness, second
        The largest and the second largest eigenvalue; the second is NaN where it is not asked for.
    residual
        ‖Hu − Su‖.
    error
        Estimate of how far the sharpness lies below the eigenvalue.
    measured_error
        By how much less the limited number of products gave than enough of them; NaN where that was not measured.
    products
        Hessian-vector products taken.
    """

    sharpness: float
    second: float
    residual: float
    error: float
    measured_error: float
    products: int


class SharpnessTracker:
    """Finds the largest Hessian eigenvalue of one record after the other, in the products' library and precision.

    Parameters
    ----------
    accuracy
        Estimated error of the sharpness, relative, at which it is exact enough; None for the default.
    tolerance
        Relative residual at which it is exact enough, in place of the accuracy; None for the default.
    second
        Whether the second eigenvalue is found, too.
    most_products
        Products a record; None for as many as the accuracy needs. The first record takes what the accuracy needs. The
        second one, and one of `CHECKED_EVERY` after it, go on to a tenth of that error.

    Examples
    --------
    >>> import numpy as np
    >>> curvatures, tracker = np.arange(2000.0), SharpnessTracker(accuracy=1e-3)
    >>> first, again = (tracker.measure(lambda v: curvatures * v, 2000) for _ in range(2))
    >>> abs(first.sharpness / 1999.0 - 1.0) < 1e-3, again.products < first.products
    (True, True)
    """

    def __init__(
        self,
        *,
        accuracy: float | None = None,
        tolerance: float | None = None,
        second: bool = False,
        most_products: int | None = None,
    ) -> None:
        self.accuracy, self.tolerance, self.second = accuracy, tolerance, second
        self.most_products = most_products
        self.vectors: list[Any] = []
        self.unchecked = 0
        self._precision: str | None = None
        self._calibration: float | None = None

    def measure(
        self,
        product: Callable[[Any], Any],
        dimension: int,
        vector: Callable[[Array], Any] | None = None,
    ) -> Measurement:
        """Return the sharpness now; NaN where the Hessian is not finite.

        Parameters
        ----------
        product
            v → ∇²L v, on flat vectors of shape (dimension,).
        dimension
            Number of weights.
        vector
            What makes NumPy's numbers a vector that the product takes, of its library and precision. Without it vectors
            are NumPy's, in the precision of the first product.

        Returns
        -------
        Measurement
            What was found, and at what cost.

        Raises
        ------
        TypeError
            If a product is no vector of real numbers.
        """
        images = _Images(product)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            try:
                if dimension <= DENSE_UP_TO:
                    return self._dense(images, dimension, vector or np.asarray)
                return self._warm(images, dimension, vector)
            except NotFiniteError:
                return Measurement(np.nan, np.nan, np.nan, np.nan, np.nan, images.count)

    def top_vector(self) -> Array | None:
        """Return the last eigenvector of a finite Hessian, of either sign, in NumPy; None before the first."""
        return host(self.vectors[0]) if self.vectors else None

    def _dense(self, images: _Images, dimension: int, vector: Callable[[Array], Any]) -> Measurement:
        """Return the sharpness from the whole Hessian; its error is rounding, no more than the residual."""
        if self.second and dimension > 1:
            pairs = top_eigenpairs(images.in_numpy, 2, dimension)
            self.vectors = [vector(row) for row in pairs.vectors]
            residual = float(pairs.residuals[0])
            first, second = map(float, pairs.values)
            return Measurement(first, second, residual, residual, np.nan, images.count)
        pair = top_eigenpair(images.in_numpy, dimension)
        self.vectors = [vector(pair.vector)]
        return Measurement(pair.value, np.nan, pair.residual, pair.residual, np.nan, images.count)

    def _warm(self, images: _Images, dimension: int, vector: Callable[[Array], Any] | None) -> Measurement:
        if vector is None:
            vector = partial(np.asarray, dtype=self._precision_of(images, dimension))
        pairs = 2 if self.second else 1
        starts, warm = self._starts(dimension, vector, pairs)
        goal = self._goal(pairs, dimension, str(starts[0].dtype).rpartition(".")[2])
        space = KrylovSpace(images.scaled, starts, self._calibration if warm else None)
        # Large models: the space alone holds vectors while it grows.
        del starts
        self.vectors = []
        measured_error = np.nan
        try:
            if self.most_products is None or not warm:
                ritz = space.grow(goal)
            else:
                ritz = space.grow(Goal(pairs, goal.accuracy, goal.tolerance, self.most_products))
                if self.unchecked == 0 and ritz.reason in ("accuracy", "products"):
                    limited = ritz
                    ritz = space.grow(
                        replace(goal, accuracy=goal.accuracy / 10.0, tolerance=goal.tolerance / 10.0)
                    )
                    measured_error = float(ritz.values[0] - limited.values[0]) / images.factor
                self.unchecked = (self.unchecked + 1) % CHECKED_EVERY
        except BaseException:
            self.vectors = [space.start()] if warm else []
            raise
        self.vectors, self._calibration = space.first_vectors(KEPT), space.calibration
        values = ritz.values / images.factor
        return Measurement(
            float(values[0]),
            float(values[1]) if len(values) > 1 else np.nan,
            float(ritz.residuals[0]) / images.factor,
            float(ritz.errors[0]) / images.factor,
            measured_error,
            images.count,
        )

    def _precision_of(self, images: _Images, dimension: int) -> str:
        """Return the precision of vectors of NumPy: of those of the record before, or else of the first product."""
        for row in self.vectors:
            if isinstance(row, np.ndarray) and row.shape == (dimension,):
                return str(row.dtype)
        if self._precision is None:
            self._precision = images.precision(_generic(dimension, 0))
        return self._precision

    def _starts(self, dimension: int, vector: Callable[[Array], Any], pairs: int) -> tuple[list[Any], bool]:
        """Return a start for each eigenvalue, and whether the last record's vectors are in them."""
        generic = [vector(_generic(dimension, k)) for k in range(pairs)]
        old = [_like(generic[0], row) for row in self.vectors if row.shape == generic[0].shape]
        return _mixed(old, generic), bool(old)

    def _goal(self, pairs: int, dimension: int, precision: str) -> Goal:
        most = (1000 + 2 * dimension) * pairs
        if self.tolerance is not None:
            return Goal(pairs, tolerance=self.tolerance, most_products=most)
        if self.accuracy is None and dimension <= EXACT_UP_TO:
            return Goal(pairs, tolerance=TOLERANCES.get(precision, TOLERANCES["float32"]), most_products=most)
        return Goal(pairs, accuracy=self.accuracy or ACCURACY, most_products=most)


class _Images:
    """Products with the Hessian: checked, counted, and scaled so that their squares are numbers.

    Parameters
    ----------
    product
        v → ∇²L v.
    """

    def __init__(self, product: Callable[[Any], Any]) -> None:
        self._product, self._known = product, False
        self.factor, self.count = 1.0, 0

    def in_numpy(self, v: Any) -> Any:
        """Return the product of a NumPy vector, of whatever precision it has."""
        self.count += 1
        image = np.asarray(self._product(v))
        if image.dtype.kind not in "fiu" or image.shape != v.shape:
            raise TypeError(
                f"hessian_vector must return {v.size} real numbers, got shape {image.shape} of dtype {image.dtype}"
            )
        return image

    def precision(self, v: Any) -> str:
        """Return the precision of the products: float32 or float64."""
        image = self.in_numpy(v)
        return "float32" if image.dtype.kind == "f" and image.dtype.itemsize <= 4 else "float64"

    def scaled(self, v: Any) -> Any:
        """Return the product in the vector's precision, times a power of two that the first one decides."""
        if isinstance(v, np.ndarray):
            image = self.in_numpy(v).astype(v.dtype, copy=False)
        else:
            self.count += 1
            image = self._product(v)
            if image.dtype != v.dtype:
                image = namespace(v).asarray(image, dtype=v.dtype)
        if not self._known:
            size = float(abs(image).max())
            self._known = size > 0.0
            self.factor = _factor(size, namespace(v).finfo(v.dtype))
        return image if self.factor == 1.0 else image * self.factor


def _factor(size: float, limits: Any) -> float:
    """Return the power of two that brings numbers of a size where sums of their squares are numbers; mostly 1."""
    room = 2.0**20
    if not 0.0 < size < np.inf or room * float(limits.tiny) ** 0.5 <= size <= float(limits.max) ** 0.5 / room:
        return 1.0
    return float(2.0 ** np.clip(-float(np.frexp(size)[1]), -1000.0, 1000.0))


def _mixed(old: list[Any], generic: list[Any]) -> list[Any]:
    """Return a start for each eigenvalue: the old vectors in it mixed, or generic ones without them."""
    if not old:
        return generic
    if len(generic) == 1:
        return [start([*old, *generic], [*_SHARES[: len(old)], _GENERIC_SHARE])]
    others = old[len(generic) :]
    starts = []
    for k, row in enumerate(generic):
        first = old[k : k + 1]
        share = _GENERIC_SHARE if first else 1.0
        shares = [1.0] * len(first) + [_SHARES[-1]] * len(others) + [share]
        starts.append(start([*first, *others, row], shares))
    return starts


def _like(reference: Any, row: Any) -> Any:
    """Return a row in the library and precision of another, on its device."""
    same = type(row) is type(reference) and (row.dtype, row.device) == (reference.dtype, reference.device)
    return row if same else like(reference, host(row))


def _generic(dimension: int, number: int) -> Any:
    """Return a fixed random vector of length about 1: simple ones are orthogonal to eigenvectors of structured ones."""
    vector = np.random.default_rng(number).standard_normal(dimension, dtype=np.float32)
    vector /= np.float32(dimension**0.5)
    return vector
