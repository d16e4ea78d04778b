"""What a PyTorch training loop shows at one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfstab import validation
from selfstab.records.recording.torch_closures import Closure, gradients_as_found
from selfstab.records.recording.torch_derivatives import Evaluation, LossDerivatives, check_dependence
from selfstab.records.recording.torch_trial import check_draws, try_closure, weights_as_found
from selfstab.records.recording.torch_vectors import WeightVectors
from selfstab.records.recording.training_loops import PRECISIONS, Reading
from selfstab.records.recording.training_optimizers import torch as torch_optimizers
from selfstab.validation import Array


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
        self._tensors, self._optimizer = tensors, optimizer
        self._loss = LossDerivatives(closure)
        self._tried: frozenset[str] | None = None

    # -- one record -----------------------------------------------------------------------------------------------

    def read(self) -> Reading:
        """Return what the loop shows now."""
        weights = self._trained()
        precision = _precision(weights)
        vectors = WeightVectors(weights)
        watched = torch_optimizers.tensors_of(self._optimizer)
        with gradients_as_found(watched):
            evaluation, product = self._evaluated(vectors)
        loss, slopes = evaluation.loss, evaluation.slopes

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
            noise=self._loss.noise(precision),
        )

    def _evaluated(self, vectors: WeightVectors) -> tuple[Evaluation, Callable[[Any], Any]]:
        """Return the loss, and what multiplies its Hessian; operations that are new are tried first."""
        if self._tried is None:
            self._tried = try_closure(self._loss, vectors)
        with weights_as_found(vectors):
            evaluation, product = self._loss.evaluated(vectors)
        if self._tried is not None and not evaluation.operations <= self._tried:
            del evaluation, product
            self._tried = try_closure(self._loss, vectors)
            evaluation, product = self._loss.evaluated(vectors)
        check_dependence(evaluation.slopes)
        if evaluation.draws:
            check_draws(self._loss, vectors, evaluation)
        return evaluation, product

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


def trained(optimizer: Any) -> list[Any]:
    """Return the tensors that an optimizer trains now, in the order of its groups; ValueError if there is none."""
    members = torch_optimizers.tensors_of(optimizer)
    if len({id(tensor) for tensor in members}) < len(members):
        raise ValueError("optimizer must list each parameter once, got one that it would update twice")
    weights = [tensor for tensor in members if tensor.requires_grad]
    if not weights:
        raise ValueError("optimizer must train tensors that require gradients, got none")
    return weights


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
