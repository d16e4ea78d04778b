"""The semidefinite complementarity problem: its conditions, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from selfstab.flows.complementarity import balance, packed, unpacked


def problem(size, seed, spread=1.0):
    """Return A and B = GᵀG, G of singular values over `spread` decades."""
    rng = np.random.default_rng(seed)
    entries = size * (size + 1) // 2
    g = rng.standard_normal((2 * entries, entries)) * 10.0 ** rng.uniform(-spread, 0.0, entries)
    a = rng.standard_normal((size, size))
    return a + a.T, g.T @ g


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_packing_is_an_isometry(size):
    """Protects the coordinates of the operator: dot products of vectors are those of matrices, and nothing is lost."""
    a, b = (problem(size, seed)[0] for seed in (0, 1))
    assert packed(a) @ packed(b) == pytest.approx(np.sum(a * b), rel=1e-13)
    assert unpacked(packed(a)) == pytest.approx(a, rel=1e-15)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e5])
def test_the_three_conditions_hold(size, scale):
    """Protects the solution by what defines it, at any scale of either argument."""
    for seed in range(6):
        a, b = problem(size, 10 * size + seed)
        found = balance(a * scale, b / scale)
        x, slack = found.matrix, a * scale + unpacked(b / scale @ packed(found.matrix))
        assert np.linalg.eigvalsh(x)[0] >= -1e-12 * max(np.linalg.norm(x), 1e-300)
        assert np.linalg.eigvalsh(slack)[0] >= -1e-8 * scale
        assert abs(np.sum(x * slack)) <= 1e-8 * scale * max(np.trace(x), 1e-300)
        assert found.residual <= 1e-8


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_identity_projects(size):
    """Protects against the closed form: with B = 1 it is Moreau's decomposition, X = (−A)₊."""
    a, _ = problem(size, size)
    values, vectors = np.linalg.eigh(-a)
    expected = (vectors * np.maximum(values, 0.0)) @ vectors.T
    assert balance(a, np.eye(size * (size + 1) // 2)).matrix == pytest.approx(expected, abs=1e-11)


def test_a_rotation_of_the_basis_rotates_the_solution():
    """Protects from the choice of the eigenvectors, which is free where eigenvalues are equal."""
    a, b = problem(3, 7)
    q = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    turn = np.array([packed(q @ unpacked(row) @ q.T) for row in np.eye(6)]).T
    turned = balance(q @ a @ q.T, turn @ b @ turn.T).matrix
    assert turned == pytest.approx(q @ balance(a, b).matrix @ q.T, abs=1e-5)  # √gap


def test_what_no_covariance_holds_is_told():
    """Protects from a push that does not act: the residual says that the conditions cannot be met."""
    assert balance(np.array([[-1.0]]), np.array([[0.0]])).residual == 1.0
    assert balance(np.diag([-1.0, -2.0]), np.diag([1.0, 0.0, 0.0])).residual > 0.1
    assert np.isnan(balance(np.array([[np.nan]]), np.array([[1.0]])).residual)
    found = balance(np.diag([1.0, 0.0]), np.zeros((3, 3)))
    assert (found.matrix == 0.0).all()
    assert found.residual == 0.0
