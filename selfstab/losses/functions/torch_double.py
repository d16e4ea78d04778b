"""A PyTorch function evaluated in float64, whatever precision it was written in.

Differences of gradients in float32 cannot tell a dropped derivative from rounding and kinks. In float64 they can: steps
are short enough to meet no kink, and long beside rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final

_STRICT: Final = ("conv", "lstm", "gru", "rnn")
"""How functions begin that refuse inputs of another precision before an operation is dispatched."""


@contextmanager
def in_float64(weights: Sequence[Any]) -> Iterator[None]:
    """Let weights be of float64, and all that is computed from them and from other tensors of less precision.

    Parameters
    ----------
    weights
        The parameters. They get their own memory back.
    """
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    kept, default = [w.data for w in weights], torch.get_default_dtype()
    functions, operations, inputs = _modes()
    with ExitStack() as stack:
        try:
            for w, own in zip(weights, kept, strict=True):
                w.data = own.double()
            torch.set_default_dtype(torch.float64)
            stack.callback(register_module_forward_pre_hook(inputs).remove)
            stack.enter_context(functions())
            stack.enter_context(operations())
            yield
        finally:
            stack.close()
            torch.set_default_dtype(default)
            for w, own in zip(weights, kept, strict=True):
                w.data = own


@cache
def _modes() -> tuple[Any, Any, Any]:
    """Return what intercepts functions, operations and inputs of modules, of PyTorch, which is imported late."""
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map

    lower = (torch.float32, torch.bfloat16, torch.float16)

    def doubled(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(torch.float64) if value.dtype in lower else value
        return torch.float64 if isinstance(value, torch.dtype) and value in lower else value

    class Functions(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if getattr(function, "__name__", "").startswith(_STRICT):
                args, kwargs = tree_map(doubled, (args, kwargs))
            return function(*args, **kwargs)

    class Operations(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            # What is written into keeps its precision, and so do views, which may be.
            if not (function._schema.is_mutable or function.is_view):
                args, kwargs = tree_map(doubled, (args, kwargs))
            return function(*args, **kwargs)

    def inputs(module: Any, args: Any) -> Any:
        return tree_map(doubled, args)

    return Functions, Operations, inputs
