"""Gradients and top eigenvectors at all records at once: those of one record after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import selfstab as ss
from selfstab.eigen.pairs import DENSE_UP_TO, continuous_in_sign, dense_top_vectors, top_eigenpair
from selfstab.kernels import modules
from selfstab.losses.base import loss as loss_module
from selfstab.losses.base.kernel import PLAIN_STEPS
from selfstab.losses.symbolic import loss as symbolic_module
from selfstab.runs.preconditioned import top_pair
from selfstab.runs.simulate import norms, top_eigenvectors

FORMULA = ss.SymbolicLoss("a*x**2*cos(y) + exp(-x*y*z)/(1 + z**2) + y**4", "x, y, z", {"a": 0.7})
LOSSES = {
    "one weight": ss.DoubleWell(),
    "product": ss.Product(),
    "formula": FORMULA,
    "degenerate": ss.Quadratic([1.0, 1.0, -2.0]),
}


def points_of(loss, count):
    """Return a path: most steps short, some far."""
    steps = np.random.default_rng(1).normal(size=(count, loss.dimension))
    return 0.1 * steps.cumsum(axis=0) % 2.0 + steps * (np.arange(count) % 11 == 0)[:, None]


def vectors_one_by_one(loss, points):
    vectors = []
    for w in points:
        vectors.append(top_pair(loss, w, vectors[-1] if vectors else None).vector)
    return np.array(vectors)


@pytest.mark.parametrize("name", LOSSES)
def test_all_at_once_is_one_after_the_other(name, same_bits, monkeypatch):
    """Protects values and signs along a path, whatever the blocks of Hessians."""
    loss = LOSSES[name]
    points = points_of(loss, 150)
    expected = vectors_one_by_one(loss, points)
    assert (np.einsum("tj,tj->t", expected[1:], expected[:-1]) >= 0).all()
    for numbers in (loss_module.HESSIAN_NUMBERS, 40):
        monkeypatch.setattr(loss_module, "HESSIAN_NUMBERS", numbers)
        assert same_bits(top_eigenvectors(loss, points), expected)
    assert same_bits(norms(loss.gradients_at(points)), [np.linalg.norm(loss.gradient_at(w)) for w in points])


def test_compiled_derivatives_have_the_bits_of_plain_ones(same_bits, monkeypatch):
    """Protects the switch to compiled derivatives: the most points that are plain, and one more."""
    monkeypatch.setattr(symbolic_module, "HESSIAN_NUMBERS", 9000)
    points = points_of(FORMULA, PLAIN_STEPS + 1)
    points[5] = [1e200, 1e200, 0.0]
    with np.errstate(all="ignore"):
        gradients = [FORMULA.gradient_at(w) for w in points]
        hessians = [FORMULA.hessian_at(w) for w in points]
    assert not np.isfinite(gradients[5]).all()
    assert same_bits(FORMULA.gradients_at(points), gradients)
    blocks = [*FORMULA.hessian_blocks_at(points)]
    assert [len(block) for block in blocks] == [1000, 1000, 1000, 1]
    assert same_bits(np.concatenate(blocks), hessians)


def test_few_points_compile_nothing(monkeypatch):
    """Protects short runs from the time of compiling."""
    monkeypatch.setattr(modules, "compiled", lambda source: 1 / 0)
    loss = ss.SymbolicLoss("x**2*y + y**2/3", "x, y")  # of no other test: nothing of it is compiled
    points = points_of(loss, PLAIN_STEPS)
    assert loss.gradients_at(points).shape == points.shape
    assert sum(map(len, loss.hessian_blocks_at(points))) == len(points)
    with pytest.raises(ZeroDivisionError):
        loss.gradients_at(points_of(loss, PLAIN_STEPS + 1))


def test_derivatives_of_a_subclass_are_its_own(monkeypatch):
    """Protects a formula's subclass whose gradient or Hessian is written by hand, at however many points."""

    class Own(ss.Product):
        def gradient_at(self, w):
            return np.array([7.0, w[0]])

        def hessian_at(self, w):
            return np.diag([w[0], 3.0])

    monkeypatch.setattr(symbolic_module, "PLAIN_STEPS", 2)
    points = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert Own().gradients_at(points).tolist() == [[7.0, 1.0], [7.0, 3.0], [7.0, 5.0]]
    (hessians,) = Own().hessian_blocks_at(points)
    assert hessians[:, 0, 0].tolist() == [1.0, 3.0, 5.0]


def test_a_hessian_beyond_float64_has_no_eigenvector(same_bits):
    """Protects records where the Hessian overflows: NaN there, and the sign begins anew after it."""
    loss = ss.SymbolicLoss("x**4 + y**2*x", "x, y")
    points = np.array([[1.0, 0.5], [1e160, 0.0], [-1.0, 2.0], [-1.1, 2.0]])
    vectors = top_eigenvectors(loss, points)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False, False]
    assert same_bits(vectors, vectors_one_by_one(loss, points))
    assert vectors[2][np.argmax(abs(vectors[2]))] > 0


def test_beyond_the_dense_solver_each_starts_from_the_last(monkeypatch, same_bits):
    """Protects formulas of many weights, whose eigenvectors an iteration finds: it is called as before."""
    size = DENSE_UP_TO + 1
    matrix = np.diag(np.arange(size, dtype=np.float64))

    class Large(ss.Loss):
        dimension = size

        def value_at(self, w):
            return float(w @ matrix @ w) / 2

        def gradient_at(self, w):
            return matrix @ w

        def hessian_at(self, w):
            return matrix + np.diag(w)

        def third_at(self, w, u, v):
            return u * v

    points = np.random.default_rng(0).normal(size=(3, size))
    assert same_bits(top_eigenvectors(Large(), points), vectors_one_by_one(Large(), points))


@given(arrays(np.float64, (7, 2), elements=st.sampled_from([-1.0, 0.0, 0.6, -0.8, 1.0])))
def test_signs_are_those_of_one_after_the_other(vectors):
    """Protects the sign rule, also where a row is orthogonal to the one before it, against its words."""
    vectors = np.where(np.abs(vectors).sum(axis=1, keepdims=True) > 0, vectors, [1.0, 0.0])
    signed = [vectors[0]]
    for k, row in enumerate(vectors):
        side = row @ (signed[-1] / np.linalg.norm(signed[-1])) if k else 0.0
        if side == 0.0:
            side = row[np.argmax(np.abs(row))]
        signed[k:] = [-row if side < 0 else row]
    assert np.array_equal(continuous_in_sign(vectors), np.array(signed))


def test_no_rows_have_no_signs():
    """Protects the empty path."""
    assert continuous_in_sign(np.empty((0, 3))).shape == (0, 3)


@given(st.integers(1, 5), st.integers(0, 2**31))
def test_dense_top_vectors_are_eigenvectors(size, seed):
    """Protects the batch: each is a unit vector of the largest eigenvalue of its own matrix."""
    draws = np.random.default_rng(seed).normal(size=(4, size, size))
    matrices = draws + draws.transpose(0, 2, 1)
    matrices[2, 0, 0] = np.inf
    vectors = dense_top_vectors(matrices)
    assert np.isnan(vectors[2]).all()
    for k in (0, 1, 3):
        assert np.linalg.norm(vectors[k]) == pytest.approx(1.0)
        top = np.linalg.eigvalsh(matrices[k])[-1]
        assert matrices[k] @ vectors[k] == pytest.approx(
            top * vectors[k], abs=1e-12 * (1 + abs(matrices[k]).max())
        )
        assert abs(vectors[k] @ top_eigenpair(matrices[k]).vector) == pytest.approx(1.0)


def test_lengths_of_rows_beyond_float64_are_infinite_without_a_warning():
    """Protects records of a gradient whose square overflows, as one by one."""
    assert norms(np.array([[3.0, 4.0], [1e200, 0.0], [np.nan, 1.0]]))[:2].tolist() == [5.0, np.inf]
