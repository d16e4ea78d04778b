"""Optimizers of PyTorch: what their groups and states say at one step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.optimizers.adam import Adam
from selfstab.optimizers.averaged import AveragedHeavyBall
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.linear import LinearOptimizer
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.records.training_optimizers.base import OptimizerReading, divided, one_value, per_weight

_OTHER_RULES: Final = ("lookahead", "sam", "swa", "ema", "gradientaccumulation")
"""What wrappers are called that step otherwise than the optimizer they hold."""


@dataclass(frozen=True)
class Weights:
    """A torch optimizer's weights at one step: each tensor with its gradient, its group and its state."""

    tensors: Sequence[Any]
    gradients: Sequence[Any]
    groups: Sequence[dict[str, Any]]
    states: Sequence[dict[str, Any]]

    @property
    def sizes(self) -> list[int]:
        """Number of weights in each tensor."""
        return [tensor.numel() for tensor in self.tensors]

    @property
    def dtype(self) -> Any:
        """The precision in which factors are given: float32 for weights of no more."""
        return np.float64 if str(self.tensors[0].dtype) == "torch.float64" else np.float32

    def values(self, name: str, at_least: float = 0.0) -> list[float]:
        """Return a number of each tensor's group."""
        return [_number(group, name, at_least=at_least) for group in self.groups]

    def per_weight(self, values: Sequence[float]) -> Any:
        """Return one number for each weight, a float where all are equal."""
        return per_weight(values, self.sizes, self.dtype)

    def flat(self, tensors: Sequence[Any]) -> Any:
        """Return tensors as one array."""
        import torch

        return torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu().numpy().astype(self.dtype)


Reader = Callable[[Weights], OptimizerReading]

READERS: Final[dict[str, Reader]] = {}
"""What reads an optimizer, by the full name of its class."""


def reads(*names: str) -> Callable[[Reader], Reader]:
    """Register what reads optimizers of the classes of these full names, such as "torch.optim.sgd.SGD"."""

    def register(reader: Reader) -> Reader:
        READERS.update(dict.fromkeys(names, reader))
        return reader

    return register


def check_optimizer(optimizer: Any) -> None:
    """Raise TypeError or ValueError unless an optimizer's rule is understood."""
    _rule_of(optimizer)


def tensors_of(optimizer: Any) -> list[Any]:
    """Return the tensors in an optimizer's groups, in their order, or in those of the optimizer that it wraps."""
    return [tensor for group in _rule_of(optimizer)[0].param_groups for tensor in group["params"]]


def read_optimizer(optimizer: Any, tensors: Sequence[Any], gradients: Sequence[Any]) -> OptimizerReading:
    """Return what a torch optimizer does at this step.

    Parameters
    ----------
    optimizer
        An SGD, Adam, AdamW, RMSprop or Adagrad, or what wraps one and steps as it does.
    tensors
        The weights, each in one of its groups.
    gradients
        ∇L of each, without weight decay.

    Raises
    ------
    TypeError, ValueError
        If the rule is not understood, a tensor is in no group, or groups differ in what must be one.
    """
    rule, reader = _rule_of(optimizer)
    groups = {id(tensor): group for group in rule.param_groups for tensor in group["params"]}
    missing = [k for k, tensor in enumerate(tensors) if id(tensor) not in groups]
    if missing:
        raise ValueError(
            f"optimizer must hold every parameter, got none of its groups for parameter {missing[0]} of shape "
            f"{tuple(tensors[missing[0]].shape)}: pass the parameters that it trains"
        )
    if any(group.get("maximize", False) for group in rule.param_groups):
        raise ValueError("optimizer must minimize, got maximize=True: turn the loss's sign instead")
    own = [groups[id(tensor)] for tensor in tensors]
    states = [rule.state.get(tensor, {}) for tensor in tensors]
    reading = reader(Weights(tensors, [gradient.detach() for gradient in gradients], own, states))
    return replace(reading, settings={**reading.settings, "groups": _described(rule)})


def _rule_of(optimizer: Any) -> tuple[Any, Reader]:
    """Return the optimizer that steps, within its wrappers, and what reads it."""
    rule = optimizer
    for _ in range(8):
        inner = getattr(rule, "optimizer", None)
        if inner is None or _reader_of(rule) is not None:
            break
        if any(word in type(rule).__name__.lower() for word in _OTHER_RULES):
            break
        rule = inner
    reader = _reader_of(rule)
    if reader is None:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in READERS}))
        others = hasattr(optimizer, "step")
        shown = type(optimizer).__name__ if others else validation.shown(optimizer)
        raise TypeError(f"optimizer must be one of torch.optim's {known}, or wrap one, got {shown}")
    return rule, reader


def _reader_of(rule: Any) -> Reader | None:
    """Return what reads an optimizer's class, unless it steps in a way of its own."""
    if not hasattr(rule, "param_groups"):
        return None
    kind = next((kind for kind in type(rule).__mro__ if _full_name(kind) in READERS), None)
    if kind is None:
        return None
    # torch wraps the step of each class that it meets.
    if inspect.unwrap(type(rule).step) is not inspect.unwrap(kind.step):  # type: ignore[attr-defined]
        return None
    return READERS[_full_name(kind)]


def _described(rule: Any) -> list[dict[str, float]]:
    """Return how many weights each group of an optimizer holds, with its learning rate and its weight decay."""
    return [
        {"weights": sum(tensor.numel() for tensor in group["params"]), "lr": float(group["lr"])}
        | {"weight_decay": float(group.get("weight_decay", 0.0))}
        for group in rule.param_groups
    ]


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@reads("torch.optim.sgd.SGD")
def _sgd(weights: Weights) -> OptimizerReading:
    """Read SGD: v = βv + (1 − d)g, w −= η v, or η(g + βv) of Nesterov's."""
    momentum = _below_one("momentum", one_value("momentum", weights.values("momentum")))
    nesterov = one_value("nesterov", [bool(group["nesterov"]) for group in weights.groups])
    dampening = weights.values("dampening", -np.inf) if momentum else [0.0] * len(weights.groups)
    if not all(value < 1 for value in dampening):
        raise ValueError(f"optimizer's dampening must be below 1, got {max(dampening):g}")
    rates = weights.values("lr")
    effective = [lr * (1.0 - d) for lr, d in zip(rates, dampening, strict=True)]
    top = int(np.argmax(effective))
    lr, dampened = rates[top], dampening[top]
    optimizer: Optimizer
    if dampened == 0.0:
        optimizer = HeavyBall(1.0, momentum, momentum if nesterov else 0.0)
    elif dampened == momentum:
        optimizer = AveragedHeavyBall(1.0, momentum)
    else:
        optimizer = LinearOptimizer(1.0, (1.0 - dampened, 0.0), (1.0, -1.0 - momentum, momentum))
    return OptimizerReading(
        optimizer,
        lr,
        momentum,
        weights.per_weight(_relative(effective)),
        weights.per_weight(weights.values("weight_decay")),
        settings={"optimizer": "torch.optim.SGD", "dampening": dampened, "nesterov": nesterov},
    )


@reads("torch.optim.adam.Adam", "torch.optim.adamw.AdamW")
def _adam(weights: Weights) -> OptimizerReading:
    """Read Adam and AdamW: P = (1 − β₁ᵗ⁺¹)(√(v_{t+1}/(1 − β₂ᵗ⁺¹)) + ϵ), v_{t+1} with this step's gradient."""
    beta1 = _below_one("betas[0]", one_value("betas[0]", [_number(g, "betas", 0) for g in weights.groups]))
    decoupled = [bool(group.get("decoupled_weight_decay", False)) for group in weights.groups]
    coupled = [
        0.0 if own else lam for own, lam in zip(decoupled, weights.values("weight_decay"), strict=True)
    ]
    sizes = []
    for k, (tensor, group, state) in enumerate(
        zip(weights.tensors, weights.groups, weights.states, strict=True)
    ):
        beta2 = _below_one("betas[1]", _number(group, "betas", 1))
        step = float(state.get("step", 0)) + 1.0
        gradient = weights.gradients[k] + coupled[k] * tensor.detach() if coupled[k] else weights.gradients[k]
        square = (1.0 - beta2) * gradient * gradient
        if "exp_avg_sq" in state:
            square = square + beta2 * state["exp_avg_sq"]
        if group.get("amsgrad", False) and "max_exp_avg_sq" in state:
            square = square.maximum(state["max_exp_avg_sq"])
        root = (square / (1.0 - beta2**step)).sqrt() + _number(group, "eps")
        sizes.append((1.0 - beta1**step) * root)
    first = weights.groups[0]
    rates = weights.values("lr")
    ratios = _relative(rates)
    shrinkage = [
        ratio * lam if own else 0.0
        for own, ratio, lam in zip(decoupled, ratios, weights.values("weight_decay"), strict=True)
    ]
    return OptimizerReading(
        Adam(1.0, beta1, _number(first, "betas", 1), max(_number(first, "eps"), 1e-300)),
        max(rates),
        beta1,
        divided(weights.per_weight(ratios), weights.flat(sizes)),
        weights.per_weight(coupled),
        weights.per_weight(shrinkage),
        {
            "optimizer": "torch.optim.AdamW" if any(decoupled) else "torch.optim.Adam",
            "amsgrad": any(group.get("amsgrad", False) for group in weights.groups),
        },
    )


@reads("torch.optim.rmsprop.RMSprop")
def _rms_prop(weights: Weights) -> OptimizerReading:
    """Read RMSprop: P = √v_{t+1} + ϵ, v_{t+1} with this step's gradient, less its mean squared if centered."""
    momentum = _below_one("momentum", one_value("momentum", weights.values("momentum")))
    decay = weights.values("weight_decay")
    sizes = []
    for k, (tensor, group, state) in enumerate(
        zip(weights.tensors, weights.groups, weights.states, strict=True)
    ):
        alpha = _below_one("alpha", _number(group, "alpha"))
        gradient = weights.gradients[k] + decay[k] * tensor.detach() if decay[k] else weights.gradients[k]
        square = (1.0 - alpha) * gradient * gradient
        if "square_avg" in state:
            square = square + alpha * state["square_avg"]
        if group["centered"]:
            mean = (1.0 - alpha) * gradient
            if "grad_avg" in state:
                mean = mean + alpha * state["grad_avg"]
            square = (square - mean * mean).clamp(min=0.0)
        sizes.append(square.sqrt() + _number(group, "eps"))
    first, rates = weights.groups[0], weights.values("lr")
    return OptimizerReading(
        RMSProp(1.0, _number(first, "alpha"), max(_number(first, "eps"), 1e-300), momentum),
        max(rates),
        momentum,
        divided(weights.per_weight(_relative(rates)), weights.flat(sizes)),
        weights.per_weight(decay),
        settings={"optimizer": "torch.optim.RMSprop", "centered": any(g["centered"] for g in weights.groups)},
    )


@reads("torch.optim.adagrad.Adagrad")
def _adagrad(weights: Weights) -> OptimizerReading:
    """Read Adagrad: P = √(Σg²) + ϵ with this step's gradient, and η/(1 + t·lr_decay)."""
    decay = weights.values("weight_decay")
    sizes, rates = [], []
    for k, (tensor, group, state) in enumerate(
        zip(weights.tensors, weights.groups, weights.states, strict=True)
    ):
        gradient = weights.gradients[k] + decay[k] * tensor.detach() if decay[k] else weights.gradients[k]
        sizes.append((state["sum"] + gradient * gradient).sqrt() + _number(group, "eps"))
        rates.append(_number(group, "lr") / (1.0 + float(state["step"]) * _number(group, "lr_decay")))
    return OptimizerReading(
        HeavyBall(1.0),
        max(rates),
        0.0,
        divided(weights.per_weight(_relative(rates)), weights.flat(sizes)),
        weights.per_weight(decay),
        settings={"optimizer": "torch.optim.Adagrad"},
    )


def _number(group: dict[str, Any], name: str, place: int | None = None, at_least: float = 0.0) -> float:
    """Return a number of a group's, or the one at a place of a pair; a tensor of one number is one."""
    value = group[name]
    try:
        number = float(value if place is None else value[place])
    except (TypeError, ValueError, OverflowError, RuntimeError, IndexError, KeyError):
        number = np.nan
    if not (np.isfinite(number) and number >= at_least):
        kind = "two numbers >= 0" if place is not None else "a number" + " >= 0" * (at_least == 0.0)
        raise ValueError(f"optimizer's {name} must be {kind}, got {validation.shown(value)}")
    return number


def _below_one(name: str, value: float) -> float:
    if not value < 1:
        raise ValueError(f"optimizer's {name} must be below 1, got {value:g}")
    return value


def _relative(rates: Sequence[float]) -> list[float]:
    """Return learning rates divided by the largest; 1 where all are 0."""
    top = max(rates)
    return [lr / top if top > 0 else 1.0 for lr in rates]
