"""What another library's training loop shows at one step: loss, Hessian-vector products and the optimizer's state.

``torch_loops`` reads loops of PyTorch and ``jax_loops`` loops of JAX. Another library is another such file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.records.recording.training_optimizers import OptimizerReading
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
    optimizer: OptimizerReading | None = None
    gradient: Callable[[], Any] | None = None
    """Returns ∇L at this step in the library's own form, without weight decay."""
    gradient_norm: Callable[[], float] | None = None
    arrays: Callable[[], Sequence[Any]] | None = None
    """Returns the weights in order, in pieces."""
    noise: float = 0.0
    """Relative error of a product, beyond the rounding of its precision: of differences of gradients."""


def number(name: str, value: Any) -> float:
    """Return one number of any library's, perhaps not finite: divergence is a result."""
    number_ = value
    try:
        if callable(getattr(value, "detach", None)):  # a tensor of PyTorch, perhaps with its graph
            number_ = value.detach().cpu()
            number_ = number_.double() if number_.is_floating_point() else number_
        array = np.asarray(number_)
        if array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):  # of JAX
            array = array.astype(np.float64)
        if array.shape != () or array.dtype.kind not in "fiu":
            raise TypeError
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a single number, got {validation.shown(value)}") from None
    return float(array)


def check_parts(parts: Any) -> None:
    """Raise TypeError unless parts of a loss can be gone through again and again."""
    # Without iter(parts): a data loader draws from its generator then.
    if not isinstance(parts, Iterable) or isinstance(parts, (str, bytes, Iterator)):
        raise TypeError(
            "parts must be a list, a data loader, or another thing to go through again at each product, got "
            f"{validation.shown(parts)}"
        )
