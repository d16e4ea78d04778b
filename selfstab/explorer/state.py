"""What the explorer looks at: a model and its start, the optimizer, and the axes of its diagrams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from selfstab import validation
from selfstab.explorer.numbers import numbers_of
from selfstab.explorer.scales import AXES, Axis
from selfstab.explorer.setups import (
    MODELS,
    STARTS,
    Setup,
    Start,
    StartKey,
    own_settings,
    setting_of,
    setup_of,
)
from selfstab.losses.symbolic.toy import SliderRange
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.registry import optimizer_named
from selfstab.optimizers.schedules import LinearWarmup
from selfstab.optimizers.settings import rule_fields_of, with_numbers

MOST_STEPS: Final = 20_000
"""Longest run: a diagram of such runs still takes seconds only."""

MEASURES: Final = ("phase", "overshoot")
"""What a phase diagram can show."""

_MOMENTA: Final = Axis("momentum", 0.0, 0.98)
_EXCESSES: Final = Axis("excess", 1e-3, 0.5)
_WARMUPS: Final = Axis("warmup", 1.0, 1000.0)


@dataclass(frozen=True)
class PageState:
    """Everything that the page lets one choose.

    Parameters
    ----------
    model
        A key of MODELS.
    settings
        The model's numbers by name, those not given at their defaults.
    formula, variables, at
        Of the model Formula: the loss, its weights' names separated by commas, and where runs start: numbers, or
        ``near`` and numbers for the minimum that Newton's steps find from there.
    momentum
        β in [0, 1), of an optimizer that has a number of this name.
    excess
        ε = S(start)/S* − 1 > −1, which sets the learning rate at the end of the warmup.
    warmup
        Its length in steps, from lr 0; 0: none.
    steps
        Number of updates of each run, 1 to 20 000.
    flip
        Runs start at the weights ± flip·u, u the top eigenvector there.
    across, up
        Axes of the phase diagram.
    orbit
        Axis of the orbit diagram.
    weight
        The weight that the orbit diagram shows; by default the model's own choice.
    method
        The optimizer's name.
    numbers
        Its numbers by name, other than the momentum; those not given at their defaults.
    texts
        The texts of its fields that decide which rule it is, by name; those not given are its examples.
    measure
        What the phase diagram shows: ``phase`` or ``overshoot``.

    Raises
    ------
    TypeError, ValueError
        If one of these is not in its range; the message names it.

    Examples
    --------
    >>> PageState(model="Product", momentum=0.5).with_axis("up", "lr").up.name
    'lr'
    """

    model: str = "CubicTaylor"
    settings: tuple[tuple[str, float], ...] = ()
    formula: str = "(tanh(u)*v - 1)**2/2"
    variables: str = "u,v"
    at: str = "near 0.5,2.2"
    momentum: float = 0.9
    excess: float = 0.02
    warmup: float = 0.0
    steps: int = 600
    flip: float = 1e-3
    across: Axis = _MOMENTA
    up: Axis = _EXCESSES
    orbit: Axis = _EXCESSES
    weight: str = ""
    method: str = "HeavyBall"
    numbers: tuple[tuple[str, float], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    measure: str = "phase"

    def __post_init__(self) -> None:
        validation.one_of("model", self.model, MODELS)
        validation.one_of("measure", self.measure, MEASURES)
        settings = dict(self.settings)
        own = {setting.name: setting for setting in self.own_settings}
        for name, value in settings.items():
            setting = own[validation.one_of("setting", name, own)]
            value = validation.real(setting.label, value, at_least=setting.low, at_most=setting.high)
            settings[name] = validation.whole(setting.label, value) if setting.whole else value
        object.__setattr__(self, "settings", tuple(sorted(settings.items())))
        if optimizer_named(self.method).preconditioner is not Optimizer.preconditioner:
            raise ValueError(
                "optimizer must have no preconditioner, since the explorer sets the excess of the Hessian's sharpness, "
                f"got {self.method}: use simulate or sweep"
            )
        ranges = optimizer_named(self.method).settings
        own_numbers = {
            validation.one_of("number", name, [number.name for number in self.own_numbers]): value
            for name, value in self.numbers
        }
        for name, value in own_numbers.items():
            own_numbers[name] = validation.real(name, value, **ranges[name.partition(".")[0]].bounds)
        object.__setattr__(self, "numbers", tuple(sorted(own_numbers.items())))
        rule_fields = rule_fields_of(optimizer_named(self.method))
        for name, text in self.texts:
            validation.one_of("text", name, rule_fields)
            if not isinstance(text, str) or len(text) > 2000:
                raise ValueError(
                    f"{name} must be a text of at most 2000 characters, got {validation.shown(text)}"
                )
        object.__setattr__(self, "texts", tuple(sorted(dict(self.texts).items())))
        if rule_fields:
            self._with_lr(1.0)
        for name, bounds in _BOUNDS.items():
            object.__setattr__(self, name, validation.real(name, getattr(self, name), **bounds))
        object.__setattr__(
            self, "steps", validation.integer("steps", self.steps, at_least=1, at_most=MOST_STEPS)
        )
        known = self.axis_names
        for word in ("across", "up", "orbit"):
            validation.one_of(f"axis {word}", getattr(self, word).name, known)
        if self.across.name == self.up.name:
            raise ValueError(
                f"the diagram's axes must be two, got {AXES.get(self.up.name, self.up.name)} twice"
            )

        if {self.across.name, self.up.name} == _RATE:
            raise ValueError(
                "the diagram's axes must not be both the learning rate and the excess, which sets it"
            )

    @property
    def own_settings(self) -> tuple[SliderRange, ...]:
        """The model's settings, the sharpness of its minimum among them."""
        return own_settings(self.model)

    def setting(self, name: str) -> float:
        """Return a setting of the model."""
        return setting_of(self.model, dict(self.settings), name)

    def with_setting(self, name: str, value: float) -> PageState:
        """Return the state with another value of one setting."""
        return replace(self, settings=tuple((dict(self.settings) | {name: value}).items()))

    @property
    def own_numbers(self) -> tuple[SliderRange, ...]:
        """The optimizer's numbers that have a slider, other than the momentum."""
        return numbers_of(optimizer_named(self.method))

    @property
    def has_momentum(self) -> bool:
        """Whether the optimizer has a number called momentum."""
        return "momentum" in optimizer_named(self.method).settings

    def number(self, name: str) -> float:
        """Return a number of the optimizer."""
        default = next(number.default for number in self.own_numbers if number.name == name)
        return dict(self.numbers).get(name, default)

    def with_number(self, name: str, value: float) -> PageState:
        """Return the state with another value of one number of the optimizer."""
        return replace(self, numbers=tuple((dict(self.numbers) | {name: value}).items()))

    @property
    def optimizer_texts(self) -> dict[str, str]:
        """The texts of the optimizer's fields that decide which rule it is, by name."""
        rule_fields = rule_fields_of(optimizer_named(self.method))
        return {name: known.example for name, known in rule_fields.items()} | dict(self.texts)

    def with_text(self, name: str, text: str) -> PageState:
        """Return the state with another text of one of the optimizer's fields."""
        return self.with_texts({name: text})

    def with_texts(self, texts: Mapping[str, str]) -> PageState:
        """Return the state with other texts of the optimizer's fields."""
        return replace(self, texts=tuple((dict(self.texts) | dict(texts)).items()))

    @property
    def optimizer_fields(self) -> dict[str, Any]:
        """All fields of the optimizer beside lr that the page sets, by name."""
        kind = optimizer_named(self.method)
        rule_fields = rule_fields_of(kind)
        texts = {name: rule_fields[name].read(name, text) for name, text in self.optimizer_texts.items()}
        return texts | with_numbers(self.optimizer_numbers, kind, kind.settings)

    def with_method(self, method: str) -> PageState:
        """Return the state of another optimizer, at its defaults, and of axes that it has."""
        kind = optimizer_named(method)
        axes = {which: getattr(self, which) for which in ("across", "up", "orbit")}
        known = _axis_names(self.model, kind)
        if any(axis.name not in known for axis in axes.values()):
            own = [Axis(number.name, number.low, number.high) for number in numbers_of(kind)]
            first = _MOMENTA if "momentum" in kind.settings else own[0] if own else _WARMUPS
            axes = {"across": first, "up": _EXCESSES, "orbit": _EXCESSES}
        return replace(self, method=method, numbers=(), texts=(), **axes)

    @property
    def axis_names(self) -> dict[str, str]:
        """What may be an axis, and how the page calls it."""
        return _axis_names(self.model, optimizer_named(self.method))

    def with_model(self, model: str) -> PageState:
        """Return the state of another model, at its defaults; warmup and flip stay."""
        preset = MODELS[validation.one_of("model", model, MODELS)]
        return PageState(
            model=model, formula=self.formula, variables=self.variables, at=self.at, momentum=preset.momentum,
            warmup=self.warmup, flip=self.flip, excess=preset.excess, steps=preset.steps, measure=self.measure,
        ).with_method(self.method)  # fmt: skip

    def with_axis(self, which: str, name: str) -> PageState:
        """Return the state with another axis, over its usual range.

        The two of the diagram change places at need; lr and excess do not stand together, the momentum does for one.
        """
        axis = self.usual_axis(name)
        other = {"across": "up", "up": "across"}.get(which)
        changed: dict[str, Axis] = {which: axis}
        if other is not None and getattr(self, other).name == name:
            changed = {which: getattr(self, other), other: getattr(self, which)}
        elif other is not None and {name, getattr(self, other).name} == _RATE:
            changed[other] = self.usual_axis("momentum")
        return replace(self, **changed)  # type: ignore[arg-type]

    def usual_axis(self, name: str) -> Axis:
        """Return the axis of a name over its usual range."""
        usual = {"momentum": _MOMENTA, "excess": _EXCESSES, "warmup": _WARMUPS}
        if name in usual:
            return usual[name]
        if name == "lr":
            critical = self._lr_at_threshold
            return Axis(name, float(f"{0.5 * critical:.3g}"), float(f"{2.0 * critical:.3g}"))
        setting = next(s for s in (*self.own_numbers, *MODELS[self.model].settings) if s.name == name)
        return Axis(name, setting.low, setting.high)

    def at_point(self, across: float, up: float) -> PageState:
        """Return the state at a place of the diagram, from 0 to 1 along both axes."""
        state = self
        for which, place in (("across", across), ("up", up)):
            axis = drawn_axis(self, getattr(self, which))
            state = state._with_value(axis.name, axis.value(place))
        return state

    def _with_value(self, name: str, value: float) -> PageState:
        if name == "lr":
            return replace(self, excess=value / self._lr_at_threshold - 1.0)
        if name in AXES:
            return replace(self, **{name: value})  # type: ignore[arg-type]
        if name in [number.name for number in self.own_numbers]:
            return self.with_number(name, value)
        return self.with_setting(name, value)

    def value_of(self, name: str) -> float:
        """Return the state's own value along an axis."""
        if name == "lr":
            return self.lr
        if name in AXES:
            return float(getattr(self, name))
        of_optimizer = name in [number.name for number in self.own_numbers]
        return self.number(name) if of_optimizer else self.setting(name)

    @property
    def _lr_at_threshold(self) -> float:
        return float(self._with_lr(1.0).at_excess(self.start.sharpness))

    @property
    def lr(self) -> float:
        """The learning rate at the end of the warmup, at which S(start) stands at the relative excess ε."""
        return float(self._with_lr(1.0).at_excess(self.start.sharpness, self.excess))

    @property
    def optimizer_numbers(self) -> dict[str, float]:
        """All numbers of the optimizer that the page sets, by name."""
        own = {"momentum": self.momentum} if self.has_momentum else {}
        return own | {number.name: self.number(number.name) for number in self.own_numbers}

    def _with_lr(self, lr: float | LinearWarmup) -> Optimizer:
        kind: Callable[..., Optimizer] = optimizer_named(self.method)
        return kind(lr, **self.optimizer_fields)

    def optimizer(self, *, ramp: bool | None = None) -> Optimizer:
        """Return the optimizer; with `ramp`, of a linear warmup even where there is none (of one step then)."""
        if self.warmup > 0.0 or ramp:
            return self._with_lr(LinearWarmup(0.0, self.lr, max(self.warmup, 1.0)))
        return self._with_lr(self.lr)

    @property
    def start(self) -> Start:
        """What is known of where runs start, worked out at need.

        Raises
        ------
        TypeError, ValueError
            As :meth:`setup`; also where another process works it out and has not said yet.
        """
        return STARTS.of(self.start_key)

    def setup(self) -> Setup:
        """Return the loss and where its runs start.

        Raises
        ------
        TypeError, ValueError
            If the formula is none, or the loss is not curved upwards at the start.
        """
        return setup_of(self.start_key)

    @property
    def start_key(self) -> StartKey:
        """What the start of runs depends on."""
        return self.model, self.settings, self.formula, self.variables, self.at, self.flip

    @property
    def shown_weight(self) -> str:
        """The weight that the orbit diagram shows."""
        names = self.start.weight_names
        return self.weight if self.weight in names else names[min(MODELS[self.model].weight, len(names) - 1)]


def _axis_names(model: str, kind: type[Optimizer]) -> dict[str, str]:
    of_every = {name: label for name, label in AXES.items() if name != "momentum" or name in kind.settings}
    own = {number.name: number.label for number in numbers_of(kind)}
    return of_every | own | {s.name: s.label for s in MODELS[model].settings if not s.whole}


_RATE: Final = {"lr", "excess"}

_BOUNDS: Final[dict[str, dict[str, float]]] = {
    "momentum": {"at_least": 0, "below": 1},
    "excess": {"above": -1},
    "warmup": {"at_least": 0},
    "flip": {"above": 0},
}


def drawn_axis(state: PageState, axis: Axis) -> Axis:
    """Return the axis that a diagram has: with a warmup, the learning rate at its end stands for the excess.

    A warmup ends at one learning rate for a whole row or column, whatever the momentum; an excess would not.
    """
    names = {state.across.name, state.up.name, axis.name}
    if axis.name != "excess" or not (state.warmup > 0.0 or "warmup" in names):
        return axis
    low, high = ((1.0 + end) * state._lr_at_threshold for end in (axis.low, axis.high))
    return Axis("lr", low, high)
