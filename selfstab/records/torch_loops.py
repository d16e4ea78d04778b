"""What a PyTorch training loop shows at one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.functions import differences, torch_evaluation
from selfstab.records.torch_closures import Closure, Part, gradients_as_found
from selfstab.records.torch_vectors import WeightVectors
from selfstab.records.training_loops import PRECISIONS, Reading
from selfstab.records.training_optimizers import torch as torch_optimizers
from selfstab.validation import Array

_ROUNDING: Final = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}
"""Relative difference of two values of one loss that reductions in another order may give, by its precision."""

_SAME_GRADIENT: Final = 1e-2
"""Relative difference of two gradients beyond which a closure does not compute the same twice."""


def of_torch(
    parameters: Iterable[Any] | None, closure: Any, optimizer: Any, parts: Any = None
) -> Callable[[Any], Reading]:
    """Return what reads a PyTorch loop: loss, products backward over backward, and what its optimizer says."""
    import torch

    loop = _Loop(_tensors(parameters), Closure(closure, parts), optimizer)

    def read(_: Any) -> Reading:
        with torch.inference_mode(False):  # tensors made in inference mode have no gradients
            reading = loop.read()

        def product(v: Array) -> Any:
            with torch.inference_mode(False):
                return reading.product(v)

        return replace(reading, product=product)

    return read


class _Loop:
    """A loop's weights, its loss and its optimizer.

    Parameters
    ----------
    tensors
        The parameters that the user names, or None for the optimizer's.
    closure
        The loss.
    optimizer
        What trains them.
    """

    def __init__(self, tensors: list[Any] | None, closure: Closure, optimizer: Any) -> None:

        if tensors is not None:
            _precision([tensor for tensor in tensors if tensor.requires_grad])
        torch_optimizers.check_optimizer(optimizer)
        self._tensors, self._closure, self._optimizer = tensors, closure, optimizer
        self._tried, self._by_differences = False, False

    # -- one record -----------------------------------------------------------------------------------------------

    def read(self) -> Reading:
        """Return what the loop shows now."""
        weights = self._trained()
        precision = _precision(weights)
        vectors = WeightVectors(weights)
        watched = torch_optimizers.tensors_of(self._optimizer)
        if not self._tried:
            with gradients_as_found(watched):
                self._try(vectors)
        with gradients_as_found(watched):
            loss, slopes, product = self._evaluated(vectors)

        # Here, so that the gradient itself need not be kept.
        norm = sum(float(slope.detach().norm()) ** 2 for slope in slopes if slope is not None) ** 0.5
        gradients = [w.new_zeros(w.shape) if g is None else g for w, g in zip(weights, slopes, strict=True)]
        own = torch_optimizers.read_optimizer(self._optimizer, weights, gradients)
        return Reading(
            loss + own.decay_energy([w.detach() for w in weights]),
            own.decayed(product),
            vectors.size,
            precision,
            own.lr,
            own.momentum,
            own.lookahead,
            vector=vectors.of_numbers,
            optimizer=own,
            gradient_norm=lambda: norm,
            arrays=lambda: [w.detach() for w in weights],
            noise=differences.NOISE[precision] if self._by_differences else 0.0,
        )

    def _trained(self) -> list[Any]:
        """Return the weights that the optimizer trains now, in the order that the user named them in, if any."""
        weights = trained(self._optimizer)
        if self._tensors is None:
            return weights
        named = [tensor for tensor in self._tensors if tensor.requires_grad]
        lacking = {id(t): t for t in weights}.keys() - {id(t) for t in named}
        foreign = {id(t) for t in named} - {id(t) for t in weights}
        if lacking or foreign:
            raise ValueError(
                f"parameters must be what the optimizer trains, got {len(foreign)} tensors that it does not and "
                f"{len(lacking)} too few: leave parameters out to record what it trains at each step"
            )
        return named

    def _evaluated(self, vectors: WeightVectors) -> tuple[float, list[Any], Callable[[Any], Any]]:
        """Return the loss, its gradient by tensors, and what multiplies its Hessian with a vector."""
        with torch_evaluation.evaluation():
            whole = self._closure.whole()
            in_parts = isinstance(whole, Iterator)
            if in_parts:
                loss, slopes = _sum(whole, vectors.weights)
            else:
                loss = float(whole.detach())
                slopes = _slopes(whole, vectors.weights, create_graph=not self._by_differences)
                del whole
        _check_dependence(slopes)
        if self._by_differences:
            return loss, slopes, lambda v: vectors.like(self._by_difference(vectors, vectors.numbers(v)), v)
        if in_parts:
            return loss, slopes, lambda v: vectors.like(self._product_of_parts(vectors, vectors.pieces(v)), v)
        return (
            loss,
            slopes,
            lambda v: vectors.like(vectors.joined(_images(slopes, vectors.weights, vectors.pieces(v))), v),
        )

    def _product_of_parts(self, vectors: WeightVectors, direction: list[Any]) -> Any:
        """Return the product with the Hessian of the sum of the parts, with one part's graph at a time."""
        total, weight = vectors.joined([None] * len(vectors.weights)), 0.0
        with torch_evaluation.evaluation():
            for part in self._closure.whole():
                slopes = _slopes(part.loss, vectors.weights, create_graph=True)
                own = 1.0 if np.isnan(part.weight) else part.weight
                weight += part.weight
                del part
                vectors.add(total, _images(slopes, vectors.weights, direction, keep=False), own)
                del slopes
        return total if np.isnan(weight) else total.div_(weight)

    def _gradient(self, vectors: WeightVectors) -> tuple[float, Any]:
        """Return the loss and the gradient, one vector."""
        with torch_evaluation.evaluation():
            whole = self._closure.whole()
            parts = whole if isinstance(whole, Iterator) else iter([Part(whole, float("nan"))])
            loss, slopes = _sum(parts, vectors.weights)
        return loss, vectors.joined(slopes)

    def _by_difference(self, vectors: WeightVectors, direction: Any) -> Any:
        """Return the product with the Hessian as a central difference of gradients."""
        length = differences.LENGTH[vectors.precision] * vectors.scale
        difference, displacement = self._displaced(vectors, direction, length)
        size = float(np.linalg.norm(displacement))
        return difference * (float(np.linalg.norm(direction)) / size) if size else 0.0 * difference

    def _displaced(self, vectors: WeightVectors, direction: Any, length: float) -> tuple[Any, Any]:
        """Return the difference of gradients at two points ±length along a direction, and that of the points."""
        with vectors.displaced(direction, length):
            displacement, difference = vectors.values(), self._gradient(vectors)[1].cpu().numpy()
        with vectors.displaced(direction, -length):
            displacement -= vectors.values()
            difference -= self._gradient(vectors)[1].cpu().numpy()
        return difference, displacement

    # -- the first record -----------------------------------------------------------------------------------------

    def _try(self, vectors: WeightVectors) -> None:
        """Raise unless the closure computes one loss of the weights; see whether autograd's products are right."""
        first, slopes = self._twice(vectors)
        _check_dependence(slopes)
        gradient = vectors.joined(slopes).cpu().numpy()
        del slopes
        if not (np.isfinite(first) and np.isfinite(gradient).all()):
            return  # nothing can be compared here: a later record is tried
        self._tried = True
        direction = differences.generic_direction(gradient)
        del gradient
        obstacle = ""
        try:
            product = self._evaluated(vectors)[2]
            product(direction)
            # Kinks of a gradient in float32 are met at every step that is longer than rounding.
            if vectors.precision == "float32" and self._has_kinks_only():
                return
            wrong = differences.contradicts(
                lambda v, length: self._displaced(vectors, v, length), product, direction, vectors.scale
            )
        except RuntimeError as error:  # an operation whose backward pass has no derivative
            wrong, obstacle = True, validation.one_line(str(error))[:120]
        if not wrong:
            return
        if not differences.symmetric(lambda v: self._by_difference(vectors, v), direction):
            raise ValueError(
                "closure must be differentiable twice by autograd, got products that are no derivatives of a gradient"
                + (f" ({obstacle})" if obstacle else ": leave out detach, no_grad and stop-gradients")
            )
        self._by_differences = True

    def _twice(self, vectors: WeightVectors) -> tuple[float, list[Any]]:
        """Return the loss and its gradient by tensors; raise unless a second evaluation gives the same."""
        results = []
        versions = [w._version for w in vectors.weights]
        with torch_evaluation.random_states(), torch_evaluation.twice_differentiable():
            for _ in range(2):
                with torch_evaluation.buffers():
                    whole = self._closure.whole()
                    if isinstance(whole, Iterator):
                        loss, slopes = _sum(whole, vectors.weights)
                        rounding = _ROUNDING[vectors.precision]
                    else:
                        torch_evaluation.check_checkpoints("closure", whole)
                        rounding = _ROUNDING.get(str(whole.dtype).removeprefix("torch."), 1e-5)
                        loss, slopes = float(whole.detach()), _slopes(whole, vectors.weights)
                        del whole
                results.append((loss, slopes))
        if [w._version for w in vectors.weights] != versions:
            raise ValueError("closure must not change the parameters, but return the loss alone")
        (first, slopes), (again, others) = results
        size = max(abs(first), abs(again))
        same = not np.isfinite(size) or abs(first - again) <= rounding * size
        if not same and abs(first - again) <= 1e-3 * size:
            # The order of a reduction, or draws that hardly move a mean? They move its gradient.
            a, b = vectors.joined(slopes), vectors.joined(others)
            same = float((a - b).norm()) <= _SAME_GRADIENT * float(a.norm())
        if not same:
            raise ValueError(
                "closure must give one value at one point, as a module does after .eval() on data that do not "
                f"change, got {first:.6g} and {again:.6g}"
            )
        return first, slopes

    def _has_kinks_only(self) -> bool:
        with torch_evaluation.evaluation():
            whole = self._closure.whole()
            return torch_evaluation.has_kinks_only(next(whole).loss if isinstance(whole, Iterator) else whole)


def trained(optimizer: Any) -> list[Any]:
    """Return the tensors that an optimizer trains now, in the order of its groups; ValueError if there is none."""
    members = torch_optimizers.tensors_of(optimizer)
    if len({id(tensor) for tensor in members}) < len(members):
        raise ValueError("optimizer must list each parameter once, got one that it would update twice")
    weights = [tensor for tensor in members if tensor.requires_grad]
    if not weights:
        raise ValueError("optimizer must train tensors that require gradients, got none")
    return weights


def _slopes(loss: Any, weights: Sequence[Any], *, create_graph: bool = False) -> list[Any]:
    """Return a loss's gradient by tensors, dense; None where it does not depend on one."""
    import torch

    if not loss.requires_grad:
        return [None] * len(weights)
    slopes = torch.autograd.grad(loss, weights, create_graph=create_graph, allow_unused=True)
    return [
        slope.to_dense() if slope is not None and slope.layout != torch.strided else slope for slope in slopes
    ]


def _sum(parts: Iterator[Part], weights: Sequence[Any]) -> tuple[float, list[Any]]:
    """Return the loss of parts and its gradient by tensors, with one part's graph at a time."""
    loss, weight = 0.0, 0.0
    total: list[Any] = [None] * len(weights)
    while (part := next(parts, None)) is not None:
        torch_evaluation.check_checkpoints("closure", part.loss)
        own = 1.0 if np.isnan(part.weight) else part.weight
        loss, weight = loss + own * float(part.loss.detach()), weight + part.weight
        for k, slope in enumerate(_slopes(part.loss, weights)):
            if slope is not None:
                total[k] = own * slope if total[k] is None else total[k].add_(slope, alpha=own)
        del part
    if np.isnan(weight):
        return loss, total
    if weight == 0.0:
        raise ValueError("weight must be positive for one part at least, got 0 for all")
    return loss / weight, [None if slope is None else slope / weight for slope in total]


def _images(
    slopes: Sequence[Any], weights: Sequence[Any], direction: Sequence[Any], *, keep: bool = True
) -> list[Any]:
    """Return the product of the Hessian with a vector by tensors, None for zeros; the gradient's graph may be kept."""
    import torch

    pairs = [(s, v) for s, v in zip(slopes, direction, strict=True) if s is not None and s.requires_grad]
    if not pairs:  # a gradient that is constant
        return [None] * len(weights)
    with torch_evaluation.evaluation():
        images = torch.autograd.grad(
            [slope for slope, _ in pairs],
            weights,
            [v for _, v in pairs],
            retain_graph=keep,
            allow_unused=True,
        )
    return [i if i is None or i.layout == torch.strided else i.to_dense() for i in images]


def _check_dependence(slopes: Sequence[Any]) -> None:
    if all(slope is None for slope in slopes):
        raise ValueError(
            "closure must depend on the parameters that the optimizer trains, got a loss that depends on none: compute "
            "it from the same model, with gradients"
        )


def _tensors(parameters: Any) -> list[Any] | None:
    """Return the tensors that a user names, each once: of a module, an iterable, or pairs with names."""
    import torch

    if parameters is None:
        return None
    members: Any = parameters
    if isinstance(members, torch.nn.Module):
        members = members.parameters()
    elif isinstance(members, torch.Tensor):
        members = [members]
    elif isinstance(members, Mapping):
        members = members.values()
    if not isinstance(members, Iterable) or isinstance(members, (str, bytes)):
        raise TypeError(
            f"parameters must be tensors, as of model.parameters(), got {validation.shown(members)}"
        )
    tensors = []
    for member in members:
        tensor = member[1] if isinstance(member, tuple) and len(member) == 2 else member
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(
                f"parameters must be tensors, as of model.parameters(), got {validation.shown(member)}"
            )
        tensors.append(tensor)
    return [*{id(tensor): tensor for tensor in tensors}.values()]


def _precision(weights: Sequence[Any]) -> str:
    """Return the one precision of weights."""
    if not weights:
        raise ValueError("parameters must hold tensors that require gradients, got none")
    precision = str(weights[0].dtype).removeprefix("torch.")
    if any(w.dtype != weights[0].dtype for w in weights) or precision not in PRECISIONS:
        remedy = ": keep them in float32, and compute under autocast" if "float16" in precision else ""
        raise TypeError(
            f"parameters must be of float64 or float32, all of one, got {precision} first{remedy}"
        )
    return precision
