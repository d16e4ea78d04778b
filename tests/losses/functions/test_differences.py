"""Derivatives by differences, and what they say of others: against matrices and formulas."""

from __future__ import annotations

import numpy as np
import pytest

from selfstab.losses.functions import differences

MATRIX = np.random.default_rng(0).standard_normal((30, 30))
MATRIX = MATRIX + MATRIX.T
W = np.random.default_rng(1).standard_normal(30)


def displaced_by(gradient, w=W):
    def displaced(direction, length):
        ahead, behind = w + length * direction, w - length * direction
        return gradient(ahead.astype(w.dtype)) - gradient(behind.astype(w.dtype)), ahead - behind

    return displaced


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_products_are_contradicted_where_they_are_wrong(precision, scale):
    """Protects sharpness from second derivatives that are lost: all, a part, or a twentieth of them."""
    matrix, w = (scale * MATRIX).astype(precision), W.astype(precision)

    def gradient(x):
        return matrix @ x + scale * 0.1 * x**3

    hessian = matrix + np.diag(scale * 0.3 * w**2).astype(precision)
    direction = differences.generic_direction(gradient(w))
    assert direction.dtype == precision
    assert np.linalg.norm(direction) == pytest.approx(1.0, rel=1e-6)
    for factor, wrong in ((1.0, False), (0.95, True), (0.0, True), (-1.0, True)):
        product = (factor * hessian).__matmul__
        assert (
            differences.contradicts(displaced_by(gradient, w), product, direction, float(np.linalg.norm(w)))
            is wrong
        )


def test_noise_and_what_is_not_finite_contradict_nothing():
    """Protects products of reduced precision: differences that do not agree with each other are no evidence."""
    rng = np.random.default_rng(2)

    def noisy(x):
        return MATRIX @ x + 1e6 * rng.standard_normal(30)

    direction = differences.generic_direction(MATRIX @ W)
    assert not differences.contradicts(displaced_by(noisy), lambda v: 0.0 * v, direction, 1.0)
    assert not differences.contradicts(displaced_by(lambda x: np.nan * x), lambda v: v, direction, 1.0)
    assert not differences.contradicts(displaced_by(lambda x: 0.0 * x + 1.0), lambda v: 0 * v, direction, 1.0)


def test_a_kink_contradicts_nothing_in_float64():
    """Protects ReLU: the derivative of max(w, 0)²/2 jumps, between weights and at one nearby."""
    w = W.copy()
    w[:3] = 1e-5, -1e-6, 1e-7

    def gradient(x):
        return np.maximum(x, 0.0) + MATRIX @ x

    def product(v):
        return np.where(w > 0, v, 0.0) + MATRIX @ v

    direction = differences.generic_direction(gradient(w))
    assert not differences.contradicts(
        displaced_by(gradient, w), product, direction, float(np.linalg.norm(w))
    )


def test_the_derivative_of_a_gradient_is_symmetric():
    """Protects fallbacks to differences: a field that is no gradient has no sharpness."""
    direction = differences.generic_direction(W)
    assert differences.symmetric(MATRIX.__matmul__, direction)
    assert differences.symmetric(lambda v: 0.0 * v, direction)
    lower = np.tril(MATRIX)
    assert not differences.symmetric(lower.__matmul__, direction)


def test_products_that_fail_are_wrong():
    """Protects losses from whatever another library raises; a gradient that is not finite says nothing."""

    def fails(v):
        raise RuntimeError("derivative is not implemented")

    assert differences.are_wrong(MATRIX.__matmul__, fails, W)
    assert differences.are_wrong(MATRIX.__matmul__, lambda v: 1.01 * MATRIX @ v, W)
    assert not differences.are_wrong(MATRIX.__matmul__, MATRIX.__matmul__, W)
    assert not differences.are_wrong(MATRIX.__matmul__, MATRIX.__matmul__, 0.0 * W)
    assert not differences.are_wrong(lambda w: np.nan * w, fails, W)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("values", [[1.0], [-1.0], [0.0], [1e-42], [3e38, -3e38], [0.0, 0.0, 2.0]])
def test_a_generic_direction_is_of_length_one(kind, values):
    """Protects one weight, whose random direction may be opposite to its gradient, and gradients of any size."""
    direction = differences.generic_direction(np.array(values, dtype=kind))
    assert direction.dtype == kind
    assert np.linalg.norm(direction) == pytest.approx(1.0, rel=1e-6)
