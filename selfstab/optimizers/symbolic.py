"""An optimizer that is written as equations, as a loss is written as a formula."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import numpy as np

from selfstab import validation
from selfstab.optimizers.arithmetic import where
from selfstab.optimizers.base import RESERVED, Optimizer
from selfstab.optimizers.settings import Setting, rule_field
from selfstab.validation import Array

_MOST_CHECKED: Final = 257
"""Of more values of an axis, so many spread along it are checked."""


class Numbers(Mapping[str, Any]):
    """Values by name, which never change."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._items = tuple(values.items())

    def __getitem__(self, name: str) -> Any:
        return dict(self._items)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items))

    def __repr__(self) -> str:
        return repr(dict(self._items))


class SymbolicOptimizer(Optimizer):
    """An optimizer written as equations: its update rule, one weight's step, in the order in which it is computed.

    An equation is NAME = EXPRESSION, and assigns the weight w, a state, or a name of its own. It reads w, the gradient
    g, the learning rate lr, states, parameters, and what was assigned before. In ``v = beta*v + g; w = w - lr*v`` the
    weight moves by the new v. Text is read by the whitelist of :class:`SymbolicLoss`, and never evaluated.

    Threshold, states of a flip and the numbers of catapults are derived from the equations. The threshold is that of
    the swing at z = −1, which must be the first root to leave the unit circle. A rule that is not linear in w, states
    and g must be smooth where states and gradient are 0. Its threshold is that of its linearization there; it has no
    transfer function, hence neither amplification nor inertia. Each value of an axis of sweeps is tried with the other
    parameters as they are.

    Parameters
    ----------
    lr
        Learning rate η per step: a number > 0 or a schedule such as :class:`LinearWarmup`. Steps are proportional to
        it.
    equations
        Text, equations separated by ``;`` or line ends, of ``+ - * / **``, sqrt, exp and log. Or a mapping of names or
        symbols to SymPy expressions or text, in its order.
    state_names
        What is remembered from step to step, each of the weights' shape: one text, or a sequence.
    parameters
        Value by name for each other symbol; their names are axes of sweeps.
    point
        Where the gradient is taken, in w, states and parameters.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind. If a symbol is undeclared, or a state is never assigned. If the equations
        are neither linear nor smooth at rest, or have no threshold at these parameters.

    Examples
    --------
    >>> rule = "v = beta*v + (1 - beta)*g; w = w - lr*((1 - nu)*g + nu*v)"
    >>> optimizer = SymbolicOptimizer(0.5, rule, "v", {"beta": 0.75, "nu": 0.5})
    >>> optimizer.max_stable_sharpness(), round(optimizer.amplification(), 12)
    (7.0, 1.75)
    >>> SymbolicOptimizer(0.5, "w = w - lr*g*k")
    Traceback (most recent call last):
        ...
    ValueError: equations: w must be a formula, got 'w - lr*g*k': column 10: unknown name 'k'; known are w, g, lr, ...
    """

    equations: str = rule_field(
        "text",
        "An update rule such as 'v = beta*v + g; w = w - lr*v', in w, g, lr, states, parameters.",
        example="v = beta*v + g; w = w - lr*v",
    )
    state_names: tuple[str, ...] = rule_field(
        "text", "What is remembered, such as u,v.", default=(), example="v"
    )
    parameters: Mapping[str, float] = rule_field(
        "settings",
        "NAME=VALUE,... of the equations.",
        default=Numbers({}),
        option="optimizer_parameters",
        example="beta=0.9",
    )
    point: str = rule_field(
        "text", "Where the gradient is taken, such as w+beta*v.", default="w", example="w"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        from selfstab.optimizers import equations

        if not isinstance(self.parameters, Mapping):
            raise TypeError(f"parameters must map names to values, got {validation.shown(self.parameters)}")
        states = equations.names_of("state_names", self.state_names)
        names = equations.names_of("parameters", list(self.parameters))
        if taken := sorted({*states} & {*names}):
            raise ValueError(f"parameters must not be called like a state, got {taken[0]}")
        for name in names:
            if name in RESERVED or hasattr(Optimizer, name):
                raise ValueError(f"parameters must not be called {name}: runs and sweeps use that name")
        values = {
            str(name): validation.real(f"parameters: {name}", value)
            for name, value in self.parameters.items()
        }
        text = equations.as_text(self.equations)
        point = str(self.point).strip()
        for field, value in (
            ("equations", text), ("state_names", states), ("parameters", Numbers(values)), ("point", point),
        ):  # fmt: skip
            object.__setattr__(self, field, value)
        equations.check_numbers(self._derived, values)

    @classmethod
    def formal(cls, **values: Any) -> Self:
        """Return an optimizer whose parameters are anything that has arithmetic, unchecked: terms or symbols."""
        own = ("lr", "equations", "state_names", "point")
        known = {name: values.pop(name) for name in own if name in values}
        parameters = Numbers({**values.pop("parameters", {}), **values})
        return super().formal(**known, parameters=parameters)

    @property
    def declared(self) -> Mapping[str, Setting]:
        """What is known of the parameters: their names."""
        return {name: Setting(long_name=name) for name in self.parameters}

    @property
    def numbers(self) -> dict[str, float]:
        """The parameters."""
        return dict(self.parameters)

    @property
    def flags(self) -> dict[str, Any]:
        """What decides which rule it is."""
        return {name: getattr(self, name) for name in ("equations", "state_names", "point")}

    @property
    def states(self) -> tuple[str, ...]:  # type: ignore[override]
        """The state names."""
        return self.state_names

    @property
    def displacement(self) -> str | None:  # type: ignore[override]
        """Name of the state that is w_t − w_{t−1}, if the equations make one so."""
        name: str | None = self._derived.displacement
        return name

    def with_numbers(self, values: Mapping[str, float]) -> Self:
        """Return the optimizer with other parameters, and an lr if one is named so."""
        from dataclasses import replace

        own = {name: value for name, value in values.items() if name != "lr"}
        changed: dict[str, Any] = {"lr": values["lr"]} if "lr" in values else {}
        return replace(self, parameters={**self.parameters, **own}, **changed)

    def matched(self, *args: Any, **numbers: Any) -> Self:
        """Return the optimizer of other parameters with the same threshold S*_t at every step."""
        return super().matched(*args, parameters={**self.parameters, **numbers})

    def check_axis(self, name: str, values: Array) -> None:
        """Raise ValueError where a value of a parameter leaves the equations without a threshold."""
        places = np.linspace(0, values.size - 1, min(values.size, _MOST_CHECKED)).astype(int)
        for value in values[places]:
            self.with_numbers({name: float(value)})

    @property
    def _read(self) -> Any:
        from selfstab.optimizers import equations

        return equations.read(self.equations, self.state_names, tuple(self.parameters), self.point)

    @property
    def _derived(self) -> Any:
        from selfstab.optimizers import equations

        return equations.derived(self._read)

    def rule(
        self, weights: Any, states: tuple[Any, ...], gradient: Any, lr: Any, step: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """Return the next weights and states, by the equations."""
        known = {"w": weights, "g": gradient, "lr": lr, **self.parameters}
        after = self._read.step(known | dict(zip(self.states, states, strict=True)))
        return after["w"], tuple(after[name] for name in self.states)

    def gradient_point(self, weights: Any, states: tuple[Any, ...]) -> Any:
        """Return where the gradient is taken."""
        if self.point == "w":
            return weights
        from selfstab.optimizers.equations import evaluated

        values = {"w": weights, **self.parameters, **dict(zip(self.states, states, strict=True))}
        return evaluated(self._read.point, values)

    def begin(self, start: Any, previous: Any, lr: Any) -> tuple[Any, ...]:
        """Return the states of a flip, as the equations have them; those that lr 0 does not decide are 0 there."""
        from selfstab.optimizers.equations import evaluated

        out = []
        values = {"lr": lr, **self.parameters}
        for mean, above, below in self._derived.start:
            if any(symbol.name == "lr" for symbol in below.free_symbols):
                safe = {**values, "lr": where(lr > 0.0, lr, 1.0)}
                share = where(lr > 0.0, evaluated(above, safe) / evaluated(below, safe), 0.0)
            else:
                share = evaluated(above, values) / evaluated(below, values)
            state = share * (start - previous)
            if mean != 0:
                state = evaluated(mean, values) * (0.5 * (start + previous)) + state
            out.append(state)
        return tuple(out)

    def threshold_fraction(self) -> tuple[Any, Any]:
        """Return a and b as SymPy derives them from the equations."""
        from selfstab.optimizers.equations import evaluated

        above, below = self._derived.threshold
        return evaluated(above, self.parameters), evaluated(below, self.parameters)
