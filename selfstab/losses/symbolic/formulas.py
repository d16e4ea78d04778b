"""The formulas of a loss in the form the kernels take: value, gradient and sharpness as one list of assignments.

What depends on parameters only is computed once a run; what appears twice is computed once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import sympy

from selfstab.formulas.deadline import bounded
from selfstab.formulas.functions import RealFunction
from selfstab.formulas.kinks import directed
from selfstab.formulas.vocabulary import in_own_functions
from selfstab.kernels import elementary
from selfstab.kernels.careful import Careful
from selfstab.kernels.eigenvalues import TOP_EIGENVALUES, tops_line
from selfstab.kernels.samples import SampleText
from selfstab.kernels.top_of_two import LEAST_SQUARE, TOP_OF_TWO
from selfstab.losses.symbolic.printing import Assignment, Printed, assignments, formula, lines_of
from selfstab.losses.symbolic.stable import merged, stable

T = TypeVar("T")


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


def derivatives(expression: sympy.Expr, symbols: Sequence[sympy.Symbol]) -> list[sympy.Expr]:
    """Return the derivative by each symbol, in the functions that kernels know.

    In a sum, SymPy meets only the terms that hold the symbol.

    >>> x, y = sympy.symbols("x y", real=True)
    >>> derivatives(x**2 + x * y, [x, y])
    [2*x + y, x]
    """
    holding: dict[Any, list[sympy.Expr]] = {symbol: [] for symbol in symbols}
    for term in sympy.Add.make_args(expression):
        for symbol in term.free_symbols & holding.keys():
            holding[symbol].append(term)
    slopes = (sympy.Add(*(sympy.diff(term, symbol) for term in holding[symbol])) for symbol in symbols)
    return [merged(in_own_functions(slope)) for slope in slopes]


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

    def triangle(self, values: Sequence[T]) -> list[T]:
        """Return what stands for the lower triangle of the matrix for an iteration, of one value for each of flat."""
        size = 0 if self.rest is None else self.rest.rows
        first = len(values) - size * size
        return [values[first + i * size + j] for i in range(size) for j in range(i + 1)]

    def lines(self, texts: list[str], rest: str = "") -> tuple[list[str], str]:
        """Return lines and the text of the top eigenvalue, given the texts of :meth:`flat`.

        `rest` is the text of the top eigenvalue of the matrix for an iteration, if that has been done already.
        """
        candidates, _ = self._candidates(texts)
        lines: list[str] = []
        if rest:
            candidates[-1] = rest
        elif self.rest is not None:
            size = self.rest.rows
            places = [(i, j) for i in range(size) for j in range(i + 1)]
            entries = self.triangle(texts)
            lines += [f"matrix[{i}, {j}, 0] = {e}" for (i, j), e in zip(places, entries, strict=True)]
            lines.append(tops_line(size))
        lines.append(f"top = {candidates[0]}")
        for text in candidates[1:]:
            lines += [f"other = {text}", "top = choose(other > top, other, top)"]
        return lines, "top"

    def in_range(self, texts: list[str]) -> str:
        """Return the text of the test whether :meth:`lines` lose nothing: no overflow, no underflow, no nan.

        An iteration sees to its matrix itself.
        """
        candidates, squares = self._candidates(texts)
        if self.rest is not None or len(candidates) == 1:
            candidates[-1] = "top"
        tests = [f"({square} >= {LEAST_SQUARE!r})" for square in squares]
        return " & ".join([*tests, *(f"(abs({text}) < inf)" for text in candidates)])

    def _candidates(self, texts: list[str]) -> tuple[list[str], list[str]]:
        """Return the texts of the blocks' top eigenvalues, and those of the discriminants."""
        count = len(self.single)
        candidates, texts, squares = texts[:count], texts[count:], []
        for _ in self.pairs:
            candidates.append(f"0.5 * ({texts[0]} + sqrt({texts[1]}))")
            squares.append(texts[1])
            texts = texts[2:]
        if self.rest is not None:
            candidates.append(f"matrix[{self.rest.rows}, 0, 0]")
        return candidates, squares


class _Hoisting:
    """Takes what depends on parameters only out of expressions, as constants k0, k1, ...

    Parameters
    ----------
    moving
        The symbols that change during a run.
    """

    def __init__(self, moving: Iterable[sympy.Symbol]) -> None:
        self._moving = {*moving}
        self.constants: dict[sympy.Expr, sympy.Symbol] = {}

    def hoisted(self, expr: Any) -> Any:
        """Return expr with every maximal part that depends on parameters only replaced by a constant's name."""
        if expr.is_Number or expr.is_Symbol:
            return expr
        if not expr.free_symbols & self._moving:
            if not expr.free_symbols:
                return expr
            if expr not in self.constants:
                self.constants[expr] = sympy.Symbol(f"k{len(self.constants)}", real=True)
            return self.constants[expr]
        if expr.is_Add or expr.is_Mul:
            fixed = [a for a in expr.args if not a.free_symbols & self._moving]
            moving = [self.hoisted(a) for a in expr.args if a.free_symbols & self._moving]
            constant = self.hoisted(expr.func(*fixed)) if fixed else None
            return expr.func(*moving) if constant is None else expr.func(constant, *moving)
        return expr.func(*[self.hoisted(a) for a in expr.args])


@dataclass(frozen=True)
class _Program:
    """All formulas of a loss as one list of assignments.

    Every kernel takes its lines from this one list, so a formula has the same bits wherever it is computed.
    """

    constants: list[tuple[str, str]]
    """Names and formulas of what depends on parameters only."""
    steps: list[Assignment]
    results: dict[str, list[Printed]]
    """What each piece is in the end."""
    hoisted: dict[sympy.Expr, sympy.Symbol]
    """The constants by what they stand for."""


class Formulas:
    """A loss's formulas in internal names, as the kernels' templates take them (see kernels.variants.LossText)."""

    sample: SampleText | None = None
    """The formulas of one sample, of a loss that is a mean over data."""

    def __init__(
        self,
        expression: sympy.Expr,
        variables: Sequence[sympy.Symbol],
        parameters: Sequence[sympy.Symbol],
        entries: Sequence[sympy.Symbol] = (),
    ) -> None:
        self._w = [sympy.Symbol(f"w_{s.name}", real=True) for s in variables]
        self._p = [sympy.Symbol(f"p_{s.name}", real=True) for s in parameters]
        internal = dict(zip([*variables, *parameters], [*self._w, *self._p], strict=True))
        typed = in_own_functions(expression, internal)
        self.expression = in_own_functions(stable(typed, [*self._p, *entries]))
        self.rewritten = self.expression != typed or bool(self.expression.atoms(RealFunction))
        """Whether it is computed in other functions than version 0.1 used, with other last digits or sides of kinks."""
        self.weights = [s.name for s in self._w]
        self.parameters = [s.name for s in self._p]

    def directed(self, expression: sympy.Expr) -> sympy.Expr:
        """Return an expression whose kinks take the side that the rule says (see kinks)."""
        return directed(in_own_functions(expression), self._w)

    @cached_property
    def gradient(self) -> list[sympy.Expr]:
        """∂L/∂w, one expression per weight."""
        return [_tidy(slope) for slope in derivatives(self.expression, self._w)]

    @cached_property
    def hessian(self) -> sympy.Matrix:
        """∂²L/∂w², a symmetric matrix of expressions."""
        n = len(self._w)
        out = sympy.zeros(n, n)
        for i in range(n):
            for j, curvature in enumerate(derivatives(self.gradient[i], self._w[i:]), i):
                if curvature != 0:
                    out[i, j] = out[j, i] = _tidy(curvature)
        return out

    @property
    def _moving(self) -> list[sympy.Symbol]:
        """The symbols that change during a run."""
        return self._w

    @cached_property
    @bounded("be written as a kernel")
    def _program(self) -> _Program:
        pieces = {"value": [self.expression], "gradient": self.gradient, "sharpness": self._blocks.flat()}
        exponentials, expressions = shared_exponentials(
            [self.directed(e) for piece in pieces.values() for e in piece]
        )
        hoisting = _Hoisting([*self._moving, *exponentials])
        steps, printed = assignments(
            [hoisting.hoisted(e) for e in [*exponentials.values(), *expressions]], "e"
        )
        named = [Assignment(s.name, value) for s, value in zip(exponentials, printed, strict=False)]
        printed = printed[len(exponentials) :]
        results: dict[str, list[Printed]] = {}
        for piece, expressions in pieces.items():
            results[piece], printed = printed[: len(expressions)], printed[len(expressions) :]
        constants = [(symbol.name, formula(expr)) for expr, symbol in hoisting.constants.items()]
        return _Program(constants, _placed([*named, *steps]), results, hoisting.constants)

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks.of(self.hessian)

    @property
    def iterated(self) -> int:
        """How many rows the matrix has whose top eigenvalue is found by an iteration; 0 if there is none."""
        return 0 if self._blocks.rest is None else int(self._blocks.rest.rows)

    @property
    def constants(self) -> list[tuple[str, str]]:
        """Names and formulas of what depends on the parameters only."""
        return self._program.constants

    @property
    def functions(self) -> str:
        """Source of the functions the formulas call."""
        program = self._program
        results = (value.text for values in program.results.values() for value in values)
        texts = [*(step.line for step in program.steps), *results, *(text for _, text in program.constants)]
        own = self._careful_source
        iterates = "top_eigenvalues" in own or self._blocks.rest is not None
        called = (TOP_EIGENVALUES if iterates else "") + (TOP_OF_TWO if "top_of_two" in own else "")
        return elementary.definitions("\n".join([*texts, own])) + called + own

    @cached_property
    def careful(self) -> Careful | None:
        """What computes the sharpness where the formulas of the blocks leave the range of float64."""
        texts = [value.text for value in self._program.results["sharpness"]]
        # Numbers alone where they do.
        iterates = len(self._blocks.single) < len(self._w) and len(self._w) > 2
        arguments = ", ".join([*self.weights, *self.parameters, *(["matrix"] if iterates else [])])
        smooth = bool(self.expression.is_polynomial(*self._w))
        if self._blocks.rest is not None and self._blocks.rest.rows == len(self._w):
            return Careful("abs(top) < inf", "", smooth)
        return Careful(self._blocks.in_range(texts), f"careful_sharpness({arguments})", smooth)

    @cached_property
    def _careful_source(self) -> str:
        """Source of the function that takes the top eigenvalue of the whole Hessian."""
        if not (self.careful and self.careful.call):
            return ""
        n = len(self._w)
        if len(self._blocks.single) == n:
            lines, entries = lines_of([self.directed(e) for e in self._blocks.single], "e")
            lines += [f"top = {entries[0]}"]
            for entry in entries[1:]:
                lines += [f"other = {entry}", "top = choose(other > top, other, top)"]
            tests = " & ".join(f"(abs({entry}) < inf)" for entry in entries)
            lines += [f"return choose({tests}, top, nan)"]
        elif n == 2:
            lines, entries = lines_of(
                [self.directed(self.hessian[i, j]) for i, j in ((0, 0), (1, 1), (0, 1))], "e"
            )
            lines += [f"return top_of_two({', '.join(entries)})"]
        else:
            places = [(i, j) for i in range(n) for j in range(i + 1)]
            lines, entries = lines_of([self.directed(self.hessian[i, j]) for i, j in places], "e")
            for (i, j), entry in zip(places, entries, strict=True):
                lines += [f"matrix[{i}, {j}, 0] = {entry}"]
            lines += [tops_line(n), f"return matrix[{n}, 0, 0]"]
        body = "".join(f"    {line}\n" for line in lines)
        return f"""\
@compiled
def {self.careful.call}:
    \"\"\"Return the sharpness of any Hessian: the formulas that are used elsewhere square its entries.\"\"\"
{body}

"""

    @cached_property
    def _hessian_code(self) -> tuple[list[str], list[str]]:
        """Lines and entries of the Hessian's lower triangle; apart, so that no other formula's text depends on them."""
        n, known = len(self._w), self._program.hoisted
        entries = [self.directed(self.hessian[i, j]) for i in range(n) for j in range(i + 1)]
        return lines_of([entry.xreplace(known) for entry in entries], "hess")

    def code(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, list[str]]]:
        """Return lines and results of `pieces` at the weights' names with `prefix` (see kernels.variants.LossText)."""
        program, blocks = self._program, self._blocks
        sharp = program.results["sharpness"]
        others = len(sharp) - self.iterated**2
        printed = {**program.results, "matrix": blocks.triangle(sharp), "top": sharp[:others]}
        apart = self._hessian_code if "hessian" in pieces else ([], [])
        known = [piece for piece in pieces if piece != "hessian"]
        steps = _needed(program.steps, [value for piece in known for value in printed[piece]])
        lines = [*(step.line for step in steps), *apart[0]]
        results = {piece: [value.text for value in printed[piece]] for piece in known}
        results |= {"hessian": apart[1]} if "hessian" in pieces else {}
        local = [*self.weights, *(line.partition(" = ")[0] for line in lines)]
        for piece in {"sharpness", "top"} & results.keys():
            rest = "top_of_matrix" if piece == "top" else ""
            more, top = blocks.lines([value.text for value in sharp], rest)
            lines, results[piece] = lines + more, [top]
            local += ["top", "other"]
        if prefix:
            names = re.compile(rf"\b({'|'.join(local)})\b")
            lines = [names.sub(rf"{prefix}\g<1>", line) for line in lines]
            results = {
                piece: [names.sub(rf"{prefix}\g<1>", text) for text in texts]
                for piece, texts in results.items()
            }
        return lines, results


def _needed(steps: Sequence[Assignment], results: Iterable[Printed]) -> list[Assignment]:
    """Return those assignments, in order, on which the results depend."""
    read = set[str]().union(*(result.reads for result in results))
    needed = []
    for step in reversed(steps):
        if step.name in read:
            read |= step.value.reads
            needed.append(step)
    return needed[::-1]


def _placed(steps: Sequence[Assignment]) -> list[Assignment]:
    """Return the assignments, each behind those it reads."""
    placed: list[Assignment] = []
    left = [*steps]
    unknown = {step.name for step in steps}
    while left:
        step = next(step for step in left if not unknown & step.value.reads)
        left.remove(step)
        unknown.remove(step.name)
        placed.append(step)
    return placed


def derivative(expression: sympy.Expr, symbol: sympy.Symbol) -> sympy.Expr:
    """Return a derivative in the functions that kernels know.

    >>> x = sympy.Symbol("x", real=True)
    >>> derivative(in_own_functions(sympy.Abs(x)), x)
    sign(x)
    """
    return derivatives(expression, [symbol])[0]


def _tidy(expr: sympy.Expr) -> sympy.Expr:
    """Return a derivative without needless nesting."""
    return sympy.factor_terms(expr) if expr.is_polynomial() else expr
