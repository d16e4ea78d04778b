"""Arithmetic that writes itself down: a formula called with terms becomes lines of a kernel.

A formula of ``+ − * /``, ``**`` and the functions below is written once, for anything that has arithmetic. Called with
NumPy arrays it computes, called with SymPy symbols it derives, and called with terms it is recorded here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

_SUM, _PRODUCT, _SIGN, _ATOM = range(4)
"""How strongly a text binds."""

_COMPARISON: Final = -1


@dataclass(frozen=True, eq=False)
class Term:
    """A node of a recorded formula: an operation and what it is taken of, or an atom's text."""

    operation: str
    parts: tuple[Term, ...] = ()
    text: str = ""
    binding: int = _ATOM
    """Of an atom's text."""
    nonzero: bool = False
    """Whether it stands for a number that is not 0."""

    def __bool__(self) -> bool:
        if not self.nonzero:
            raise TypeError(
                "a formula for kernels must not branch on its numbers: use where(condition, yes, no)"
            )
        return True

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        raise TypeError(
            "a formula for kernels must not compare its numbers for equality: use where(step < 1, yes, no) or the like"
        )

    __hash__ = object.__hash__

    def __add__(self, other: Operand) -> Term:
        return Term("+", (self, term(other)))

    def __radd__(self, other: Operand) -> Term:
        return Term("+", (term(other), self))

    def __sub__(self, other: Operand) -> Term:
        return Term("-", (self, term(other)))

    def __rsub__(self, other: Operand) -> Term:
        return Term("-", (term(other), self))

    def __mul__(self, other: Operand) -> Term:
        return _product(self, term(other))

    def __rmul__(self, other: Operand) -> Term:
        return _product(term(other), self)

    def __truediv__(self, other: Operand) -> Term:
        return Term("/", (self, term(other)))

    def __rtruediv__(self, other: Operand) -> Term:
        return Term("/", (term(other), self))

    def __pow__(self, exponent: Operand) -> Term:
        if isinstance(exponent, int) and 1 <= exponent <= 8:
            power = self
            for _ in range(exponent - 1):
                power = power * self
            return power
        return Term("pow", (self, term(exponent)))

    def __rpow__(self, base: Operand) -> Term:
        return Term("pow", (term(base), self))

    def __neg__(self) -> Term:
        return _negative(self)

    def __abs__(self) -> Term:
        return Term("abs", (self,))

    def __lt__(self, other: Operand) -> Term:
        return Term("<", (self, term(other)))

    def __le__(self, other: Operand) -> Term:
        return Term("<=", (self, term(other)))

    def __gt__(self, other: Operand) -> Term:
        return Term(">", (self, term(other)))

    def __ge__(self, other: Operand) -> Term:
        return Term(">=", (self, term(other)))

    __array_ufunc__ = None
    """NumPy leaves arithmetic with a term to the term."""


Operand: TypeAlias = "Term | float"


def named(text: str, *, nonzero: bool = False) -> Term:
    """Return a term that is a name, or another text that needs no parentheses."""
    return Term("", text=text, nonzero=nonzero)


def sum_of(text: str) -> Term:
    """Return a term whose text is a sum."""
    return Term("", text=text, binding=_SUM)


def term(value: Operand) -> Term:
    """Return a value as a term.

    Raises
    ------
    TypeError
        If it is neither a term nor a real number: a kernel knows nothing else.
    """
    if isinstance(value, Term):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        number = float(value)
        if math.isnan(number) or math.isinf(number):
            text = "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
        else:
            text = repr(number)
        return Term("number", text=text, binding=_SIGN if text.startswith("-") else _ATOM)
    raise TypeError(f"a formula for kernels must be of terms and real numbers, got {value!r}")


def _product(left: Term, right: Term) -> Term:
    # One times a number is that number, to the bit.
    if left.operation == "number" and left.text == "1.0":
        return right
    if right.operation == "number" and right.text == "1.0":
        return left
    return Term("*", (left, right))


def _negative(value: Term) -> Term:
    if value.operation == "number":
        return term(-float(value.text))
    if value.operation == "*":
        return Term("*", (_negative(value.parts[0]), value.parts[1]))
    return Term("negative", (value,))


def _function(name: str, sympy_name: str) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        if isinstance(x, Term):
            return Term(name, (x,))
        if hasattr(x, "free_symbols"):
            import sympy

            return getattr(sympy, sympy_name)(x)
        return getattr(np, name)(x)

    function.__name__ = name
    function.__doc__ = f"""Return {name}(x) of an array, a SymPy expression or a term."""
    return function


sqrt: Final = _function("sqrt", "sqrt")
exp: Final = _function("exp", "exp")
log: Final = _function("log", "log")


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where a comparison holds, else `no`: of arrays, SymPy expressions or terms.

    Examples
    --------
    >>> where(np.array([1.0, -1.0]) > 0.0, 2.0, 0.0)
    array([2., 0.])
    """
    if isinstance(condition, Term):
        return Term("choose", (condition, term(yes), term(no)))
    if any(hasattr(x, "free_symbols") for x in (condition, yes, no)):
        import sympy

        return sympy.Piecewise((yes, condition), (no, True))
    return np.where(condition, yes, no)


def _is_power_of_two(value: Term) -> bool:
    return value.operation == "number" and abs(math.frexp(float(value.text))[0]) == 0.5


class Lines:
    """Writes terms as lines of source; a term that is used more than once gets a name.

    Parameters
    ----------
    prefix
        Begins the names of temporaries.
    fused
        Whether a product that enters a sum does so by fma, rounded once.
    """

    def __init__(self, prefix: str, *, fused: bool = True) -> None:
        self.lines: list[str] = []
        self._prefix, self._fused = prefix, fused
        self._names: dict[Term, str] = {}
        self._uses: dict[Term, int] = {}
        self._results: dict[Term, str] = {}
        self._temporaries = 0

    def assign(self, results: Mapping[str, Term] | Iterable[tuple[str, Term]]) -> list[str]:
        """Return the lines that give the results their names; a result may use another."""
        results = dict(results)
        for value in results.values():
            self._count(value)
        for name, value in results.items():
            self._results.setdefault(value, name)
        for name, value in results.items():
            text = self._text(value)[0]
            if self._names.get(value) != name:
                self.lines.append(f"{name} = {text}")
        return self.lines

    def _count(self, value: Term) -> None:
        self._uses[value] = self._uses.get(value, 0) + 1
        if self._uses[value] == 1:
            for part in value.parts:
                self._count(part)

    def _text(self, value: Term) -> tuple[str, int]:
        """Return the text of a term and how strongly it binds."""
        if value in self._names:
            return self._names[value], _ATOM
        plain = value.operation == "number" or (not value.operation and value.binding == _ATOM)
        if value in self._results or (self._uses.get(value, 0) > 1 and not plain):
            text, _ = self._rendered(value)
            if value in self._results:
                name = self._results[value]
            else:
                name = f"{self._prefix}{self._temporaries}"
                self._temporaries += 1
            self.lines.append(f"{name} = {text}")
            self._names[value] = name
            return name, _ATOM
        return self._rendered(value)

    def _within(self, value: Term, least: int) -> str:
        """Return the text of a term inside another, in parentheses unless it binds at least so strongly."""
        text, binding = self._text(value)
        return text if binding >= least else f"({text})"

    def _rendered(self, value: Term) -> tuple[str, int]:
        operation, parts = value.operation, value.parts
        if not parts:
            return value.text, value.binding
        if operation in ("+", "-"):
            return self._sum(operation, *parts)
        if operation == "*":
            return f"{self._within(parts[0], _PRODUCT)} * {self._within(parts[1], _SIGN)}", _PRODUCT
        if operation == "/":
            return f"{self._within(parts[0], _PRODUCT)} / ({self._within(parts[1], _COMPARISON)})", _PRODUCT
        if operation == "negative":
            return f"-{self._within(parts[0], _ATOM)}", _SIGN
        if operation in ("<", "<=", ">", ">="):
            return f"{self._within(parts[0], _SUM)} {operation} {self._within(parts[1], _SUM)}", _COMPARISON
        return f"{operation}({', '.join(self._within(part, _COMPARISON) for part in parts)})", _ATOM

    def _sum(self, sign: str, left: Term, right: Term) -> tuple[str, int]:
        if self._enters_fused(right):
            first, second = right.parts
            first = _negative(first) if sign == "-" else first
            return self._fma(first, second, left)
        if self._enters_fused(left):
            first, second = left.parts
            return self._fma(first, second, right if sign == "+" else _negative(right))
        return f"{self._within(left, _SUM)} {sign} {self._within(right, _PRODUCT)}", _SUM

    def _enters_fused(self, value: Term) -> bool:
        # A product with a power of two is exact: nothing is gained. One that has a name is not computed again.
        named_already = value in self._results or self._uses.get(value, 0) > 1
        return (
            self._fused
            and value.operation == "*"
            and not named_already
            and not any(_is_power_of_two(part) for part in value.parts)
        )

    def _fma(self, a: Term, b: Term, c: Term) -> tuple[str, int]:
        return f"fma({', '.join(self._within(part, _COMPARISON) for part in (a, b, c))})", _ATOM


def written(value: Term, *, fused: bool = False) -> str:
    """Return a term as one expression.

    Examples
    --------
    >>> a, b, c = map(named, "abc")
    >>> written(a * b - c * (a + 1.0), fused=True), written(2.0 * (1.0 + a) / (b * c))
    ('fma(-c, a + 1.0, a * b)', '2.0 * (1.0 + a) / (b * c)')
    """
    lines = Lines("", fused=fused)
    text, _ = lines._rendered(value)
    return text


def assigned(names: Sequence[str], values: Sequence[Term], prefix: str) -> list[str]:
    """Return lines that give each value its name, products in sums fused; temporaries begin with `prefix`.

    Examples
    --------
    >>> w, v, g, lr, beta = map(named, ["w", "v", "g", "lr", "beta"])
    >>> velocity = beta * v - lr * g
    >>> assigned(["next_v", "next_w"], [velocity, w + velocity], "part")
    ['next_v = fma(-lr, g, beta * v)', 'next_w = w + next_v']
    """
    return Lines(prefix).assign(dict(zip(names, values, strict=True)))
