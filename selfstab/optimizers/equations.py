"""An update rule that is written as equations: read by the whitelist of formulas, and what is derived from it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import sympy

from selfstab import validation
from selfstab.formulas.deadline import bounded
from selfstab.formulas.expressions import LONGEST, checked, parse
from selfstab.optimizers import arithmetic
from selfstab.transfer_functions import Transfer, first_to_leave, integrated, is_stable, of_matrices

GIVEN: Final = ("w", "g", "lr")
"""Names that each rule may read: a weight, its gradient, the learning rate."""

MOST_STATES: Final = 12
"""Most states of a rule."""

_W, _G, _LR = (sympy.Symbol(name, real=True) for name in GIVEN)
_FUNCTIONS: Final[dict[str, Any]] = {"exp": arithmetic.exp, "log": arithmetic.log}


@dataclass(frozen=True)
class Equations:
    """An update rule as assignments in their order, each of which reads what was assigned before.

    Parameters
    ----------
    assignments
        Pairs of a name and the expression that it becomes.
    point
        Where the gradient is taken.
    states
        Names of the states.
    """

    assignments: tuple[tuple[str, sympy.Expr], ...]
    point: sympy.Expr
    states: tuple[str, ...]

    def step(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all names' values after a step, of anything that has arithmetic."""
        known = dict(values)
        for name, expression in self.assignments:
            known[name] = evaluated(expression, known)
        return known

    @property
    def composed(self) -> list[sympy.Expr]:
        """The next weight and the next states, in the names before the step."""
        known: dict[sympy.Symbol, sympy.Expr] = {}
        for name, expression in self.assignments:
            known[sympy.Symbol(name, real=True)] = expression.xreplace(known)
        return [known[sympy.Symbol(name, real=True)] for name in ("w", *self.states)]


@dataclass(frozen=True)
class Derived:
    """What follows from equations, whatever the parameters' values.

    Parameters
    ----------
    threshold
        The threshold's a and b, S* = a/(η b).
    start
        By state, its share of the mean of w_0 and w_{−1}, and its share of w_0 − w_{−1} as a ratio.
    displacement
        The state that is w_t − w_{t−1}, or None.
    matrices
        A, B and C of one step, linearized about rest.
    """

    threshold: tuple[sympy.Expr, sympy.Expr]
    start: tuple[tuple[sympy.Expr, sympy.Expr, sympy.Expr], ...]
    displacement: str | None
    matrices: tuple[sympy.Matrix, sympy.Matrix, sympy.Matrix]


# -- reading -----------------------------------------------------------------------------------------------------------


def names_of(argument: str, values: Any) -> tuple[str, ...]:
    """Return names in a text such as ``u, v``, or in a sequence of them.

    Raises
    ------
    TypeError, ValueError
        If they are no names, or one is repeated or taken.
    """
    if isinstance(values, sympy.Symbol):
        values = [values]
    elif isinstance(values, str):
        values = [word.strip() for word in values.split(",")] if values.strip() else []
    try:
        names = tuple(map(str, values))
    except TypeError:
        raise TypeError(f"{argument} must be names, got {validation.shown(values)}") from None
    for name in names:
        if not name.isidentifier() or name != unicodedata.normalize("NFKC", name):
            raise ValueError(
                f"{argument} must have names that are Python identifiers in normal form, got {validation.shown(name)}"
            )
        if name in GIVEN:
            raise ValueError(
                f"{argument} must not be called w, g or lr, which each rule has, got {validation.shown(name)}"
            )
    if len(set(names)) != len(names):
        raise ValueError(f"{argument} must not repeat a name, got {', '.join(names)}")
    return names


def as_text(equations: Any) -> str:
    """Return equations as text: ``v = beta*v + g; w = w - lr*v``, also of a mapping of names to expressions."""
    if isinstance(equations, Mapping):
        return "; ".join(f"{name} = {value}" for name, value in equations.items())
    if not isinstance(equations, str):
        raise TypeError(
            "equations must be text such as 'v = beta*v + g; w = w - lr*v', or map names to expressions, got "
            f"{validation.shown(equations)}"
        )
    return "; ".join(part.strip() for part in equations.replace("\n", ";").split(";") if part.strip())


@lru_cache(maxsize=256)
def read(text: str, states: tuple[str, ...], parameters: tuple[str, ...], point: str) -> Equations:
    """Return the equations that a text writes.

    Raises
    ------
    ValueError
        If a name is not declared, a state or w is assigned never or twice, or an expression is none.

    Examples
    --------
    >>> read("v = beta*v + g; w = w - lr*v", ("v",), ("beta",), "w").composed
    [-lr*(beta*v + g) + w, beta*v + g]
    """
    if len(states) > MOST_STATES:
        raise ValueError(f"state_names must be at most {MOST_STATES}, got {len(states)}")
    if len(text) > LONGEST:
        raise ValueError(f"equations must have at most {LONGEST} characters, got {len(text)}")
    symbols = {name: sympy.Symbol(name, real=True) for name in (*GIVEN, *states, *parameters)}
    assignments: dict[str, sympy.Expr] = {}
    for part in text.split(";"):
        name, sign, written = part.partition("=")
        name = name.strip()
        if not sign or not name.isidentifier():
            raise ValueError(
                f"equations must be of the form NAME = EXPRESSION, separated by ;, got {validation.shown(part)}"
            )
        if name in ("g", "lr", *parameters):
            raise ValueError(f"equations must not assign {name}, which is given")
        if name in assignments:
            raise ValueError(f"equations must assign each name once, got {name} twice")
        assignments[name] = _expression(f"equations: {name}", written, symbols)
        symbols[name] = sympy.Symbol(name, real=True)
    for name in ("w", *states):
        if name not in assignments:
            what = "the weight" if name == "w" else "a state"
            raise ValueError(f"equations must assign {name}, which is {what}, and do not")
    at = {name: sympy.Symbol(name, real=True) for name in ("w", *states, *parameters)}
    return Equations(tuple(assignments.items()), _expression("point", point, at), states)


def _expression(argument: str, text: str, symbols: Mapping[str, sympy.Symbol]) -> sympy.Expr:
    try:
        expression = checked(parse(text.strip(), symbols))
    except ValueError as error:
        message = str(error).replace("expression", argument, 1)
        raise ValueError(
            message.replace(
                "add it to variables if it is a weight, else to parameters with its value",
                "add it to state_names if the optimizer remembers it, else to parameters with its value",
            )
        ) from None
    for node in sympy.preorder_traversal(expression):
        known = isinstance(
            node, (sympy.Symbol, sympy.Number, sympy.NumberSymbol, sympy.Add, sympy.Mul, sympy.Pow)
        )
        if not known and type(node).__name__ not in _FUNCTIONS:
            raise ValueError(
                f"{argument} must be built of + - * / **, sqrt, exp and log, got {type(node).__name__}"
            )
    return expression


# -- values ------------------------------------------------------------------------------------------------------------


def evaluated(expression: sympy.Expr, values: Mapping[str, Any]) -> Any:
    """Return the value of an expression, of anything that has arithmetic.

    Examples
    --------
    >>> evaluated(parse("(1 - b)*x/2", {name: sympy.Symbol(name) for name in "bx"}), {"b": 0.5, "x": 8.0})
    2.0
    """
    if isinstance(expression, sympy.Symbol):
        return values[expression.name]
    if isinstance(expression, (sympy.Number, sympy.NumberSymbol)):
        return float(expression)
    if isinstance(expression, sympy.Add):
        return _sum(expression, values)
    if isinstance(expression, sympy.Mul):
        return _product(expression, values)
    if isinstance(expression, sympy.Pow):
        return _power(expression.base, expression.exp, values)
    return _FUNCTIONS[type(expression).__name__](evaluated(expression.args[0], values))


def _sum(expression: sympy.Add, values: Mapping[str, Any]) -> Any:
    # The weight first, and what is subtracted last: products then enter by fma.
    terms = sorted(expression.args, key=lambda term: (term.could_extract_minus_sign(), term != _W))
    total = evaluated(terms[0], values)
    for term in terms[1:]:
        subtracted = term.could_extract_minus_sign()
        value = evaluated(-term if subtracted else term, values)
        total = total - value if subtracted else total + value
    return total


def _product(expression: sympy.Mul, values: Mapping[str, Any]) -> Any:
    number, factors = expression.as_coeff_mul()
    above = [f for f in factors if not (f.is_Pow and f.exp.could_extract_minus_sign())]
    below = [1 / f for f in factors if f not in above]
    value: Any = None if number in (1, -1) and above else float(number)
    for factor in above:
        one = evaluated(factor, values)
        value = one if value is None else value * one
    if number == -1 and above:
        value = -value
    for factor in below:
        value = value / evaluated(factor, values)
    return value


def _power(base: sympy.Expr, exponent: sympy.Expr, values: Mapping[str, Any]) -> Any:
    value = evaluated(base, values)
    if exponent.could_extract_minus_sign():
        return 1.0 / _power(base, -exponent, values)
    if exponent.is_Integer:
        # As products: NumPy's powers of arrays would round otherwise than a kernel.
        out = value
        for _ in range(int(exponent) - 1):
            out = out * value
        return out
    if exponent == sympy.Rational(1, 2):
        return arithmetic.sqrt(value)
    return value ** evaluated(exponent, values)


# -- what follows ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
@bounded("be derived")
def derived(equations: Equations) -> Derived:
    """Return threshold, start and displacement, by SymPy.

    Raises
    ------
    ValueError
        If the rule is neither linear in weights, states and gradient nor smooth about rest. If it moves from rest
        without a gradient, or has no threshold at z = −1.
    """
    unknowns = [_W, *(sympy.Symbol(name, real=True) for name in equations.states)]
    following = [sympy.nsimplify(value, rational=True) for value in equations.composed]
    point = sympy.nsimplify(equations.point, rational=True)
    matrix, inputs, outputs = _linearized(following, point, unknowns)
    identity = sympy.eye(len(unknowns))
    rest = _solution(matrix - identity, unknowns)
    if rest is None or sympy.cancel((outputs * rest)[0] - 1) != 0:
        raise ValueError(
            "equations must leave a weight at rest where it is, wherever that is: steps that do not add up have no "
            "threshold"
        )
    try:
        flip = (matrix + identity).LUsolve(inputs).applyfunc(sympy.cancel)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"equations must have a threshold, {_NO_FLIP}") from None
    at_flip = sympy.cancel((outputs * flip)[0] / _LR)
    if at_flip == 0 or at_flip.free_symbols & {_LR}:
        why = _NO_FLIP if at_flip == 0 else "and steps proportional to lr"
        raise ValueError(f"equations must have a threshold, {why}")
    threshold = sympy.fraction(sympy.factor(-1 / at_flip))
    # A weight that falls by the gradient has T(−1) < 0: S* = −1/T(−1), with T(−1) = C(1 + A)⁻¹B.
    start = []
    for k in range(1, len(unknowns)):
        share = sympy.fraction(sympy.factor(sympy.cancel(flip[k] / (2 * flip[0]))))
        start.append((sympy.factor(rest[k]), *share))
    moved = [
        name
        for name, value in zip(equations.states, following[1:], strict=True)
        if sympy.expand(value - following[0] + _W) == 0
    ]
    return Derived(threshold, tuple(start), moved[0] if moved else None, (matrix, inputs, outputs))


_NO_FLIP: Final = "at which a swing of the weights goes on with its size"


def _linearized(
    following: Sequence[sympy.Expr], point: sympy.Expr, unknowns: Sequence[sympy.Symbol]
) -> tuple[sympy.Matrix, sympy.Matrix, sympy.Matrix]:
    """Return the matrices of a step about rest, at which weights, states and gradients are 0."""
    variables = [*unknowns, _G]
    jacobian = sympy.Matrix([*following, point]).jacobian(variables)
    at_rest = {symbol: sympy.Integer(0) for symbol in variables}
    if sympy.simplify(point.xreplace(at_rest)) != 0:
        raise ValueError(f"point must be 0 where weight and states are 0, such as w + beta*v, got {point}")
    constant = [sympy.simplify(value.xreplace(at_rest)) for value in following]
    if any(value != 0 for value in constant):
        raise ValueError(
            "equations must leave weight and states where they are while all are 0, and do not: a rule that moves "
            "without a gradient has no threshold"
        )
    if jacobian.free_symbols & {*variables}:
        # Not linear: it must at least be the same wherever the weight is at rest.
        weight = jacobian[:, 0]
        expected = sympy.Matrix([1, *[0] * (len(unknowns) - 1), 1])
        if sympy.simplify(weight - expected) != sympy.zeros(*weight.shape):
            raise ValueError(
                "equations that are not linear must be w + (an expression without w), and states without w, so that "
                "they are the same about each point of rest"
            )
        jacobian = jacobian.xreplace(at_rest)
        if jacobian.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
            raise ValueError(
                "equations must be linear, or smooth where states and gradient are 0, and are not"
            )
    size = len(unknowns)
    return jacobian[:size, :size], jacobian[:size, size], jacobian[size, :size]


def _solution(matrix: sympy.Matrix, unknowns: Sequence[sympy.Symbol]) -> sympy.Matrix | None:
    """Return the vector that a matrix takes to 0 and that begins with 1; None if there is none, or more than one."""
    others = sympy.symbols(f"x1:{len(unknowns)}")
    vector = sympy.Matrix([1, *others])
    if not others:
        return vector if sympy.cancel(matrix[0]) == 0 else None
    solutions = sympy.linsolve(list(matrix * vector), others)
    if not solutions:
        return None
    (values,) = solutions
    if any(value.free_symbols & {*others} for value in values):
        return None
    return sympy.Matrix([1, *map(sympy.cancel, values)])


def check_numbers(known: Derived, values: Mapping[str, float]) -> None:
    """Raise ValueError where parameters leave the rule without a threshold at z = −1.

    Parameters
    ----------
    known
        What is derived from the equations.
    values
        Value by parameter.
    """
    shown = ", ".join(f"{name}={value:g}" for name, value in values.items())
    at = f"parameters must be such that {{}}, got {shown}" if shown else "equations must be such that {}"
    try:
        ratio, twice = (_transfer(known, {**values, "lr": lr}) for lr in (1.0, 2.0))
    except (ZeroDivisionError, ValueError, OverflowError, TypeError):
        raise ValueError(at.format("the equations have finite coefficients")) from None
    if not (
        _equal(twice.denominator, ratio.denominator)
        and _equal(twice.numerator, [2 * coefficient for coefficient in ratio.numerator])
    ):
        raise ValueError("equations must have steps proportional to lr, and do not")
    rest = integrated(ratio.denominator)
    if rest is None or not is_stable(rest) or not is_stable(ratio.hidden):
        raise ValueError(at.format("steps add up and all else dies away without a gradient"))
    sharpness, angle = first_to_leave(ratio)
    if not 0.0 < sharpness < float("inf"):
        raise ValueError(at.format("there is a threshold: some sharpness is stable, and not all"))
    if not math.isclose(angle, math.pi):
        raise ValueError(
            at.format("z = −1 is the first root to leave the unit circle (LinearOptimizer takes others)")
        )


def _equal(one: Sequence[Fraction], other: Sequence[Fraction]) -> bool:
    """Whether coefficients are equal up to the rounding of the equations' numbers, such as subnormal ones."""
    least = max(map(abs, (*one, *other)), default=Fraction(0)) / 10**12
    return len(one) == len(other) and all(abs(a - b) <= least for a, b in zip(one, other, strict=True))


def _transfer(known: Derived, values: Mapping[str, float]) -> Transfer:
    a, b, c = (
        [[Fraction(evaluated(part[i, j], values)) for j in range(part.cols)] for i in range(part.rows)]
        for part in known.matrices
    )
    return of_matrices(a, [row[0] for row in b], c[0])
