"""A PyTorch model's weights as one vector."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from selfstab.validation import Array


class WeightVectors:
    """Weights as one vector: its numbers in the order of the tensors, row-major.

    Parameters
    ----------
    weights
        The tensors, of one precision, perhaps on several devices.
    """

    def __init__(self, weights: Sequence[Any]) -> None:
        self.weights = list(weights)
        self.sizes = [w.numel() for w in self.weights]
        self.size = sum(self.sizes)
        self.precision = str(self.weights[0].dtype).removeprefix("torch.")

    @property
    def scale(self) -> float:
        """Norm of the weights; 1 where all are zero."""
        return float(sum(float(w.detach().norm()) ** 2 for w in self.weights) ** 0.5) or 1.0

    def pieces(self, vector: Any) -> list[Any]:
        """Return a vector as tensors of the weights' shapes."""
        import torch

        flat = torch.as_tensor(vector)
        return [
            piece.to(dtype=w.dtype, device=w.device).reshape(w.shape)
            for piece, w in zip(flat.split(self.sizes), self.weights, strict=True)
        ]

    def joined(self, tensors: Sequence[Any]) -> Any:
        """Return tensors of the weights' shapes as one vector; None stands for zeros."""
        import torch

        device = self.weights[0].device
        return torch.cat(
            [
                (torch.zeros_like(w) if tensor is None else tensor.detach()).reshape(-1).to(device)
                for tensor, w in zip(tensors, self.weights, strict=True)
            ]
        )

    def add(self, total: Any, tensors: Sequence[Any], factor: float) -> None:
        """Add tensors of the weights' shapes, times a factor, to one vector, in its memory; None stands for zeros."""
        for piece, tensor in zip(total.split(self.sizes), tensors, strict=True):
            if tensor is not None:
                piece.add_(tensor.detach().reshape(-1).to(total.device), alpha=factor)

    def values(self) -> Any:
        """Return the weights as they are now."""
        return self.joined([w.detach() for w in self.weights]).cpu().numpy()

    def of_numbers(self, numbers: Array) -> Any:
        """Return NumPy's numbers as a tensor of the weights' precision, on their device."""
        import torch

        return torch.as_tensor(numbers, dtype=self.weights[0].dtype, device=self.weights[0].device)

    def numbers(self, vector: Any) -> Any:
        """Return a vector in NumPy, in the weights' precision."""
        array = vector.detach().cpu().numpy() if hasattr(vector, "detach") else np.asarray(vector)
        return array.astype(self.precision)

    @staticmethod
    def like(image: Any, vector: Any) -> Any:
        """Return an image as a tensor, if the vector is one, or else in NumPy."""
        import torch

        if isinstance(vector, torch.Tensor):
            return torch.as_tensor(image, device=vector.device)
        return image.cpu().numpy() if isinstance(image, torch.Tensor) else image

    @contextmanager
    def restored(self) -> Iterator[Callable[[], bool]]:
        """Give the weights their values back, and yield a function () → whether they have changed since."""
        import torch

        own = [w.data for w in self.weights]
        values = [data.clone() for data in own]
        # As whole numbers, of which NaN is one that equals itself.
        whole = torch.int64 if self.precision == "float64" else torch.int32

        def changed() -> bool:
            return not all(
                w.data.data_ptr() == data.data_ptr() and torch.equal(data.view(whole), value.view(whole))
                for w, data, value in zip(self.weights, own, values, strict=True)
            )

        try:
            yield changed
        finally:
            if changed():
                for w, data, value in zip(self.weights, own, values, strict=True):
                    w.data = data
                    w.data.copy_(value)

    @contextmanager
    def displaced(self, direction: Any, length: float) -> Iterator[None]:
        """Move the weights by a length along a direction, and give them back the memory that they had."""
        kept = [w.data for w in self.weights]
        size = float(np.linalg.norm(direction)) or 1.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a recurrent module's, whose weights leave their common memory
            try:
                for w, own, piece in zip(self.weights, kept, self.pieces(direction), strict=True):
                    w.data = own + (length / size) * piece
                yield
            finally:
                for w, own in zip(self.weights, kept, strict=True):
                    w.data = own
