"""What a state of Optax holds: which of its arrays are means of gradients, and which are means of squares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation

ROLES: Final = {
    ("TraceState", "trace"): "mean",
    ("EmaState", "ema"): "mean",
    ("ScaleByAdamState", "mu"): "mean",
    ("ScaleByAdamState", "nu"): "square",
    ("ScaleByAmsgradState", "mu"): "mean",
    ("ScaleByAmsgradState", "nu"): "square",
    ("ScaleByAmsgradState", "nu_max"): "largest",
    ("ScaleByRmsState", "nu"): "square",
    ("ScaleByRmsWithCountState", "nu"): "square",
    ("ScaleByRStdDevState", "mu"): "centre",
    ("ScaleByRStdDevState", "nu"): "square",
    ("ScaleByRStdDevWithCountState", "mu"): "centre",
    ("ScaleByRStdDevWithCountState", "nu"): "square",
    ("ScaleByRssState", "sum_of_squares"): "square",
}
"""What each array of a state is, by the state's class and the field: such as a mean of gradients or of squares."""

UNKNOWN: Final = (
    "optimizer must be made of Optax's sgd, adam, adamw, rmsprop, adagrad, amsgrad, trace, ema, weight decay, "
    "schedules and clipping, got "
)


@dataclass(frozen=True)
class Place:
    """An array of a state: its role, which of the parameters' arrays it is of, and its state's class and count."""

    role: str
    parameter: int
    kind: str
    count: Any = None


def without_variables(tree: Any) -> Any:
    """Return a tree in which arrays take the place of Flax's variables, and dicts that of its states."""
    import jax

    def array_of(node: Any) -> Any:
        if not _is_variable(node):
            return node
        if isinstance(node, Mapping):
            return {key: without_variables(member) for key, member in node.items()}
        leaves = jax.tree_util.tree_leaves(node)
        return leaves[0] if len(leaves) == 1 else node

    return jax.tree_util.tree_map(array_of, tree, is_leaf=_is_variable)


def _is_variable(node: Any) -> bool:
    bases = [base for base in type(node).__mro__ if base.__module__.startswith("flax.nnx")]
    return any(base.__name__ in ("Variable", "State") for base in bases)


def check_state(transformation: Any, parameters: Any, state: Any) -> None:
    """Raise ValueError unless a state is one that the transformation makes of such parameters.

    Raises
    ------
    ValueError
        If it is another's, or of other parameters, or the transformation does not step by itself.
    """
    import jax

    if state is None:
        raise ValueError("state must be given to log, the optimizer's before the update, got None")
    if hasattr(state, "inner_opt_state"):
        raise ValueError(
            "optimizer must be the one within MultiSteps, with state=state.inner_opt_state where it steps"
        )
    if hasattr(state, "fast_state"):
        raise ValueError(UNKNOWN + "lookahead, whose threshold is not known")
    try:
        own = jax.eval_shape(transformation.init, parameters)
        jax.eval_shape(transformation.update, parameters, own, parameters)
    except Exception as error:  # whatever a transformation raises that is not for such parameters
        text = validation.one_line(str(error))[:120]
        raise ValueError(f"optimizer must take gradients, state and parameters alone, got {text!r}") from None
    trees: list[Any] = [jax.tree_util.tree_structure(tree) for tree in (own, state)]
    shapes = [[np.shape(leaf) for leaf in jax.tree_util.tree_leaves(tree)] for tree in (own, state)]
    if trees[0] != trees[1] or shapes[0] != shapes[1]:
        raise ValueError(
            "state must be that of optimizer.init(parameters), as the loop updates it, got one of another optimizer or "
            f"of other parameters: {validation.shown(type(state).__name__)}"
        )


def places_of(state: Any, parameters: Any) -> dict[str, Place]:
    """Return the arrays of a state that are of the parameters' shapes, by path."""
    import jax

    known = {
        jax.tree_util.keystr(path): k
        for k, (path, _) in enumerate(jax.tree_util.tree_flatten_with_path(parameters)[0])
    }
    places = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        node, place = state, None
        for depth, key in enumerate(path):
            name = getattr(key, "name", None)
            role = ROLES.get((type(node).__name__, str(name)))
            rest = jax.tree_util.keystr(path[depth + 1 :])
            if role is not None and rest in known:
                count = node.count if "count" in node._fields else None  # a tuple has a method of this name
                place = Place(role, known[rest], type(node).__name__, count)
                break
            node = (
                getattr(node, name) if name is not None else node[getattr(key, "key", getattr(key, "idx", 0))]
            )
        if place is not None:
            places[jax.tree_util.keystr(path)] = place
        elif np.ndim(leaf):
            raise ValueError(f"{UNKNOWN}a state {_owner(state, path)} that is none of theirs")
    return places


def _owner(state: Any, path: Any) -> str:
    """Return the class and field that hold an array."""
    node, owner = state, _name(path)
    for key in path:
        name = getattr(key, "name", None)
        if name is not None and type(node).__name__.endswith("State"):
            owner = f"{type(node).__name__}.{name}"
        node = getattr(node, name) if name is not None else node[getattr(key, "key", getattr(key, "idx", 0))]
    return owner


def _name(path: Any) -> str:
    """Return a path in a tree as JAX writes it."""
    import jax

    return str(jax.tree_util.keystr(path))


def with_leaves(
    state: Any, places: Mapping[str, Place], leaf_of: Callable[[Any, Place | None, str], Any]
) -> Any:
    """Return a state whose arrays are others, by role."""
    import jax

    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf_of(leaf, places.get(jax.tree_util.keystr(path)), jax.tree_util.keystr(path)),
        state,
    )
