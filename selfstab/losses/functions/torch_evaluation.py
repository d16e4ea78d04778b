"""What a PyTorch function is evaluated in: all it watches stays as it was, and it can be differentiated twice.

A module in training mode moves buffers (the running statistics of a batch normalization), and whatever draws moves
the state of a generator. An evaluation for the sake of a sharpness must move neither.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from selfstab.losses.functions.random_states import random_states

_KINKS: Final = ("Abs", "AdaptiveMaxPool", "Amax", "Amin", "Clamp", "FractionalMaxPool", "Hardshrink", "Hardsigmoid",
                 "Hardswish", "Hardtanh", "KthValue", "LeakyRelu", "Max", "Median", "Min", "Prelu", "Relu", "Rrelu",
                 "RRelu", "Softshrink", "Sort", "Threshold", "Topk", "Where")  # fmt: skip
"""How names of operations begin whose gradient jumps, or whose derivative does."""


@contextmanager
def buffers() -> Iterator[Callable[[], list[str]]]:
    """Leave the buffers of all modules that are called as they were.

    Yields a function () → the classes of modules in training mode whose buffers have changed since.
    """
    import torch
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    called: set[int] = set()
    outermost: dict[int, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    copies: dict[int, tuple[Any, Any, Any]] = {}

    def keep(module: Any, _: Any) -> None:
        if id(module) in called:
            return
        own = []
        for part in module.modules():
            called.add(id(part))
            members = {name: b for name, b in part.named_buffers(recurse=False) if _is_plain(b)}
            if members and isinstance(part._buffers, dict):
                own.append((part._buffers, members))
            for buffer in members.values():
                if id(buffer) not in copies:
                    copies[id(buffer)] = buffer, buffer.detach().clone(), part
        outermost[id(module)] = own

    def give_back(module: Any, _: Any, __: Any) -> None:
        # A buffer that was replaced by another tensor. It is found again before whoever lent it takes it back.
        for names, members in outermost.get(id(module), []):
            for name, buffer in members.items():
                if names.get(name) is not buffer:
                    names[name] = buffer

    def changed() -> list[str]:
        modules = [
            module
            for buffer, copy, module in copies.values()
            if module.training and not torch.equal(buffer.detach(), copy)
        ]
        return sorted({type(module).__name__ for module in modules})

    with ExitStack() as stack:
        if _is_compiling():
            stack.enter_context(warnings.catch_warnings())
            # That hooks are called for the compiled module, too: once more does no harm.
            warnings.filterwarnings(
                "ignore", message=r"Using `torch\.compile\(module\)` when there are global hooks"
            )
        stack.callback(register_module_forward_pre_hook(keep).remove)
        stack.callback(register_module_forward_hook(give_back, always_call=True).remove)
        try:
            yield changed
        finally:
            with torch.no_grad():
                for buffer, copy, _ in copies.values():
                    # Through .data: graphs that hold the buffer are still good, since its value is again what it was.
                    buffer.data.copy_(copy)


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Let what is evaluated be differentiated twice: with gradients, eager, without fused kernels of attention.

    A compiled module runs as the one that it was made from. Attention runs as matrix products, since the backward pass
    of the fused kernels has no derivative; a choice of kernel within has no effect.
    """
    import torch
    from torch.nn import attention
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        torch.clear_autocast_cache()
        stack.callback(torch.clear_autocast_cache)
        stack.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
        torch.set_autocast_cache_enabled(False)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if hasattr(attention, "_sdpa_kernel"):  # what sdpa_kernel sets the kernels by
            stack.enter_context(patch.object(attention, "_sdpa_kernel", lambda *_, **__: None))
        if _is_compiling() and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def evaluation(generators: Sequence[Any] = ()) -> Iterator[Callable[[], bool]]:
    """Do all of these; what :func:`random_states` yields."""
    with random_states(generators) as moved, buffers(), twice_differentiable():
        yield moved


def _is_compiling() -> bool:
    """Whether anything may have been compiled."""
    return "torch._dynamo" in sys.modules


def nodes(*tensors: Any) -> list[Any]:
    """Return the nodes of the graphs that tensors come from."""
    todo, seen = [t.grad_fn for t in tensors if t.grad_fn is not None], set()
    out = []
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        out.append(node)
        todo.extend(successor for successor, _ in node.next_functions)
    return out


def check_checkpoints(name: str, loss: Any) -> None:
    """Raise where a loss comes through a reentrant checkpoint, behind which ``torch.autograd.grad`` sees nothing."""
    if any(node.name().startswith("CheckpointFunction") for node in nodes(loss)):
        raise ValueError(
            f"{name} must checkpoint with use_reentrant=False, got a reentrant checkpoint, whose second derivatives "
            "autograd drops"
        )


def kinds(loss: Any) -> tuple[bool, bool]:
    """Return whether a graph holds operations with kinks, and whether some have a backward pass of the user's own."""
    kinks = custom = False
    for node in nodes(loss):
        name = node.name()
        custom = custom or _is_custom(node, name)
        kinks = kinks or name.startswith(_KINKS)
    return kinks, custom


def operations(loss: Any) -> frozenset[str]:
    """Return the names of a graph's operations: those of another graph may differentiate otherwise."""
    return frozenset(node.name() for node in nodes(loss))


def _is_custom(node: Any, name: str) -> bool:
    import torch

    return isinstance(node, torch.autograd.function.BackwardCFunction) or "CppNode" in name


def _is_plain(buffer: Any) -> bool:
    """Whether a buffer is a tensor with numbers of its own, and not one that torch.func made of several."""
    import torch

    if not isinstance(buffer, torch.Tensor) or buffer.is_meta:
        return False
    wrapped = getattr(getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", None)
    return wrapped is None or not wrapped(buffer)
