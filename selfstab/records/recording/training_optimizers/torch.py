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
from selfstab.records.recording.training_optimizers.base import (
    OptimizerReading,
    divided,
    flip_gains,
    heavy_ball_of,
    per_weight,
    several_momenta,
)

_OTHER_RULES: Final = ("lookahead", "sam", "swa", "ema", "gradientaccumulation")
"""What wrappers are called that step otherwise than the optimizer they hold."""


_WITHOUT_THRESHOLD: Final = {
    "lion": "its step is the sign of a mean, which no sharpness makes stable",
    "sign": "its step is a sign, which no sharpness makes stable",
    "rprop": "its step is a sign, which no sharpness makes stable",
    "muon": "its step is a matrix of singular values 1, which no sharpness makes stable",
    "adafactor": "its update is clipped, and its squares are of rows and columns",
    "lamb": "each layer steps by the length of its weights",
    "lars": "each layer steps by the length of its weights",
    "schedulefree": "its gradients are between two sequences of weights, one of them an average of all steps",
    "adadelta": "its step is as long as its last ones, whatever the gradients",
    "asgd": "its weights are averaged over all steps",
    "lbfgs": "it has a Hessian of its own",
    "shampoo": "its preconditioner is a matrix",
    "soap": "its preconditioner is a matrix",
}
"""Why optimizers have no threshold here, by what their classes are called."""


@dataclass(frozen=True)
class Weights:
    """A torch optimizer's weights at one step: each tensor with its gradient, its group and its state."""

    tensors: Sequence[Any]
    gradients: Sequence[Any]
    groups: Sequence[dict[str, Any]]
    states: Sequence[dict[str, Any]]
    kind: str = ""
    """Of the optimizer: its class, without its module."""

    @property
    def sizes(self) -> list[int]:
        """Number of weights in each tensor."""
        return [tensor.numel() for tensor in self.tensors]

    @property
    def dtype(self) -> Any:
        """The precision in which factors are given: float32 for weights of no more."""
        return np.float64 if str(self.tensors[0].dtype) == "torch.float64" else np.float32

    def values(self, name: str, at_least: float = 0.0, default: float | None = None) -> list[float]:
        """Return a number of each tensor's group; the default where the group has none."""
        return [
            default if default is not None and name not in group else _number(group, name, at_least=at_least)
            for group in self.groups
        ]

    def momenta(self, name: str = "momentum", place: int | None = None) -> list[float]:
        """Return the momentum of each tensor's group, below 1."""
        shown = name if place is None else f"{name}[{place}]"
        return [_below_one(shown, _number(group, name, place)) for group in self.groups]

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
        One of torch.optim's that `READERS` holds, or what wraps one and steps as it does.
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
    kind = next(kind for kind in type(rule).__mro__ if _full_name(kind) in READERS).__name__
    reading = reader(Weights(tensors, [gradient.detach() for gradient in gradients], own, states, kind))
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
        why = next((f": {why}" for word, why in _WITHOUT_THRESHOLD.items() if word in shown.lower()), "")
        raise TypeError(
            f"optimizer must be one of torch.optim's {known}, or wrap one, got {shown}{why if others else ''}"
        )
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
    momenta = weights.momenta()
    ahead = [beta if g["nesterov"] else 0.0 for g, beta in zip(weights.groups, momenta, strict=True)]
    dampening = [
        value if beta else 0.0
        for value, beta in zip(weights.values("dampening", -np.inf), momenta, strict=True)
    ]
    if not all(value < 1 for value in dampening):
        raise ValueError(f"optimizer's dampening must be below 1, got {max(dampening):g}")
    rates = weights.values("lr")
    top, scale = flip_gains([lr * (1.0 - d) for lr, d in zip(rates, dampening, strict=True)], momenta, ahead)
    momentum, dampened = momenta[top], dampening[top]
    optimizer: Optimizer
    if dampened == 0.0:
        optimizer = HeavyBall(1.0, momentum, ahead[top])
    elif dampened == momentum:
        optimizer = AveragedHeavyBall(1.0, momentum)
    else:
        optimizer = LinearOptimizer(1.0, (1.0 - dampened, 0.0), (1.0, -1.0 - momentum, momentum))
    return OptimizerReading(
        optimizer,
        rates[top],
        momentum,
        weights.per_weight(scale),
        weights.per_weight(weights.values("weight_decay")),
        settings={
            "optimizer": "torch.optim.SGD",
            "dampening": dampened,
            "nesterov": ahead[top] > 0.0,
            **several_momenta(momenta),
        },
    )


@reads("torch.optim.adam.Adam", "torch.optim.adamw.AdamW", "torch.optim.sparse_adam.SparseAdam")
@reads("torch.optim.radam.RAdam", "torch.optim.nadam.NAdam", "torch.optim.adamax.Adamax")
def _adam(weights: Weights) -> OptimizerReading:
    """Read Adam and its kin: P = (1 − β₁ᵗ⁺¹) times the root of the mean square, with this step's gradient."""
    name = weights.kind
    momenta = weights.momenta("betas", 0)
    decays = weights.values("weight_decay", default=0.0)
    decoupled = [bool(group.get("decoupled_weight_decay", False)) for group in weights.groups]
    coupled = [0.0 if own else lam for own, lam in zip(decoupled, decays, strict=True)]
    rates, sizes, gains, ahead = weights.values("lr"), [], [], []
    for k, (group, state) in enumerate(zip(weights.groups, weights.states, strict=True)):
        step, beta1 = float(state.get("step", 0)) + 1.0, momenta[k]
        beta2 = _below_one("betas[1]", _number(group, "betas", 1))
        tensor, gradient = weights.tensors[k].detach(), weights.gradients[k]
        gradient = gradient + coupled[k] * tensor if coupled[k] else gradient
        root = _root_of_squares(name, gradient, group, state, step, beta2)
        if name == "NAdam":
            gain, own_ahead = _nadam(group, state, step, beta1)
            sizes.append(root)
        else:
            gain, own_ahead = 1.0 - beta1, 0.0
            sizes.append((1.0 - beta1**step) * root)
        gains.append(rates[k] * gain)
        ahead.append(own_ahead)
    top, scale = flip_gains(gains, momenta, ahead)
    first, lr, beta1 = weights.groups[top], rates[top], momenta[top]
    shrinkage = [
        (rate / lr if lr > 0 else 1.0) * lam if own else 0.0
        for own, rate, lam in zip(decoupled, rates, decays, strict=True)
    ]
    if name == "NAdam":  # heavy ball of lr η times its gain
        share = gains[top] / lr if lr > 0 else 1.0
        rule: Optimizer = HeavyBall(1.0, beta1, ahead[top])
        scale = [share * value for value in scale]
    else:
        rule = Adam(1.0, beta1, _number(first, "betas", 1), max(_number(first, "eps"), 1e-300))
    return OptimizerReading(
        rule,
        lr,
        beta1,
        divided(weights.per_weight(scale), weights.flat(sizes)),
        weights.per_weight(coupled),
        weights.per_weight(shrinkage),
        {
            "optimizer": "torch.optim." + ("AdamW" if name == "Adam" and any(decoupled) else name),
            "amsgrad": any(group.get("amsgrad", False) for group in weights.groups),
            **several_momenta(momenta),
        },
    )


def _root_of_squares(
    name: str, gradient: Any, group: dict[str, Any], state: dict[str, Any], step: float, beta2: float
) -> Any:
    """Return √(v_{t+1}/(1 − β₂ᵗ⁺¹)) + ϵ, or what the optimizer has in its place."""
    eps = _number(group, "eps")
    if name == "Adamax":
        largest = gradient.abs() + eps
        return largest.maximum(beta2 * state["exp_inf"]) if "exp_inf" in state else largest
    square = (1.0 - beta2) * gradient * gradient
    if "exp_avg_sq" in state:
        square = square + beta2 * state["exp_avg_sq"]
    if group.get("amsgrad", False) and "max_exp_avg_sq" in state:
        square = square.maximum(state["max_exp_avg_sq"])
    correction = 1.0 - beta2**step
    if name == "SparseAdam":
        return (square.sqrt() + eps) / correction**0.5
    if name == "RAdam":
        most = 2.0 / (1.0 - beta2) - 1.0
        length = most - 2.0 * step * beta2**step / correction
        if length <= 5.0:  # squares of too few gradients are left out
            return square.new_ones(square.shape)
        share = (length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length)
        return (square.sqrt() + eps) / (correction * share) ** 0.5
    return (square / correction).sqrt() + eps


def _nadam(group: dict[str, Any], state: dict[str, Any], step: float, beta1: float) -> tuple[float, float]:
    """Return lr (at 1) and lookahead of heavy ball that steps as NAdam does at this step."""
    decay = _number(group, "momentum_decay")
    now, next_ = (beta1 * (1.0 - 0.5 * 0.96 ** (t * decay)) for t in (step, step + 1.0))
    product = float(state.get("mu_product", 1.0)) * now
    of_mean = next_ / (1.0 - product * next_)
    of_gradient = (1.0 - now) / (1.0 - product) + of_mean * (1.0 - beta1)
    return heavy_ball_of(of_gradient, of_mean * beta1, beta1, 1.0 - beta1)


@reads("torch.optim.rmsprop.RMSprop")
def _rms_prop(weights: Weights) -> OptimizerReading:
    """Read RMSprop: P = √v_{t+1} + ϵ, v_{t+1} with this step's gradient, less its mean squared if centered."""
    momenta, decay = weights.momenta(), weights.values("weight_decay")
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
    rates = weights.values("lr")
    top, scale = flip_gains(rates, momenta, [0.0] * len(rates))
    first = weights.groups[top]
    return OptimizerReading(
        RMSProp(1.0, _number(first, "alpha"), max(_number(first, "eps"), 1e-300), momenta[top]),
        rates[top],
        momenta[top],
        divided(weights.per_weight(scale), weights.flat(sizes)),
        weights.per_weight(decay),
        settings={
            "optimizer": "torch.optim.RMSprop",
            "centered": any(g["centered"] for g in weights.groups),
            **several_momenta(momenta),
        },
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
