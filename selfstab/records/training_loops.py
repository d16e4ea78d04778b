"""What another library's training loop shows at one step: loss, Hessian-vector products and the optimizer's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.records.training_optimizers import OptimizerReading
from selfstab.records.training_optimizers import torch as torch_optimizers
from selfstab.validation import Array

PRECISIONS: Final = ("float64", "float32")
"""Precisions of products that can be recorded."""


@dataclass(frozen=True)
class Reading:
    """What a training loop shows at one step."""

    loss: float
    product: Callable[[Array], Any]
    dimension: int
    precision: str
    lr: float | None = None
    momentum: float | None = None
    lookahead: float | None = None
    optimizer: OptimizerReading | None = None
    gradient: Callable[[], Any] | None = None
    """Returns ∇L at this step in the library's own form, without weight decay."""
    gradient_norm: Callable[[], float] | None = None
    arrays: Callable[[], Sequence[Any]] | None = None
    """Returns the weights in order, in pieces."""


def of_jax(function: Any) -> Callable[[Any], Reading]:
    """Return what reads a JAX loop: parameters → loss, and products forward over reverse, compiled."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    if not callable(function):
        raise TypeError(f"function must be a function, got {validation.shown(function)}")
    value = jax.jit(function)
    product = jax.jit(lambda p, v: jax.jvp(jax.grad(function), (p,), (v,))[1])
    slope = jax.jit(jax.grad(function))

    def read(parameters: Any) -> Reading:
        flat, unravel = ravel_pytree(parameters)
        if str(flat.dtype) not in PRECISIONS:
            raise TypeError(f"parameters must be of float64 or float32, got {flat.dtype}")

        def along(v: Array) -> Any:
            return np.asarray(ravel_pytree(product(parameters, unravel(jnp.asarray(v, flat.dtype))))[0])

        return Reading(
            number("loss", value(parameters)),
            along,
            flat.size,
            str(flat.dtype),
            gradient=lambda: slope(parameters),
            gradient_norm=lambda: float(jnp.linalg.norm(ravel_pytree(slope(parameters))[0])),
            arrays=lambda: jax.tree_util.tree_leaves(parameters),
        )

    return read


def of_torch(parameters: Iterable[Any], closure: Any, optimizer: Any) -> Callable[[Any], Reading]:
    """Return what reads a PyTorch loop: loss, products backward over backward, and what its optimizer says."""
    import torch

    weights = [p for p in parameters if isinstance(p, torch.Tensor) and p.requires_grad]
    if not weights:
        raise ValueError("parameters must hold tensors that require gradients, got none")
    precision = str(weights[0].dtype).removeprefix("torch.")
    if any(p.dtype != weights[0].dtype for p in weights) or precision not in PRECISIONS:
        raise TypeError(f"parameters must be of float64 or float32, all of one, got {precision} first")
    if not callable(closure):
        raise TypeError(f"closure must be a function, got {validation.shown(closure)}")
    torch_optimizers.check_optimizer(optimizer)

    repeatable = False

    def read(_: Any) -> Reading:
        nonlocal repeatable
        with torch.enable_grad():
            loss = closure()
            if not isinstance(loss, torch.Tensor) or loss.ndim:
                raise TypeError(f"closure must return a scalar tensor, got {validation.shown(loss)}")
            if not repeatable:
                first, again = loss.detach(), closure().detach()
                if not torch.equal(first, again) and not bool(torch.isnan(first)):
                    raise ValueError(
                        "closure must give one value at one point, as a module does after .eval() on data that do not "
                        f"change, got {float(first):.6g} and {float(again):.6g}"
                    )
                repeatable = True
            slopes = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
            flat = torch.cat([slope.reshape(-1) for slope in slopes])
        own = torch_optimizers.read_optimizer(optimizer, weights, slopes)

        def along(v: Array) -> Any:
            direction = torch.as_tensor(v, dtype=flat.dtype, device=flat.device)
            if not flat.requires_grad:  # a gradient that is constant
                return 0.0 * v
            images = torch.autograd.grad(flat @ direction, weights, retain_graph=True, materialize_grads=True)
            return torch.cat([image.reshape(-1) for image in images]).cpu().numpy()

        return Reading(
            float(loss.detach()) + own.decay_energy([p.detach() for p in weights]),
            own.decayed(along),
            flat.numel(),
            precision,
            own.lr,
            own.momentum,
            own.lookahead,
            own,
            gradient_norm=lambda: float(flat.detach().norm()),
        )

    return read


def number(name: str, value: Any) -> float:
    """Return one number of any library's, perhaps not finite: divergence is a result."""
    try:
        array = np.asarray(value)
        if array.shape != () or array.dtype.kind not in "fiu":
            raise TypeError
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a single number, got {validation.shown(value)}") from None
    return float(array)
