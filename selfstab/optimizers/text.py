"""An optimizer's rule as the kernels' text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from selfstab.kernels.terms import Term, assigned, named, sum_of, term, written
from selfstab.optimizers.base import Optimizer, rate_at_excess
from selfstab.optimizers.settings import Setting

_PLAIN = ("momentum", "lookahead")
"""Numbers whose names in kernels are their own; others begin with o_, so that they meet no other name."""


@dataclass(frozen=True)
class RuleText:
    """The text of one optimizer's update, whatever the values of its numbers.

    It is what :class:`selfstab.kernels.updates.UpdateText` says. Two optimizers that differ in numbers only have equal
    ones.

    Parameters
    ----------
    kind
        The optimizer's class.
    form
        Values of its fields that are no numbers, and the lengths of tuples of numbers, by name.
    declared
        What is known of its numbers, by name.
    absent
        Names of numbers that shift the gradient's point and are left out.
    """

    kind: type[Optimizer]
    form: tuple[tuple[str, Any], ...] = ()
    declared: tuple[tuple[str, Setting], ...] = ()
    absent: tuple[str, ...] = ()

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Names of the numbers, as axes have them."""
        lengths = dict(self.form)
        names: list[str] = []
        for name, known in self.declared:
            if name not in self.absent:
                names += [f"{name}.{k}" for k in range(lengths[name])] if known.several else [name]
        return tuple(names)

    @cached_property
    def setting_rows(self) -> tuple[str, ...]:
        """The numbers' names in a kernel."""
        return tuple(name if name in _PLAIN else f"o_{name.replace('.', '_')}" for name in self.settings)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of what is carried, in a kernel: velocity, the displacement, then state1, state2, ..."""
        return ("velocity", *(f"state{k}" for k in range(1, len(self._traced.carried))))

    @cached_property
    def depends_on_step(self) -> bool:
        """Whether the rule reads the step."""
        step = named("t")
        return any(_reads(value, step) for value in self._results(step=step))

    @cached_property
    def common(self) -> tuple[int, ...]:
        """Which of the states are one number for all weights."""
        carried = self._traced.carried
        return tuple(k for k, name in enumerate(carried) if name in self.kind.common_states)

    @property
    def preconditions(self) -> bool:
        """Whether it has a preconditioner, and a threshold of the preconditioned sharpness."""
        return self._traced.preconditions

    def rows(self, state: int, weights: Sequence[str]) -> list[str]:
        """Return the names of one state of each weight."""
        return [("v" if state == 0 else f"state{state}") + w[1:] for w in weights]

    @cached_property
    def _traced(self) -> Optimizer:
        return self._formal(self.absent)

    def _formal(self, absent: Sequence[str]) -> Optimizer:
        form, values = dict(self.form), dict[str, Any]()
        rows = dict(zip(self.settings, map(named, self.setting_rows), strict=True))
        for name, known in self.declared:
            if name in absent:
                values[name] = 0.0
            elif known.shifts_gradient:
                values[name] = named(rows[name].text, nonzero=True)
            elif known.several:
                values[name] = tuple(rows[f"{name}.{k}"] for k in range(form.pop(name)))
            else:
                values[name] = rows[name]
        return self.kind.formal(**(form | values))

    def begin(self, start: str, previous: str) -> tuple[list[str], bool]:
        """Return the texts of a weight's states at step 0, and whether they read lr."""
        lr = named("lr")
        # Plain operations: a run's states begin as NumPy computes them.
        values = [term(v) for v in self._traced.carried_at_start(named(start), named(previous), lr)]
        return [written(value) for value in values], any(_reads(value, lr) for value in values)

    def point(self, weight: str, states: Sequence[str]) -> str | None:
        """Return the text of where the gradient is taken, or None if at the weight."""
        return self._point(self._traced, weight, states)

    @staticmethod
    def _point(optimizer: Optimizer, weight: str, states: Sequence[str]) -> str | None:
        at = named(weight)
        point = optimizer.gradient_point(at, optimizer.of_carried(tuple(map(named, states))))
        return None if point is at else written(term(point), fused=True)

    def conditional_point(self, weight: str, states: Sequence[str]) -> str:
        """Return the same for a kernel in which a setting may be 0 and then leaves the gradient at the weight."""
        point = self.point(weight, states) or weight
        shifts = [name for name, known in self.declared if known.shifts_gradient]
        if not shifts:
            return point
        rows = dict(zip(self.settings, self.setting_rows, strict=True))
        condition = " | ".join(f"({rows[name]} > 0.0)" for name in shifts)
        condition = condition[1:-1] if len(shifts) == 1 else condition
        otherwise = self._point(self._formal(shifts), weight, states) or weight
        return f"choose({condition}, {point}, {otherwise})"

    def step(
        self,
        weight: str,
        states: Sequence[str],
        force: str,
        *,
        lr: str,
        step: str = "t",
        prefix: str,
    ) -> list[str]:
        """Return the lines that give next_NAME of each state and of the weight."""
        # As a sum: the text is written in parentheses wherever it is multiplied or divided.
        gradient = sum_of(force)
        after, *carried = self._results(weight, states, gradient, named(lr), named(step))
        return assigned([f"next_{name}" for name in (*states, weight)], [*carried, after], prefix)

    def preconditioner(
        self, states: Sequence[str], gradient: str, *, name: str, step: str = "t", prefix: str
    ) -> list[str]:
        """Return the lines that give `name` the preconditioner of one weight."""
        optimizer = self._traced
        own = optimizer.of_carried(tuple(map(named, states)))
        return assigned([name], [term(optimizer.preconditioner(own, sum_of(gradient), named(step)))], prefix)

    def _results(
        self,
        weight: str = "w",
        states: Sequence[str] = (),
        gradient: Term | None = None,
        lr: Term | None = None,
        step: Term | None = None,
    ) -> list[Term]:
        optimizer = self._traced
        own = tuple(map(named, states or optimizer.carried))
        after, carried = optimizer.advance(
            named(weight),
            own,
            named("g") if gradient is None else gradient,
            named("lr") if lr is None else lr,
            named("t") if step is None else step,
        )
        return [term(after), *map(term, carried)]

    def threshold(self, lr: str) -> str:
        """Return the text of S* at a learning rate."""
        above, below = self._traced.threshold_fraction()
        return written(term(above) / (named(lr) * below))

    def rate_at_excess(self, sharpness: str, excess: str) -> str:
        """Return the text of the lr at which a sharpness stands at a relative excess."""
        return written(term(rate_at_excess(self._traced, named(sharpness), named(excess))))


def rule_text(optimizer: Optimizer, axes: Sequence[str] | None = None) -> RuleText:
    """Return the text of an optimizer's update.

    Parameters
    ----------
    optimizer
        The optimizer.
    axes
        Names of numbers that vary: the others that shift the gradient's point are left out where they are 0. By default
        all are in.
    """
    settings = optimizer.declared
    form = [*optimizer.flags.items()]
    form += [(name, len(getattr(optimizer, name))) for name, known in settings.items() if known.several]
    absent = [
        name
        for name, known in settings.items()
        if known.shifts_gradient and axes is not None and name not in axes and getattr(optimizer, name) == 0.0
    ]
    return RuleText(type(optimizer), tuple(form), tuple(settings.items()), tuple(absent))


def _reads(value: Term, atom: Term) -> bool:
    return value is atom or any(_reads(part, atom) for part in value.parts)
