"""Predictions on noisy curvature: growth of the mean square, its boundary, batch sharpness."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from selfstab import theory
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.validation import Array
from selfstab.verification.registry import Measurement, Prediction

_STEPS = 7
_SHARES = (0.2, 0.5, 0.9)  # of 2(1 + β), for ημ
_MOMENTA = (0.0, 0.3, 0.6, 0.9)


class _Diagonal(Loss):
    """½ Σ hᵢwᵢ²: one run per weight, each with a curvature of its own."""

    def __init__(self, curvatures: Array) -> None:
        self._curvatures = curvatures

    @property
    def dimension(self) -> int:
        return int(self._curvatures.size)

    def value_at(self, w: Array) -> float:
        """Return L(w)."""
        return 0.5 * float(np.sum(self._curvatures * w**2))

    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return self._curvatures * w

    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w)."""
        return np.diag(self._curvatures)

    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return np.zeros(self.dimension)


def _mean_squares(mean: Array, deviation: Array, momentum: float) -> Array:
    """Return E x_t² for t = 0, ..., 7, exactly: over all 2⁷ sequences of curvatures μ ± s, equally likely.

    `mean` and `deviation` have the shape (cells,), the result (8, cells).
    """
    sequences = np.arange(2**_STEPS)
    x = np.ones(mean.size * sequences.size)
    previous, out = 0.3 * x, [np.ones(mean.size)]
    for t in range(_STEPS):
        curvatures = mean[:, None] + deviation[:, None] * np.where(sequences >> t & 1, 1.0, -1.0)
        loss = _Diagonal(curvatures.ravel())
        run = simulate(loss, HeavyBall(1.0, momentum), x, 1, previous=previous, keep=["weights"])
        previous, x = run["weights"].values
        out.append(np.mean(x.reshape(curvatures.shape) ** 2, axis=1))
    return np.array(out)


def _growth(mean: Array, deviation: Array, momentum: float) -> Array:
    """Return the largest |λ| of the recurrence of order three, one per second moment, that E x_t² obeys."""
    found = []
    for series in _mean_squares(mean, deviation, momentum).T:
        rows = np.stack([series[2:-1], series[1:-2], series[:-3], series[3:]])
        rows /= np.abs(rows).max(axis=0)
        recurrence: Any = np.linalg.lstsq(rows[:3].T, rows[3], rcond=1e-12)[0]
        found.append(np.abs(np.roots([1.0, *-recurrence])).max())
    return np.array(found)


def _means(momentum: float) -> Array:
    return np.array(_SHARES) * 2.0 * (1.0 + momentum)


def _mean_square() -> Measurement:
    measured, predicted = [], []
    for momentum in _MOMENTA:
        mean = np.repeat(_means(momentum), 3)
        variance = np.asarray(theory.max_stable_noise(mean, momentum)) * np.tile(
            [0.5, 1.0, 2.0], len(_SHARES)
        )
        measured.append(_growth(mean, np.sqrt(variance), momentum))
        predicted.append(theory.mean_square_growth(mean, np.sqrt(variance), momentum))
    return Measurement.worst(np.concatenate(measured), np.concatenate(predicted))


@cache
def _boundaries() -> tuple[Array, Array, Array]:
    """Return ημ, β and the measured η²s² at which the mean square neither grows nor dies."""
    found = []
    for momentum in _MOMENTA:
        means = _means(momentum)
        low, high = np.full(means.size, 0.01), np.full(means.size, 4.0)  # decay and growth in every cell
        for _ in range(4):
            variances = np.linspace(low, high, 32, axis=1)
            cells = np.repeat(means, 32), np.sqrt(variances.ravel())
            rises = _growth(*cells, momentum).reshape(variances.shape) - 1.0
            k, each = (rises > 0.0).argmax(axis=1), np.arange(means.size)
            low, high = variances[each, k - 1], variances[each, k]
            at_low, at_high = rises[each, k - 1], rises[each, k]
        # The last bracket is 4/31⁴ wide: linear within.
        variance = low - at_low * (high - low) / (at_high - at_low)
        found.append(np.stack([means, np.full(means.size, momentum), variance]))
    mean, momenta, variance = np.concatenate(found, axis=1)
    return mean, momenta, variance


def _boundary() -> Measurement:
    mean, momentum, variance = _boundaries()
    return Measurement.worst(variance, np.asarray(theory.max_stable_noise(mean, momentum)))


def _batch() -> Measurement:
    mean, momentum, variance = _boundaries()
    return Measurement.worst(
        (mean**2 + variance) / mean, np.asarray(theory.max_stable_batch_sharpness(1.0, momentum, mean))
    )


_WHERE = "½hx² with h = μ ± s: all 2⁷ sequences of seven steps, ημ = 0.2 to 0.9 of 2(1 + β), β = 0 to 0.9"

PREDICTIONS: Final[tuple[Prediction, ...]] = (
    Prediction(
        name="A10 mean-square growth",
        statement="E x² grows by the spectral radius of [[T² + η²s², −2βT, β²], [T, −β, 0], [1, 0, 0]], T = 1 + β − ημ",
        where=f"{_WHERE}, at 0.5, 1 and 2 times the boundary",
        source="derivations/a10_noise.py",
        measure=_mean_square,
        tolerance=1e-10,
    ),
    Prediction(
        name="A10 noise boundary",
        statement="E x² neither grows nor dies at η²s² = (1 − β)ημ(2(1 + β) − ημ)/(1 + β)",
        where=_WHERE,
        source="derivations/a10_noise.py",
        measure=_boundary,
        tolerance=1e-10,
    ),
    Prediction(
        name="A10 batch sharpness",
        statement="there ηE h²/E h = 2(1 − β) + (2β/(1 + β))ημ",
        where=_WHERE,
        source="derivations/a10_noise.py",
        measure=_batch,
        tolerance=1e-10,
    ),
)
"""Entries of the registry."""
