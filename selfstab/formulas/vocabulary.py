"""The functions that a formula may use: their names in text, what SymPy's stand for, their values for numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from selfstab.formulas import functions, kinks
from selfstab.formulas.functions import RealFunction
from selfstab.kernels import arithmetic

FUNCTIONS: Final[dict[str, Any]] = {
    "sqrt": sympy.sqrt, "exp": sympy.exp, "log": sympy.log, "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan,
    "asin": sympy.asin, "acos": sympy.acos, "atan": sympy.atan, "sinh": sympy.sinh, "cosh": sympy.cosh,
    "tanh": sympy.tanh, "asinh": sympy.asinh, "acosh": sympy.acosh, "atanh": sympy.atanh, "erf": sympy.erf,
    "Abs": kinks.Abs, "abs": kinks.Abs, "sign": kinks.sign, "Heaviside": lambda x, *_: kinks.Heaviside(x),
    "relu": kinks.relu, "Max": kinks.Max, "max": kinks.Max, "Min": kinks.Min, "min": kinks.Min,
    "softplus": functions.softplus, "sigmoid": functions.sigmoid, "logcosh": functions.logcosh,
    "log1p": functions.log1p, "expm1": functions.expm1, "erfc": functions.erfc, "sech": functions.sech,
    "csch": functions.csch, "coth": functions.coth, "logaddexp": functions.logaddexp,
    "logsumexp": functions.logsumexp,
    "sec": lambda x: 1 / sympy.cos(x), "csc": lambda x: 1 / sympy.sin(x),
    "cot": lambda x: sympy.cos(x) / sympy.sin(x), "ln": sympy.log, "log2": lambda x: sympy.log(x) / sympy.log(2),
    "log10": lambda x: sympy.log(x) / sympy.log(10), "exp2": lambda x: 2**x, "square": lambda x: x**2,
    "pow": lambda x, y: x**y,
}  # fmt: skip
"""Functions of text by name; `where` and `Piecewise`, whose arguments are conditions, are read beside them."""

COUNTS: Final[dict[str, tuple[int, float]]] = {
    "log": (1, 2), "Heaviside": (1, 2), "pow": (2, 2), "logaddexp": (2, 2),
    **dict.fromkeys(("Max", "max", "Min", "min", "logsumexp"), (1, math.inf)),
}  # fmt: skip
"""Least and most arguments of those that take others than one."""

CONSTANTS: Final = {
    "pi": sympy.pi, "E": sympy.E, "EulerGamma": sympy.EulerGamma, "Catalan": sympy.Catalan,
    "GoldenRatio": sympy.GoldenRatio, "TribonacciConstant": sympy.TribonacciConstant,
}  # fmt: skip

KNOWN: Final = (
    *(name for name in arithmetic.FUNCTIONS if name != "pow"),
    *(
        "Abs",
        "sign",
        "Heaviside",
        "Max",
        "Min",
        "Piecewise",
        "relu",
        "softplus",
        "sigmoid",
        "logcosh",
        "sech",
        "csch",
    ),
    *("coth", "sec", "csc", "cot"),
)
"""Functions of SymPy expressions, as messages list them."""

VALUES: Final[dict[str, Callable[..., float]]] = {
    **{name: getattr(math, name) for name in arithmetic.FUNCTIONS},
    "Abs": abs, "Max": max, "Min": min, "Add": lambda *a: math.fsum(a), "Mul": lambda *a: math.prod(a), "Pow": math.pow,
    "sign": lambda a: float(np.sign(a)), "Heaviside": lambda a, at_zero=0.5: float(np.heaviside(a, at_zero)),
    "relu": lambda a: max(a, 0.0), "where": lambda condition, yes, no: yes if condition >= 0 else no,
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "sigmoid": lambda a: (1.0 if a >= 0.0 else math.exp(a)) / (1.0 + math.exp(-abs(a))),
    "logcosh": lambda a: abs(a) - math.log(2.0) + math.log1p(math.exp(-2.0 * abs(a))),
    "sech": lambda a: 2.0 * math.exp(-abs(a)) / (1.0 + math.exp(-2.0 * abs(a))),
    "csch": lambda a: 2.0 * math.exp(-abs(a)) / math.copysign(-math.expm1(-2.0 * abs(a)), a),
    "coth": lambda a: 1.0 / math.tanh(a),
    "logaddexp": lambda *a: max(a) + math.log(math.fsum(math.exp(x - max(a)) for x in a)),
}  # fmt: skip
"""Values of constants by float arithmetic, by the name of the SymPy class."""
VALUES["logsumexp"] = VALUES["logaddexp"]

_BY_NAME: Final = frozenset({
    "softplus", "sigmoid", "logcosh", "log1p", "expm1", "relu", "erfc", "sech", "csch", "coth", "logaddexp",
    "logsumexp", "sec", "csc", "cot", "log2", "log10", "exp2",
})  # fmt: skip
"""Functions that are known by name whosever they are: SymPy lacks most of them."""


def is_known(node: Any) -> bool:
    """Say whether a node is a function that kernels know.

    Examples
    --------
    >>> x = sympy.Symbol("x", real=True)
    >>> is_known(sympy.tanh(x)), is_known(sympy.gamma(x))
    (True, False)
    """
    if isinstance(node, RealFunction):
        return True
    return (
        isinstance(node, sympy.Function)
        and type(node).__name__ in arithmetic.FUNCTIONS
        and not isinstance(node, AppliedUndef)
    )


def in_own_functions(expression: Any, symbols: Mapping[Any, Any] | None = None) -> Any:
    """Return a SymPy expression in the functions that kernels know where SymPy's differ, and in other symbols.

    Parameters
    ----------
    expression
        The expression.
    symbols
        What takes the place of a symbol.

    Raises
    ------
    ValueError
        If a Piecewise has a condition that is no comparison of sizes, or no last piece for what is left.

    Examples
    --------
    >>> x = sympy.Symbol("x", real=True)
    >>> in_own_functions(sympy.Piecewise((x, x > 1), (0, True)))
    where(x - 1 >= 0, x, 0)
    """
    symbols = symbols or {}
    if not any(_is_special(node) for node in sympy.preorder_traversal(expression)):
        return expression.xreplace(symbols)
    memory: dict[Any, Any] = dict(symbols)

    def rebuilt(node: Any) -> Any:
        if node in memory or not node.args:
            return memory.get(node, node)
        if isinstance(node, sympy.Piecewise):
            pieces = [(rebuilt(piece), condition) for piece, condition in node.args]
            out = _pieces(pieces, rebuilt)
        else:
            parts = [rebuilt(part) for part in node.args]
            name = type(node).__name__
            if type(node) in kinks.OF_SYMPY:
                out = kinks.OF_SYMPY[type(node)](*parts[: 1 if name == "Heaviside" else None])
            elif isinstance(node, sympy.Function) and name in _BY_NAME:
                least, most = COUNTS.get(name, (1, 1))
                if not least <= len(parts) <= most:
                    raise ValueError(f"expression must give {name} {_count(least, most)}, got {len(parts)}")
                out = FUNCTIONS[name](*parts)
            else:
                out = node.func(*parts)
        memory[node] = in_own_functions(out) if out != node and out.has(*kinks.OF_SYMPY) else out
        return memory[node]

    return rebuilt(expression)


def _count(least: int, most: float) -> str:
    """Return how many arguments a function takes, in words."""
    if least == most:
        return ("one argument", "two arguments", "three arguments")[least - 1]
    return f"{least} or more arguments" if most == math.inf else f"{least} or {most} arguments"


def check_count(name: str, arguments: int) -> None:
    """Raise ValueError if a function of text does not take this many arguments.

    Examples
    --------
    >>> check_count("exp", 2)
    Traceback (most recent call last):
        ...
    ValueError: exp takes one argument
    """
    least, most = COUNTS.get(name, (1, 1))
    if not least <= arguments <= most:
        raise ValueError(f"{name} takes {_count(least, most)}")


def _is_special(node: Any) -> bool:
    if isinstance(node, RealFunction):
        return False
    return isinstance(node, (*kinks.OF_SYMPY, sympy.Piecewise)) or (
        isinstance(node, sympy.Function) and type(node).__name__ in _BY_NAME
    )


Choice = Callable[[Any, Any], Any]
"""A condition as the function of what holds if it is true, and what holds if not."""


def compared(left: Any, relation: str, right: Any) -> Choice:
    """Return the choice by a comparison ``<``, ``<=``, ``>`` or ``>=``.

    Examples
    --------
    >>> x = sympy.Symbol("x", real=True)
    >>> compared(x, "<", 1)(x**2, 0)
    where(1 - x >= 0, x**2, 0)
    """
    difference = left - right if relation[0] == ">" else right - left
    if difference.is_zero:
        return lambda yes, no: yes if relation[-1] == "=" else no
    return lambda yes, no: kinks.where(difference, sympy.sympify(yes), sympy.sympify(no))


def as_choice(condition: Choice | bool) -> Choice:
    """Return the choice by a condition that may be a constant."""
    if isinstance(condition, bool):
        return (lambda yes, no: yes) if condition else (lambda yes, no: no)
    return condition


def both(one: Choice, other: Choice) -> Choice:
    """Return the choice by two conditions together."""
    return lambda yes, no: one(other(yes, no), no)


def either(one: Choice, other: Choice) -> Choice:
    """Return the choice by one condition or another."""
    return lambda yes, no: one(yes, other(yes, no))


def opposite(one: Choice) -> Choice:
    """Return the choice by a condition that does not hold."""
    return lambda yes, no: one(no, yes)


def pieces(parts: list[tuple[Any, Choice | bool]]) -> Any:
    """Return the first piece whose condition holds; ValueError if there may be none.

    Examples
    --------
    >>> x = sympy.Symbol("x", real=True)
    >>> pieces([(x**2, compared(x, ">", sympy.Integer(0))), (sympy.Integer(0), True)])
    where(x >= 0, x**2, 0)
    """
    ends = [k for k, (_, condition) in enumerate(parts) if condition is True]
    if not ends:
        raise ValueError("Piecewise needs a last pair with the condition True")
    out = parts[ends[0]][0]
    for piece, condition in reversed(parts[: ends[0]]):
        if callable(condition):
            out = condition(piece, out)
    return out


def _pieces(parts: list[tuple[Any, Any]], rebuilt: Callable[[Any], Any]) -> Any:
    def choice(condition: Any) -> Choice | bool:
        if condition in (sympy.true, sympy.false):
            return bool(condition)
        if isinstance(condition, sympy.core.relational.Relational) and condition.rel_op in (
            "<",
            "<=",
            ">",
            ">=",
        ):
            return compared(rebuilt(condition.lhs), condition.rel_op, rebuilt(condition.rhs))
        if isinstance(condition, (sympy.And, sympy.Or)):
            ordered = sorted(condition.args, key=sympy.default_sort_key)
            first, *others = (as_choice(choice(part)) for part in ordered)
            for other in others:
                first = both(first, other) if isinstance(condition, sympy.And) else either(first, other)
            return first
        if isinstance(condition, sympy.Not):
            return opposite(as_choice(choice(condition.args[0])))
        raise ValueError(
            f"expression must have conditions of <, <=, > and >=, got {type(condition).__name__}"
        )

    if not any(condition == sympy.true for _, condition in parts):
        raise ValueError(
            "expression must have a last piece with the condition True in its Piecewise, got none"
        )
    return pieces([(piece, choice(condition)) for piece, condition in parts])
