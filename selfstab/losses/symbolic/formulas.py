"""The formulas of a loss in the form the kernels take: value, gradient and sharpness as one list of assignments.

What depends on parameters only is computed once a run; what appears twice is computed once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy

from selfstab.kernels import elementary
from selfstab.losses.symbolic.printing import formula, lines_of

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


def shared_exponentials(
    expressions: Sequence[sympy.Expr],
) -> tuple[dict[sympy.Symbol, sympy.Expr], list[sympy.Expr]]:
    """Return names of exponentials, and the expressions with e^a named and e^(2a), e^(3a), ... as its powers.

    >>> x = sympy.Symbol("x", real=True)
    >>> shared_exponentials([sympy.exp(x), x * sympy.exp(2 * x), sympy.exp(x / 3)])
    ({exp0: exp(x/3)}, [exp0**3, exp0**6*x, exp0])
    """
    factors: dict[sympy.Expr, set[sympy.Rational]] = {}
    for node in set[sympy.Expr]().union(*(e.atoms(sympy.exp) for e in expressions)):
        factor, rest = node.args[0].primitive()
        factors.setdefault(rest, set()).add(factor)
    shared: dict[sympy.Symbol, sympy.Expr] = {}
    powers: dict[sympy.Expr, sympy.Expr] = {}
    for rest in sorted(factors, key=sympy.default_sort_key):
        least = min(factors[rest])
        multiples = [f for f in factors[rest] if (f / least).is_integer]
        if len(multiples) > 1:
            name = sympy.Symbol(f"exp{len(shared)}", real=True)
            shared[name] = sympy.exp(least * rest)
            powers |= {sympy.exp(f * rest): name ** (f / least) for f in multiples}
    return shared, [e.xreplace(powers) for e in expressions]


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
        self._moving = set(self._w)

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
        shared, expressions = shared_exponentials([e for found in pieces.values() for e in found])
        self._moving.update(shared)
        lines, texts = lines_of([self._hoist(e) for e in [*shared.values(), *expressions]], "e")
        lines = _placed([f"{name} = {text}" for name, text in zip(shared, texts, strict=False)], lines)
        texts = texts[len(shared) :]
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
        if not expr.free_symbols & self._moving:
            if not expr.free_symbols:
                return expr
            if expr not in self._constants:
                self._constants[expr] = sympy.Symbol(f"k{len(self._constants)}", real=True)
            return self._constants[expr]
        if expr.is_Add or expr.is_Mul:
            fixed = [a for a in expr.args if not a.free_symbols & self._moving]
            moving = [self._hoist(a) for a in expr.args if a.free_symbols & self._moving]
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
        program, results = self._program
        texts = [*program, *(text for found in results.values() for text in found)]
        own = elementary.definitions("\n".join([*texts, *(text for _, text in self.constants)]))
        return own + (TOP_EIGENVALUE if self._blocks.rest is not None else "")

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
    wanted = set(re.findall(r"\w+", " ".join(texts)))
    kept = []
    for line in reversed(lines):
        name, text = line.split(" = ", 1)
        if name in wanted:
            wanted.update(re.findall(r"\w+", text))
            kept.append(line)
    return kept[::-1]


def _placed(more: list[str], lines: list[str]) -> list[str]:
    """Return the assignments of both lists, each behind those it reads."""
    out: list[str] = []
    unknown = {line.split(" = ", 1)[0] for line in [*more, *lines]}
    left = [*more, *lines]
    while left:
        line = next(line for line in left if not unknown & set(re.findall(r"\w+", line.split(" = ", 1)[1])))
        left.remove(line)
        unknown.remove(line.split(" = ", 1)[0])
        out.append(line)
    return out


def _tidy(expr: sympy.Expr) -> sympy.Expr:
    """Return a derivative without needless nesting; DiracDelta, zero almost everywhere, is dropped."""
    expr = expr.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
    return sympy.factor_terms(expr) if expr.is_polynomial() else expr
