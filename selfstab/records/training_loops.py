"""What another library's training loop shows at one step: loss, Hessian-vector products and the optimizer's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
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
    vector: Callable[[Array], Any] | None = None
    """Makes NumPy's numbers a vector that `product` takes and returns, of the library, on its device."""


def of_jax(function: Any) -> Callable[[Any], Reading]:
    """Return what reads a JAX loop: parameters → loss, and products forward over reverse, compiled."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    if not callable(function):
        raise TypeError(f"function must be a function, got {validation.shown(function)}")
    value = jax.jit(function)
    product = jax.jit(lambda p, v: jax.jvp(jax.grad(function), (p,), (v,))[1])

    def read(parameters: Any) -> Reading:
        flat, unravel = ravel_pytree(parameters)
        if str(flat.dtype) not in PRECISIONS:
            raise TypeError(f"parameters must be of float64 or float32, got {flat.dtype}")

        def vector(numbers: Array) -> Any:
            return jnp.asarray(numbers, flat.dtype)

        def along(v: Any) -> Any:
            image = ravel_pytree(product(parameters, unravel(vector(v))))[0]
            return np.asarray(image) if isinstance(v, np.ndarray) else image

        precision = str(flat.dtype)
        return Reading(number("loss", value(parameters)), along, flat.size, precision, vector=vector)

    return read


def of_torch(parameters: Iterable[Any], closure: Any, optimizer: Any) -> Callable[[Any], Reading]:
    """Return what reads a PyTorch loop: loss, products backward over backward, and what an SGD's groups say."""
    import torch

    weights = [p for p in parameters if isinstance(p, torch.Tensor) and p.requires_grad]
    if not weights:
        raise ValueError("parameters must hold tensors that require gradients, got none")
    precision = str(weights[0].dtype).removeprefix("torch.")
    if any(p.dtype != weights[0].dtype for p in weights) or precision not in PRECISIONS:
        raise TypeError(f"parameters must be of float64 or float32, all of one, got {precision} first")
    if not callable(closure):
        raise TypeError(f"closure must be a function, got {validation.shown(closure)}")
    if not isinstance(optimizer, torch.optim.SGD):
        raise TypeError(f"optimizer must be a torch.optim.SGD, got {validation.shown(optimizer)}")

    repeatable = False

    def read(_: Any) -> Reading:
        nonlocal repeatable
        lr, momentum, nesterov, decay = _sgd(optimizer)
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

        def vector(numbers: Array) -> Any:
            return torch.as_tensor(numbers, dtype=flat.dtype, device=flat.device)

        def along(v: Any) -> Any:
            if not flat.requires_grad:  # a gradient that is constant
                return decay * v
            images = torch.autograd.grad(flat @ vector(v), weights, retain_graph=True, materialize_grads=True)
            image = torch.cat([image.reshape(-1) for image in images])
            return (image.cpu().numpy() if isinstance(v, np.ndarray) else image) + decay * v

        total = float(loss.detach())
        if decay:
            total += 0.5 * decay * sum(float((p.detach() ** 2).sum()) for p in weights)
        return Reading(
            total, along, flat.numel(), precision, lr, momentum, momentum if nesterov else 0.0, vector
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


def _sgd(optimizer: Any) -> tuple[float, float, bool, float]:
    """Return lr, momentum, whether it is Nesterov's, and the weight decay of all of an optimizer's groups."""
    groups = {
        tuple(group[name] if isinstance(group[name], bool) else float(group[name]) for name in
              ("lr", "momentum", "nesterov", "weight_decay", "dampening", "maximize"))
        for group in optimizer.param_groups
    }  # fmt: skip
    if len(groups) > 1:
        raise ValueError(f"optimizer must have one lr and momentum in all its groups, got {sorted(groups)}")
    lr, momentum, nesterov, decay, dampening, maximize = groups.pop()
    if dampening or maximize:
        raise ValueError(
            f"optimizer must not dampen or maximize, got dampening={dampening}, maximize={maximize}"
        )
    return float(lr), float(momentum), bool(nesterov), float(decay)
