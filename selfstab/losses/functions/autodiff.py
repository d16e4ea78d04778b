"""Derivatives of a user's JAX or PyTorch function, as functions of flat NumPy vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.functions import torch_evaluation
from selfstab.losses.functions.random_states import random_states
from selfstab.validation import Array

_ROUNDING: Final = 1e-12
"""Relative difference of two values of one loss that reductions in another order may give."""


@dataclass(frozen=True)
class Model:
    """A function and its derivatives by automatic differentiation; directions are flat vectors."""

    dimension: int
    value: Callable[[Array], Any]
    gradient: Callable[[Array], Any]
    hessian_vector: Callable[[Array, Array], Any]
    third: Callable[[Array, Array, Array], Any]
    fourth: Callable[[Array, Array, Array, Array], Any]
    flatten: Callable[[Any], Any]
    """The user's parameters → one vector."""
    unflatten: Callable[[Array], Any]
    products: Callable[[Array], Callable[[Array], Array]] | None = None
    """w → (v → ∇²L(w) v), where that saves work."""
    given: Array | None = None
    """The weights that the template holds."""
    trial: Callable[[Array], None] = lambda w: None
    """Raises unless the function gives one number at these weights, the same again, and depends on them."""


def enable_float64() -> None:
    """Let JAX compute in float64."""
    import jax

    update: Any = jax.config.update
    update("jax_enable_x64", True)


def of_jax(function: Any, template: Any) -> Model:
    """Return a JAX function's derivatives, forward over reverse, compiled; see ``FunctionLoss.from_jax``."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    _check_function(function)
    configuration: Any = jax.config
    if not configuration.jax_enable_x64:
        raise ValueError(
            "JAX must compute in float64, call jax.config.update('jax_enable_x64', True) first, got float32"
        )
    unravel: Any = None
    if isinstance(template, (int, np.integer)):
        dimension = validation.integer("template", template, at_least=1)
    else:
        try:
            tree = jax.tree_util.tree_map(lambda leaf: jnp.asarray(leaf, dtype=jnp.float64), template)
            flat, unravel = ravel_pytree(tree)
        except (TypeError, ValueError):
            raise _no_template("a pytree of arrays", template) from None
        dimension = flat.size
        if dimension == 0:
            raise _no_template("a pytree of arrays", template)

    def value(w: Any) -> Any:
        return function(w if unravel is None else unravel(w))

    gradient = jax.grad(value)

    def product(w: Any, v: Any) -> Any:
        return jax.jvp(gradient, (w,), (v,))[1]

    def third(w: Any, u: Any, v: Any) -> Any:
        return jax.jvp(lambda x: product(x, v), (w,), (u,))[1]

    def fourth(w: Any, u: Any, v: Any, z: Any) -> Any:
        return jax.jvp(lambda x: third(x, u, v), (w,), (z,))[1]

    compiled_gradient = jax.jit(gradient)

    def trial(w: Array) -> None:
        try:
            kind = jax.eval_shape(value, w)
            if kind.shape != () or kind.dtype != jnp.float64:
                raise TypeError(f"a result of shape {kind.shape} and dtype {kind.dtype}")
        except Exception as error:
            raise TypeError(
                "function must be traceable by JAX and return one float64 number, got "
                f"{type(error).__name__}: {str(error).splitlines()[0]}"
            ) from error
        aside = w + np.random.default_rng(0).standard_normal(w.size)
        if not (np.asarray(compiled_gradient(w)).any() or np.asarray(compiled_gradient(aside)).any()):
            raise ValueError(
                "function must depend on the parameters it is given, got a gradient of zero at two points"
            )

    return Model(
        dimension=dimension, value=jax.jit(value), gradient=compiled_gradient, hessian_vector=jax.jit(product),
        third=jax.jit(third), fourth=jax.jit(fourth),
        flatten=_as_it_is if unravel is None else lambda tree: np.asarray(ravel_pytree(tree)[0]),
        unflatten=_as_it_is if unravel is None else unravel,
        given=None if unravel is None else np.asarray(flat), trial=trial,
    )  # fmt: skip


def of_torch(function: Any, template: Any) -> Model:
    """Return a PyTorch function's derivatives, by repeated backward passes; see ``FunctionLoss.from_torch``."""
    import torch

    _check_function(function)
    flatten: Any = torch.as_tensor
    unflatten: Any = _as_it_is
    weights = None
    if isinstance(template, (int, np.integer)):
        dimension = validation.integer("template", template, at_least=1)
    else:
        flatten, unflatten, dimension = _of_tensors(template, torch)
        weights = flatten(template).detach().cpu().numpy().astype(np.float64)

    def graph(w: Array) -> Any:
        x = torch.tensor(w, dtype=torch.float64, requires_grad=True)
        with torch_evaluation.buffers(), torch_evaluation.twice_differentiable():
            y = function(unflatten(x))
        if not isinstance(y, torch.Tensor) or y.ndim or y.dtype != torch.float64:
            got = f"{y.dtype}, shape {tuple(y.shape)}" if isinstance(y, torch.Tensor) else validation.shown(y)
            raise TypeError(f"function must return a scalar tensor of torch.float64, got {got}")
        return x, y

    def value(w: Array) -> Any:
        with random_states():
            return graph(w)[1].detach().numpy()

    def slope(y: Any, x: Any, **how: bool) -> Any:
        if not y.requires_grad:  # it is constant from here on
            return torch.zeros_like(x)
        return torch.autograd.grad(y, x, materialize_grads=True, **how)[0]

    def along(w: Array, *directions: Array) -> Any:
        with torch_evaluation.evaluation():
            x, y = graph(w)
            for direction in directions:
                y = slope(y, x, create_graph=True) @ torch.from_numpy(direction)
            return slope(y, x).numpy()

    def products(w: Array) -> Callable[[Array], Array]:
        with torch_evaluation.evaluation():
            x, y = graph(w)
            gradient = slope(y, x, create_graph=True)  # one graph serves all products

        def product(v: Array) -> Array:
            direction = torch.from_numpy(np.ascontiguousarray(v))
            with torch_evaluation.evaluation():
                array: Array = slope(gradient @ direction, x, retain_graph=True).numpy()
            return array

        return product

    def trial(w: Array) -> None:
        try:
            value(w)
        except (RuntimeError, TypeError) as error:
            if str(error).startswith("function must"):
                raise
            raise TypeError(
                "function must compute with float64 tensors of the template's form (call .double() on a module and its "
                f"data), got {type(error).__name__}: {str(error).splitlines()[0]}"
            ) from error
        with random_states():
            (x, y), (_, again) = graph(w), graph(w)
        torch_evaluation.check_checkpoints("function", y)
        if not y.requires_grad or torch.autograd.grad(y, x, allow_unused=True)[0] is None:
            raise ValueError(
                "function must depend on the parameters it is given, got a result that does not: a module computes "
                "with them through torch.func.functional_call"
            )
        first, second = float(y.detach()), float(again.detach())
        if abs(first - second) > _ROUNDING * max(abs(first), abs(second)):
            raise ValueError(
                "function must give one value at one point, as a module does after .eval(), got "
                f"{first:.6g} and {second:.6g} (dropout draws anew each time)"
            )

    # One function serves all orders: it takes as many backward passes as there are directions, and one more.
    return Model(
        dimension=dimension, value=value, gradient=along, hessian_vector=along, third=along, fourth=along,
        flatten=lambda tree: flatten(tree).detach().numpy(),
        unflatten=lambda w: unflatten(torch.from_numpy(w)),
        products=products, given=weights, trial=trial,
    )  # fmt: skip


def _of_tensors(template: Any, torch: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any], int]:
    """Return how tensors become one vector, and back, and its length."""

    def leaves(tree: Any) -> list[Any]:
        parts = (
            [*tree.values()]
            if isinstance(tree, Mapping)
            else [*tree]
            if isinstance(tree, Sequence)
            else [tree]
        )
        if not parts or not all(isinstance(leaf, torch.Tensor) and not leaf.is_complex() for leaf in parts):
            raise _no_template("a tensor, or a list or dict of tensors, of real numbers", tree)
        return parts

    names = [*template] if isinstance(template, Mapping) else None
    shapes = [tuple(leaf.shape) for leaf in leaves(template)]
    sizes = [int(np.prod(shape)) for shape in shapes]

    def flatten(tree: Any) -> Any:
        parts = leaves(
            tree if names is None or not isinstance(tree, Mapping) else {k: tree.get(k) for k in names}
        )
        if [tuple(leaf.shape) for leaf in parts] != shapes:
            raise ValueError(
                f"parameters must have the shapes {shapes}, got {[tuple(leaf.shape) for leaf in parts]}"
            )
        return torch.cat([leaf.reshape(-1) for leaf in parts])

    def unflatten(w: Any) -> Any:
        parts = [part.reshape(shape) for part, shape in zip(w.split(sizes), shapes, strict=True)]
        if names is not None:
            return dict(zip(names, parts, strict=True))
        return parts if isinstance(template, Sequence) else parts[0]

    return flatten, unflatten, sum(sizes)


def _as_it_is(value: Any) -> Any:
    return value


def _check_function(function: Any) -> None:
    if not callable(function):
        raise TypeError(f"function must be a function, got {validation.shown(function)}")


def _no_template(allowed: str, template: Any) -> TypeError:
    return TypeError(f"template must be a number of weights or {allowed}, got {validation.shown(template)}")
