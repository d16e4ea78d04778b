"""Derivatives of JAX and PyTorch functions, as functions of vectors: against ones that are written out."""

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.functions import autodiff

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

W, U, V, Z = np.random.default_rng(0).standard_normal((4, 3))


def written_out(w, u, v, z):
    """Return L = Σw⁴/4 + w₀w₁w₂ and its derivatives along u, v, z, by hand."""
    swapped = np.array([[0.0, w[2], w[1]], [w[2], 0.0, w[0]], [w[1], w[0], 0.0]])
    crossed = np.array([u[1] * v[2] + u[2] * v[1], u[0] * v[2] + u[2] * v[0], u[0] * v[1] + u[1] * v[0]])
    return {
        "value": (w**4).sum() / 4 + w.prod(),
        "gradient": w**3 + np.array([w[1] * w[2], w[0] * w[2], w[0] * w[1]]),
        "hessian_vector": (np.diag(3 * w**2) + swapped) @ u,
        "third": 6 * w * u * v + crossed,
        "fourth": 6 * u * v * z,
    }


ARGUMENTS = {"value": (), "gradient": (), "hessian_vector": (U,), "third": (U, V), "fourth": (U, V, Z)}


def model(library, template):
    if library == "jax":
        return autodiff.of_jax(lambda w: (w**4).sum() / 4 + w.prod(), template)
    return autodiff.of_torch(lambda w: (w**4).sum() / 4 + w.prod(), template)


@pytest.mark.parametrize("library", ["jax", pytest.param("torch", marks=pytest.mark.integrations)])
def test_every_order_against_derivatives_written_out(library):
    """Protects what losses of one's own models stand on: each order along its own directions, in their order."""
    found = model(library, 3)
    for name, expected in written_out(W, U, V, Z).items():
        result = np.asarray(getattr(found, name)(W, *ARGUMENTS[name]))
        assert result.dtype == np.float64
        assert result == pytest.approx(expected, rel=1e-13), name
    if found.products is not None:
        product = found.products(W)
        for direction in (U, V):
            assert product(direction) == pytest.approx(
                written_out(W, direction, V, Z)["hessian_vector"], rel=1e-13
            )


def test_a_tree_becomes_a_vector_and_back():
    """Protects parameters of JAX's models: nested ones in the order of JAX, the template's values as the point."""
    template = {"b": np.array(3.0), "a": [np.array([1.0, 2.0])]}
    found = autodiff.of_jax(lambda p: p["a"][0].sum() * p["b"], template)
    assert found.dimension == 3
    assert np.array_equal(found.given, [1.0, 2.0, 3.0])
    assert np.array_equal(found.flatten(template), found.given)
    again = found.unflatten(np.array([4.0, 5.0, 6.0]))
    assert np.array_equal(again["a"][0], [4.0, 5.0])
    assert float(again["b"]) == 6.0
    assert float(found.value(found.given)) == 9.0


@pytest.mark.integrations
def test_tensors_become_a_vector_and_back():
    """Protects PyTorch's parameters: a dict by its names in any order, its shapes, and no others."""
    import torch

    template = {"m": torch.ones(2, 2, dtype=torch.float64), "b": torch.zeros(1, dtype=torch.float64)}
    found = autodiff.of_torch(lambda p: (p["m"] ** 2).sum() + p["b"][0], template)
    assert found.given.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    turned = {"b": template["b"], "m": 2 * template["m"]}
    assert found.flatten(turned).tolist() == [2.0, 2.0, 2.0, 2.0, 0.0]
    assert found.unflatten(np.arange(5.0))["m"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    with pytest.raises(ValueError, match=r"must have the shapes \[\(2, 2\), \(1,\)\]"):
        found.flatten({"m": template["b"], "b": template["b"]})


def test_a_sweep_of_a_jax_loss_has_a_store(tmp_path):
    """Protects long sweeps: what JAX compiled has no text, the function has; another function is refused."""

    def swept(power):
        loss = ss.FunctionLoss.from_jax(lambda p: (p["w"] ** power).sum(), {"w": jnp.ones(2)})
        axes = {"lr": [0.01, 0.02]}
        return ss.sweep(
            loss, ss.HeavyBall(0.1), axes, start=[0.5, 0.3], steps=5, measure=["final_loss"], progress=False,
            threads=1, store=tmp_path / "jax.zarr",
        )  # fmt: skip

    first = swept(4).load()
    assert swept(4).load().identical(first)
    with pytest.raises(ValueError, match=r"loss\._made"):
        swept(6)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: autodiff.of_jax(3, 2), TypeError, "function must be a function"),
        (lambda: autodiff.of_jax(jnp.sum, 0), ValueError, "template must be"),
        (lambda: autodiff.of_jax(jnp.sum, {}), TypeError, "a pytree of arrays"),
        (lambda: autodiff.of_jax(jnp.sum, "abc"), TypeError, "a pytree of arrays"),
        (lambda: autodiff.of_jax(lambda w: w, 2).trial(np.ones(2)), TypeError, "one float64 number"),
        (
            lambda: autodiff.of_jax(lambda w: 1.0 + 0 * w.sum(), 2).trial(np.ones(2)),
            ValueError,
            "must depend on",
        ),
    ],
)
def test_bad_functions(call, error, match):
    """Protects users of JAX: what is wrong with a function is said before a run."""
    with pytest.raises(error, match=match):
        call()
