"""The transfer function of a linear rule, read from the rule alone.

A rule that is linear in weights, states and gradient is a system of matrices, whose entries are found from its terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final

from selfstab.kernels.terms import Term, named, term
from selfstab.transfer_functions import Transfer, of_matrices

_FUNCTIONS: Final[dict[str, Callable[..., float]]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "abs": abs,
    "pow": math.pow,
}
_COMPARISONS: Final = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class NonlinearError(NotImplementedError):
    """A rule that has no transfer function."""


def transfer_of(optimizer: Any, *, of_weights: bool = False) -> Transfer:
    """Return T of an optimizer at lr 1: from the gradient to where it is taken, or to the weights.

    Parameters
    ----------
    optimizer
        An :class:`selfstab.Optimizer`.
    of_weights
        Whether the weights follow, in place of the point at which the gradient is taken.

    Raises
    ------
    NotImplementedError
        If the rule is not linear in weights, states and gradient, or not proportional to lr, or changes with the step.
    """
    one = _transfer(optimizer, Fraction(1), of_weights)
    two = _transfer(optimizer, Fraction(2), of_weights)
    if two.denominator != one.denominator or two.numerator != tuple(2 * c for c in one.numerator):
        raise NonlinearError(
            f"the step of {type(optimizer).__name__} must be proportional to lr for a transfer function, and is not"
        )
    return one


def _transfer(optimizer: Any, lr: Fraction, of_weights: bool) -> Transfer:
    names = [named(name) for name in ("w", *optimizer.states)]
    gradient, rate, step = named("g"), named("lr"), named("t")
    own = tuple(names[1:])
    point = optimizer.gradient_point(names[0], own)
    after, following = optimizer.rule(names[0], own, gradient, rate, step)
    if len(following) != len(own):
        raise ValueError(
            f"rule of {type(optimizer).__name__} must return the states {', '.join(optimizer.states) or 'none'}, "
            f"got {len(following)} of them"
        )
    forms = _Forms(type(optimizer).__name__, [*names, gradient], {rate: lr}, step)
    rows = [forms.of(term(value)) for value in (after, *following)]
    shift = forms.of(term(point))
    output = [Fraction(int(k == 0)) for k in range(len(names))] if of_weights else list(shift[:-2])
    return of_matrices([list(row[:-2]) for row in rows], [row[-2] for row in rows], output)


class _Forms:
    """Terms as linear forms of some atoms: their coefficients, and last a constant."""

    def __init__(self, name: str, atoms: Sequence[Term], numbers: dict[Term, Fraction], step: Term) -> None:
        self._name, self._step, self._size = name, step, len(atoms) + 1
        self._forms = {atom: self._unit(k) for k, atom in enumerate(atoms)}
        self._forms |= {atom: self._constant(number) for atom, number in numbers.items()}

    def of(self, value: Term) -> tuple[Fraction, ...]:
        """Return the coefficients; the last, a constant, is 0."""
        form = self._form(value)
        if form[-1]:
            self._refuse("adds a constant to")
        return form

    def _unit(self, place: int) -> tuple[Fraction, ...]:
        return tuple(Fraction(int(k == place)) for k in range(self._size))

    def _constant(self, number: Fraction) -> tuple[Fraction, ...]:
        return tuple(number if k == self._size - 1 else Fraction(0) for k in range(self._size))

    def _refuse(self, what: str = "is not linear in") -> None:
        raise NonlinearError(
            f"the rule of {self._name} {what} weights, states and gradient: it has no transfer function"
        )

    def _form(self, value: Term) -> tuple[Fraction, ...]:
        if value not in self._forms:
            self._forms[value] = self._made(value)
        return self._forms[value]

    def _number(self, value: Term) -> Fraction:
        """Return a term's value, if it is a constant."""
        form = self._form(value)
        if any(form[:-1]):
            self._refuse()
        return form[-1]

    def _made(self, value: Term) -> tuple[Fraction, ...]:
        operation, parts = value.operation, value.parts
        if value is self._step:
            raise NonlinearError(
                f"the rule of {self._name} changes with the step: it has no transfer function"
            )
        if operation == "number":
            number = float(value.text)
            if not math.isfinite(number):
                self._refuse()
            return self._constant(Fraction(number))
        if operation in ("+", "-"):
            one, other = map(self._form, parts)
            sign = 1 if operation == "+" else -1
            return tuple(a + sign * b for a, b in zip(one, other, strict=True))
        if operation == "negative":
            return tuple(-a for a in self._form(parts[0]))
        if operation == "*":
            one, other = map(self._form, parts)
            if any(one[:-1]):
                one, other = other, one
            if any(one[:-1]):
                self._refuse()
            return tuple(one[-1] * b for b in other)
        if operation == "/":
            divisor = self._number(parts[1])
            if not divisor:
                self._refuse()
            return tuple(a / divisor for a in self._form(parts[0]))
        if operation == "choose":
            return self._form(parts[1] if self._holds(parts[0]) else parts[2])
        return self._constant(self._function(operation, parts))

    def _holds(self, condition: Term) -> bool:
        if condition.operation not in _COMPARISONS:
            self._refuse()
        return bool(_COMPARISONS[condition.operation](*map(self._number, condition.parts)))

    def _function(self, operation: str, parts: Sequence[Term]) -> Fraction:
        if operation not in _FUNCTIONS:
            self._refuse()
        numbers = [float(self._number(part)) for part in parts]
        try:
            return Fraction(_FUNCTIONS[operation](*numbers))
        except (ValueError, OverflowError):
            self._refuse()
            raise
