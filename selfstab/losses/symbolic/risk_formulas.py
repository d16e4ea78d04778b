"""The formulas of a mean over samples, in the form the kernels take: those of one sample, and those of its means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import sympy

from selfstab.formulas.kinks import Abs, where
from selfstab.formulas.size import check_operations
from selfstab.kernels import elementary
from selfstab.kernels.careful import Careful
from selfstab.kernels.samples import LANES, ZERO, SampleText, arguments_of, loop_lines, placed, words
from selfstab.kernels.writer import indented
from selfstab.losses.symbolic.formulas import (
    Blocks,
    Formulas,
    _Hoisting,
    _needed,
    _tidy,
    derivative,
    shared_exponentials,
)
from selfstab.losses.symbolic.graph import Graph
from selfstab.losses.symbolic.printing import Assignment, Printed, formula, lines_of

DIRECTIONS: Final = "uvz"
"""Names of the directions of a third and a fourth derivative."""


FEW_ENTRIES: Final = 16
"""Up to this many entries of a matrix are filled in line by line."""


@dataclass
class Means:
    """Means over samples by name, each with the operation of one sample that it is the mean of.

    Parameters
    ----------
    graph
        The operations of one sample.
    entries
        The symbols that change from sample to sample; what depends on none of them is its own mean.
    """

    graph: Graph
    entries: Sequence[sympy.Symbol]
    operations: dict[str, Any] = field(default_factory=dict, init=False)
    _names: dict[tuple[str, Any], sympy.Symbol] = field(default_factory=dict, init=False)

    def of(self, operation: Any, point: str = "") -> Any:
        """Return the mean of an operation as an expression in means; those at two points have two names."""
        factor, rest = operation.as_coeff_Mul()
        if not rest.free_symbols & {*self.entries, *self.graph.steps}:
            return operation
        if (point, rest) not in self._names:
            name = sympy.Symbol(f"mean{len(self.operations)}", real=True)
            self._names[point, rest], self.operations[name.name] = name, rest
        return factor * self._names[point, rest]


class OneSample:
    """What is computed of one sample, as text.

    Parameters
    ----------
    means
        The means, and the operations that they are of.
    parameters
        Symbols of the parameters: what depends on these alone is computed once.
    """

    def __init__(self, means: Means, parameters: Sequence[sympy.Symbol]) -> None:
        self.entries = {s.name: column for column, s in enumerate(means.entries)}
        self.means = [*means.operations]
        steps, operations = means.graph.steps, means.operations
        symbols = set[sympy.Symbol]().union(
            *(e.free_symbols for e in [*steps.values(), *operations.values()])
        )
        hoisting = _Hoisting(symbols - {*parameters})

        def hoisted(expression: Any) -> Any:
            # Constants of means have the names k0, k1, ...
            expression = hoisting.hoisted(expression)
            return expression.xreplace(
                {c: sympy.Symbol(f"s{c}", real=True) for c in hoisting.constants.values()}
            )

        self._steps = [Assignment(name.name, Printed.of(hoisted(step))) for name, step in steps.items()]
        results = {mean: hoisted(operation) for mean, operation in operations.items()}
        self._results = {mean: Printed.of(result) for mean, result in results.items()}
        self._sums = {mean: _added(mean, result) for mean, result in results.items()}
        self.constants = [(f"s{symbol}", formula(expr)) for expr, symbol in hoisting.constants.items()]

    @property
    def text(self) -> str:
        """All that is computed, for the functions it calls."""
        constants = (text for _, text in self.constants)
        return "\n".join([*(step.line for step in self._steps), *self._sums.values(), *constants])

    def sums(self, lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Return lines for one sample and, by the name of each mean that `lines` read, its sum with this sample."""
        read = words(lines)
        sums = {mean: text for mean, text in self._sums.items() if mean in read}
        return [step.line for step in _needed(self._steps, [self._results[mean] for mean in sums])], sums


def _added(mean: str, operation: Any) -> str:
    """Return the text of a sum and one more term, a product by fma."""
    factors = operation.as_ordered_factors() if operation.is_Mul else [operation]
    if operation.is_Pow and operation.exp == 2:
        factors = [operation.base, operation.base]
    if len(factors) < 2 or any(f.is_Pow and f.exp.is_number and f.exp.is_negative for f in factors):
        return f"{mean} + {formula(operation) if operation.is_Symbol else f'({formula(operation)})'}"
    *first, last = factors
    product = sympy.Mul(*first, evaluate=False) if len(first) > 1 else first[0]
    return f"fma({formula(product)}, {formula(last)}, {mean})"


def _filled_by_loop(lines: Sequence[str]) -> tuple[list[str], str]:
    """Return lines with entries of a matrix that are means, or multiples of them, filled in by a loop over tables.

    Each line takes its time to compile. The tables' text comes second; where there are few such entries the lines stay.
    """
    pattern = re.compile(r"matrix\[(\d+), (\d+), 0\] = (-?)(?:(-?[\d.e+-]+) \* )?mean(\d+)")
    matches = [pattern.fullmatch(line) for line in lines]
    entries = [match for match in matches if match is not None]
    if len(entries) <= FEW_ENTRIES:
        return [*lines], ""
    places = [(int(m[1]), int(m[2]), LANES * int(m[5])) for m in entries]
    factors = [(-1.0 if m[3] else 1.0) * float(m[4] or 1.0) for m in entries]
    loop = [
        f"for k in range({len(entries)}):",
        "    matrix[PLACES[k, 0], PLACES[k, 1], 0] = FACTORS[k] * sums[PLACES[k, 2] + at]",
    ]
    tables = f"PLACES = np.array({places}, np.int64)\nFACTORS = np.array({factors})\n\n\n"
    others = [line for line, match in zip(lines, matches, strict=True) if match is None]
    return [*loop, *others], tables


@dataclass(frozen=True)
class SampleSums:
    """The sums that pieces of a risk read (see kernels.samples.SampleText).

    Parameters
    ----------
    one
        What is computed of one sample.
    weights
        Names of the weights.
    code
        Gives the lines of pieces that read the means.
    """

    one: OneSample
    weights: Sequence[str]
    code: Callable[[Sequence[str]], tuple[list[str], dict[str, list[str]]]]

    @property
    def entries(self) -> Mapping[str, int]:
        """Names of a sample's entries, and the columns they are in."""
        return self.one.entries

    @property
    def means(self) -> Sequence[str]:
        """Names of all means."""
        return self.one.means

    def sums(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, str]]:
        """Return lines for one sample and, by the name of each mean that `pieces` read, its sum with this sample."""
        read, results = self.code(pieces)
        lines, sums = self.one.sums([*read, *(text for texts in results.values() for text in texts)])
        if prefix:
            names = [*self.weights, *(line.partition(" = ")[0] for line in lines)]
            local = re.compile(rf"\b({'|'.join(names)})\b")
            lines = [local.sub(rf"{prefix}\g<1>", line) for line in lines]
            sums = {mean: local.sub(rf"{prefix}\g<1>", text) for mean, text in sums.items()}
        return lines, sums


class RiskFormulas(Formulas):
    """The formulas of L(w) = (1/n) Σ ℓ(w; sample): means of one sample's, and what they make.

    Terms of ℓ that read no entry of a sample, such as a penalty on the weights, stand outside the mean.

    Parameters
    ----------
    expression
        ℓ, in the symbols that follow.
    variables, parameters, entries
        The weights, the parameters, and a sample's entries in the order of the data's columns.
    """

    def __init__(
        self,
        expression: sympy.Expr,
        variables: Sequence[sympy.Symbol],
        parameters: Sequence[sympy.Symbol],
        entries: Sequence[sympy.Symbol],
    ) -> None:
        super().__init__(expression, variables, parameters, entries)
        self._entries = [sympy.Symbol(f"d_{s.name}", real=True) for s in entries]
        whole = self.expression.xreplace(dict(zip(entries, self._entries, strict=True)))
        terms, over = sympy.Add.make_args(whole), {*self._entries}
        # A kink's side follows from derivatives of its whole argument: it is decided before operations have names.
        inside = sympy.Add(*(term for term in terms if term.free_symbols & over))
        self._inside = self.directed(inside.replace(Abs, lambda x: where(x, x, -x)))
        self._outside = sympy.Add(*(term for term in terms if not term.free_symbols & over))
        check_operations(self._outside, {*self.weights})
        graph, loss = self._graph()
        self._means = Means(graph, self._entries)
        slopes = graph.gradient(loss, self._w)
        self.expression = self._means.of(loss) + self._outside
        slopes_outside = [_tidy(derivative(self._outside, s)) for s in self._w]
        self._slopes = [
            self._means.of(slope, "gradient") + outside
            for slope, outside in zip(slopes, slopes_outside, strict=True)
        ]
        self._curvatures = sympy.zeros(len(self._w), len(self._w))
        for j, s in enumerate(self._w):
            for i, inside in enumerate(graph.tangents(slopes[j:], {s: sympy.Integer(1)}), start=j):
                curvature = self._means.of(inside) + _tidy(derivative(slopes_outside[i], s))
                self._curvatures[i, j] = self._curvatures[j, i] = curvature
        self._one = OneSample(self._means, self._p)
        self.sample: SampleText = SampleSums(self._one, self.weights, super().code)

    def _graph(self) -> tuple[Graph, Any]:
        """Return the operations of one sample, and its loss in them."""
        exponentials, (expression,) = shared_exponentials([self._inside])
        graph = Graph(self._p)
        names = {name: graph.named(graph.add(power)) for name, power in exponentials.items()}
        return graph, graph.add(expression.xreplace(names))

    @cached_property
    def gradient(self) -> list[sympy.Expr]:
        """∂L/∂w in means, one expression per weight."""
        return self._slopes

    @cached_property
    def hessian(self) -> sympy.Matrix:
        """∂²L/∂w² in means, a symmetric matrix of expressions."""
        return self._curvatures

    @property
    def _moving(self) -> list[sympy.Symbol]:
        return [*self._w, *(sympy.Symbol(mean, real=True) for mean in self._means.operations)]

    @property
    def constants(self) -> list[tuple[str, str]]:
        """Names and formulas of what depends on the parameters only."""
        return [*self._one.constants, *super().constants]

    @property
    def functions(self) -> str:
        """Source of the functions the formulas call."""
        functions = super().functions
        if self._blocks.rest is not None:
            functions += self._sharpness[0]
        others = elementary.definitions(self._one.text).split("\n\n\n")
        return "".join(f"{text}\n\n\n" for text in others if text and text not in functions) + functions

    @cached_property
    def _blocks(self) -> Blocks:
        """One matrix of all weights, unless each is its own block or there are two weights."""
        blocks = Blocks.of(self.hessian)
        small = len(self._w) <= 2 or len(blocks.single) == len(self._w)
        return blocks if small else Blocks([], [], self.hessian)

    @cached_property
    def careful(self) -> Careful | None:
        """What computes the sharpness where the formulas of the blocks leave the range of float64."""
        careful = super().careful
        if careful is None or not careful.call:
            return careful
        name, _, arguments = careful.call.partition("(")
        return replace(careful, in_range=placed(careful.in_range), call=f"{name}(sums, at, {arguments}")

    @cached_property
    def _careful_source(self) -> str:
        return placed(super()._careful_source)

    @cached_property
    def _sharpness(self) -> tuple[str, str]:
        """The function that gives the top eigenvalue from the means, and the line that calls it.

        A matrix is many lines: they stand in a module once.
        """
        lines, results = super().code(["sharpness"])
        lines, tables = _filled_by_loop(lines)
        arguments = ", ".join(["sums", "at", "matrix", *arguments_of(self, lines)])
        body = indented([*map(placed, lines), f"return {results['sharpness'][0]}"], 1)
        title = '"""Return the top eigenvalue of the Hessian, from its means."""'
        text = f"{tables}@compiled\ndef sharpness_of({arguments}):\n    {title}\n{body}\n\n"
        return text, f"top = sharpness_of({arguments})"

    def code(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, list[str]]]:
        """Return lines and results of `pieces` in the names of means (see kernels.variants.LossText)."""
        if "sharpness" not in pieces or self._blocks.rest is None:
            return super().code(pieces, prefix)
        lines, results = super().code([piece for piece in pieces if piece != "sharpness"], prefix)
        results = {piece: ["top"] if piece == "sharpness" else results[piece] for piece in pieces}
        return [*lines, self._sharpness[1]], results

    # -- derivatives at one point ---------------------------------------------------------------------------------

    @cached_property
    def derivatives(self) -> str:
        """The module of value, gradient and Hessian at a point.

        An entry such as ``gradient(data, w, parameters, out)`` puts its numbers into `out`; those of ``hessian`` are
        the rows of the lower triangle.
        """
        n = len(self._w)
        lower = [self.hessian[i, j] for i in range(n) for j in range(i + 1)]
        texts = {name: self._code_of_one(name) for name in ("value", "gradient")}
        texts["hessian"] = lines_of(lower, "e")
        return self._module(texts, self._one, self.constants)

    def _code_of_one(self, piece: str) -> tuple[list[str], list[str]]:
        lines, results = self.code([piece])
        return lines, results[piece]

    def directional(self, order: int) -> str:
        """Return the module of ∇ᵏL(u, v, ..., ·), k = `order`; its entry is ``directional(data, w, u, v, ..., out)``.

        The parameters stand before `out`.
        """
        directions = [
            {s: sympy.Symbol(f"{letter}_{i}", real=True) for i, s in enumerate(self._w)}
            for letter in DIRECTIONS[: order - 1]
        ]
        graph, inside = self._graph()
        outside = self._outside
        for direction in directions:
            (inside,) = graph.tangents([inside], direction)
            outside = sympy.Add(*(_tidy(derivative(outside, s)) * a for s, a in direction.items()))
        means = Means(graph, self._entries)
        results = [
            means.of(slope) + _tidy(derivative(outside, s))
            for slope, s in zip(graph.gradient(inside, self._w), self._w, strict=True)
        ]
        one = OneSample(means, self._p)
        return self._module(
            {"directional": lines_of(results, "e")}, one, one.constants, DIRECTIONS[: order - 1]
        )

    def _module(
        self,
        texts: Mapping[str, tuple[list[str], list[str]]],
        one: OneSample,
        constants: Sequence[tuple[str, str]],
        directions: str = "",
    ) -> str:
        begin = [f"{w} = w[{k}]" for k, w in enumerate(self.weights)]
        begin += [f"{a}_{k} = {a}[{k}]" for a in directions for k in range(len(self.weights))]
        begin += [f"{p} = parameters[{k}]" for k, p in enumerate(self.parameters)]
        begin += [f"{name} = {text}" for name, text in constants]
        arguments = ", ".join(["data", "w", *directions, "parameters", "out"])
        begin += [f"sums = np.empty({LANES * len(one.means)})", f"at = {ZERO}"]
        source = ""
        for name, (lines, results) in texts.items():
            loop = loop_lines(one.entries, *one.sums([*lines, *results]))
            ends = [f"out[{k}] = {text}" for k, text in enumerate(results)]
            body = [*begin, *loop, *map(placed, [*lines, *ends])]
            source += f"@entry\ndef {name}({arguments}):\n{indented(body, 1)}\n\n"
        return f"{elementary.definitions(source)}\n\n{source}"
