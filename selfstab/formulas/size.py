"""How large an expression and its derivatives are: before they are made, and as they are computed in the end."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import sympy

LARGEST: Final = 10_000
"""Most operations of an expression's value, gradient and Hessian together, as :func:`shared_operations` counts them."""

BEFORE_SHARING: Final = 100
"""Factor by which :func:`operations` may be above the limit: what SymPy derives and shares within its time."""

DEEPEST_SHARED: Final = 20
"""Levels of nesting up to which that factor holds: a chain rule of more levels takes SymPy far longer."""

MOST_WEIGHTS: Final = 500
"""Most weights of a formula, whose Hessian is a matrix."""

SECONDS_EACH: Final = 0.03
"""Rough seconds an operation takes to compile in a sweep's kernel: 1,200 took 44 s of a 2.5 GHz processor."""

_OPERATION: Final = re.compile(r" [-+*/] |\b[a-z]\w*\(")
_Sizes = tuple[int, Counter[str], Counter[tuple[str, str]]]


def operations(expression: sympy.Expr, weights: set[str], limit: int = LARGEST) -> int:
    """Return about how many operations an expression, its gradient and its Hessian hold by the rules of calculus.

    A product of n factors has n terms of n factors in its derivative, f(g) has f'(g) g'; nothing is shared or
    cancelled. It takes the time of a walk through the expression; past the limit it stops.

    Parameters
    ----------
    expression
        The expression.
    weights
        Names of the symbols that derivatives are taken by.
    limit
        Where it stops.

    Returns
    -------
    int
        The count, or limit + 1.

    Examples
    --------
    >>> u, v = sympy.symbols("u v", real=True)
    >>> operations(u * v, {"u", "v"})
    12
    """
    done: dict[sympy.Basic, _Sizes] = {}
    for node in sympy.postorder_traversal(expression):
        if node not in done:
            done[node] = sizes = _sizes(node, [done[a] for a in node.args], weights)
            if _total(sizes) > limit:
                return limit + 1
    return _total(done[expression])


def shared_operations(source: str) -> int:
    """Return how many operations and calls a source text holds: what appears twice in formulas is once in it.

    >>> shared_operations("fma(u, exp(u), 2.0 * u)")
    3
    """
    return len(_OPERATION.findall(source))


def check_weights(name: str, count: int) -> None:
    """Raise ValueError if a formula is to have more than ``MOST_WEIGHTS`` weights."""
    if count > MOST_WEIGHTS:
        raise ValueError(
            f"{name} must be at most {MOST_WEIGHTS} of a loss that is a formula, got {count}: "
            "write it as ss.FunctionLoss, with its gradient as code"
        )


def check_nodes(expression: sympy.Expr, limit: int = LARGEST) -> None:
    """Raise ValueError if an expression is itself longer than `limit`; its parts count as often as they appear."""
    if any(k >= limit for k, _ in enumerate(sympy.preorder_traversal(expression))):
        raise ValueError(f"expression must have at most {limit} parts, got more: {_WAYS_OUT}")


def check_operations(expression: sympy.Expr, weights: set[str], limit: int = LARGEST) -> None:
    """Raise ValueError if an expression and its derivatives are too many operations for SymPy to begin with."""
    most = limit * (BEFORE_SHARING if _depth(expression) <= DEEPEST_SHARED else 1)
    if operations(expression, weights, most) > most:
        raise ValueError(
            f"expression must have at most {limit} operations in its value, gradient and Hessian together (limit), got "
            f"more than {most} before any are shared: write it with fewer factors or less nesting, "
            f"{_WAYS_OUT}"
        )


def check_shared_operations(count: int, limit: int = LARGEST) -> None:
    """Raise ValueError if an expression and its derivatives hold more than `limit` operations, shared ones once."""
    if count > limit:
        raise ValueError(
            f"expression must have at most {limit} operations in its value, gradient and Hessian together (limit), got "
            f"{count}, which compile in about {max(count * SECONDS_EACH / 60, 1.0):.0f} min: {_WAYS_OUT}, or set limit"
        )


_WAYS_OUT: Final = "write a sum of samples as ss.EmpiricalRisk, any other code as ss.FunctionLoss"


def _depth(expression: sympy.Expr) -> int:
    levels: dict[sympy.Basic, int] = {}
    for node in sympy.postorder_traversal(expression):
        levels[node] = 1 + max((levels[part] for part in node.args), default=0)
    return levels[expression]


def _total(sizes: _Sizes) -> int:
    size, first, second = sizes
    return size + sum(first.values()) + sum(second.values())


def _sizes(node: sympy.Basic, parts: list[_Sizes], weights: set[str]) -> _Sizes:
    """Return the operations of a node, of its derivative by each weight, and of its second by each pair."""
    size = 1 + sum(part[0] for part in parts)
    first: Counter[str] = Counter()
    second: Counter[tuple[str, str]] = Counter()
    if isinstance(node, sympy.Symbol) and node.name in weights:
        first[node.name] = 1
    for part in parts:
        # Beside a part's derivative stands nothing in a sum, the other factors in a product, f'(g) in a function.
        rest = 0 if isinstance(node, sympy.Add) else size - part[0] * isinstance(node, sympy.Mul)
        for name, count in part[1].items():
            first[name] += count + rest
        for pair, count in part[2].items():
            second[pair] += count + rest
    if not isinstance(node, sympy.Add):
        for k, left in enumerate(parts):
            # The pair of a part with itself is f''(g) g' g': a power's and a function's, not a product's.
            for right in parts[k + isinstance(node, sympy.Mul) :]:
                rest = size - (0 if left is right else left[0] + right[0])
                for a, one in left[1].items():
                    for b, other in right[1].items():
                        second[min(a, b), max(a, b)] += one + other + rest
    return size, first, second
