"""The Hessian's spectrum along a path, against dense eigenvalues and closed forms."""

from __future__ import annotations

import re

import numpy as np
import pytest

import selfstab as ss

RNG = np.random.default_rng(0)
LARGE = ss.MLP((8, 7, 1), RNG.standard_normal((20, 8)), RNG.standard_normal(20))  # 71 weights: by products
SMALL = ss.MLP((3, 4, 1), RNG.standard_normal((9, 3)), RNG.standard_normal(9))  # 21: by the explicit Hessian


def run_of(loss, keep=("loss", "weights", "sharpness")):
    return ss.simulate(loss, ss.HeavyBall(0.3, 0.9), loss.initial_weights(), 12, every=3, keep=keep)


@pytest.mark.parametrize("loss", [LARGE, SMALL], ids=["products", "explicit"])
def test_both_ends_along_a_run_are_the_dense_ones(loss):
    """Protects values, their order and ranks, residuals, vectors and what is carried over from the run."""
    run = run_of(loss)
    data = ss.hessian_spectrum(loss, run, largest=3, smallest=2, vectors=True)
    assert data["rank"].values.tolist() == [0, 1, 2, -2, -1]
    assert data.step.values.tolist() == run.step.values.tolist() == [0, 3, 6, 9, 12]
    assert data.converged.all()
    for k, w in enumerate(run.weights.values):
        hessian = loss.hessian(w)
        exact = np.linalg.eigvalsh(hessian)[::-1][data["rank"].values]
        norm = np.abs(exact).max()
        np.testing.assert_allclose(data.eigenvalue[k], exact, atol=1e-9 * norm)
        vectors = data.eigenvector.values[k]
        residuals = np.linalg.norm(vectors @ hessian - data.eigenvalue.values[k][:, None] * vectors, axis=1)
        np.testing.assert_allclose(data.residual[k], residuals, atol=1e-12 * norm)
        assert (residuals <= 1e-10 * norm).all()
    np.testing.assert_allclose(data.eigenvalue[:, 0], run.sharpness, rtol=1e-9)
    for name in ("loss", "lr", "max_stable_sharpness"):
        assert np.array_equal(data[name], run[name])
    assert data.attrs["optimizer"] == run.attrs["optimizer"]
    assert data.attrs["loss"] == loss.description


def test_the_full_spectrum_is_the_dense_one():
    """Protects full=True: all eigenvalues, descending, whose sum is the trace."""
    run = run_of(LARGE)
    data = ss.hessian_spectrum(LARGE, run, full=True)
    assert data.eigenvalue.shape == (5, LARGE.dimension)
    assert (np.diff(data.eigenvalue, axis=1) <= 0).all()
    traces = [np.trace(LARGE.hessian(w)) for w in run.weights.values]
    np.testing.assert_allclose(data.eigenvalue.sum("rank"), traces, rtol=1e-12)
    few = ss.hessian_spectrum(LARGE, run, largest=2, smallest=1)
    np.testing.assert_allclose(few.eigenvalue, data.eigenvalue[:, [0, 1, -1]], atol=1e-9)
    assert "residual" not in data


def test_vectors_stay_with_their_eigenvalues_through_a_crossing():
    """Protects the signs where two eigenvalues of ½(a(t) x² + y²) change places: each vector keeps its own."""
    loss = ss.SymbolicLoss("(1 + z)*x**2/2 + y**2/2 - z**2", ["x", "y", "z"])
    path = np.array([[0.0, 0.0, z] for z in (0.3, 0.1, -0.1, -0.3)])
    data = ss.hessian_spectrum(loss, path, largest=2, vectors=True)
    np.testing.assert_allclose(data.eigenvalue, [[1.3, 1.0], [1.1, 1.0], [1.0, 0.9], [1.0, 0.7]], rtol=1e-14)
    vectors = data.eigenvector.values
    assert np.array_equal(vectors[1], vectors[0])
    assert np.array_equal(vectors[2], vectors[1][::-1])
    assert np.array_equal(vectors[3], vectors[2])
    assert data.weight.values.tolist() == ["x", "y", "z"]


def test_repeated_eigenvalues_are_all_found():
    """Protects the second of two unstable directions that are equally sharp."""
    loss = ss.Quadratic([2.0, 2.0, 1.0] + [0.5] * 80)
    data = ss.hessian_spectrum(loss, np.zeros(83), largest=3)
    np.testing.assert_allclose(data.eigenvalue.values, [[2.0, 2.0, 1.0]], rtol=1e-12)


def test_the_warm_start_is_used():
    """Protects the speed along a path: a step costs fewer products than the first point."""
    run = ss.simulate(LARGE, ss.HeavyBall(0.01), LARGE.initial_weights(), 5, keep=["weights"])
    products = ss.hessian_spectrum(LARGE, run).products.values
    assert products[1:].max() < products[0]


@pytest.mark.parametrize("full", [False, True])
def test_where_the_hessian_is_not_finite_there_is_nan(full):
    """Protects a path that leaves the range of float64: flagged, and the next point is right again."""
    loss = ss.SymbolicLoss("x**4 + y**2", ["x", "y"])
    data = ss.hessian_spectrum(loss, [[1.0, 0.0], [1e200, 0.0], [1.0, 0.0]], full=full)
    assert np.isnan(data.eigenvalue[1]).all()
    assert data.eigenvalue.values[0, 0] == data.eigenvalue.values[2, 0] == 12.0
    if not full:
        assert data.converged.values.tolist() == [True, False, True]


def test_same_call_same_bits():
    """Protects determinism."""
    run = run_of(LARGE)
    first, second = (ss.hessian_spectrum(LARGE, run, largest=2, vectors=True) for _ in range(2))
    assert first.identical(second)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"loss": 3}, TypeError, "loss must be a selfstab loss, got 3"),
        ({"weights": [[1.0]]}, ValueError, "weights must have shape (any, 21)"),
        ({"weights": np.zeros((0, 21))}, ValueError, "weights must hold at least one point"),
        ({"weights": np.full(21, np.nan)}, ValueError, "weights must be finite"),
        ({"weights": run_of(SMALL, keep=["loss"])}, ValueError, "weights must be kept by the run"),
        ({"largest": 0}, ValueError, "largest + smallest must be from 1 to the dimension, 21, got 0 + 0"),
        ({"largest": 20, "smallest": 2}, ValueError, "largest + smallest must be from 1"),
        ({"largest": -1}, ValueError, "largest must be an integer >= 0"),
        ({"smallest": 1.5}, TypeError, "smallest must be an integer"),
        ({"full": 1}, TypeError, "full must be True or False, got 1"),
        ({"full": True, "vectors": True}, ValueError, "vectors must be False with full=True"),
        ({"tolerance": 0.0}, ValueError, "tolerance must be in (0, inf)"),
    ],
)
def test_bad_input_is_named(changes, error, message):
    """Protects the door."""
    with pytest.raises(error, match=re.escape(message)):
        ss.hessian_spectrum(**({"loss": SMALL, "weights": np.zeros(21)} | changes))
