"""Models of the explorer, and where their runs start: the loss, the start, and the lines that make them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from selfstab.losses.base.named_loss import numbers
from selfstab.losses.base.starts import flip_start
from selfstab.losses.registry import REGISTRY, named_class
from selfstab.losses.symbolic.loss import SymbolicLoss
from selfstab.losses.symbolic.toy import Demonstration, SliderRange, Toy
from selfstab.validation import Array

FORMULA: Final = "Formula"
"""The model that is a text of the user's."""

MODELS: Final[Mapping[str, Demonstration]] = MappingProxyType({
    name: kind.demonstration
    for name, kind in ((name, named_class(name)) for name in REGISTRY)
    if issubclass(kind, Toy) and kind.demonstration is not None
} | {FORMULA: Demonstration("a formula of yours")})  # fmt: skip
"""What the explorer shows, by name: the toys that declare how, and a formula of the user's."""

_MOST_STARTS: Final = 256

FLAT: Final = 1e-8
"""A direction is flat where its curvature is below this share of the sharpness."""

StartKey = tuple[str, tuple[tuple[str, float], ...], str, str, str, float]
"""What the start of runs depends on: model, settings, formula, variables, start, flip."""


@dataclass(frozen=True)
class Start:
    """What the page needs of where runs start."""

    weight_names: tuple[str, ...]
    sharpness: float
    """There, the flip included."""


class Starts:
    """Starts by what they depend on, the newest 256.

    The page's server takes typed formulas from other processes: a formula may take for ever to differentiate.
    """

    def __init__(self) -> None:
        self.elsewhere = False
        """Whether starts of typed formulas come from other processes only."""
        self._known: OrderedDict[StartKey, Start] = OrderedDict()

    def knows(self, key: StartKey) -> bool:
        """Whether a start can be had here."""
        return key[0] != FORMULA or not self.elsewhere or key in self._known

    def learn(self, key: StartKey, start: Start) -> None:
        """Keep a start."""
        self._known[key] = start
        while len(self._known) > _MOST_STARTS:
            self._known.popitem(last=False)

    def of(self, key: StartKey) -> Start:
        """Return a start."""
        start = self._known.get(key)
        if start is None and not self.knows(key):
            raise ValueError("the formula is still being checked: wait for it, or type another")
        return start or setup_of(key).summary


STARTS: Final = Starts()


@dataclass(frozen=True)
class Setup:
    """A loss and where its runs start, with the lines that make them."""

    loss: SymbolicLoss
    loss_text: str
    weights: Array
    weights_text: str
    top: Array
    """Unit top eigenvector at the weights."""
    start: Array
    previous: Array
    sharpness: float
    """At the start, the flip included."""

    @property
    def summary(self) -> Start:
        """What the page needs of it."""
        return Start(tuple(self.loss.weight_names), self.sharpness)


@lru_cache(maxsize=_MOST_STARTS)
def setup_of(key: StartKey) -> Setup:
    """Return the setup of what it depends on."""
    model, settings, formula, variables, at, flip = key
    if model == FORMULA:
        names = [name.strip() for name in variables.split(",") if name.strip()]
        if not names:
            raise ValueError("variables must name the formula's weights, such as u,v")
        loss, loss_text = _of_formula(formula, tuple(names)), f"ss.SymbolicLoss({formula!r}, {names!r})"
        weights, weights_text = _formula_start(loss, at)
    else:
        loss, loss_text = _named(model, dict(settings))
        weights, weights_text = _named_start(model, dict(settings), loss)
    top = loss.sharpness(weights)
    if not (np.isfinite(top[0]) and top[0] > 0.0):
        raise ValueError(f"the loss must be curved upwards at the start, got sharpness {top[0]:.3g}")
    start, previous = flip_start(loss, weights, flip)
    sharpness = float(loss.sharpness(start)[0])
    if not (np.isfinite(sharpness) and sharpness > 0.0):
        raise ValueError(
            f"the loss must be curved upwards at the flipped start, got sharpness {sharpness:.3g}"
        )
    return Setup(loss, loss_text, weights, weights_text, top[1], start, previous, sharpness)


@lru_cache(maxsize=32)
def _of_formula(formula: str, names: tuple[str, ...]) -> SymbolicLoss:
    return SymbolicLoss(formula, names)


def own_settings(name: str) -> tuple[SliderRange, ...]:
    """Return a model's settings, the sharpness of its minimum among them."""
    model = MODELS[name]
    return (*model.settings, *([model.sharpness] if model.sharpness else []))


def setting_of(model: str, settings: Mapping[str, float], name: str) -> float:
    """Return a model's setting, its default where it is not among the settings."""
    default = next(setting.default for setting in own_settings(model) if setting.name == name)
    return settings.get(name, default)


def _named(name: str, settings: Mapping[str, float]) -> tuple[SymbolicLoss, str]:
    model = MODELS[name]
    kind: Any = named_class(name)
    parameters = dict(model.fixed) | {s.name: setting_of(name, settings, s.name) for s in model.settings}
    for setting in model.settings:
        if setting.whole:
            parameters[setting.name] = int(parameters[setting.name])
    inner = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
    return kind(**parameters), f"ss.{name}({inner})"


def _named_start(name: str, settings: Mapping[str, float], loss: SymbolicLoss) -> tuple[Array, str]:
    model, finder = MODELS[name], loss.minimum
    if model.start is not None:
        return np.array(model.start), f"np.array({list(model.start)!r})"
    if model.sharpness is None:
        return finder(), "loss.minimum()"  # type: ignore[call-arg]
    sharpness = setting_of(name, settings, "sharpness")
    return finder(sharpness=sharpness), f"loss.minimum(sharpness={sharpness!r})"  # type: ignore[call-arg]


def _formula_start(loss: SymbolicLoss, text: str) -> tuple[Array, str]:
    word, _, rest = text.strip().partition(" ")
    near = word == "near"
    point = numbers("start", rest if near else text)
    if point.size != loss.dimension:
        raise ValueError(f"start must have {loss.dimension} numbers, one for each weight, got {point.size}")
    code = f"np.array({point.tolist()!r})"
    return (loss.minimum(point), f"loss.minimum({code})") if near else (point, code)
