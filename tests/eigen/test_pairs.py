"""Top eigenpairs against LAPACK on matrices whose spectrum is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfstab.eigen.pairs import DENSE_UP_TO, top_eigenpair, top_eigenpairs

SMALL, LARGE = DENSE_UP_TO // 2, 3 * DENSE_UP_TO


def rotated(eigenvalues, seed=0):
    """Return a symmetric matrix with these eigenvalues, and its eigenvectors as columns."""
    eigenvalues = np.asarray(eigenvalues, dtype=float)
    random = np.random.default_rng(seed).standard_normal((eigenvalues.size, eigenvalues.size))
    vectors = np.linalg.qr(random).Q
    matrix = (vectors * eigenvalues) @ vectors.T
    return (matrix + matrix.T) / 2, vectors


def both_forms(matrix):
    return [(matrix, None), (lambda v: matrix @ v, len(matrix))]


@pytest.mark.parametrize("size", [1, 2, SMALL, DENSE_UP_TO, DENSE_UP_TO + 1, LARGE])
@pytest.mark.parametrize("form", [0, 1], ids=["array", "function"])
def test_value_vector_and_residual_agree_with_lapack(size, form):
    """Protects both branches and both ways to give the matrix."""
    random = np.random.default_rng(size).standard_normal((size, size))
    matrix = random + random.T
    pair = top_eigenpair(*both_forms(matrix)[form])
    values, vectors = np.linalg.eigh(matrix)
    assert pair.value == pytest.approx(values[-1], rel=1e-13)
    assert abs(vectors[:, -1] @ pair.vector) == pytest.approx(1.0, abs=1e-13)
    assert np.linalg.norm(pair.vector) == pytest.approx(1.0, abs=1e-14)
    assert pair.residual <= 1e-10 * abs(pair.value)
    assert pair.residual == pytest.approx(
        np.linalg.norm(matrix @ pair.vector - pair.value * pair.vector), abs=1e-13
    )


# Steps of a hundredth make repeated eigenvalues likely, and squares of tiny ones do not underflow.
hundredths = st.integers(-(10**4), 10**4).map(lambda n: n / 100)


@settings(max_examples=40, deadline=None)
@given(
    spectrum=st.lists(hundredths, min_size=1, max_size=8),
    bulk=hundredths,
    size=st.integers(DENSE_UP_TO + 1, 2 * DENSE_UP_TO),
    seed=st.integers(0, 5),
)
def test_lanczos_finds_the_largest_of_any_spectrum(spectrum, bulk, size, seed):
    """Protects Lanczos on repeated, clustered, negative and zero eigenvalues."""
    eigenvalues = np.concatenate([spectrum, np.full(size - len(spectrum), bulk)])
    matrix, _ = rotated(eigenvalues, seed)
    pair = top_eigenpair(matrix)
    scale = np.abs(eigenvalues).max()
    assert pair.residual <= max(1e-10 * abs(pair.value), 1e-13 * scale)
    assert pair.value == pytest.approx(eigenvalues.max(), abs=1e-9 * scale)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("form", [0, 1], ids=["array", "function"])
@pytest.mark.parametrize("gap", [1.0, 1e-3, 1e-5])
def test_guess_that_is_a_lower_eigenvector_is_not_believed(size, form, gap):
    """Protects against the warm start's trap: any exact eigenvector has a zero residual."""
    matrix, vectors = rotated(np.concatenate([np.linspace(-3, 1, size - 2), [2.0 - gap, 2.0]]))
    pair = top_eigenpair(*both_forms(matrix)[form], guess=vectors[:, -2])
    assert pair.value == pytest.approx(2.0, rel=1e-13)


def test_guess_inside_an_invariant_subspace_is_not_believed():
    """Protects blocks: a guess in one of them must not hide another one's larger eigenvalue."""
    curvatures = np.concatenate([np.linspace(0, 1, LARGE), np.linspace(0, 2, LARGE)])
    guess = np.concatenate([np.ones(LARGE), np.zeros(LARGE)])
    assert top_eigenpair(lambda v: curvatures * v, 2 * LARGE, guess=guess).value == pytest.approx(
        2.0, rel=1e-13
    )


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_largest_is_algebraic_not_in_magnitude(size):
    """Protects against power iterations that find the most negative eigenvalue."""
    matrix, _ = rotated(np.concatenate([[-1000.0], np.linspace(-1, 1, size - 1)]))
    assert top_eigenpair(matrix).value == pytest.approx(1.0, abs=1e-12)


def test_antisymmetric_eigenvector_is_found():
    """Protects the start: the vector of ones would never find an eigenvector orthogonal to it."""
    top = np.concatenate([np.ones(LARGE), -np.ones(LARGE)]) / np.sqrt(2 * LARGE)
    pair = top_eigenpair(lambda v: top * (top @ v), 2 * LARGE)
    assert pair.value == pytest.approx(1.0, rel=1e-13)
    assert abs(pair.vector @ top) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("multiple", [0.0, 2.5, -2.5])
def test_multiples_of_the_identity(multiple):
    """Protects the iteration's breakdown after one step."""
    pair = top_eigenpair(multiple * np.eye(LARGE))
    assert pair.value == pytest.approx(multiple, rel=1e-14)
    assert pair.residual <= 1e-13
    assert pair.products <= 3


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_sign_follows_the_guess(size):
    """Protects the continuity of x = u·(w − w†) along a run."""
    matrix, vectors = rotated(np.arange(size))
    for guess in (vectors[:, -1] + 0.1, -vectors[:, -1] - 0.1):
        assert top_eigenpair(matrix, guess=guess).vector @ guess > 0
    vector = top_eigenpair(matrix).vector
    assert vector[np.argmax(np.abs(vector))] > 0


def test_same_call_same_bits():
    """Protects determinism: no hidden random state."""
    matrix, vectors = rotated(np.arange(LARGE))
    for guess in (None, vectors[:, -1]):
        first, second = (top_eigenpair(matrix, guess=guess) for _ in range(2))
        assert first.value == second.value
        assert np.array_equal(first.vector, second.vector)


def test_warm_start_saves_products():
    """Protects the use of the guess: 1e-3 from the answer it takes fewer products than from nowhere."""
    matrix, vectors = rotated(np.concatenate([np.linspace(0, 1, LARGE - 1), [1.2]]))
    cold = top_eigenpair(matrix)
    warm = top_eigenpair(matrix, guess=vectors[:, -1] + 1e-3 * vectors[:, 0])
    assert warm.products < cold.products <= 60


def test_restarts_reach_the_tolerance():
    """Protects the restart: a gap of 1e-4 needs far more products than the basis holds."""
    matrix, _ = rotated(np.concatenate([np.linspace(-1, 1, 10 * DENSE_UP_TO), [1 + 1e-4]]))
    pair = top_eigenpair(matrix)
    assert pair.products > 100
    assert pair.residual <= 1e-10
    assert pair.value == pytest.approx(1 + 1e-4, rel=1e-13)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_tolerance_is_met_and_not_much_exceeded(tolerance):
    """Protects the meaning of tolerance and of the residual: an eigenvalue lies within it."""
    matrix, _ = rotated(np.linspace(-1, 1, LARGE))
    pair = top_eigenpair(matrix, tolerance=tolerance)
    assert 1e-4 * tolerance < pair.residual <= tolerance
    assert abs(pair.value - 1) <= pair.residual


def test_unreachable_tolerance_is_reported():
    """Protects honesty: next to an eigenvalue of −1e12 rounding keeps 1e-10·|λ| out of reach."""
    matrix, _ = rotated(np.concatenate([[-1e12], np.linspace(-1, 1, LARGE - 1)]))
    pair = top_eigenpair(matrix)
    assert pair.residual > 1e-10 * abs(pair.value)
    # Another product rounds otherwise, by the precision of float64 times the norm of the matrix.
    again = np.linalg.norm(matrix @ pair.vector - pair.value * pair.vector)
    assert pair.residual == pytest.approx(again, rel=0, abs=np.finfo(float).eps * 1e12)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", [0, 1], ids=["array", "function"])
def test_not_finite_is_refused(size, bad, form):
    """Protects against a NaN that LAPACK would turn into an arbitrary vector."""
    matrix = np.eye(size)
    matrix[3, 2] = matrix[2, 3] = bad
    with pytest.raises(ValueError, match="matrix must be finite"):
        top_eigenpair(*both_forms(matrix)[form])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((lambda v: v,), {}, ValueError, "dimension must be given"),
        ((lambda v: v, 0), {}, ValueError, "dimension must be an integer >= 1"),
        ((np.eye(3), 4), {}, ValueError, "matrix must be square with 4 rows"),
        ((np.ones((2, 3)),), {}, ValueError, "matrix must be square"),
        ((np.array(3.0),), {}, ValueError, "matrix must be square"),
        (([[1.0]],), {}, TypeError, "matrix must be a float64 array or a function"),
        ((np.eye(2, dtype=complex),), {}, TypeError, "matrix must be a float64 array"),
        ((np.eye(2),), {"guess": np.zeros(2)}, ValueError, "guess must not be zero"),
        ((np.eye(2),), {"guess": np.ones(3)}, ValueError, "guess must have shape"),
        ((np.eye(2),), {"guess": [np.nan, 1]}, ValueError, "guess must be finite"),
        ((np.eye(2),), {"tolerance": 0}, ValueError, "tolerance must be in"),
    ],
)
def test_bad_input_is_named(arguments, options, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message) as caught:
        top_eigenpair(*arguments, **options)
    assert "\n" not in str(caught.value)


# -- several pairs ----------------------------------------------------------------------------------------------------


def assert_pairs(pairs, matrix, expected, slack=1e-9):
    """Assert that these are eigenpairs of the matrix with the expected eigenvalues, by their definition."""
    scale = np.abs(np.linalg.eigvalsh(matrix)).max()
    np.testing.assert_allclose(pairs.values, expected, atol=slack * scale, rtol=0)
    assert (np.diff(pairs.values) <= 0).all()
    np.testing.assert_allclose(pairs.vectors @ pairs.vectors.T, np.eye(len(expected)), atol=1e-13)
    residuals = np.linalg.norm(pairs.vectors @ matrix - pairs.values[:, None] * pairs.vectors, axis=1)
    np.testing.assert_allclose(pairs.residuals, residuals, atol=1e-13 * scale)
    assert pairs.converged == bool((residuals <= 1e-10 * scale).all())
    assert pairs.converged


@settings(max_examples=40, deadline=None)
@given(
    spectrum=st.lists(hundredths, min_size=1, max_size=8),
    bulk=hundredths,
    size=st.sampled_from([7, DENSE_UP_TO, DENSE_UP_TO + 1, 2 * DENSE_UP_TO]),
    ends=st.tuples(st.integers(0, 4), st.integers(0, 3)).filter(any),
    form=st.sampled_from([0, 1]),
    seed=st.integers(0, 5),
)
def test_both_ends_of_any_spectrum(spectrum, bulk, size, ends, form, seed):
    """Protects several pairs on repeated, clustered, negative and zero eigenvalues, at one end or both."""
    count, smallest = ends
    eigenvalues = np.sort(np.resize([*spectrum, *[bulk] * max(0, size - len(spectrum))], size))[::-1]
    matrix, _ = rotated(eigenvalues, seed)
    pairs = top_eigenpairs(*both_forms(matrix)[form][:1], count, len(matrix), smallest=smallest)
    assert_pairs(pairs, matrix, np.r_[eigenvalues[:count], eigenvalues[size - smallest :]])
    assert (pairs.matched == -1).all()


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_eigenvalue_of_zero_converges(size):
    """Protects the tolerance's scale: it is the matrix's, not that of the eigenvalues asked for."""
    matrix, _ = rotated(np.concatenate([[0.0], np.linspace(0.5, 1.0, size - 1)]))
    for form in both_forms(matrix):
        assert_pairs(top_eigenpairs(form[0], 0, size, smallest=1), matrix, [0.0])


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("multiplicity", [2, 3, 5])
def test_repeated_eigenvalues_are_found_as_often_as_they_are(size, multiplicity):
    """Protects the block: one start alone sees each eigenspace as a single vector."""
    eigenvalues = np.concatenate([np.full(multiplicity, 2.0), np.linspace(1, -1, size - multiplicity)])
    matrix, vectors = rotated(eigenvalues)
    pairs = top_eigenpairs(lambda v: matrix @ v, multiplicity + 1, size)
    assert_pairs(pairs, matrix, eigenvalues[: multiplicity + 1])
    space = vectors[:, :multiplicity]
    np.testing.assert_allclose(np.linalg.norm(pairs.vectors[:-1] @ space, axis=1), 1.0, atol=1e-13)


def test_a_second_copy_is_found_from_a_guess_of_the_first():
    """Protects the warm start at the step at which a second eigenvalue reaches the first."""
    matrix, vectors = rotated(np.concatenate([[2.0, 2.0], np.linspace(1, -1, LARGE)]))
    pairs = top_eigenpairs(matrix, 2, guess=vectors[:, :1].T)
    assert_pairs(pairs, matrix, [2.0, 2.0])
    same = top_eigenpairs(matrix, 2, guess=vectors[:, [0, 0]].T)  # the same guess twice
    assert_pairs(same, matrix, [2.0, 2.0])


@pytest.mark.parametrize("form", [0, 1], ids=["array", "function"])
@pytest.mark.parametrize("gap", [1.0, 1e-3])
def test_guesses_of_lower_eigenvectors_are_not_believed(form, gap):
    """Protects against the warm start's trap, for all pairs at once."""
    matrix, vectors = rotated(np.concatenate([np.linspace(-3, 1, LARGE), [1.9 - gap, 2.0 - gap, 1.9, 2.0]]))
    guess = vectors[:, [-3, -4]].T
    pairs = top_eigenpairs(*both_forms(matrix)[form][:1], 2, len(matrix), guess=guess)
    assert_pairs(pairs, matrix, [2.0, max(1.9, 2.0 - gap)])


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_signs_and_rows_follow_the_guess_through_a_crossing(size):
    """Protects continuity where two eigenvalues change places: vectors are matched, not ranks."""
    _, vectors = rotated(np.arange(size))
    before = np.concatenate([np.linspace(-1, 1, size - 2), [2.0, 2.1]])
    after = np.concatenate([np.linspace(-1, 1, size - 2), [2.1, 2.0]])
    first, second = ((vectors * values) @ vectors.T for values in (before, after))
    guess = top_eigenpairs(first, 2).vectors * [[1.0], [-1.0]]
    pairs = top_eigenpairs(second, 2, guess=guess)
    assert pairs.matched.tolist() == [1, 0]
    np.testing.assert_allclose(pairs.vectors, guess[::-1], atol=1e-9)


def test_a_warm_block_saves_products():
    """Protects the use of all guesses."""
    matrix, vectors = rotated(np.concatenate([np.linspace(0, 1, LARGE - 2), [1.2, 1.4]]))
    cold = top_eigenpairs(lambda v: matrix @ v, 2, LARGE)
    near = vectors[:, -2:].T + 1e-4 * vectors[:, :2].T
    warm = top_eigenpairs(lambda v: matrix @ v, 2, LARGE, guess=near)
    assert warm.products <= cold.products - 8
    again = top_eigenpairs(lambda v: matrix @ v, 2, LARGE, guess=near)
    assert np.array_equal(warm.vectors, again.vectors)


def test_one_pair_of_several_is_the_pair_alone():
    """Protects the two functions from drifting apart."""
    matrix, _ = rotated(np.concatenate([np.linspace(-1, 1, LARGE), [1.1]]))
    pair, pairs = top_eigenpair(matrix), top_eigenpairs(matrix, 1)
    assert pairs.values[0] == pytest.approx(pair.value, rel=1e-13)
    np.testing.assert_allclose(pairs.vectors[0], pair.vector, atol=1e-8)


def test_an_iteration_that_gives_up_says_so():
    """Protects honesty: too few products leave a residual beyond the tolerance, and converged is false."""
    matrix, _ = rotated(np.linspace(-1, 1, 4 * DENSE_UP_TO))
    pairs = top_eigenpairs(lambda v: matrix @ v, 2, len(matrix), most_products=40)
    assert not pairs.converged
    assert pairs.products <= 40
    assert pairs.residuals.max() > 1e-10
    residuals = np.linalg.norm(pairs.vectors @ matrix - pairs.values[:, None] * pairs.vectors, axis=1)
    np.testing.assert_allclose(pairs.residuals, residuals, rtol=1e-6)


def test_products_are_counted():
    """Protects the count that costs are reported by."""
    calls = []
    matrix, _ = rotated(np.linspace(-1, 1, LARGE))
    pairs = top_eigenpairs(lambda v: (calls.append(0), matrix @ v)[1], 3, LARGE, smallest=1)
    assert pairs.products == len(calls)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("form", [0, 1], ids=["array", "function"])
def test_several_pairs_of_what_is_not_finite_are_refused(size, form):
    """Protects against a NaN that LAPACK would turn into arbitrary vectors."""
    matrix = np.eye(size)
    matrix[3, 2] = matrix[2, 3] = np.nan
    with pytest.raises(ValueError, match="matrix must be finite"):
        top_eigenpairs(both_forms(matrix)[form][0], 2, size)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.eye(3), -1), {}, ValueError, "count must be an integer >= 0"),
        ((np.eye(3), 0), {}, ValueError, "count . smallest must be from 1 to the dimension, 3, got 0 . 0"),
        ((np.eye(3), 2), {"smallest": 2}, ValueError, "count . smallest must be from 1 to the dimension, 3"),
        ((np.eye(3), 1.0), {}, TypeError, "count must be an integer"),
        ((np.eye(3), 1), {"smallest": True}, TypeError, "smallest must be an integer"),
        ((lambda v: v, 1), {}, ValueError, "dimension must be given"),
        ((np.ones((2, 3)), 1), {}, ValueError, "matrix must be square"),
        ((np.eye(2), 1), {"guess": np.ones(2)}, ValueError, "guess must have shape"),
        ((np.eye(2), 1), {"guess": np.array([[1.0, 0.0], [0.0, 0.0]])}, ValueError, "a row of zeros"),
        ((np.eye(2), 1), {"tolerance": -1.0}, ValueError, "tolerance must be in"),
        ((np.eye(2), 1), {"most_products": 0}, ValueError, "most_products must be an integer >= 1"),
    ],
)
def test_bad_input_of_several_is_named(arguments, options, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message) as caught:
        top_eigenpairs(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda v: v @ v,
        lambda v: [v @ v],
        lambda v: ["1.0"] * v.size,
        lambda _: None,
        lambda v: v * 1j,
        lambda v: v[1:],
    ],
)
@pytest.mark.parametrize("find", [top_eigenpair, lambda f, n: top_eigenpairs(f, 2, n)])
def test_a_function_that_returns_no_vector_is_refused(size, wrong, find):
    """Protects against numbers of nothing: arrays broadcast, and take texts for numbers."""
    with pytest.raises(
        TypeError, match=f"matrix must return {size} real numbers for a vector of as many, got shape"
    ):
        find(wrong, size)
