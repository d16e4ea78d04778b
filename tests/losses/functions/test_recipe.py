"""What a loss by automatic differentiation is made from makes the same loss in another process."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np

from selfstab.losses.functions.recipe import Recipe


def quartic(w):
    return jnp.sum(w**4) / 4 + w[0] * w[1]


def test_a_recipe_gives_the_derivatives_and_pickles():
    """Protects processes of sweeps: the model of a recipe that travelled is that of the one here, by its formulas."""
    jax.config.update("jax_enable_x64", True)
    recipe = Recipe("from_jax", quartic, 2, None, "quartic")
    w, v = np.array([0.5, -1.5]), np.array([1.0, 2.0])
    for model in (recipe.model(), pickle.loads(pickle.dumps(recipe)).model()):
        assert model.dimension == 2
        assert float(model.value(w)) == (0.5**4 + 1.5**4) / 4 - 0.75
        assert np.allclose(model.gradient(w), w**3 + w[::-1], rtol=1e-15)
        assert np.allclose(model.hessian_vector(w, v), 3 * w**2 * v + v[::-1], rtol=1e-15)


def test_derivatives_of_pytorch_are_compared_with_differences():
    """Protects from PyTorch's third derivatives, some of which are wrong: JAX's are taken as they are."""
    assert Recipe("from_torch", quartic, 2, None, None).may_be_wrong
    assert not Recipe("from_jax", quartic, 2, None, None).may_be_wrong
