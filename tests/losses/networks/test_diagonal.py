"""Diagonal networks against JAX, finite differences and closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfstab import DiagonalNetwork, datasets
from tests.losses.jax_networks import derivatives, diagonal, fitted_order, ours, relative_error


def random_network(samples=5, features=4, seed=0, depth=2):
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((samples, features))
    loss = DiagonalNetwork(inputs, random.standard_normal(samples), depth)
    return loss, random.standard_normal((3, 2 * features))


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_all_derivatives_against_jax(depth):
    """Protects every closed form at every depth."""
    compiled = derivatives(diagonal(depth))
    for seed in range(3):
        loss, (w, u, v) = random_network(seed=seed, depth=depth)
        z = np.random.default_rng(seed + 50).standard_normal(w.size)
        reference = compiled(w, u, v, z, loss.inputs, loss.targets)
        for part, expected in zip(ours(loss, w, u, v, z), reference, strict=True):
            assert relative_error(part, expected) < 1e-12


def test_finite_differences_have_order_two():
    """Protects the chain value → gradient → product → third: central differences err by h², no less."""
    loss, (w, u, v) = random_network()
    steps = np.array([0.04, 0.02, 0.01])

    def central(function, direction, exact):
        return lambda h: np.linalg.norm(
            (function(w + h * direction) - function(w - h * direction)) / (2 * h) - exact
        )

    assert fitted_order(central(loss.value, u, loss.gradient(w) @ u), steps) == pytest.approx(2, abs=0.01)
    product = central(loss.gradient, u, loss.hessian_vector(w, u))
    assert fitted_order(product, steps) == pytest.approx(2, abs=0.01)
    # The loss is of degree four, so that the product is quadratic in w: its central difference is exact.
    third = central(lambda at: loss.hessian_vector(at, v), u, loss.third(w, u, v))
    assert max(third(h) for h in steps) < 1e-11


@settings(max_examples=30, deadline=None)
@given(
    samples=st.integers(1, 6), features=st.integers(1, 6), seed=st.integers(0, 10), depth=st.integers(1, 5)
)
def test_symmetries_and_products(samples, features, seed, depth):
    """Protects the Hessian's last bit, Hv = hessian_vector, and the third derivative's total symmetry."""
    loss, (w, u, v) = random_network(samples, features, seed, depth)
    hessian = loss.hessian(w)
    assert np.array_equal(hessian, hessian.T)
    assert relative_error(loss.hessian_vector(w, v), hessian @ v) < 1e-12
    assert relative_error(loss.third(w, u, v), loss.third(w, v, u)) < 1e-12
    assert loss.third(w, u, v) @ w == pytest.approx(loss.third(w, w, v) @ u, rel=1e-9, abs=1e-9)
    assert relative_error(loss.fourth(w, u, v, w), loss.fourth(w, w, u, v)) < 1e-12
    assert loss.fourth(w, u, v, w) @ v == pytest.approx(loss.fourth(w, v, w, v) @ u, rel=1e-9, abs=1e-9)


def test_hessian_at_an_interpolating_minimum():
    """Protects the normalisation: there the Hessian is Gauss-Newton's, with the features 2(u∘x, −v∘x)."""
    inputs, _ = datasets.sparse_regression(samples=6, features=3, nonzeros=1)
    w = np.array([1.0, 2.0, 0.5, 0.3, 2.0, 1.0])
    loss = DiagonalNetwork(inputs, inputs @ (w[:3] ** 2 - w[3:] ** 2))
    features = inputs * w[:3], -inputs * w[3:]
    jacobian = np.hstack(features) / np.sqrt(6 / 2)
    assert loss.value(w) == 0
    assert np.allclose(loss.hessian(w), jacobian.T @ jacobian, rtol=0, atol=1e-13)
    assert loss.sharpness(w)[0] == pytest.approx(np.linalg.norm(jacobian, 2) ** 2, rel=1e-12)


def test_one_sample_one_feature_by_hand():
    """Protects the factor 1/(4n): L = ¼(2(u² − v²) − 1)²."""
    loss = DiagonalNetwork([[2.0]], [1.0])
    assert loss.value([1.0, 0.5]) == 0.0625
    assert np.array_equal(loss.gradient([1.0, 0.5]), [1.0, -0.5])


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_rescaling_is_euler_homogeneous(depth):
    """Protects depth: with zero targets L(cw) = c^(2d) L(w), so that ∇L·w = 2d L, ∇²L w = (2d − 1)∇L and so on."""
    loss, (w, _, _) = random_network(depth=depth)
    loss = DiagonalNetwork(loss.inputs, np.zeros(5), depth)
    degree = 2 * depth
    assert loss.gradient(w) @ w == pytest.approx(degree * loss.value(w), rel=1e-13)
    chain = [loss.gradient(w), loss.hessian_vector(w, w), loss.third(w, w, w), loss.fourth(w, w, w, w)]
    for order, (lower, higher) in enumerate(pairwise(chain), start=1):
        scale = np.linalg.norm(chain[0])
        assert np.allclose(higher, (degree - order) * lower, rtol=1e-12, atol=1e-12 * scale)


def test_regressor_and_initial_weights():
    """Protects the weights' order (u, v) and the balanced start."""
    loss, _ = random_network(features=2)
    assert np.array_equal(loss.regressor([1.0, 2.0, 3.0, 1.0]), [-8.0, 3.0])
    start = loss.initial_weights(seed=3, scale=0.1)
    assert np.array_equal(start, np.full(4, 0.1))
    assert np.array_equal(loss.regressor(start), [0.0, 0.0])
    assert loss.weight_names == ("u0", "u1", "v0", "v1")


@pytest.mark.parametrize("features", [100, 150])
@pytest.mark.parametrize("explicit", [None, False])
def test_sharpness_of_many_weights_equals_the_explicit_hessians(features, explicit):
    """Protects the dense solver and Lanczos, the default for many weights, along gradient descent with warm starts."""
    loss = DiagonalNetwork(*datasets.sparse_regression(features=features))
    assert loss.explicit_hessian == (features == 100)
    if explicit is not None:
        loss.explicit_hessian = explicit
    w, guess = loss.initial_weights(scale=0.3), None
    for _ in range(5):
        pair = loss.sharpness_at(w, guess)
        assert pair.value == pytest.approx(np.linalg.eigvalsh(loss.hessian(w))[-1], rel=1e-12)
        assert pair.residual <= 1e-10 * pair.value
        w, guess = w - 0.05 * loss.gradient(w), pair.vector


def test_minimum_interpolates():
    """Protects the search on a manifold of minima, where the Hessian is singular."""
    loss = DiagonalNetwork(*datasets.sparse_regression())
    w = loss.minimum(loss.initial_weights(scale=1.0))
    assert np.linalg.norm(loss.gradient(w)) < 1e-10
    assert loss.value(w) < 1e-20
    assert np.linalg.eigvalsh(loss.hessian(w))[0] > -1e-9


def test_saddle_is_no_minimum():
    """Protects against calling a stationary point a minimum: at w = 0 the gradient vanishes."""
    loss, _ = random_network()
    with pytest.raises(ValueError, match=r"start must lie near a minimum.* at a saddle"):
        loss.minimum(np.zeros(8))


def test_description_identifies_the_data():
    """Protects stored runs: other data of the same shape must not look alike."""
    (loss, _), (same, _), (other, _) = random_network(), random_network(), random_network(seed=1)
    assert loss.description == same.description
    assert loss.description != other.description
    assert "inputs 5x4, targets 5" in loss.description


def test_overflow_is_a_result():
    """Protects diverging runs: infinity or NaN, and no warning."""
    loss, _ = random_network()
    w = np.full(8, 1e200)
    w[4:] = 0
    assert not np.isfinite(loss.value(w))
    for part in (loss.gradient(w), loss.hessian(w), loss.hessian_vector(w, w), loss.third(w, w, w)):
        assert not np.isfinite(part).all()


@pytest.mark.parametrize(
    ("inputs", "targets", "error", "message"),
    [
        (np.ones((3, 2)), np.ones(2), ValueError, r"targets must have shape \(3,\), got shape \(2,\)"),
        (np.ones(3), np.ones(3), ValueError, "inputs must have shape"),
        (np.ones((0, 2)), np.ones(0), ValueError, "inputs must not be empty"),
        (np.ones((2, 0)), np.ones(2), ValueError, "inputs must not be empty"),
        ([[np.nan]], [1.0], ValueError, "inputs must be finite"),
        ([[1.0]], [np.inf], ValueError, "targets must be finite"),
        ([[1j]], [1.0], TypeError, "inputs must be real numbers"),
        ([[None]], [1.0], TypeError, "inputs must be real numbers"),
        ([[1.0], [1.0, 2.0]], [1.0, 1.0], ValueError, "inputs must be an array"),
    ],
)
def test_bad_input_is_named(inputs, targets, error, message):
    """Protects the door."""
    with pytest.raises(error, match=message) as caught:
        DiagonalNetwork(inputs, targets)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("depth", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_bad_depth_is_named(depth, error):
    """Protects the door of the depth."""
    with pytest.raises(error, match="depth must be an integer >= 1"):
        DiagonalNetwork([[1.0]], [1.0], depth)


def test_its_repr_is_one_line_that_tells_it():
    """Protects notebooks and error messages from an address in memory."""
    loss = DiagonalNetwork([[1.0, 2.0]], [1.0])
    assert repr(loss) == loss.description
    assert repr(loss).startswith("DiagonalNetwork(")
    assert "\n" not in repr(loss)
