"""SymPy to source text: the formulas of a loss in the form the kernels take.

Integer powers print as products, divisions as divisions, functions by the names of selfstab.kernels.arithmetic; what
depends on parameters only is computed once a run; what appears twice is computed once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy
from sympy.printing.str import StrPrinter

from selfstab.kernels.arithmetic import FUNCTIONS

JACOBI_SWEEPS = 12

TOP_EIGENVALUE = f'''\
@compiled
def top_eigenvalue(a, n):
    """Return the largest eigenvalue of the symmetric a[:n, :n], which is overwritten, by cyclic Jacobi rotations."""
    for sweep in range({JACOBI_SWEEPS}):
        off = 0.0
        for p in range(n - 1):
            for q in range(p + 1, n):
                off = off + abs(a[p, q])
        # Written so that a matrix with nan ends here too.
        if not (off > 0.0):
            break
        for p in range(n - 1):
            for q in range(p + 1, n):
                apq = a[p, q]
                if apq != 0.0:
                    theta = (a[q, q] - a[p, p]) / (2.0 * apq)
                    size = abs(theta)
                    tangent = 1.0 / (size + sqrt(theta * theta + 1.0))
                    tangent = choose(theta < 0.0, -tangent, tangent)
                    cosine = 1.0 / sqrt(tangent * tangent + 1.0)
                    sine = tangent * cosine
                    a[p, p] = a[p, p] - tangent * apq
                    a[q, q] = a[q, q] + tangent * apq
                    a[p, q] = 0.0
                    a[q, p] = 0.0
                    for k in range(n):
                        if k != p and k != q:
                            akp = a[k, p]
                            akq = a[k, q]
                            a[k, p] = cosine * akp - sine * akq
                            a[p, k] = a[k, p]
                            a[k, q] = sine * akp + cosine * akq
                            a[q, k] = a[k, q]
    top = a[0, 0]
    for p in range(1, n):
        top = choose(a[p, p] > top, a[p, p], top)
    return top


'''


class _Printer(StrPrinter):  # type: ignore[misc]
    """Prints an expression whose powers have atomic bases, in arithmetic that both Numba and CPython read alike."""

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

    def _print_sign(self, expr: Any) -> str:
        inner = self._print(expr.args[0])
        return f"choose({inner} > 0.0, 1.0, choose({inner} < 0.0, -1.0, 0.0))"

    def _print_Heaviside(self, expr: Any) -> str:
        inner = self._print(expr.args[0])
        return f"choose({inner} > 0.0, 1.0, choose({inner} < 0.0, 0.0, 0.5))"

    def _print_Max(self, expr: Any) -> str:
        return self._choose(expr, ">")

    def _print_Min(self, expr: Any) -> str:
        return self._choose(expr, "<")

    def _choose(self, expr: Any, relation: str) -> str:
        parts = [self._print(part) for part in sorted(expr.args, key=sympy.default_sort_key)]
        out: str = parts[0]
        for part in parts[1:]:
            out = f"choose({part} {relation} {out}, {part}, {out})"
        return out

    def _print_Function(self, expr: Any) -> str:
        name = expr.func.__name__
        if name not in FUNCTIONS:
            raise ValueError(
                f"expression must use the functions {', '.join(FUNCTIONS)}, Abs, Max, Min, sign, Heaviside, got {name}"
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


def lines_of(expressions: Sequence[sympy.Expr], prefix: str) -> tuple[list[str], list[str]]:
    """Return assignments to temporaries prefix0, prefix1, ... and, per expression, the text of its value.

    Subexpressions that appear more than once, and bases of powers, become temporaries.
    """
    names = (sympy.Symbol(f"{prefix}{k}", real=True) for k in range(10**9))
    pairs, reduced = sympy.cse(list(expressions), symbols=names, order="canonical", list=True)
    out: list[str] = []
    done: dict[Any, Any] = {}

    def atomic(expr: Any) -> Any:
        """Return expr with the base of every integer power beyond the first made a temporary."""
        if not expr.args:
            return expr
        parts = [atomic(a) for a in expr.args]
        fresh = expr.func(*parts) if any(a is not b for a, b in zip(parts, expr.args, strict=True)) else expr
        if fresh.is_Pow and fresh.exp.is_Integer and abs(fresh.exp) > 1 and not fresh.base.is_Atom:
            if fresh.base not in done:
                done[fresh.base] = next(names)
                out.append(f"{done[fresh.base]} = {formula(fresh.base)}")
            return sympy.Pow(done[fresh.base], fresh.exp)
        return fresh

    for name, expr in pairs:
        text = formula(atomic(expr))
        out.append(f"{name} = {text}")
    results = [formula(atomic(expr)) for expr in reduced]
    return out, results


@dataclass(frozen=True)
class Blocks:
    """The Hessian split by its zero pattern, so that its top eigenvalue is the largest of the blocks'.

    Blocks of one weight are their own eigenvalue; those of two have ½(trace + √discriminant); whatever is left is
    one matrix for an iteration.
    """

    single: list[sympy.Expr]
    pairs: list[tuple[sympy.Expr, sympy.Expr]]
    rest: sympy.Matrix | None

    @classmethod
    def of(cls, hessian: sympy.Matrix) -> Blocks:
        """Return the blocks of a symmetric matrix of expressions."""
        groups: list[set[int]] = []
        for i in range(hessian.rows):
            linked = {i} | {j for j in range(hessian.rows) if hessian[i, j] != 0}
            joined = [g for g in groups if g & linked]
            groups = [g for g in groups if not g & linked] + [linked.union(*joined)]
        single, pairs, rest = [], [], []
        for index in sorted(sorted(g) for g in groups):
            if len(index) == 1:
                single.append(hessian[index[0], index[0]])
            elif len(index) == 2:
                a, d, o = (
                    hessian[index[0], index[0]],
                    hessian[index[1], index[1]],
                    hessian[index[0], index[1]],
                )
                pairs.append((a + d, (a - d) ** 2 + (2 * o) ** 2))
            else:
                rest += index
        return cls(single, pairs, hessian.extract(rest, rest) if rest else None)

    def flat(self) -> list[sympy.Expr]:
        """Return all expressions in one list."""
        return [*self.single, *(e for pair in self.pairs for e in pair), *(self.rest or [])]

    def lines(self, texts: list[str]) -> tuple[list[str], str]:
        """Return lines and the text of the top eigenvalue, given the texts of :meth:`flat`."""
        count = len(self.single)
        candidates, texts = texts[:count], texts[count:]
        for _ in self.pairs:
            candidates.append(f"0.5 * ({texts[0]} + sqrt({texts[1]}))")
            texts = texts[2:]
        lines: list[str] = []
        if self.rest is not None:
            size = self.rest.rows
            lines += [f"matrix[{k // size}, {k % size}] = {text}" for k, text in enumerate(texts)]
            candidates.append(f"top_eigenvalue(matrix, {size})")
        lines.append(f"top = {candidates[0]}")
        for text in candidates[1:]:
            lines += [f"other = {text}", "top = choose(other > top, other, top)"]
        return lines, "top"


class Formulas:
    """A loss's formulas in internal names, as the kernels' templates take them (see kernels.source.LossText)."""

    def __init__(
        self, expression: sympy.Expr, variables: Sequence[sympy.Symbol], parameters: Sequence[sympy.Symbol]
    ) -> None:
        self._w = [sympy.Symbol(f"w_{s.name}", real=True) for s in variables]
        self._p = [sympy.Symbol(f"p_{s.name}", real=True) for s in parameters]
        internal = dict(zip([*variables, *parameters], [*self._w, *self._p], strict=True))
        self.expression = expression.xreplace(internal)
        self.weights = [s.name for s in self._w]
        self.parameters = [s.name for s in self._p]
        self._constants: dict[sympy.Expr, sympy.Symbol] = {}

    @cached_property
    def gradient(self) -> list[sympy.Expr]:
        """∂L/∂w, one expression per weight."""
        return [_tidy(sympy.diff(self.expression, s)) for s in self._w]

    @cached_property
    def hessian(self) -> sympy.Matrix:
        """∂²L/∂w², a symmetric matrix of expressions."""
        n = len(self._w)
        out = sympy.zeros(n, n)
        for i in range(n):
            for j in range(i, n):
                out[i, j] = out[j, i] = _tidy(sympy.diff(self.gradient[i], self._w[j]))
        return out

    @cached_property
    def _program(self) -> tuple[list[str], dict[str, list[str]]]:
        """All formulas as one list of assignments, and the texts of each piece's results.

        Every kernel takes its lines from this one list, so a formula has the same bits wherever it is computed.
        """
        pieces = {"value": [self.expression], "gradient": self.gradient, "sharpness": self._blocks.flat()}
        lines, texts = lines_of([self._hoist(e) for found in pieces.values() for e in found], "e")
        results: dict[str, list[str]] = {}
        for piece, found in pieces.items():
            results[piece], texts = texts[: len(found)], texts[len(found) :]
        return lines, results

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks.of(self.hessian)

    def _hoist(self, expr: Any) -> Any:
        """Return expr with every maximal part that depends on parameters only replaced by a constant's name."""
        if expr.is_Number or expr.is_Symbol:
            return expr
        if not expr.free_symbols & set(self._w):
            if not expr.free_symbols:
                return expr
            if expr not in self._constants:
                self._constants[expr] = sympy.Symbol(f"k{len(self._constants)}", real=True)
            return self._constants[expr]
        if expr.is_Add or expr.is_Mul:
            fixed = [a for a in expr.args if not a.free_symbols & set(self._w)]
            moving = [self._hoist(a) for a in expr.args if a.free_symbols & set(self._w)]
            known = self._hoist(expr.func(*fixed)) if fixed else None
            return expr.func(*moving) if known is None else expr.func(known, *moving)
        return expr.func(*[self._hoist(a) for a in expr.args])

    @cached_property
    def constants(self) -> list[tuple[str, str]]:
        """Names and formulas of what depends on the parameters only."""
        _ = self._program  # hoisting, while the program is made, fills the constants
        return [(symbol.name, formula(expr)) for expr, symbol in self._constants.items()]

    @property
    def functions(self) -> str:
        """Source of the functions the formulas call."""
        return TOP_EIGENVALUE if self._blocks.rest is not None else ""

    def code(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, list[str]]]:
        """Return lines and results of `pieces` at the weights' names with `prefix` (see kernels.source.LossText)."""
        program, all_results = self._program
        results = {piece: all_results[piece] for piece in pieces}
        lines = _needed(program, [text for texts in results.values() for text in texts])
        if "sharpness" in results:
            more, top = self._blocks.lines(results["sharpness"])
            lines, results["sharpness"] = lines + more, [top]
        if prefix:
            local = "|".join([*self.weights, *(line.split(" = ")[0] for line in lines)])

            def rename(text: str) -> str:
                return re.sub(rf"\b({local})\b", rf"{prefix}\g<1>", text)

            lines = [rename(line) for line in lines]
            results = {piece: [rename(text) for text in texts] for piece, texts in results.items()}
        return lines, results


def _needed(lines: list[str], texts: list[str]) -> list[str]:
    """Return those assignments, in order, on which the texts depend."""
    wanted = {name for text in texts for name in re.findall(r"\be\d+\b", text)}
    kept = []
    for line in reversed(lines):
        name, text = line.split(" = ", 1)
        if name in wanted:
            wanted.update(re.findall(r"\be\d+\b", text))
            kept.append(line)
    return kept[::-1]


def _tidy(expr: sympy.Expr) -> sympy.Expr:
    """Return a derivative without needless nesting; DiracDelta, zero almost everywhere, is dropped."""
    expr = expr.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
    return sympy.factor_terms(expr) if expr.is_polynomial() else expr
