"""An expression as a list of named operations, and its derivatives by the chain rule from one to the next.

SymPy's own derivatives are trees: what their parts share is written out, once for each weight that it depends on. Here
each operation has a name, and a derivative is a few operations on names. The second derivatives of a formula of n
weights take about 2n times its own operations, whatever they are nested in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sympy

from selfstab.formulas.kinks import where
from selfstab.losses.symbolic.formulas import derivative
from selfstab.losses.symbolic.printing import LONGEST_SUM

MOST_STEPS: Final = 8_000
"""Most named operations of a formula and its derivatives: their compilation takes a minute or so."""


class Graph:
    """Named operations, each of those before it; equal ones have one name.

    Parameters
    ----------
    fixed
        Symbols that do not change during a run: a part of these alone stays as it is.

    Examples
    --------
    >>> w, x = sympy.symbols("w x", real=True)
    >>> graph = Graph()
    >>> value = graph.add(sympy.tanh(w * x) ** 2)
    >>> value, graph.steps
    (node1**2, {node0: w*x, node1: tanh(node0)})
    >>> graph.gradient(value, [w])
    [node4*x]
    >>> list(graph.steps.values())[2:]
    [2*node1, 1 - node1**2, node2*node3]
    """

    def __init__(self, fixed: Iterable[sympy.Symbol] = ()) -> None:
        self._fixed = frozenset(fixed)
        self.steps: dict[sympy.Symbol, sympy.Expr] = {}
        """Operation by name, in an order in which each is behind those it reads."""
        self._names: dict[sympy.Expr, sympy.Symbol] = {}
        self._partials: dict[tuple[sympy.Expr, sympy.Symbol], sympy.Expr] = {}

    def named(self, expression: Any) -> Any:
        """Return the name of an operation on names, a new one where it has none."""
        if expression.is_Atom or expression.free_symbols <= self._fixed:
            return expression
        if expression not in self._names:
            if len(self.steps) >= MOST_STEPS:
                raise ValueError(
                    f"expression must have at most {MOST_STEPS} operations in its value, gradient and Hessian "
                    "together, what is shared counted once, got more: write it with fewer weights or less nesting, or "
                    "as a FunctionLoss"
                )
            name = sympy.Symbol(f"node{len(self.steps)}", real=True)
            self.steps[name], self._names[expression] = expression, name
        return self._names[expression]

    def add(self, expression: Any) -> Any:
        """Return an expression as one operation on names: its parts become operations of their own."""
        if expression.is_Atom or expression.free_symbols <= self._fixed:
            return expression
        parts = [self.add(part) for part in expression.args]
        if expression.is_Add:
            return self._sum(parts)
        if expression.is_Mul:
            return sympy.Mul(*(self.named(part) if part.is_Add else part for part in parts))
        parts = [self.named(part) for part in parts]
        if expression.is_Pow:
            return self._power(*parts)
        return self.named(expression.func(*parts))

    def _sum(self, parts: Sequence[Any]) -> Any:
        total = sympy.Add(*parts)
        while total.is_Add and len(total.args) > LONGEST_SUM:
            terms = total.as_ordered_terms()
            starts = range(0, len(terms), LONGEST_SUM)
            total = sympy.Add(*(self.named(sympy.Add(*terms[k : k + LONGEST_SUM])) for k in starts))
        return total

    def _power(self, base: Any, power: Any) -> Any:
        """Return base**power, both atoms: whole powers as products, of 1/base where they are negative."""
        if power.is_Integer:
            return base**power if power > 0 else self.named(1 / base) ** -power
        if power.is_Rational and power.q == 2:
            root = self.named(sympy.sqrt(base))
            product = root * base ** ((abs(power.p) - 1) // 2)
            return product if power > 0 else self.named(1 / self.named(product))
        return self.named(base**power)

    def needed(self, operations: Iterable[Any]) -> dict[sympy.Symbol, Any]:
        """Return the steps, in order, on which operations depend."""
        read = set[sympy.Symbol]().union(*(operation.free_symbols for operation in operations))
        for name in reversed(self.steps):
            if name in read:
                read |= self.steps[name].free_symbols
        return {name: step for name, step in self.steps.items() if name in read}

    def partial(self, operation: Any, name: sympy.Symbol) -> Any:
        """Return the derivative of one operation by one of the names it reads, as an operation on names."""
        key = operation, name
        if key not in self._partials:
            self._partials[key] = self.add(derivative(operation, name))
        return self._partials[key]

    def tangents(self, operations: Sequence[Any], direction: Mapping[sympy.Symbol, sympy.Expr]) -> list[Any]:
        """Return the derivatives of operations along a direction, its components by symbol."""
        along: dict[sympy.Symbol, Any] = dict(direction)
        for name, operation in self.needed(operations).items():
            if (tangent := self._tangent(operation, along)) != 0:
                along[name] = self.named(tangent)
        return [self._tangent(operation, along) for operation in operations]

    def _tangent(self, operation: Any, along: Mapping[sympy.Symbol, Any]) -> Any:
        if isinstance(operation, where):
            # A factor of 0 or 1 would leave what is infinite or nan in the piece that is not chosen.
            condition, *pieces = operation.args
            return self.add(where(condition, *(along.get(piece, sympy.S.Zero) for piece in pieces)))
        moved = _sorted(s for s in operation.free_symbols if s in along)
        return self.add(sympy.Add(*(along[s] * self.named(self.partial(operation, s)) for s in moved)))

    def gradient(self, operation: Any, symbols: Sequence[sympy.Symbol]) -> list[Any]:
        """Return the derivatives of an operation by symbols, from the last step back to the first."""
        moved, steps = {*symbols}, [*self.needed([operation]).items()]
        for name, step in steps:
            if step.free_symbols & moved:
                moved.add(name)
        terms: dict[sympy.Symbol, list[Any]] = {}

        def spread(step: Any, factor: Any) -> None:
            for s in _sorted(step.free_symbols & moved):
                terms.setdefault(s, []).append(self._product(factor, self.named(self.partial(step, s))))

        spread(operation, sympy.Integer(1))
        for name, step in reversed(steps):
            if name in terms:
                spread(step, self.named(self.add(self._total(terms[name]))))
        return [self.add(self._total(terms.get(s, []))) for s in symbols]

    def _choice(self, operation: Any) -> tuple[Any, Any, bool] | None:
        """Return condition, piece, and whether it is the first one, of a choice between a piece and 0, or None."""
        operation = self.steps.get(operation, operation)
        if not isinstance(operation, where) or sympy.S.Zero not in operation.args[1:]:
            return None
        condition, yes, no = operation.args
        return (condition, yes, True) if no == 0 else (condition, no, False)

    def _product(self, factor: Any, partial: Any) -> Any:
        """Return a product in which a choice of 0 stays a choice: 0 times what is infinite would be nan."""
        for chosen, other in ((factor, partial), (partial, factor)):
            if choice := self._choice(chosen):
                condition, piece, first = choice
                product = self.named(self.add(self._product(piece, other)))
                return (
                    where(condition, product, sympy.S.Zero)
                    if first
                    else where(condition, sympy.S.Zero, product)
                )
        return factor * partial

    def _total(self, terms: Sequence[Any]) -> Any:
        """Return a sum; terms that are chosen by the same condition are one choice."""
        if len(terms) < 2:
            return sympy.Add(*terms)
        sums: dict[Any, list[Any]] = {}
        for term in terms:
            choice = self._choice(term)
            sums.setdefault((choice[0], choice[2]) if choice else None, []).append(
                choice[1] if choice else term
            )
        others = sums.pop(None, [])
        for (condition, first), pieces in sums.items():
            total = self.named(self.add(sympy.Add(*pieces)))
            pair = (total, sympy.S.Zero) if first else (sympy.S.Zero, total)
            others.append(where(condition, *pair))
        return sympy.Add(*others)


def _sorted(symbols: Iterable[sympy.Symbol]) -> list[sympy.Symbol]:
    return sorted(symbols, key=lambda s: (len(s.name), s.name))
