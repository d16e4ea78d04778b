"""Derivatives of a PyTorch closure's loss, in one graph or in parts, by autograd or by differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab.losses.functions import differences, torch_evaluation
from selfstab.losses.functions.random_states import generators_of, random_states
from selfstab.losses.functions.torch_double import in_float64
from selfstab.records.recording.torch_closures import Closure, Part
from selfstab.records.recording.torch_vectors import WeightVectors

ROUNDING: Final = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}
"""Relative difference of two values of one loss that reductions in another order may give, by its precision."""


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation of a closure gives.

    Parameters
    ----------
    loss
        Its value.
    slopes
        The gradient by tensors, None where the loss does not depend on one.
    operations
        Names of what the graph consists of.
    rounding
        Relative difference of two values that may be rounding.
    draws
        Whether a random generator moved.
    """

    loss: float
    slopes: list[Any]
    operations: frozenset[str]
    rounding: float
    draws: bool = False


class LossDerivatives:
    """The loss of a closure, and its derivatives at the weights as they are.

    Parameters
    ----------
    closure
        The loss.
    """

    def __init__(self, closure: Closure) -> None:
        self._closure = closure
        self.generators: list[Any] = []
        """The user's own random generators, which an evaluation leaves as they were."""
        self.by_differences = False
        """Whether products with the Hessian are differences of gradients, since autograd's are wrong."""
        self.in_double = False
        """Whether differences are taken in float64, whatever the weights' precision."""

    def evaluation(self) -> AbstractContextManager[Callable[[], bool]]:
        """Return what leaves all as it was, and lets the loss be differentiated twice."""
        return torch_evaluation.evaluation(self.generators)

    def find_generators(self) -> None:
        """Look for the user's own random generators in what the closure reaches."""
        self.generators = generators_of(*self._closure.roots)

    def evaluated(self, vectors: WeightVectors) -> tuple[Evaluation, Callable[[Any], Any]]:
        """Return the loss with its gradient, and what multiplies its Hessian with a vector."""
        with self.evaluation() as moved:
            whole = self._closure.whole()
            in_parts = isinstance(whole, Iterator)
            out = _evaluated(whole, vectors, create_graph=not self.by_differences)
            del whole
            draws = moved()
        out = Evaluation(out.loss, out.slopes, out.operations, out.rounding, draws)
        if self.by_differences:
            return out, lambda v: vectors.like(self.by_difference(vectors, vectors.numbers(v)), v)
        if in_parts:
            return out, lambda v: vectors.like(self._product_of_parts(vectors, vectors.pieces(v)), v)
        slopes = out.slopes
        weights = vectors.weights
        return out, lambda v: vectors.like(
            vectors.joined(self._images(slopes, weights, vectors.pieces(v))), v
        )

    def first_order(self, vectors: WeightVectors) -> Evaluation:
        """Return the loss with its gradient, without a graph, and leave random states moved."""
        with torch_evaluation.buffers(), torch_evaluation.twice_differentiable():
            return _evaluated(self._closure.whole(), vectors)

    def value(self) -> float:
        """Return the loss alone, and leave random states moved."""
        with torch_evaluation.buffers(), torch_evaluation.twice_differentiable():
            return self._value()

    def _value(self) -> float:
        whole = self._closure.whole()
        if not isinstance(whole, Iterator):
            return float(whole.detach())
        losses = []
        while (part := next(whole, None)) is not None:
            losses.append((float(part.loss.detach()), part.weight))
            del part
        return _mean(losses)

    def modules_that_change(self) -> list[str]:
        """Return the classes of modules in training mode whose buffers an evaluation changes."""
        with (
            random_states(self.generators),
            torch_evaluation.buffers() as changed,
            torch_evaluation.twice_differentiable(),
        ):
            self._value()
            return changed()

    def gradient(self, vectors: WeightVectors) -> tuple[float, Any]:
        """Return the loss and the gradient, one vector."""
        with self.evaluation():
            out = _evaluated(self._closure.whole(), vectors)
        return out.loss, vectors.joined(out.slopes)

    def displaced(self, vectors: WeightVectors, direction: Any, length: float) -> tuple[Any, Any]:
        """Return the difference of gradients at two points ±length along a direction, and that of the points."""
        with vectors.displaced(direction, length):
            displacement, difference = vectors.values(), self.gradient(vectors)[1].cpu().numpy()
        with vectors.displaced(direction, -length):
            displacement -= vectors.values()
            difference -= self.gradient(vectors)[1].cpu().numpy()
        return difference, displacement

    def by_difference(self, vectors: WeightVectors, direction: Any) -> Any:
        """Return the product with the Hessian as a central difference of gradients."""
        with in_float64(vectors.weights) if self.in_double else nullcontext():
            # Of the weights' precision within.
            inner = WeightVectors(vectors.weights)
            along = np.asarray(direction, inner.precision)
            length = differences.LENGTH[inner.precision] * inner.scale
            difference, displacement = self.displaced(inner, along, length)
        size = float(np.linalg.norm(displacement))
        image = difference * (float(np.linalg.norm(along)) / size) if size else 0.0 * difference
        return image.astype(vectors.precision, copy=False)

    def noise(self, precision: str) -> float:
        """Return the relative error of a product beyond rounding, of weights of a precision."""
        if not self.by_differences:
            return 0.0
        return differences.NOISE["float64" if self.in_double else precision]

    def kinds(self) -> tuple[bool, bool]:
        """Return whether the graph has operations with kinks, and whether some have a derivative of the user's own."""
        with self.evaluation():
            whole = self._closure.whole()
            return torch_evaluation.kinds(next(whole).loss if isinstance(whole, Iterator) else whole)

    def _product_of_parts(self, vectors: WeightVectors, direction: list[Any]) -> Any:
        """Return the product with the Hessian of the sum of the parts, with one part's graph at a time."""
        total, weight = vectors.joined([None] * len(vectors.weights)), 0.0
        with self.evaluation():
            for part in self._closure.whole():
                slopes = _slopes(part.loss, vectors.weights, create_graph=True)
                own = 1.0 if np.isnan(part.weight) else part.weight
                weight += part.weight
                del part
                vectors.add(total, self._images(slopes, vectors.weights, direction, keep=False), own)
                del slopes
        return total if np.isnan(weight) else total.div_(weight)

    def _images(
        self, slopes: Sequence[Any], weights: Sequence[Any], direction: Sequence[Any], *, keep: bool = True
    ) -> list[Any]:
        """Return the product of the Hessian with a vector by tensors, None for zeros; the graph may be kept."""
        import torch

        pairs = [(s, v) for s, v in zip(slopes, direction, strict=True) if s is not None and s.requires_grad]
        if not pairs:  # a gradient that is constant
            return [None] * len(weights)
        with self.evaluation():
            images = torch.autograd.grad(
                [slope for slope, _ in pairs],
                weights,
                [v for _, v in pairs],
                retain_graph=keep,
                allow_unused=True,
            )
        return [i if i is None or i.layout == torch.strided else i.to_dense() for i in images]


def check_dependence(slopes: Sequence[Any]) -> None:
    """Raise ValueError if a loss depends on none of the parameters."""
    if all(slope is None for slope in slopes):
        raise ValueError(
            "closure must depend on the parameters that the optimizer trains, got a loss that depends on none: compute "
            "it from the same model, with gradients"
        )


def _evaluated(whole: Any, vectors: WeightVectors, *, create_graph: bool = False) -> Evaluation:
    """Return a loss and its gradient; of one in parts without a graph, with one part's graph at a time."""
    if isinstance(whole, Iterator):
        return _sum(whole, vectors)
    torch_evaluation.check_checkpoints("closure", whole)
    names = torch_evaluation.operations(whole)
    rounding = ROUNDING.get(str(whole.dtype).removeprefix("torch."), 1e-5)
    slopes = _slopes(whole, vectors.weights, create_graph=create_graph)
    return Evaluation(float(whole.detach()), slopes, names, rounding)


def _sum(parts: Iterator[Part], vectors: WeightVectors) -> Evaluation:
    """Return the loss of parts and its gradient, with one part's graph at a time."""
    losses: list[tuple[float, float]] = []
    names: frozenset[str] = frozenset()
    total: list[Any] = [None] * len(vectors.weights)
    while (part := next(parts, None)) is not None:
        torch_evaluation.check_checkpoints("closure", part.loss)
        names |= torch_evaluation.operations(part.loss)
        losses.append((float(part.loss.detach()), part.weight))
        own = 1.0 if np.isnan(part.weight) else part.weight
        for k, slope in enumerate(_slopes(part.loss, vectors.weights)):
            if slope is not None:
                total[k] = own * slope if total[k] is None else total[k].add_(slope, alpha=own)
        del part
    loss, weight = _mean(losses), sum(weight for _, weight in losses)
    if not np.isnan(weight):
        total = [None if slope is None else slope / weight for slope in total]
    return Evaluation(loss, total, names, ROUNDING[vectors.precision])


def _mean(losses: Sequence[tuple[float, float]]) -> float:
    """Return the sum of losses without weights, or the weighted mean."""
    weight = sum(weight for _, weight in losses)
    if np.isnan(weight):
        return float(sum(loss for loss, _ in losses))
    if weight == 0.0:
        raise ValueError("weight must be positive for one part at least, got 0 for all")
    return float(sum(loss * weight for loss, weight in losses)) / weight


def _slopes(loss: Any, weights: Sequence[Any], *, create_graph: bool = False) -> list[Any]:
    """Return a loss's gradient by tensors, dense; None where it does not depend on one."""
    import torch

    if not loss.requires_grad:
        return [None] * len(weights)
    slopes = torch.autograd.grad(loss, weights, create_graph=create_graph, allow_unused=True)
    return [
        slope.to_dense() if slope is not None and slope.layout != torch.strided else slope for slope in slopes
    ]
