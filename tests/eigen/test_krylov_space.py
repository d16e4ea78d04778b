"""Krylov spaces that end by the error of the eigenvalues, against LAPACK, on arrays of several libraries."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from selfstab.eigen import krylov_space, vectors
from selfstab.eigen.krylov import NotFiniteError, davidson, lanczos
from selfstab.eigen.krylov_space import Goal, KrylovSpace, errors_of
from tests.eigen.test_krylov import Counted, symmetric

SPECTRA = {
    "a few above a bulk": np.r_[np.random.default_rng(0).exponential(0.1, 390), 1.5, 2.0, 2.2, 2.7, 3.0, 3.5],
    "dense edge": np.sqrt(np.linspace(0.0, 1.0, 400)),
    "close pair": np.r_[np.linspace(-1.0, 1.0, 300), 1.999, 2.0],
    "negative": -np.linspace(1.0, 5.0, 300),
    "one below": np.r_[-50.0, np.linspace(-1.0, 1.0, 300), 1.3],
}


def starts(size, count=1, dtype=np.float64):
    return list(np.random.default_rng(3).standard_normal((count, size)).astype(dtype))


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("accuracy", [1e-3, 1e-5])
def test_values_are_as_exact_as_asked_for(name, dtype, accuracy):
    """Protects the rule that ends: the error is below the estimate, and that below the goal, for both pairs."""
    matrix, _ = symmetric(SPECTRA[name])
    exact = np.linalg.eigvalsh(matrix)[::-1][:2]
    product = Counted(matrix.astype(dtype))
    pairs = KrylovSpace(product, starts(len(matrix), 2, dtype)).grow(Goal(pairs=2, accuracy=accuracy))
    rounding = 20 * np.finfo(dtype).eps * np.abs(SPECTRA[name]).max()
    assert pairs.products == product.calls
    assert (np.abs(exact - pairs.values) <= pairs.errors + rounding).all()
    assert (pairs.errors <= accuracy * abs(exact[0]) + rounding).all()
    assert pairs.reason == "accuracy"


def test_a_small_error_needs_fewer_products_than_a_small_residual():
    """Protects the count: the value is exact long before the vector is."""
    matrix, _ = symmetric(SPECTRA["dense edge"])
    counts = [
        KrylovSpace(lambda v: matrix @ v, starts(len(matrix))).grow(goal).products
        for goal in (Goal(accuracy=1e-3), Goal(accuracy=1e-4), Goal(tolerance=1e-4), Goal(tolerance=1e-10))
    ]
    assert counts == sorted(counts)
    assert counts[1] + 5 <= counts[2]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_residual_is_that_of_the_vector(dtype):
    """Protects the residual, which takes no product: it is that of the vector, also after restarts."""
    matrix, _ = symmetric(SPECTRA["dense edge"])
    space = KrylovSpace(Counted(matrix.astype(dtype)), starts(len(matrix), 1, dtype))
    pairs = space.grow(Goal(tolerance=1e-3))
    (vector,) = space.vectors(1)
    assert vector.dtype == dtype
    assert pairs.products > 60  # restarted
    residual = np.linalg.norm(matrix @ vector - pairs.values[0] * vector)
    assert pairs.residuals[0] == pytest.approx(residual, rel=1e-2 if dtype == np.float32 else 1e-9)
    assert pairs.residuals[0] <= 1e-3 * pairs.values[0]


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_vectors_share_memory_and_give_the_same(monkeypatch, dtype, of):
    """Protects bases of large vectors: rows of their own, few of them, restarted and rotated in place."""
    matrix = symmetric(SPECTRA["dense edge"])[0].astype(dtype)
    matrix_of = of(matrix)
    exact = np.linalg.eigvalsh(matrix.astype(np.float64))[::-1][:2]
    monkeypatch.setattr(vectors, "_LARGE", 100)
    monkeypatch.setattr(vectors, "_PIECE", 64)
    monkeypatch.setattr(krylov_space, "_MEMORY", 0)
    space = KrylovSpace(lambda v: matrix_of @ v, [of(start) for start in starts(len(matrix), 2, dtype)])
    pairs = space.grow(Goal(pairs=2, tolerance=1e-3))
    assert (pairs.reason, space.size <= 18) == ("accuracy", True)
    np.testing.assert_allclose(pairs.values, exact, rtol=1e-5)
    first = space.start()
    rows = space.first_vectors(2)
    for value, residual, row in zip(pairs.values, pairs.residuals, rows, strict=True):
        v = np.asarray(row, np.float64)
        assert np.linalg.norm(matrix @ v - value * v) <= 1.1 * residual + 1e-5
    assert of is not np.asarray or np.shares_memory(first, rows[0])


def test_a_space_goes_on_from_what_it_has():
    """Protects the second goal: it takes no product twice."""
    matrix, _ = symmetric(SPECTRA["a few above a bulk"])
    space = KrylovSpace(lambda v: matrix @ v, starts(len(matrix)))
    first = space.grow(Goal(most_products=7))
    assert (first.products, first.reason) == (7, "products")
    second = space.grow(Goal(accuracy=1e-6))
    assert second.values[0] > first.values[0]
    alone = KrylovSpace(lambda v: matrix @ v, starts(len(matrix))).grow(Goal(accuracy=1e-6))
    assert (second.products, second.values[0]) == (alone.products, alone.values[0])


def test_an_eigenvalue_is_found_as_often_as_there_are_starts():
    """Protects the second eigenvalue where it equals the first."""
    matrix, _ = symmetric(np.r_[np.linspace(-1.0, 1.0, 200), 2.0, 2.0])
    pairs = KrylovSpace(lambda v: matrix @ v, starts(202, 2)).grow(Goal(pairs=2, accuracy=1e-8))
    np.testing.assert_allclose(pairs.values, [2.0, 2.0], rtol=1e-8)


@pytest.mark.parametrize("multiple", [0.0, -2.5])
def test_a_space_that_cannot_grow_ends(multiple):
    """Protects multiples of the identity: nothing is added to the first vector."""
    pairs = KrylovSpace(lambda v: multiple * v, starts(100)).grow(Goal(accuracy=1e-12))
    assert (pairs.values[0], pairs.products) == (pytest.approx(multiple), 1)


@pytest.mark.parametrize("pairs", [1, 2])
@pytest.mark.parametrize("noise", [1e-3, 1e-1])
def test_noise_ends_the_search(pairs, noise):
    """Protects against an iteration without end: where noise is all that is left, the true residual is returned."""
    matrix, _ = symmetric(SPECTRA["a few above a bulk"])
    rng = np.random.default_rng(1)
    product = Counted(matrix)

    def noisy(v):
        image = product(v)
        return image * (1.0 + noise * rng.standard_normal(v.size))

    space = KrylovSpace(noisy, starts(len(matrix), pairs))
    ritz = space.grow(Goal(pairs=pairs, tolerance=1e-10))
    assert ritz.reason == "noise"
    assert product.calls == ritz.products < 40 * pairs
    for value, residual, vector in zip(ritz.values, ritz.residuals, space.vectors(pairs), strict=True):
        exact = np.linalg.norm(matrix @ vector - value * vector)
        assert 0.3 * exact < residual < 3.0 * exact + 3.0 * noise * value
        assert exact < 5.0 * noise * value


def test_rounding_is_not_taken_for_noise():
    """Protects float32 in many dimensions: sums of its products round, and that says nothing of the products."""
    curvatures = np.random.default_rng(0).random(20_000, dtype=np.float32)
    curvatures[:3] = 2.0, 1.7, 1.5
    space = KrylovSpace(lambda v: curvatures * v, starts(curvatures.size, 1, np.float32))
    pairs = space.grow(Goal(tolerance=1e-4))
    assert pairs.reason == "accuracy"
    assert pairs.values[0] == pytest.approx(2.0, rel=1e-6)


def test_noise_is_measured_before_it_is_believed():
    """Protects vectors with few large entries: rounding differs more between the halves than noise of all would."""
    curvatures = 0.5 * np.random.default_rng(0).random(300_000, dtype=np.float32)
    curvatures[:6] = 3.0, 2.7, 2.5, 2.2, 1.8, 1.5
    start = np.full(curvatures.size, 1e-4, dtype=np.float32)
    start[:3] = 1.0, 0.1, 0.05
    rng = np.random.default_rng(1)
    pairs = KrylovSpace(lambda v: curvatures * v, [start]).grow(Goal(accuracy=1e-7))
    assert pairs.values[0] == pytest.approx(3.0, rel=1e-6)
    space = KrylovSpace(
        lambda v: curvatures * v * (1 + 1e-2 * rng.standard_normal(v.size, np.float32)), [start]
    )
    noisy = space.grow(Goal(accuracy=1e-7))
    assert (noisy.reason, noisy.values[0]) == ("noise", pytest.approx(3.0, rel=0.03))
    assert 0.0 < space.calibration <= 1.0
    calls = []
    KrylovSpace(lambda v: (calls.append(0), curvatures * v)[1], [start], 0.5).grow(Goal(most_products=4))
    assert len(calls) == 4


@pytest.mark.parametrize("iterate", ["lanczos", "davidson"])
def test_one_rule_for_the_precision_of_products(iterate):
    """Protects every iteration from a tolerance that products in float32 cannot meet."""
    matrix, _ = symmetric(np.r_[np.random.default_rng(0).exponential(0.1, 190), 2.0, 2.7, 3.0])
    product = Counted(matrix.astype(np.float32))

    def single(v):
        return product(v.astype(np.float32))

    if iterate == "lanczos":
        vector = lanczos(single, starts(len(matrix))[0], 1e-12)[0]
    else:
        vector = davidson(single, np.array(starts(len(matrix), 2)), 2, 0, 1e-12, 10_000)[0][-1]
    assert vector @ matrix @ vector == pytest.approx(3.0, rel=1e-6)
    assert product.calls < 100


def test_a_block_iteration_ends_where_noise_is_left():
    """Protects what the precision does not say: products in float64 whose digits are fewer, as under autocast."""
    matrix, _ = symmetric(np.r_[np.random.default_rng(0).exponential(0.1, 190), 2.0, 2.7, 3.0])
    product = Counted(matrix)

    def coarse(v):
        return product(v).astype(np.float16).astype(np.float64)

    vectors, products, _ = davidson(coarse, np.array(starts(len(matrix), 2)), 2, 0, 1e-12, 10_000)
    assert product.calls == products < 400
    assert vectors[-1] @ matrix @ vectors[-1] == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_products_that_are_not_finite_are_refused(bad):
    """Protects against a vector made of NaN."""
    with np.errstate(invalid="ignore"), pytest.raises(NotFiniteError, match="matrix must be finite"):
        KrylovSpace(lambda v: bad * v, starts(100)).grow(Goal(accuracy=1e-3))


def test_arrays_of_jax_stay_arrays_of_jax():
    """Protects the basis in the products' library and precision: the same values as from NumPy's arrays."""
    matrix = symmetric(SPECTRA["a few above a bulk"])[0].astype(np.float32)
    seen = set()

    def product(v):
        seen.add((type(v), str(v.dtype)))
        return jnp.asarray(matrix) @ v

    (start,) = starts(len(matrix), 1, np.float32)
    space = KrylovSpace(product, [jnp.asarray(start)])
    pairs = space.grow(Goal(accuracy=1e-4))
    expected = KrylovSpace(lambda v: matrix @ v, [start]).grow(Goal(accuracy=1e-4))
    assert pairs.values[0] == pytest.approx(expected.values[0], rel=1e-5)
    assert pairs.products == pytest.approx(expected.products, abs=2)
    (vector,) = space.vectors(1)
    assert seen == {(type(vector), "float32")}
    assert float(jnp.linalg.norm(vector)) == pytest.approx(1.0, rel=1e-5)


def test_arrays_of_torch_stay_arrays_of_torch():
    """Protects the same for tensors."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: not run")
    matrix = symmetric(SPECTRA["a few above a bulk"])[0].astype(np.float32)
    (start,) = starts(len(matrix), 1, np.float32)
    space = KrylovSpace(lambda v: torch.as_tensor(matrix) @ v, [torch.as_tensor(start)])
    pairs = space.grow(Goal(accuracy=1e-4))
    expected = KrylovSpace(lambda v: matrix @ v, [start]).grow(Goal(accuracy=1e-4))
    assert pairs.values[0] == pytest.approx(expected.values[0], rel=1e-5)
    assert isinstance(space.vectors(1)[0], torch.Tensor)


def test_the_estimate_of_a_cluster_uses_the_gap_below_it():
    """Protects a pair that is nearly equal: Kato's and Temple's bound by hand, with the gap to the third value."""
    values, residuals = np.array([2.0, 2.0 - 1e-9, 1.0]), np.array([0.01, 0.02, 0.1])
    expected = (0.01**2 + 0.02**2) / (1.0 - 1e-9 - 0.1)
    assert errors_of(values, residuals, 2) == pytest.approx([expected, expected], rel=1e-12)
    assert errors_of(values[:1], residuals[:1], 2).tolist() == [0.01]
