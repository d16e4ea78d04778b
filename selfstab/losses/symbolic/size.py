"""How large the derivatives of an expression grow, counted before they are made."""

from __future__ import annotations

from collections import Counter
from typing import Final

import sympy

LARGEST: Final = 10_000
"""Most operations of an expression's value, gradient and Hessian together, as :func:`operations` counts them."""

_Sizes = tuple[int, Counter[str], Counter[tuple[str, str]]]


def operations(expression: sympy.Expr, weights: set[str]) -> int:
    """Return about how many operations an expression, its gradient and its Hessian hold by the rules of calculus.

    A product of n factors has n terms of n factors in its derivative, f(g) has f'(g) g'; nothing is shared or
    cancelled. It takes the time of a walk through the expression; past ``LARGEST`` it stops.

    Parameters
    ----------
    expression
        The expression.
    weights
        Names of the symbols that derivatives are taken by.

    Returns
    -------
    int
        The count, or one above ``LARGEST``.

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
            if _total(sizes) > LARGEST:
                return LARGEST + 1
    return _total(done[expression])


def check_nodes(expression: sympy.Expr) -> None:
    """Raise ValueError if an expression is itself longer than ``LARGEST``; its parts count as often as they appear."""
    if any(k >= LARGEST for k, _ in enumerate(sympy.preorder_traversal(expression))):
        raise ValueError(f"expression must have at most {LARGEST} parts, got more")


def check_operations(expression: sympy.Expr, weights: set[str]) -> None:
    """Raise ValueError if an expression and its derivatives hold more than ``LARGEST`` operations."""
    if operations(expression, weights) > LARGEST:
        raise ValueError(
            f"expression must have at most {LARGEST} operations in its value, gradient and Hessian together, got more: "
            f"write it with fewer factors or less nesting"
        )


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
