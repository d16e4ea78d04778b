"""Kinks and jumps by one rule: every derivative is its limit from the side of larger weights.

At w, each of ``abs``, ``sign``, ``Max``, ``Min``, ``relu``, ``Heaviside`` and ``where`` takes the piece that holds at
(w₁ + ε₁, w₂ + ε₂, …) for ε₁ ≫ ε₂ ≫ … > 0, as all these go to 0. So the first weight decides, the second where the
first does not, and so on. A kink's argument is then positive or negative by the first of its derivatives that is not
0. So a function has the same derivatives at a kink however it is written, and they are those of one smooth piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement
from typing import Any, Final

import sympy

from selfstab.formulas.functions import RealFunction

ORDERS: Final = 4
"""Most derivatives of a polynomial of one weight that decide its side; of any other argument it is two."""

LONGEST: Final = 100
"""Most operations of the derivatives that decide a side together; beyond it what is 0 counts as positive."""


class Abs(RealFunction):
    """|x|, of any x; SymPy's takes what may not be real into real and imaginary parts."""

    nargs = 1
    is_extended_nonnegative = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return a simpler form where SymPy has one for real arguments."""
        return _simpler(cls, x)

    def _eval_power(self, exponent: Any) -> Any:
        x = self.args[0]
        if exponent.is_Integer and exponent != -1:
            return x**exponent if exponent.is_even else x ** (exponent - 1) * self
        return None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sign(self.args[0])

    def _kernel_source(self, printer: Any) -> str:
        return f"abs({printer._print(self.args[0])})"


class sign(RealFunction):
    """The sign of x, by the rule where x is 0."""

    nargs = 1
    is_finite = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return a simpler form where SymPy has one for real arguments."""
        return None if isinstance(x, tie) else _simpler(cls, x)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sympy.S.Zero

    def _kernel_source(self, printer: Any) -> str:
        return f"choose({printer._print(self.args[0])} < 0.0, -1.0, 1.0)"


class Heaviside(RealFunction):
    """1 where x is positive, else 0; by the rule where x is 0."""

    nargs = 1
    is_finite = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return the value of a number."""
        return sympy.S(int(bool(x >= 0))) if x.is_number and x.is_comparable else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sympy.S.Zero

    def _kernel_source(self, printer: Any) -> str:
        return f"choose({printer._print(self.args[0])} < 0.0, 0.0, 1.0)"


class relu(RealFunction):
    """x where it is positive, else 0."""

    nargs = 1
    is_extended_nonnegative = True

    def lowered(self) -> Any:
        """Return it as a choice of pieces."""
        return where(self.args[0], self.args[0], sympy.S.Zero)


class Extremum(RealFunction):
    """The largest or the least of some numbers."""

    largest = True

    @classmethod
    def eval(cls, *terms: Any) -> Any:
        """Return it with its arguments in order, each once, and its numbers as one."""
        flat = [part for term in terms for part in (term.args if isinstance(term, cls) else [term])]
        numbers = [term for term in flat if term.is_number and term.is_comparable]
        rest = sorted({term for term in flat if term not in numbers}, key=sympy.default_sort_key)
        if numbers:
            rest = [(max if cls.largest else min)(numbers), *rest]
        if len(rest) == 1:
            return rest[0]
        return None if (*rest,) == terms else cls(*rest)

    def lowered(self) -> Any:
        """Return it as choices of two."""
        # What may leave its domain stands first, so that nan is not passed over.
        piece, *others = sorted(self.args, key=lambda term: bool(term.is_real))
        for other in others:
            piece = where(piece - other if self.largest else other - piece, piece, other)
        return piece


class Max(Extremum):
    """The largest of some numbers."""


class Min(Extremum):
    """The least of some numbers."""

    largest = False


class where(RealFunction):
    """The second argument where the first is positive, else the third; by the rule where the first is 0."""

    nargs = 3

    @classmethod
    def eval(cls, condition: Any, yes: Any, no: Any) -> Any:
        """Return the piece that is chosen whatever the weights are, if there is one."""
        if yes == no:
            return yes
        if condition.is_number and condition.is_comparable:
            return yes if condition >= 0 else no
        return None

    def _eval_derivative(self, symbol: Any) -> Any:
        condition, yes, no = self.args
        return where(condition, yes.diff(symbol), no.diff(symbol))

    def _sympystr(self, printer: Any) -> str:
        condition, yes, no = (printer._print(a) for a in self.args)
        return f"where({condition} >= 0, {yes}, {no})"

    def _kernel_source(self, printer: Any) -> str:
        condition, yes, no = (printer._print(a) for a in self.args)
        return f"choose({condition} < 0.0, {no}, {yes})"


class tie(RealFunction):
    """An argument, or the derivative that decides its side where it is 0."""

    nargs = 2

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative: only a side is read off it."""
        return sympy.S.Zero


OF_SYMPY: Final = {
    sympy.Abs: Abs, sympy.sign: sign, sympy.Max: Max, sympy.Min: Min, sympy.Heaviside: Heaviside
}  # fmt: skip
"""What takes the place of SymPy's own."""


def _simpler(kind: Any, x: Any) -> Any:
    """Return |x| or the sign of x in SymPy's simpler form for arguments that it knows to be real."""
    of_sympy = sympy.Abs if kind is Abs else sympy.sign
    if x.is_extended_real:
        simple = of_sympy(x)
        if isinstance(simple, of_sympy) and simple.args[0] == x:
            return None
        return simple.replace(sympy.Abs, Abs).replace(sympy.sign, sign)
    factor, rest = x.as_coeff_Mul()
    return of_sympy(factor) * kind(rest) if factor != 1 else None


def directed(expression: Any, weights: Sequence[Any]) -> Any:
    """Return an expression whose kinks' arguments, where they are 0, are on the side that the rule says.

    Examples
    --------
    >>> x, y = sympy.symbols("x y", real=True)
    >>> directed(sign(x - y), [x, y]), directed(sign(x - y), [y, x])
    (sign(x - y), sign(tie(x - y, -1)))
    """
    if not expression.has(sign, Heaviside, where):
        return expression
    memory: dict[Any, Any] = {}

    def rebuilt(node: Any) -> Any:
        if not node.args:
            return node
        if node not in memory:
            parts = [rebuilt(part) for part in node.args]
            if node.func in (sign, Heaviside, where):
                parts[0] = rebuilt(_on_a_side(node.args[0], weights))
                memory[node] = node.func(*parts)
            else:
                changed = any(a is not b for a, b in zip(parts, node.args, strict=True))
                memory[node] = node.func(*parts) if changed else node
        return memory[node]

    return rebuilt(expression)


def _on_a_side(argument: Any, weights: Sequence[Any]) -> Any:
    if isinstance(argument, tie):
        return argument
    slopes: list[Any] = []
    operations = 0
    for slope in _slopes(argument, [w for w in weights if w in argument.free_symbols]):
        if slope == 0:
            continue
        operations += slope.count_ops()
        if operations > LONGEST:
            break
        slopes.append(slope)
        if slope.is_nonzero:
            break
    if not slopes or (len(slopes) == 1 and slopes[0].is_positive):
        return argument
    side = slopes.pop()
    while slopes:
        side = tie(slopes.pop(), side)
    return tie(argument, side)


def _slopes(argument: Any, weights: Sequence[Any]) -> Iterable[Any]:
    """Yield derivatives in the order in which they decide the argument's sign beside a point where it is 0."""
    if len(weights) == 1:
        for _ in range(ORDERS if argument.is_polynomial(*weights) else 2):
            argument = argument.diff(weights[0])
            yield argument
        return
    first = {w: argument.diff(w) for w in weights}
    yield from first.values()
    # ε₁², ε₁ε₂, ε₂², ε₁ε₃, …: each small against those before it.
    pairs = combinations_with_replacement(range(len(weights)), 2)
    for a, b in sorted(pairs, key=lambda pair: pair[::-1]):
        yield first[weights[a]].diff(weights[b])
