"""Text to SymPy by a whitelist: numbers, names, + − * / ** and the known functions; nothing is ever evaluated."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import sympy

from selfstab.formulas import conditions, vocabulary
from selfstab.formulas.size import LARGEST, check_nodes
from selfstab.formulas.vocabulary import (
    CONSTANTS,
    FUNCTIONS,
    KNOWN,
    VALUES,
    in_own_functions,
    is_known,
)
from selfstab.validation import known_names, like, shown

LONGEST: Final = 2000
DEEPEST: Final = 60
LARGEST_POWER: Final = 64
LARGEST_NUMBER: Final = 10**300

_ARITHMETIC: Final = (sympy.Symbol, sympy.NumberSymbol, sympy.Add, sympy.Mul)
_CONSTANT: Final = (
    "have a real value of magnitude at most 1e300 and at least 2.3e-308, or 0, and so must their parts"
)
_NEVER_ZERO: Final = ("exp", "erfc", "sech", "sigmoid", "softplus")
_FUNCTIONS_PAGE: Final = "the manual's page 'Your own loss, in SymPy'"
_NO_VALUE: Final = (ValueError, OverflowError, ZeroDivisionError, KeyError)
_REMARKABLE: Final = re.compile(r"\\|(?<!\w)\.?\d[\w.]*(and|else|for|if|in|is|not|or)", re.ASCII)
"""What Python's parser warns of: backslashes, and words that follow a number without a space."""
_OPERATORS: Final[dict[type[ast.operator], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def checked(expression: sympy.Expr, limit: int = LARGEST) -> sympy.Expr:
    """Return the expression with its powers in exact form, if it is one that kernels can compute.

    Its parts may be at most `limit`.

    Raises
    ------
    ValueError
        If a number, a constant part or a power is too large, or something is not real and finite. If a function or a
        construct is not known, or the expression is too long.

    Examples
    --------
    >>> checked(sympy.Symbol("u") ** 2.0)
    u**2
    """
    check_nodes(expression, limit)
    expression = in_own_functions(expression)
    nodes = [*sympy.preorder_traversal(expression)]
    for node in nodes:
        if node in (sympy.I, sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
            raise ValueError(f"expression must be real and finite, got {node}")
        if isinstance(node, sympy.Number):
            if max(abs(node), getattr(node, "q", 1)) > LARGEST_NUMBER:
                raise ValueError(
                    "expression must have numbers of magnitude at most 1e300, numerators and denominators too, got "
                    + shown(node)
                )
        elif not (isinstance(node, (*_ARITHMETIC, sympy.Pow)) or is_known(node)):
            raise ValueError(
                f"expression must be built of + - * / ** and {', '.join(KNOWN)}, got {type(node).__name__}"
            )
    # Before SymPy compares any of them: it may take for ever over constants that no float64 holds.
    try:
        _value(expression)
    except _ConstantError as error:
        raise ValueError(
            f"expression must be real and finite: its constants must {_CONSTANT}, got {error}"
        ) from None
    for node in nodes:
        if node.is_real is False:
            raise ValueError(f"expression must be real and finite, got {node}")
        if isinstance(node, sympy.Pow) and abs(_value(node.exp) or 0.0) > LARGEST_POWER:
            raise ValueError(f"expression must have powers of magnitude at most {LARGEST_POWER}")
    return expression.replace(
        lambda node: node.is_Pow and node.exp.is_Float and node.exp == int(2 * node.exp) / 2,
        lambda node: sympy.Pow(node.base, sympy.Rational(int(2 * node.exp), 2)),
    )


class _ConstantError(ValueError):
    """A constant that has no value, as text."""


@lru_cache(maxsize=2**14)
def _value(node: sympy.Basic) -> float | None:
    """Return a constant's value by float arithmetic, or None for what holds a symbol.

    Any constant within `node` that overflows, underflows or is not real raises _ConstantError: SymPy may take for ever
    to compare it.
    """
    if isinstance(node, sympy.Symbol):
        return None
    is_number = isinstance(node, (sympy.Number, sympy.NumberSymbol))
    parts = [] if is_number else [_value(part) for part in node.args]
    values = [part for part in parts if part is not None]
    if len(values) < len(parts):
        return None
    try:
        value = float(node) if is_number else VALUES[type(node).__name__](*values)
    except _NO_VALUE:
        raise _ConstantError(shown(node)) from None
    if not abs(value) <= LARGEST_NUMBER or (
        abs(value) < sys.float_info.min and _underflows(node, value, values)
    ):
        raise _ConstantError(f"{shown(node)}, which is {value!r} in float64")
    return value


def _underflows(node: sympy.Basic, value: float, parts: list[float]) -> bool:
    """Whether a constant of value 0, or nearly so, is not 0."""
    if value != 0.0 or not parts:
        return value != 0.0 or node != 0
    # sin(0) is 0, and so may be a sum or a maximum.
    return bool(isinstance(node, (sympy.Mul, sympy.Pow)) and all(parts)) or type(node).__name__ in _NEVER_ZERO


def check_length(text: str) -> None:
    """Raise ValueError if a text is longer than a formula may be."""
    if len(text) > LONGEST:
        raise ValueError(f"expression must have at most {LONGEST} characters, got {len(text)}")


def parse(text: str, symbols: Mapping[str, sympy.Symbol]) -> sympy.Expr:
    """Return the expression that `text` writes in the names of `symbols`.

    Parameters
    ----------
    text
        A formula such as ``"(u*v - 1)**2/2"``.
    symbols
        Every name the formula may use, with its symbol.

    Raises
    ------
    ValueError
        If the text is too long or deep, is not a formula, or uses a name or construct that is not known. The message
        points at the column.

    Examples
    --------
    >>> u = sympy.Symbol("u", real=True)
    >>> parse("u**2/2", {"u": u})
    u**2/2
    """
    check_length(text)
    indent = len(text) - len(text.lstrip())
    if (power := text.find("^")) >= 0:
        raise ValueError(
            f"expression must be a formula, got {text!r}: column {power + 1}: use ** for powers, not ^"
        )
    # Python warns of these, and filters of warnings are the whole process's.
    if (remarkable := _REMARKABLE.search(text)) is not None:
        raise ValueError(
            f"expression must be a formula, got {text!r}: column {remarkable.start() + 1}: invalid syntax"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise ValueError(
            f"expression must be a formula, got {text!r}: column {(error.offset or 1) + indent}: {error.msg}"
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError(f"expression must be a formula, got {text[:40]!r}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += indent
    try:
        result: sympy.Expr = _convert(tree.body, symbols, 0)
    except _Refused as error:
        raise ValueError(f"expression must be a formula, got {text!r}: {error}") from None
    return result


class _Refused(ValueError):
    """What is wrong, and where."""


def _refuse(node: ast.AST, what: str) -> _Refused:
    return _Refused(f"column {getattr(node, 'col_offset', 0) + 1}: {what}")


def _convert(node: ast.expr, symbols: Mapping[str, sympy.Symbol], depth: int) -> Any:
    if depth > DEEPEST:
        raise _refuse(node, f"nested deeper than {DEEPEST} levels")
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise _refuse(node, f"{node.value!r} is not a number")
        if abs(node.value) > 1e300:
            raise _refuse(node, "a number must be at most 1e300")
        return sympy.Integer(node.value) if isinstance(node.value, int) else sympy.Float(node.value)
    if isinstance(node, ast.Name):
        if node.id in symbols:
            return symbols[node.id]
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        raise _refuse(
            node,
            f"unknown name {node.id!r}; known are {', '.join([*symbols, *CONSTANTS])}: "
            "add it to variables if it is a weight, else to parameters with its value",
        )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _convert(node.operand, symbols, depth + 1)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp):
        # A chain such as a + b + c nests to the left: only the right sides are a level down.
        chain = []
        first: ast.expr = node
        while isinstance(first, ast.BinOp):
            chain.append(first)
            first = first.left
        result = _convert(first, symbols, depth + 1)
        for link in reversed(chain):
            result = _bounded(link, _combined(link, result, _convert(link.right, symbols, depth + 1)))
        return result
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        if name not in FUNCTIONS and name not in conditions.NAMES:
            known = [*FUNCTIONS, *conditions.NAMES]
            hint = known_names(like(name, known), known, _FUNCTIONS_PAGE)
            raise _refuse(node, f"unknown function {name!r}{hint}")
        try:
            if node.keywords:
                raise ValueError(f"{name} takes no named arguments")
            if name in conditions.NAMES:
                return _bounded(
                    node, conditions.choice(node, lambda part: _convert(part, symbols, depth + 1))
                )
            vocabulary.check_count(name, len(node.args))
        except _Refused:
            raise
        except ValueError as error:
            raise _refuse(node, str(error)) from None
        return _bounded(node, FUNCTIONS[name](*(_convert(part, symbols, depth + 1) for part in node.args)))
    raise _refuse(node, "only numbers, names, + - * / ** and function calls are allowed")


def _bounded(node: ast.expr, expression: Any) -> Any:
    """Return the expression of a node; ValueError if it holds a constant that is too large, or is none."""
    try:
        _value(expression)
    except _ConstantError as error:
        raise _refuse(node, f"constants must {_CONSTANT}, got {error}") from None
    return expression


def _combined(node: ast.BinOp, left: Any, right: Any) -> Any:
    if isinstance(node.op, ast.Pow):
        if abs(_value(right) or 0.0) > LARGEST_POWER:
            raise _refuse(node.right, f"a power must be of magnitude at most {LARGEST_POWER}")
        # Checked at once: powers of powers grow beyond any memory.
        return checked(left**right)
    if isinstance(node.op, ast.Div) and right.is_zero:
        raise _refuse(node.right, "division by zero")
    if type(node.op) not in _OPERATORS:
        raise _refuse(node, "only numbers, names, + - * / ** and function calls are allowed")
    return _OPERATORS[type(node.op)](left, right)
