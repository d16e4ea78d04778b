"""Conditions in text: comparisons, joined by `and`, `or` and `not`, that choose between the pieces of a formula."""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from selfstab.formulas.vocabulary import Choice, as_choice, both, compared, either, opposite, pieces

NAMES: Final = ("where", "Piecewise")
"""Functions whose arguments are conditions."""

DEEPEST: Final = 20
"""Levels of `and`, `or` and `not` within each other."""

_RELATIONS: Final[dict[type[ast.cmpop], str]] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_ALLOWED: Final = "a condition must be comparisons by <, <=, > or >=, joined by and, or and not"


def choice(call: ast.Call, convert: Callable[[ast.expr], Any]) -> Any:
    """Return the choice that a call of ``where`` or ``Piecewise`` writes.

    Parameters
    ----------
    call
        ``where(condition, yes, no)`` or ``Piecewise((piece, condition), ..., (piece, True))``.
    convert
        Returns the expression of a part that is no condition.

    Raises
    ------
    ValueError
        If the call has another form.

    Examples
    --------
    >>> import sympy
    >>> x = sympy.Symbol("x", real=True)
    >>> call = ast.parse("where(x > 1, x, x)", mode="eval").body
    >>> choice(call, lambda part: {"x": x, "1": sympy.Integer(1)}[ast.unparse(part)])
    x
    """
    if isinstance(call.func, ast.Name) and call.func.id == "where":
        if len(call.args) != 3:
            raise ValueError("where takes a condition and two values")
        yes, no = (convert(part) for part in call.args[1:])
        return pieces([(yes, _condition(call.args[0], convert)), (no, True)])
    parts = []
    for pair in call.args:
        if not isinstance(pair, ast.Tuple) or len(pair.elts) != 2:
            raise ValueError("Piecewise takes pairs such as (x**2, x > 0), the last with the condition True")
        parts.append((convert(pair.elts[0]), _condition(pair.elts[1], convert)))
    return pieces(parts)


def _condition(node: ast.expr, convert: Callable[[ast.expr], Any], depth: int = 0) -> Choice | bool:
    if depth > DEEPEST:
        raise ValueError(f"a condition must not be nested deeper than {DEEPEST} levels")
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return node.value
    joined = _joined(node)
    if joined is not None:
        join, parts = joined
        first, *others = (as_choice(_condition(part, convert, depth + 1)) for part in parts)
        for other in others:
            first = join(first, other)
        return first
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert)):
        return opposite(as_choice(_condition(node.operand, convert, depth + 1)))
    if not isinstance(node, ast.Compare) or any(type(op) not in _RELATIONS for op in node.ops):
        raise ValueError(_ALLOWED)
    sides = [convert(side) for side in (node.left, *node.comparators)]
    choices = [
        compared(left, _RELATIONS[type(op)], right)
        for (left, right), op in zip(pairwise(sides), node.ops, strict=True)
    ]
    first, *others = choices
    for other in others:
        first = both(first, other)
    return first


def _joined(node: ast.expr) -> tuple[Callable[[Choice, Choice], Choice], list[ast.expr]] | None:
    if isinstance(node, ast.BoolOp):
        return (both if isinstance(node.op, ast.And) else either), node.values
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return (both if isinstance(node.op, ast.BitAnd) else either), [node.left, node.right]
    return None
