"""Lanczos and the block iteration by themselves: Ritz vectors, images, counts of products, what gives up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from selfstab.eigen.krylov import NotFiniteError, _independent, davidson, lanczos
from selfstab.eigen.pairs import DENSE_UP_TO


def symmetric(eigenvalues, seed=0):
    """Return a symmetric matrix with these eigenvalues, and its eigenvectors as columns."""
    size = len(eigenvalues)
    vectors = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size))).Q
    matrix = (vectors * eigenvalues) @ vectors.T
    return (matrix + matrix.T) / 2, vectors


class Counted:
    """A matrix as a function that counts how often it is called."""

    def __init__(self, matrix):
        self.matrix, self.calls = matrix, 0

    def __call__(self, v):
        self.calls += 1
        return self.matrix @ v


def start(size, rows=None):
    return np.random.default_rng(7).standard_normal(size if rows is None else (rows, size))


@pytest.mark.parametrize(
    "eigenvalues",
    [
        np.linspace(-1.0, 1.0, 30),
        np.r_[np.linspace(0.0, 1.0, 119), 1.01],  # more products than the basis holds
        np.r_[np.full(40, -3.0), 0.5, 0.5],
        np.linspace(-9.0, -4.0, 25),
    ],
    ids=["spread", "close", "repeated", "negative"],
)
def test_lanczos_agrees_with_lapack(eigenvalues):
    """Protects the pair, its image and the count: the largest eigenvalue's, the matrix times it, and the calls."""
    matrix, _ = symmetric(eigenvalues)
    product = Counted(matrix)
    vector, image, products = lanczos(product, start(len(matrix)), 1e-9)
    top = np.linalg.eigvalsh(matrix)[-1]
    assert products == product.calls
    assert vector @ vector == pytest.approx(1.0, rel=1e-14)
    assert vector @ image == pytest.approx(top, rel=1e-13)
    # The image is of the products taken, not the eigenvalue times the vector.
    assert np.abs(image - matrix @ vector).max() < 1e-13 * np.abs(eigenvalues).max()
    assert np.linalg.norm(image - top * vector) <= 1e-9 * abs(top)


def test_lanczos_needs_as_many_products_as_there_are_eigenvalues():
    """Protects the Krylov space: three distinct eigenvalues are known after three products."""
    matrix, _ = symmetric(np.repeat([-2.0, 0.5, 3.0], 20))
    assert lanczos(lambda v: matrix @ v, start(60), 1e-10)[2] == 3


def test_a_restart_keeps_what_is_known():
    """Protects the restart: with 48 vectors it takes few more products than a basis that holds all of them."""
    matrix, _ = symmetric(np.r_[np.linspace(-1.0, 1.0, 149), 1.005])
    _, _, products = lanczos(lambda v: matrix @ v, start(150), 1e-8)
    basis = np.zeros((0, 150))
    row = start(150)
    for _ in range(150):  # Krylov's space in full, by Gram–Schmidt
        row = row - basis.T @ (basis @ row)
        row = row - basis.T @ (basis @ row)
        basis = np.vstack([basis, row / np.linalg.norm(row)])
        value, ritz = np.linalg.eigh(basis @ matrix @ basis.T)
        vector = basis.T @ ritz[:, -1]
        if np.linalg.norm(matrix @ vector - value[-1] * vector) < 1e-8:
            break
        row = matrix @ basis[-1]
    assert 48 < len(basis) <= products <= 2 * len(basis)


@settings(max_examples=30)
@given(
    eigenvalues=st.lists(st.integers(-40, 40), min_size=DENSE_UP_TO + 1, max_size=DENSE_UP_TO + 40),
    count=st.integers(1, 3),
    smallest=st.integers(0, 3),
    seed=st.integers(0, 4),
)
def test_davidson_finds_both_ends_of_any_spectrum(eigenvalues, count, smallest, seed):
    """Protects the block iteration: each eigenvalue as often as it is there, orthonormal vectors.

    Smaller matrices never come to it: they are formed and diagonalized.
    """
    matrix, _ = symmetric(np.array(eigenvalues, dtype=float), seed)
    product = Counted(matrix)
    vectors, products, norm = davidson(
        product, start(len(matrix), count + smallest), count, smallest, 1e-9, 10_000
    )
    assert products == product.calls
    assert np.abs(vectors @ vectors.T - np.eye(count + smallest)).max() < 1e-13
    values = np.einsum("kj,kj->k", vectors, vectors @ matrix)
    known = np.sort(np.array(eigenvalues, dtype=float))
    size = max(1.0, np.abs(known).max())
    expected = np.r_[known[:smallest], known[len(known) - count :]]
    assert np.abs(np.sort(values) - np.sort(expected)).max() < 1e-11 * size
    assert norm <= np.abs(known).max() * (1.0 + 1e-13)


def test_davidson_spans_the_eigenspace():
    """Protects the vectors of a repeated eigenvalue: any basis will do, of the right space."""
    eigenvalues = np.r_[np.linspace(-1.0, 1.0, 90), 2.0, 2.0, 2.0]
    matrix, exact = symmetric(eigenvalues)
    vectors, _, _ = davidson(lambda v: matrix @ v, start(93, 3), 3, 0, 1e-11, 5000)
    assert subspace_angles(vectors.T, exact[:, -3:]).max() < 1e-9


def test_davidson_stops_before_it_takes_too_many_products():
    """Protects the bound on costs: what is asked for is not reached, and no product is taken beyond the bound."""
    matrix, _ = symmetric(np.linspace(-1.0, 1.0, 200))
    product = Counted(matrix)
    vectors, products, _ = davidson(product, start(200, 2), 2, 0, 1e-12, 30)
    assert product.calls == products <= 30
    residuals = vectors @ matrix - np.einsum("kj,kj->k", vectors, vectors @ matrix)[:, None] * vectors
    assert np.linalg.norm(residuals, axis=1).max() > 1e-6


def test_starts_that_depend_on_each_other_are_filled_up():
    """Protects several pairs from one guess given twice: what is missing is drawn."""
    matrix, exact = symmetric(np.r_[np.linspace(0.0, 1.0, 60), 3.0, 4.0])
    twice = np.tile(exact[:, -1], (2, 1))
    vectors, _, _ = davidson(lambda v: matrix @ v, twice, 2, 0, 1e-10, 1000)
    assert np.abs(vectors @ exact[:, -2:]).max(axis=1) == pytest.approx([1.0, 1.0], abs=1e-12)


def test_what_rows_add_to_a_basis():
    """Protects the basis from rows that lie in its span: they add nothing, the others their own direction."""
    axes = np.eye(5)
    rows = np.array(
        [[1.0, 2.0, 0.0, 0.0, 0.0], [1.0, 0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0, 0.0], [0.0] * 5]
    )
    new = _independent(rows, axes[:2])
    assert np.abs(new) == pytest.approx(axes[2:3], abs=1e-15)
    assert _independent(rows[3:], axes[:2]).shape == (0, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_products_that_are_not_finite_are_refused(bad):
    """Protects against a vector made of NaN: both iterations name the matrix."""

    def product(v):
        return np.full_like(v, bad)

    with np.errstate(invalid="ignore"), pytest.raises(NotFiniteError, match="matrix must be finite"):
        lanczos(product, np.ones(4), 1e-8)
    with np.errstate(invalid="ignore"), pytest.raises(NotFiniteError, match="matrix must be finite"):
        davidson(product, np.eye(4)[:2], 2, 0, 1e-8, 100)
    assert issubclass(NotFiniteError, ValueError)
