"""Any loss a user writes in SymPy: derivatives, kernels and values from one expression."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement, permutations
from types import MappingProxyType, ModuleType
from typing import Any, Self

import numpy as np
import sympy

from selfstab import former_names, validation
from selfstab.eigen import pairs
from selfstab.formulas.deadline import bounded
from selfstab.formulas.expressions import checked, parse
from selfstab.formulas.size import (
    LARGEST,
    check_nodes,
    check_operations,
    check_shared_operations,
    check_weights,
    shared_operations,
)
from selfstab.formulas.vocabulary import in_own_functions
from selfstab.kernels import elementary, modules
from selfstab.kernels.derivative_template import derivatives_source
from selfstab.kernels.measures import MEASURES, measure_names
from selfstab.kernels.variants import Variant
from selfstab.losses.base.kernel import PLAIN_STEPS, Kernel, KernelSource
from selfstab.losses.base.loss import HESSIAN_NUMBERS, Loss
from selfstab.losses.symbolic.formulas import Formulas, derivative, derivatives
from selfstab.losses.symbolic.printing import lines_of
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.text import rule_text
from selfstab.validation import Array

RESERVED = ("lr", "excess", "noise", "momentum", "lookahead", "repeat", "seed", "step", "weight", *MEASURES,
            *former_names.MEASURES)  # fmt: skip
"""Names a loss parameter must not have, since sweeps and datasets use them."""


class SymbolicLoss(Loss):
    """A loss written as a SymPy expression.

    Gradient, Hessian, sharpness and third derivatives are derived from the expression and printed as source text. It is
    compiled when a sweep or a long run needs it. The functions exp, log, sin, cos, tanh and similar ones are within
    one unit in the last place. Sin and cos of arguments beyond 2^40 are nan, and end a run as a divergence.

    Parameters
    ----------
    expression
        The loss L(variables; parameters), real and at least twice differentiable almost everywhere. It is a SymPy
        expression, or text such as ``"(u*v - 1)**2/2"`` in + − * / ** and the common functions. A power of what is
        negative is nan unless its exponent is whole.
    variables
        The weights, in order: symbols or names, or names in one text such as ``"u, v"``.
    parameters
        Value by symbol or name for every other symbol of the expression.
    limit
        Most operations of value, gradient and Hessian together; what they share counts once. The kernel of a sweep
        compiles in about 1 s for each 30 of them. SymPy's own time is limited by :func:`selfstab.derive_within`.

    Raises
    ------
    TypeError
        If the expression is not one, or a parameter's value is not a number.
    ValueError
        If the expression has undeclared symbols, none of the variables, or complex or unknown parts. If constants
        overflow or underflow, there are more operations than the limit, or it takes SymPy longer than 10 s. If there
        are more than 500 variables, or a name is repeated, reserved or not a Python identifier.

    Examples
    --------
    >>> loss = SymbolicLoss("(u*v - c)**2/2", ["u", "v"], {"c": 1.0})
    >>> loss.value([2.0, 1.0])
    0.5
    >>> loss.gradient([2.0, 1.0])
    array([1., 2.])
    >>> print(loss.sharpness([2.0, 0.5])[0])
    4.25
    >>> print(SymbolicLoss("(w + abs(w))/2 + log(1 + exp(-abs(w)))", "w").hessian([0.0])[0, 0])
    0.25
    """

    @bounded("be checked and differentiated")
    def __init__(
        self,
        expression: sympy.Expr | str,
        variables: Iterable[sympy.Symbol | str],
        parameters: Mapping[sympy.Symbol | str, float] | None = None,
        *,
        limit: int = LARGEST,
    ) -> None:
        limit = validation.integer("limit", limit, at_least=1)
        weights = _names("variables", variables)
        check_weights("variables", len(weights))
        if not isinstance(parameters, Mapping | None):
            raise TypeError(f"parameters must map names to values, got {validation.shown(parameters)}")
        # A symbol and a text may name one parameter, so the names are checked before they become keys.
        _names("parameters", [*weights, *map(str, parameters or {})])
        numbers = {str(key): value for key, value in (parameters or {}).items()}
        for name in numbers:
            if name in RESERVED:
                raise ValueError(
                    f"parameters must not be named like a sweep's axes, measures ({', '.join(RESERVED)}), got {name!r}"
                )
        symbols = {name: sympy.Symbol(name, real=True) for name in [*weights, *numbers]}
        self.expression = _expression(expression, symbols, max(limit, LARGEST))
        self._written = expression if isinstance(expression, str) else ""
        free = {s.name for s in self.expression.free_symbols}
        if unknown := sorted(free - set(symbols)):
            raise ValueError(
                f"expression must use declared symbols only ({', '.join(symbols)}), got {', '.join(unknown)}: "
                "add each to variables if it is a weight, else to parameters with its value"
            )
        if not free & set(weights):
            raise ValueError(
                f"expression must use at least one of the variables {', '.join(weights)}, got {self.expression}"
            )
        check_operations(self.expression, set(weights), limit)
        self._names = tuple(weights)
        self._parameters = {name: _parameter(name, value) for name, value in numbers.items()}
        self._check_parameters()
        check_shared_operations(self._derived.operations, limit)

    def _check_parameters(self) -> None:
        for name, bounds in self.domain.items():
            validation.real(name, self._parameters[name], **bounds)

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return len(self._names)

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The variables' names."""
        return self._names

    @property
    def parameters(self) -> Mapping[str, float]:
        """Value by name, read-only; :meth:`replace` changes them."""
        return MappingProxyType(self._parameters)

    @property
    def description(self) -> str:
        """The expression with its variables and parameters, on one line."""
        inner = "".join(f", {name}={value!r}" for name, value in self._parameters.items())
        return f"{type(self).__name__}({_text(self.expression)}; {', '.join(self._names)}{inner})"

    def _repr_latex_(self) -> str | None:
        """Return the formula for a notebook; None, which leaves the text, where it would fill the page."""
        if self.expression.count_ops() > 100:
            return None
        weights = ", ".join(sympy.latex(sympy.Symbol(name)) for name in self._names)
        return f"$\\displaystyle L({weights}) = {sympy.latex(self.expression)}$"

    def __repr__(self) -> str:
        return self.description

    def replace(self, **parameters: float) -> Self:
        """Return the same loss with other values of its parameters.

        Raises
        ------
        TypeError, ValueError
            If a name is not a parameter's, or a value is not a finite number in the loss's domain.
        """
        validation.some_of("parameters", tuple(parameters), self._parameters)
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._parameters = self._parameters | {n: validation.real(n, v) for n, v in parameters.items()}
        other._check_parameters()
        return other

    def state(self) -> dict[str, Any]:
        """Return the expression as text, the variables and the parameters."""
        return {
            "expression": _exact_text(
                self.expression, [*self._names, *self._parameters], self.__dict__.get("_written", "")
            ),
            "variables": self._names,
            "parameters": self.parameters,
        }

    def source(self, measure: Sequence[str] = ("final_loss", "final_sharpness", "phase")) -> str:
        """Return the generated kernel of a sweep over constant lr with these measures, as text."""
        measures = measure_names("measure", measure)
        return self.sweep_source(Variant(measures, rule_text(HeavyBall(1.0), ())))

    # -- kernels --------------------------------------------------------------------------------------------------

    @property
    def _derived(self) -> _Derived:
        return _derived(self.expression, self._names, tuple(self._parameters), type(self).__name__)

    @property
    def formulas(self) -> Formulas:
        """The loss's formulas in the kernels' names."""
        return self._derived.formulas

    def sweep_source(self, variant: Variant) -> str:
        """Return the text of the module that sweeps this loss."""
        return self._derived.source.sweep(variant)

    @property
    def kernel(self) -> Kernel:
        """The compiled code of the loss."""
        return Kernel(self._derived.source, self._values)

    @property
    def _values(self) -> Array:
        return np.array([*self._parameters.values()], dtype=np.float64)

    # -- derivatives ----------------------------------------------------------------------------------------------

    def value_at(self, w: Array) -> float:
        """Return L(w)."""
        return float(self._derived.functions["value"](*w, *self._values)[0])

    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return np.array(self._derived.functions["gradient"](*w, *self._values))

    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w)."""
        n = self.dimension
        out = np.zeros((n, n))
        entries = self._derived.entries
        out[entries] = self._derived.functions["hessian"](*w, *self._values)
        out.T[entries] = out[entries]
        return out

    def gradients_at(self, points: Array) -> Array:
        """Return ∇L at rows of `points`, with the bits of :meth:`gradient_at`."""
        # A subclass may have a gradient of its own.
        if len(points) <= PLAIN_STEPS or type(self).gradient_at is not SymbolicLoss.gradient_at:
            return super().gradients_at(points)
        out = np.empty(points.shape)
        self._derived.compiled.gradients(points, self._values, out)
        return out

    def hessian_blocks_at(self, points: Array) -> Iterator[Array]:
        """Yield ∇²L at rows of `points` in order, some at a time, with the bits of :meth:`hessian_at`."""
        if len(points) <= PLAIN_STEPS or type(self).hessian_at is not SymbolicLoss.hessian_at:
            yield from super().hessian_blocks_at(points)
            return
        n = self.dimension
        size = max(1, HESSIAN_NUMBERS // n**2)
        for k in range(0, len(points), size):
            out = np.empty((min(size, len(points) - k), n, n))
            self._derived.compiled.hessians(points[k : k + size], self._values, out)
            yield out

    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        return np.array(self._derived.third(*w, *self._values, *u, *v))

    def fourth_at(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·)."""
        n = self.dimension
        indices = np.array(list(_sorted_indices(n, 4))).T
        tensor = np.empty((n, n, n, n))
        parts = np.array(self._derived.fourth(*w, *self._values))
        for order in permutations(indices):
            tensor[tuple(order)] = parts
        along: Array = np.einsum("ijkl,i,j,k->l", tensor, u, v, z)
        return along

    def sharpness_at(self, w: Array, guess: Array | None = None) -> pairs.Eigenpair:
        """Return the top eigenpair; its value is the kernels', so that all parts show the same bits."""
        pair = pairs.top_eigenpair(self.hessian_at(w), guess=guess)
        value = float(self.kernel.evaluate(w[None], sharpness=True)[1][0])
        return pairs.Eigenpair(value, pair.vector, pair.residual, pair.products)


def _parameter(name: str, value: Any) -> float:
    if isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0:
        raise TypeError(
            f"{name} must be a single number, got {validation.shown(value)}: an array is for ss.EmpiricalRisk, "
            "as data of which a formula has one sample"
        )
    return validation.real(name, value)


def _names(name: str, values: Iterable[sympy.Symbol | str]) -> list[str]:
    if isinstance(values, sympy.Symbol):
        values = [values]
    elif isinstance(values, str):
        values = [word.strip() for word in values.split(",")]
    try:
        names = [str(v) for v in values]
    except TypeError:
        raise TypeError(f"{name} must be symbols or names, got {validation.shown(values)}") from None
    for word in names:
        # Python reads identifiers in this normal form: two names that share it would be one in a kernel.
        if not word.isidentifier() or word != unicodedata.normalize("NFKC", word):
            raise ValueError(
                f"{name} must have names that are Python identifiers in normal form, got {word!r}"
            )
    if name == "variables" and not names:
        raise ValueError("variables must name at least one weight, got none")
    if len(set(names)) != len(names):
        raise ValueError(f"{name} must not repeat a name, got {', '.join(names)}")
    return names


def _expression(expression: Any, symbols: Mapping[str, sympy.Symbol], limit: int) -> sympy.Expr:
    if isinstance(expression, str):
        result = parse(expression, symbols)
    elif isinstance(expression, sympy.Expr):
        check_nodes(expression, limit)
        # A symbol is known by its name: assumptions a user gave it do not matter.
        result = in_own_functions(
            expression, {s: symbols[s.name] for s in expression.free_symbols if s.name in symbols}
        )
    else:
        raise TypeError(f"expression must be a SymPy expression or text, got {validation.shown(expression)}")
    return checked(result, limit)


class _Derived:
    """What follows from an expression alone, whatever its parameters' values; made on first use."""

    def __init__(self, formulas: Formulas, title: str) -> None:
        self.formulas, self.source, self._title = formulas, KernelSource(formulas, title), title

    @cached_property
    def _source(self) -> str:
        f = self.formulas
        hessian = [f.hessian[index] for index in zip(*self.entries, strict=True)]
        return _plain_source(f, {"value": [f.expression], "gradient": f.gradient, "hessian": hessian})

    @cached_property
    def operations(self) -> int:
        """Number of operations of value, gradient and Hessian.

        Raises ValueError if a formula has a function that no kernel knows: here, not at the first call.
        """
        return shared_operations(self._source)

    @cached_property
    def entries(self) -> tuple[Any, Any]:
        """Rows and columns of the Hessian's entries on and below the diagonal that are not 0 everywhere."""
        present = sorted((i, j) for i, j in self.formulas.hessian.todok() if j <= i)
        rows, columns = np.array(present, dtype=int).reshape(-1, 2).T
        return rows, columns

    @cached_property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """Scalar functions (weights, parameters) of value, gradient and Hessian's entries, run by plain CPython."""
        return modules.plain(elementary.definitions(self._source) + self._source)

    @property
    def _lower_hessian(self) -> list[sympy.Expr]:
        hessian = self.formulas.hessian
        return [hessian[i, j] for i in range(hessian.rows) for j in range(i + 1)]

    @cached_property
    def compiled(self) -> ModuleType:
        """The compiled module of gradients and Hessians at many points, in the lines of `functions`."""
        f = self.formulas
        gradient, hessian = (
            lines_of([f.directed(e) for e in expressions], "e")
            for expressions in (f.gradient, self._lower_hessian)
        )
        return modules.compiled(derivatives_source(f.weights, f.parameters, gradient, hessian, self._title))

    @cached_property
    @bounded("have third derivatives")
    def third(self) -> Callable[..., Any]:
        """The function (weights, parameters, a, b) → ∇³L(a, b, ·), run by plain CPython."""
        f = self.formulas
        n = f.hessian.rows
        w = [sympy.Symbol(name, real=True) for name in f.weights]
        a = [sympy.Symbol(f"a_{i}", real=True) for i in range(n)]
        b = [sympy.Symbol(f"b_{i}", real=True) for i in range(n)]
        form = sympy.Add(*(entry * a[i] * b[j] for (i, j), entry in f.hessian.todok().items()))
        out = derivatives(form, w)
        return _plain_functions(f, {"third": out}, extra=[s.name for s in [*a, *b]])["third"]

    @cached_property
    @bounded("have fourth derivatives")
    def fourth(self) -> Callable[..., Any]:
        """The function (weights, parameters) → ∂⁴L/∂w_i∂w_j∂w_k∂w_l for i <= j <= k <= l, run by plain CPython."""
        f = self.formulas
        w = [sympy.Symbol(name, real=True) for name in f.weights]
        parts = {index: f.hessian[index] for index in _sorted_indices(len(w), 2)}
        for order in (3, 4):
            parts = {
                index: derivative(parts[index[:-1]], w[index[-1]]) for index in _sorted_indices(len(w), order)
            }
        return _plain_functions(f, {"fourth": list(parts.values())})["fourth"]


def _sorted_indices(size: int, order: int) -> Iterable[tuple[int, ...]]:
    return combinations_with_replacement(range(size), order)


@bounded("be written as text")
def _exact_text(expression: sympy.Expr, names: Iterable[str], written: str) -> str:
    """Return the expression as text that parses to it again: as it was `written`, or in SymPy's form, at worst."""
    # SymPy prints floats with 15 digits; a symbol that is called like the number has them all.
    exact = {number: sympy.Symbol(repr(float(number))) for number in expression.atoms(sympy.Float)}
    text = str(expression.xreplace(exact))
    try:
        if checked(parse(text, {name: sympy.Symbol(name, real=True) for name in names})) == expression:
            return text
    except ValueError:
        pass
    return written or str(sympy.srepr(expression))


@lru_cache(maxsize=64)
@bounded("be written as text")
def _text(expression: sympy.Expr) -> str:
    """Return an expression as text, which takes SymPy milliseconds."""
    return str(expression)


@lru_cache(maxsize=64)
def _derived(
    expression: sympy.Expr, weights: tuple[str, ...], parameters: tuple[str, ...], kind: str
) -> _Derived:
    symbols = [[sympy.Symbol(name, real=True) for name in names] for names in (weights, parameters)]
    return _Derived(Formulas(expression, *symbols), f"{kind}: L({', '.join(weights)}) = {expression}")


def _plain_functions(
    formulas: Formulas, pieces: Mapping[str, list[sympy.Expr]], extra: Iterable[str] = ()
) -> dict[str, Callable[..., Any]]:
    source = _plain_source(formulas, pieces, extra)
    return modules.plain(elementary.definitions(source) + source)


def _plain_source(
    formulas: Formulas, pieces: Mapping[str, list[sympy.Expr]], extra: Iterable[str] = ()
) -> str:
    arguments = ", ".join([*formulas.weights, *formulas.parameters, *extra])
    source = ""
    for name, expressions in pieces.items():
        lines, results = lines_of([formulas.directed(e) for e in expressions], "e")
        body = "".join(f"    {line}\n" for line in lines)
        source += f"@compiled\ndef {name}({arguments}):\n{body}    return [{', '.join(results)}]\n\n\n"
    return source
