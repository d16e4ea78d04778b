"""The contract of optimizers: a rule written once, read as numbers, as kernels' text and as algebra.

A subclass declares its numbers and its states, and writes down one weight's step in plain arithmetic. Called with
arrays it is the plain run. Called with terms it is the kernels' text. Called with SymPy's symbols it is what
derivations start from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Final, Self, dataclass_transform

import numpy as np

from selfstab import validation
from selfstab.former_names import takes_former_arguments
from selfstab.optimizers.response import LinearResponse
from selfstab.optimizers.schedules import Constant, Schedule, is_schedule, rates, refuse_several_rates, scaled
from selfstab.optimizers.settings import (
    Frozen,
    Setting,
    check_settings,
    frozen_dataclass,
    numbers_of,
    rule_field,
    setting,
    settings_of,
    with_numbers,
)
from selfstab.validation import Array

REGISTERED: dict[str, type[Optimizer]] = {}
"""Every optimizer that has been defined, by name; the unfinished among them, too."""

RESERVED: Final = ("excess", "noise", "start", "previous", "repeat", "seed", "step", "weight")
"""Names that sweeps give to other axes and dimensions."""


@dataclass_transform(frozen_default=True, field_specifiers=(setting, rule_field))
@dataclass(frozen=True)
class Optimizer(Frozen, LinearResponse, ABC):
    """A rule by which weights move: what a subclass defines, and what follows from it.

    A subclass becomes a frozen dataclass by itself (without a decorator). Everything knows it by its name:
    :func:`selfstab.sweep` and other functions, stores, the command line and the explorer. It defines

    - its numbers, as fields with :func:`selfstab.optimizers.setting`: each is an axis of sweeps, an option and a
      slider. Other fields, such as flags, decide which rule it is;
    - `states`, the names of what it remembers, each of the weights' shape; `displacement`, which of them is
      w_t − w_{t−1}, if one is;
    - :meth:`rule`, :meth:`begin` and :meth:`threshold_fraction`; :meth:`gradient_point`, where the gradient is not
      taken at the weights; and :meth:`preconditioner`, where each weight's gradients are divided by a number.

    These five are pure and made of ``+ − * /``, ``**`` and the functions of ``selfstab.optimizers`` (sqrt, exp, log,
    where). They read numbers as ``self.NAME`` and branch on flags only.

    Parameters
    ----------
    lr
        Learning rate η per step: a number > 0 or a schedule such as :class:`selfstab.LinearWarmup`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of its range.

    Examples
    --------
    Averaged momentum, v_{t+1} = β v_t + (1 − β) g, w_{t+1} = w_t − η v_{t+1}:

    >>> from selfstab.optimizers import setting, where
    >>> class Averaged(Optimizer):
    ...     momentum: float = setting(default=0.9, at_least=0, below=1)
    ...     states = ("average",)
    ...
    ...     def rule(self, weights, states, gradient, lr, step):
    ...         average = self.momentum * states[0] + (1.0 - self.momentum) * gradient
    ...         return weights - lr * average, (average,)
    ...
    ...     def begin(self, start, previous, lr):
    ...         # A warmup begins at lr 0, at which a displacement says nothing of the average.
    ...         return (where(lr > 0.0, (previous - start) / where(lr > 0.0, lr, 1.0), 0.0),)
    ...
    ...     def threshold_fraction(self):
    ...         return 2.0 * (1.0 + self.momentum), 1.0 - self.momentum
    >>> round(Averaged(lr=0.5).max_stable_sharpness(), 9)
    76.0
    """

    lr: float | Schedule

    states: ClassVar[tuple[str, ...]] = ()
    """Names of the states, each of the weights' shape; a property where their number depends on a field."""

    displacement: ClassVar[str | None] = None
    """Name of the state that is w_t − w_{t−1}, if one is; else runs carry it beside the states."""

    common_states: ClassVar[tuple[str, ...]] = ()
    """Names of those states that are one number for all weights, such as a bias correction: kernels step it once."""

    settings: ClassVar[Mapping[str, Setting]] = {}
    """The numbers beside lr, by name: ranges, names and units."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "update" in vars(cls):
            raise TypeError(
                f"{cls.__name__} must define rule, from which runs and kernels take the step, got update: "
                "see the tutorial on an optimizer of your own"
            )
        frozen_dataclass(cls)
        own = settings_of(cls)
        reserved = sorted(name for name in own if name in RESERVED or hasattr(Optimizer, name))
        if reserved:
            raise ValueError(
                f"{cls.__name__} must not call a number {reserved[0]}: runs and sweeps use that name"
            )
        # A class that a pickle makes again has no fields yet; it gets them after.
        cls.settings = {
            name: own.get(name, cls.settings.get(name, Setting())) for name in own or cls.settings
        }
        known = REGISTERED.get(cls.__name__)
        taken_by_ours = known is not None and known.__module__.startswith("selfstab.")
        # A user's optimizer of a name that selfstab has is known by its module, too.
        if taken_by_ours and known is not None and known.__module__ != cls.__module__:
            REGISTERED[f"{cls.__module__}.{cls.__qualname__}"] = cls
        else:
            REGISTERED[cls.__name__] = cls

    def __post_init__(self) -> None:
        if not is_schedule(self.lr):
            refuse_several_rates(self.lr)
            object.__setattr__(self, "lr", validation.real("lr", self.lr, above=0))
        check_settings(self)

    # -- what a subclass defines -----------------------------------------------------------------------------------

    @abstractmethod
    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the next weights and the next states, in the order of `states`.

        Parameters
        ----------
        weights, states
            w_t and the states at step t: arrays, terms or symbols.
        gradient
            ∇L at :meth:`gradient_point`.
        lr
            η_t.
        step
            t = 0, 1, ...
        """

    @abstractmethod
    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return the states at step 0, as a flip of constant size from `previous` to `start` leaves them.

        Parameters
        ----------
        start, previous
            w_0 and w_{−1}; equal for a start at rest.
        lr
            η_0, which a warmup may begin at 0.
        """

    @abstractmethod
    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return a and b of the threshold S* = a/(η b), the largest sharpness stable on a quadratic."""

    def gradient_point(self, weights: Any, states: tuple[Any, ...]) -> Any:
        """Return where the gradient is taken; by default at the weights."""
        return weights

    def preconditioner(self, states: tuple[Any, ...], gradient: Any, step: Any) -> Any:
        """Return P of each weight, by which the update t → t + 1 divides what it makes of gradients; None for none.

        Where an optimizer has one, its threshold is that of the preconditioned sharpness λ_max(P^{-1/2} H P^{-1/2}).

        Parameters
        ----------
        states, step
            As :meth:`rule` gets them.
        gradient
            ∇L at the weights, without noise.
        """
        return None

    @property
    def preconditions(self) -> bool:
        """Whether the class has a preconditioner: its threshold is that of the preconditioned sharpness."""
        return type(self).preconditioner is not Optimizer.preconditioner

    # -- its numbers -----------------------------------------------------------------------------------------------

    @property
    def declared(self) -> Mapping[str, Setting]:
        """What is known of the numbers beside lr, by name: the class's settings, unless each object has its own."""
        return self.settings

    def check_axis(self, name: str, values: Array) -> None:
        """Raise ValueError if a number must not have one of an axis's values, though its range has them."""

    @property
    def numbers(self) -> dict[str, float]:
        """The settings' values by the names of their axes; those of a tuple are name.0, name.1, ..."""
        return numbers_of(self, self.declared)

    @property
    def flags(self) -> dict[str, Any]:
        """The values of the fields that are no numbers, by name: they decide which rule it is."""
        others = (known.name for known in fields(self) if known.name != "lr")
        return {name: getattr(self, name) for name in others if name not in self.settings}

    def setting_of(self, name: str) -> Setting:
        """Return what is known of the number of this name."""
        return self.declared[name.partition(".")[0]]

    def with_numbers(self, values: Mapping[str, float]) -> Self:
        """Return the optimizer with other numbers, named as in `numbers`, and an lr if one is named so."""
        own = {name: value for name, value in values.items() if name != "lr"}
        changed = with_numbers(own, self, self.settings)
        if "lr" in values:
            changed["lr"] = values["lr"]
        return replace(self, **changed)

    @classmethod
    def formal(cls, **values: Any) -> Self:
        """Return an optimizer whose fields are anything that has arithmetic, unchecked: terms or symbols.

        Parameters
        ----------
        values
            By field; those left out have their defaults.

        Examples
        --------
        >>> import sympy
        >>> from selfstab.optimizers.heavy_ball import HeavyBall
        >>> w, v, g, eta, beta = sympy.symbols("w v g eta beta")
        >>> HeavyBall.formal(momentum=beta).rule(w, (v,), g, eta, 0)
        (beta*v - eta*g + w, (beta*v - eta*g,))
        """
        optimizer = object.__new__(cls)
        for known in fields(cls):
            object.__setattr__(optimizer, known.name, values.get(known.name, known.default))
        return optimizer

    @property
    def schedule(self) -> Schedule:
        """The learning rate as a schedule, a constant one if `lr` is a number."""
        return self.lr if isinstance(self.lr, Schedule) else Constant(self.lr)

    def rates(self, first: int, last: int) -> Array:
        """Return lr_t of the updates t = first, ..., last − 1; shape (last − first,), each finite and >= 0."""
        first = validation.integer("first", first, at_least=0, at_most=2**53)
        return rates(self.schedule, first, validation.integer("last", last, at_least=first, at_most=2**53))

    # -- its threshold ---------------------------------------------------------------------------------------------

    def max_stable_sharpness(self, step: int = 0) -> float:
        """Return S*, the largest sharpness stable on a quadratic, at update `step`.

        Parameters
        ----------
        step
            The update t → t + 1 whose lr counts; it matters for schedules only.

        Returns
        -------
        float
            In units of 1/lr; infinity where the schedule's lr is 0.

        Raises
        ------
        TypeError, ValueError
            If step is not an integer from 0 to 2⁵³.
        """
        step = validation.integer("step", step, at_least=0, at_most=2**53)
        return float(self.thresholds(step, step + 1)[0])

    def thresholds(self, first: int, last: int) -> Array:
        """Return S*_t for the updates t = first, ..., last − 1; shape (last − first,)."""
        return self.thresholds_of(self.rates(first, last))

    def thresholds_of(self, lr: Array | float) -> Array:
        """Return S* at each learning rate of an array, infinity where it is 0."""
        above, below = self.threshold_fraction()
        lr = np.asarray(lr)
        out = np.full(lr.shape, np.inf)
        # lr·b may underflow to 0, at which the threshold is beyond float64.
        with np.errstate(over="ignore", divide="ignore"):
            np.divide(above, lr * below, out=out, where=lr > 0)
        return out

    def at_excess(self, sharpness: Any, excess: Any = 0.0) -> Any:
        """Return the lr at which a sharpness has a relative excess: (1 + ε) a/(S b) with S* = a/(η b).

        Parameters
        ----------
        sharpness
            S > 0; numbers or arrays, which broadcast with `excess`.
        excess
            ε = S/S* − 1 > −1; 0 is the threshold.

        Returns
        -------
        float or array
            In units of 1/sharpness. This optimizer's own lr does not matter.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range.

        Examples
        --------
        >>> from selfstab.optimizers.heavy_ball import HeavyBall
        >>> round(HeavyBall(1.0, momentum=0.5).at_excess(sharpness=4.0, excess=0.1), 12)
        0.825
        """
        steepness = validation.broadcastable("sharpness", sharpness, above=0)
        relative = validation.broadcastable("excess", excess, above=-1)
        with np.errstate(all="ignore"):
            lr = rate_at_excess(self, steepness, relative)
        if not np.isfinite(lr).all():
            raise ValueError(
                "sharpness and excess must be those of an lr that float64 holds, got one beyond 1.8e308"
            )
        return float(lr) if np.ndim(lr) == 0 else lr

    def matched(self, *args: Any, **numbers: Any) -> Self:
        """Return the optimizer of other numbers with the same threshold S*_t at every step.

        Parameters
        ----------
        args, numbers
            The numbers that change, by name.

        Returns
        -------
        Optimizer
            Its lr is this one's times a constant; a schedule is scaled the same at every step.

        Raises
        ------
        TypeError, ValueError
            If a number is out of its range, or the schedule is of a class that cannot be scaled.
        """
        if args:
            raise TypeError(f"matched takes numbers by name, got {validation.shown(args)}")
        other = replace(self, **numbers)
        above, below = self.threshold_fraction()
        other_above, other_below = other.threshold_fraction()
        return replace(other, lr=scaled(self.lr, (other_above * below) / (above * other_below)))

    # -- a step of a run -------------------------------------------------------------------------------------------

    @takes_former_arguments(velocity="states")
    def update(
        self,
        weights: Array,
        states: Any,
        gradient: Callable[[Array], Array],
        lr: float,
        noise: Array | float = 0.0,
        step: int = 0,
    ) -> tuple[Array, Any]:
        """Return the next weights and states, all of the shape of `weights`.

        Parameters
        ----------
        weights
            w_t.
        states
            The state at step t; a tuple of them unless it is one.
        gradient
            The function w → ∇L(w); it is called once.
        lr
            η_t.
        noise
            Added to the gradient.
        step
            t.
        """
        single = len(self.states) == 1 and not isinstance(states, tuple)
        own = (states,) if single else tuple(states)
        force = gradient(self.gradient_point(weights, own)) + noise
        weights, own = self.rule(weights, own, force, lr, step)
        return weights, own[0] if single else own

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of what a run carries beside the weights: the displacement, called velocity, then the other states."""
        return ("velocity", *(name for name in self.states if name != self.displacement))

    def carried_at_start(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return what is carried, at step 0."""
        states = dict(zip(self.states, self.begin(start, previous, lr), strict=True))
        first = start - previous if self.displacement is None else states.pop(self.displacement)
        return (first, *states.values())

    def of_carried(self, carried: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the states, in their own order, out of what is carried."""
        others = carried[1:]
        if self.displacement is None:
            return others
        place = self.states.index(self.displacement)
        return (*others[:place], carried[0], *others[place:])

    @property
    def known_as(self) -> str:
        """Name of the optimizer whose rule this is: that of the class, among this one's and those above it."""
        return next(kind.__name__ for kind in type(self).__mro__ if "rule" in vars(kind))

    def advance(
        self, weights: Any, carried: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the next weights and what is carried, from the gradient at :meth:`gradient_point`."""
        after, states = self.rule(weights, self.of_carried(carried), gradient, lr, step)
        if len(states) != len(self.states):
            raise ValueError(
                f"rule of {type(self).__name__} must return the states {', '.join(self.states) or 'none'}, "
                f"got {len(states)} of them"
            )
        if self.displacement is None:
            return after, (after - weights, *states)
        place = self.states.index(self.displacement)
        return after, (states[place], *states[:place], *states[place + 1 :])


def rate_at_excess(optimizer: Optimizer, sharpness: Any, excess: Any) -> Any:
    """Return (1 + ε) a/(S b) of anything that has arithmetic; S* = a/(η b)."""
    above, below = optimizer.threshold_fraction()
    return (1.0 + excess) * above / (sharpness * below)
