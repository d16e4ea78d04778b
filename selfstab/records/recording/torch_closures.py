"""A PyTorch closure's loss: one tensor, or parts of it, one graph at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import GeneratorType
from typing import Any

from selfstab import validation
from selfstab.records.recording.training_loops import check_parts, number


@dataclass(frozen=True)
class Part:
    """A part of a loss, and its weight in the mean."""

    loss: Any
    weight: float


class Closure:
    """What a closure computes from the weights as they are.

    Parameters
    ----------
    function
        () → the loss, a scalar tensor, or an iterable of its parts; with `parts`, one of these → its loss. A part is a
        scalar tensor, or a pair of one and its weight. The loss is the sum of scalar tensors, or the weighted mean of
        pairs.
    parts
        What the function is called with, one after the other.
    """

    def __init__(self, function: Any, parts: Any = None) -> None:
        if not callable(function):
            raise TypeError(f"closure must be a function, got {validation.shown(function)}")
        if parts is not None:
            check_parts(parts)
        self._function, self._parts = function, parts

    @property
    def roots(self) -> tuple[Any, ...]:
        """The function and what it is called with: what the user's random generators are reached from."""
        return self._function, self._parts

    def whole(self) -> Any:
        """Return the loss, if the function gives it in one, or else an iterator of its parts."""
        if self._parts is not None:
            return self._weighted(self._function(part) for part in self._parts)
        loss = self._function()
        if isinstance(loss, (GeneratorType, Iterator, list)):
            return self._weighted(iter(loss))
        return _scalar("closure must return a scalar tensor, or an iterable of its parts", loss)

    @staticmethod
    def _weighted(parts: Iterator[Any]) -> Iterator[Part]:
        """Yield the parts; either all have weights, or none."""
        paired: bool | None = None
        end: Any = object()
        # A loop would hold the part before until the next one is made, and two graphs with it.
        while (part := next(parts, end)) is not end:
            pair = isinstance(part, Sequence) and len(part) == 2
            if paired is not None and pair != paired:
                raise TypeError("closure must give all its parts a weight, or none, got both")
            paired = pair
            loss: Any = part[0] if pair else part
            weight: Any = part[1] if pair else 1.0
            number_ = number("weight", weight)
            if not 0.0 <= number_ < float("inf"):
                raise ValueError(f"weight must be in [0, inf), got {number_:g}")
            rule = "each part must be a scalar tensor, or a pair of one and its weight"
            out = Part(_scalar(rule, loss), number_ if pair else float("nan"))
            del part, loss, weight
            yield out
            del out
        if paired is None:
            raise ValueError("closure must give at least one part, got none")


def _scalar(rule: str, loss: Any) -> Any:
    import torch

    if isinstance(loss, torch.Tensor) and loss.ndim == 0 and loss.is_floating_point():
        return loss
    remedy = ""
    if isinstance(loss, torch.Tensor):
        remedy = f", of shape {tuple(loss.shape)}: take its mean or sum"
    elif isinstance(loss, (int, float)):
        remedy = ": leave out .item()"
    elif hasattr(loss, "loss") or (isinstance(loss, Mapping) and "loss" in loss):
        remedy = ": return its .loss"
    raise TypeError(f"{rule}, got {validation.shown(loss)}{remedy}")


@contextmanager
def gradients_as_found(tensors: Sequence[Any]) -> Iterator[None]:
    """Leave ``.grad`` of tensors alone, and raise if it is written to within, as by a closure that calls backward."""
    kept = [tensor.grad for tensor in tensors]
    for tensor in tensors:
        tensor.grad = None
    try:
        try:
            yield
        except (RuntimeError, ValueError):
            _check_untouched(tensors)  # a graph that backward has freed already
            raise
        _check_untouched(tensors)
    finally:
        for tensor, gradient in zip(tensors, kept, strict=True):
            tensor.grad = gradient


def _check_untouched(tensors: Sequence[Any]) -> None:
    if any(tensor.grad is not None for tensor in tensors):
        raise ValueError("closure must not call backward, but return the loss alone") from None
