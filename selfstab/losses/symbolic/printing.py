"""SymPy to source text, in arithmetic that our compiler and plain CPython read alike.

Integer powers print as products, divisions as divisions, functions by the names of selfstab.kernels.arithmetic; what
appears twice is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sympy

from selfstab.kernels.arithmetic import FUNCTIONS

if TYPE_CHECKING:

    class StrPrinter:
        """What is used of SymPy's printer, which has no types."""

        def __init__(self, settings: Mapping[str, Any]) -> None: ...
        def doprint(self, expr: Any) -> str:
            """Return an expression as text."""

        def _print(self, expr: Any, **options: Any) -> str: ...
        def _as_ordered_terms(self, expr: Any, order: Any) -> list[Any]: ...

else:
    from sympy.printing.str import StrPrinter

LONGEST_SUM: Final = 64
"""Terms of a sum printed as one expression: each product adds a bracket, and Python reads 200 within each other."""


_PRINTABLE: Final = (
    sympy.Symbol,
    sympy.Number,
    sympy.NumberSymbol,
    sympy.Add,
    sympy.Mul,
    sympy.Pow,
    sympy.Function,
)
_NOT_FINITE: Final = (sympy.oo, -sympy.oo, sympy.nan)


class _Printer(StrPrinter):
    """Prints an expression whose powers have atomic bases, in arithmetic that compiler and CPython read alike."""

    printmethod = "_kernel_source"

    def _print(self, expr: Any, **options: Any) -> str:
        """Return a text; SymPy's printer has one for much that no kernel can run."""
        if not isinstance(expr, _PRINTABLE) or expr in _NOT_FINITE:
            return self.emptyPrinter(expr)
        text: str = super()._print(expr, **options)
        return text

    def _print_Integer(self, expr: Any) -> str:
        return f"{int(expr)}.0"

    def _print_Float(self, expr: Any) -> str:
        return repr(float(expr))

    def _print_Rational(self, expr: Any) -> str:
        if expr.q & (expr.q - 1) == 0:
            return repr(float(expr))
        return f"({int(expr.p)}.0 / {int(expr.q)}.0)"

    def _print_Half(self, _: Any) -> str:
        return "0.5"

    def _print_NumberSymbol(self, expr: Any) -> str:
        return repr(float(expr))

    _print_Pi = _print_Exp1 = _print_EulerGamma = _print_Catalan = _print_NumberSymbol
    _print_GoldenRatio = _print_TribonacciConstant = _print_NumberSymbol

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, power = expr.args
        if power.is_Float and power == int(2 * power) / 2:
            power = sympy.Rational(int(2 * power), 2)
        if base.is_Number and base > 0 and not power.is_number:
            # A compiler may turn the power of a constant into another function, with other bits.
            return f"exp(({self._print(power)}) * {float(sympy.log(base))!r})"
        text: str = self._print(base) if base.is_Symbol else f"({self._print(base)})"
        if power.is_Integer and power > 0:
            return "(" + " * ".join([text] * int(power)) + ")"
        if power.is_Integer:
            return f"(1.0 / {self._print_Pow(sympy.Pow(base, -power, evaluate=False))})" if power < -1 else (
                f"(1.0 / {text})")  # fmt: skip
        if power == sympy.Rational(1, 2):
            return f"sqrt({self._print(base)})"
        if power == -sympy.Rational(1, 2):
            return f"(1.0 / sqrt({self._print(base)}))"
        return f"pow({self._print(base)}, {self._print(power)})"

    def _print_Mul(self, expr: Any) -> str:
        numerator, denominator = [], []
        sign = ""
        for factor in expr.as_ordered_factors():
            if factor == -1:
                sign = "-"
            elif factor.is_Pow and factor.exp.is_Integer and factor.exp < 0:
                denominator.append(self._factor(factor.base ** (-factor.exp)))
            else:
                numerator.append(self._factor(factor))
        top = " * ".join(numerator) or "1.0"
        if not denominator:
            return sign + top
        below = denominator[0] if len(denominator) == 1 else "(" + " * ".join(denominator) + ")"
        return f"{sign}{top} / {below}"

    def _factor(self, expr: Any) -> str:
        text: str = self._print(expr)
        return f"({text})" if expr.is_Add or text.startswith("-") else text

    def _print_Add(self, expr: Any, order: Any = None) -> str:
        """Print a sum from right to left: products enter by fma, everything else by + or −."""
        terms = list(self._as_ordered_terms(expr, order=order))
        # The sum begins with a term that no fma can take, if there is one.
        first = next((t for t in reversed(terms) if _split(t) is None), terms[-1])
        terms.remove(first)
        out: str = self._print(first)
        for term in reversed(terms):
            parts = _split(term)
            if parts is None:
                text = self._print(term)
                if text.startswith("-"):
                    out += f" - {text[1:]}"
                else:
                    out = f"{text} - {out[1:]}" if out.startswith("-") else f"{out} + {text}"
            else:
                out = f"fma({self._print(parts[0])}, {self._print(parts[1])}, {out})"
        return out

    def _print_Abs(self, expr: Any) -> str:
        return f"abs({self._print(expr.args[0])})"

    def _print_Function(self, expr: Any) -> str:
        name = expr.func.__name__
        if name not in FUNCTIONS:
            raise ValueError(
                f"expression must use the functions {', '.join(FUNCTIONS)} and those beside them, got {name}"
            )
        return f"{name}({', '.join(self._print(a) for a in expr.args)})"

    _print_exp = _print_log = _print_erf = _print_Function

    def emptyPrinter(self, expr: Any) -> str:
        raise ValueError(
            f"expression must be built of arithmetic and known functions, got {type(expr).__name__}"
        )


def _split(term: Any) -> tuple[Any, Any] | None:
    """Return the two factors of a product that an fma can take, or None for anything else."""
    factors: list[Any] = []
    for factor in term.as_ordered_factors() if term.is_Mul else [term]:
        if factor.is_Pow and factor.exp.is_number and factor.exp.is_negative:
            return None
        factors += [factor.base, factor.base] if factor.is_Pow and factor.exp == 2 else [factor]
    if len([f for f in factors if f != -1]) < 2:
        return None
    return sympy.Mul(*factors[:-1], evaluate=False) if len(factors) > 2 else factors[0], factors[-1]


_printer = _Printer({"order": None})


def formula(expression: sympy.Expr) -> str:
    """Return one expression as text.

    >>> x, y = sympy.symbols("x y", real=True)
    >>> formula(x**3 / 3 - y / 2)
    'fma((1.0 / 3.0), (x * x * x), -0.5 * y)'
    """
    text: str = _printer.doprint(expression)
    return text[1:-1] if text.startswith("(") and expression.is_Pow else text


class Printed(NamedTuple):
    """An expression as text, and the names that it reads."""

    text: str
    reads: frozenset[str]

    @classmethod
    def of(cls, expression: sympy.Expr) -> Printed:
        """Print an expression."""
        return cls(formula(expression), frozenset(s.name for s in expression.free_symbols))


class Assignment(NamedTuple):
    """A name that is given the value of an expression."""

    name: str
    value: Printed

    @property
    def line(self) -> str:
        """The assignment as a line of source."""
        return f"{self.name} = {self.value.text}"


def lines_of(expressions: Sequence[sympy.Expr], prefix: str) -> tuple[list[str], list[str]]:
    """Return the lines of :func:`assignments` and the texts of the results."""
    steps, results = assignments(expressions, prefix)
    return [step.line for step in steps], [result.text for result in results]


def assignments(expressions: Sequence[sympy.Expr], prefix: str) -> tuple[list[Assignment], list[Printed]]:
    """Return assignments to temporaries prefix0, prefix1, ... and, per expression, the text of its value.

    Subexpressions that appear more than once, bases of powers, and parts of long sums become temporaries; x**(3/2) is x
    times its root.
    """
    names = (sympy.Symbol(f"{prefix}{k}", real=True) for k in range(10**9))
    pairs, reduced = sympy.cse(list(expressions), symbols=names, order="canonical", list=True)
    steps: list[Assignment] = []
    temporaries: dict[Any, Any] = {}

    def named(expr: Any) -> Any:
        """Return the temporary of an expression, a new one where it has none."""
        if expr.is_Atom:
            return expr
        if expr not in temporaries:
            temporaries[expr] = next(names)
            steps.append(Assignment(temporaries[expr].name, Printed.of(expr)))
        return temporaries[expr]

    def atomic(expr: Any) -> Any:
        """Return expr with the base of every whole or half power beyond the first replaced by a temporary."""
        if not expr.args:
            return expr
        parts = [atomic(a) for a in expr.args]
        fresh = expr.func(*parts) if any(a is not b for a, b in zip(parts, expr.args, strict=True)) else expr
        if fresh.is_Add and len(fresh.args) > LONGEST_SUM:
            terms = fresh.as_ordered_terms()
            starts = range(0, len(terms), LONGEST_SUM)
            return atomic(sympy.Add(*(named(sympy.Add(*terms[k : k + LONGEST_SUM])) for k in starts)))
        if not (fresh.is_Pow and fresh.exp.is_Rational and fresh.exp.q <= 2 and abs(fresh.exp.p) > 1):
            return fresh
        base = named(fresh.base)
        if fresh.exp.is_Integer:
            return sympy.Pow(base, fresh.exp)
        product = base ** ((abs(fresh.exp.p) - 1) // 2) * named(sympy.sqrt(base))
        return product if fresh.exp > 0 else 1 / product

    for symbol, expr in pairs:
        fresh = atomic(expr)
        temporaries.setdefault(fresh, symbol)
        steps.append(Assignment(symbol.name, Printed.of(fresh)))
    return steps, [Printed.of(atomic(expr)) for expr in reduced]
