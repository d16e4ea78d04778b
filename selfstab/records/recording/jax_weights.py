"""A JAX program's parameters: its weights as one vector, and what else they hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from selfstab import validation
from selfstab.records.recording.training_loops import PRECISIONS


class Weights:
    """Parameters by leaves: weights, which are floating-point numbers, and others, which stay as they are.

    Parameters
    ----------
    parameters
        A pytree.
    """

    def __init__(self, parameters: Any) -> None:
        import jax
        import jax.numpy as jnp

        leaves, self.tree = jax.tree_util.tree_flatten(parameters)
        arrays = [jnp.asarray(leaf) if isinstance(leaf, (float, np.floating)) else leaf for leaf in leaves]
        self.places = tuple(
            k
            for k, leaf in enumerate(arrays)
            if hasattr(leaf, "shape") and jnp.issubdtype(getattr(leaf, "dtype", object), jnp.floating)
        )
        if not self.places:
            raise TypeError(
                f"parameters must hold arrays of float64 or float32, got {validation.shown(parameters)}"
            )
        # With a dtype: weakly typed weights would be traced apart from those moved, and hide changed data.
        self.weights = [jnp.asarray(arrays[k], arrays[k].dtype) for k in self.places]
        rest = [(k, leaf) for k, leaf in enumerate(leaves) if k not in self.places]
        self.others = {k: leaf for k, leaf in rest if _is_traceable(leaf)}
        self.fixed = {k: leaf for k, leaf in rest if k not in self.others}
        self.precision = str(jnp.result_type(*self.weights))
        if self.precision not in PRECISIONS:
            raise TypeError(f"parameters must be of float64 or float32, got {self.precision}")
        self.sizes = [leaf.size for leaf in self.weights]
        self.size = sum(self.sizes)

    @property
    def scale(self) -> float:
        """Norm of the weights; 1 where all are zero."""
        return float(np.linalg.norm(self.joined(self.weights).astype(np.float64))) or 1.0

    def joined(self, leaves: Any) -> Any:
        """Return leaves like the weights as one vector."""
        return np.concatenate([np.asarray(leaf, dtype=self.precision).ravel() for leaf in leaves])

    def pieces(self, v: Any) -> list[Any]:
        """Return a vector as leaves like the weights."""
        import jax.numpy as jnp

        parts = np.split(np.asarray(v), np.cumsum(self.sizes)[:-1])
        return [
            jnp.asarray(part.reshape(leaf.shape), leaf.dtype)
            for part, leaf in zip(parts, self.weights, strict=True)
        ]

    def moved(self, v: Any, length: float) -> list[Any]:
        """Return the weights moved by a length along a unit vector."""
        return [w + length * piece for w, piece in zip(self.weights, self.pieces(v), strict=True)]

    def doubled(self) -> Weights:
        """Return the parameters in float64, which JAX must compute in."""
        return Weights(doubled(self.whole(self.weights, self.others)))

    def whole(self, weights: Any, others: Any) -> Any:
        """Return parameters in the user's form."""
        import jax

        leaves = dict(zip(self.places, weights, strict=True)) | others | self.fixed
        return jax.tree_util.tree_unflatten(self.tree, [leaves[k] for k in range(len(leaves))])


def _is_traceable(leaf: Any) -> bool:
    """Whether a leaf can be an argument of a compiled function."""
    import jax

    if isinstance(leaf, (bool, np.ndarray)):
        return not isinstance(leaf, bool) and leaf.dtype.kind in "biufc"
    return isinstance(leaf, (int, float, complex, np.number, np.bool_, jax.Array))


def doubled(tree: Any) -> Any:
    """Return arrays and numbers in a tree, those of floating point in float64."""
    import jax
    import jax.numpy as jnp

    def leaf_of(leaf: Any) -> Any:
        dtype = getattr(leaf, "dtype", None)
        return (
            jnp.asarray(leaf, jnp.float64)
            if dtype is not None and jnp.issubdtype(dtype, jnp.floating)
            else leaf
        )

    return jax.tree_util.tree_map(leaf_of, tree)
