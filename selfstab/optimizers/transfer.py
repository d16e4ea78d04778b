"""The transfer function of a linear rule: exact, from the rule alone.

A rule that is linear in weights, states and gradient is a system of matrices; from the gradient to the weights it acts
as w = −η T(q)∇L, with q the forward shift and T a ratio of polynomials. All arithmetic is of fractions, so that common
factors cancel exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import numpy as np

from selfstab.kernels.terms import Term, named, term

Polynomial = tuple[Fraction, ...]
"""Coefficients, the highest power first; () is 0."""

_FUNCTIONS: Final[dict[str, Callable[..., float]]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "abs": abs,
    "pow": math.pow,
}
_COMPARISONS: Final = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class NonlinearError(NotImplementedError):
    """A rule that has no transfer function."""


@dataclass(frozen=True)
class Transfer:
    """A ratio of polynomials without a common factor, and the modes that it does not show.

    Parameters
    ----------
    numerator, denominator
        Coefficients, the highest power first; the denominator begins with 1.
    hidden
        The factor that numerator and denominator of the rule had in common.
    """

    numerator: Polynomial
    denominator: Polynomial
    hidden: Polynomial = (Fraction(1),)

    @classmethod
    def reduced(cls, numerator: Sequence[Fraction], denominator: Sequence[Fraction]) -> Transfer:
        """Return the ratio in lowest terms."""
        above, below = trimmed(numerator), trimmed(denominator)
        common = _common_divisor(above, below)
        lead = _divided(below, common)[0][0]
        return cls(
            tuple(c / lead for c in _divided(above, common)[0]),
            tuple(c / lead for c in _divided(below, common)[0]),
            common,
        )

    def __call__(self, z: Fraction) -> Fraction:
        """Return the value at a number that is no pole."""
        value: Fraction = value_at(self.numerator, z) / value_at(self.denominator, z)
        return value


def transfer_of(optimizer: Any, *, of_weights: bool = False) -> Transfer:
    """Return T of an optimizer at lr 1: from the gradient to where it is taken, or to the weights.

    Parameters
    ----------
    optimizer
        An :class:`selfstab.Optimizer`.
    of_weights
        Whether the weights follow, in place of the point at which the gradient is taken.

    Raises
    ------
    NotImplementedError
        If the rule is not linear in weights, states and gradient, or not proportional to lr, or changes with the step.
    """
    one = _transfer(optimizer, Fraction(1), of_weights)
    two = _transfer(optimizer, Fraction(2), of_weights)
    if two.denominator != one.denominator or two.numerator != tuple(2 * c for c in one.numerator):
        raise NonlinearError(
            f"the step of {type(optimizer).__name__} must be proportional to lr for a transfer function, and is not"
        )
    return one


def _transfer(optimizer: Any, lr: Fraction, of_weights: bool) -> Transfer:
    names = [named(name) for name in ("w", *optimizer.states)]
    gradient, rate, step = named("g"), named("lr"), named("t")
    own = tuple(names[1:])
    point = optimizer.gradient_point(names[0], own)
    after, following = optimizer.rule(names[0], own, gradient, rate, step)
    if len(following) != len(own):
        raise ValueError(
            f"rule of {type(optimizer).__name__} must return the states {', '.join(optimizer.states) or 'none'}, "
            f"got {len(following)} of them"
        )
    forms = _Forms(type(optimizer).__name__, [*names, gradient], {rate: lr}, step)
    rows = [forms.of(term(value)) for value in (after, *following)]
    shift = forms.of(term(point))
    output = [Fraction(int(k == 0)) for k in range(len(names))] if of_weights else list(shift[:-2])
    return of_matrices([list(row[:-2]) for row in rows], [row[-2] for row in rows], output)


def of_matrices(
    matrix: Sequence[Sequence[Fraction]], inputs: Sequence[Fraction], outputs: Sequence[Fraction]
) -> Transfer:
    """Return −C(z − A)⁻¹B in lowest terms, by the algorithm of Faddeev and LeVerrier."""
    size = len(matrix)
    adjugate = [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]
    numerator, denominator = [], [Fraction(1)]
    for k in range(1, size + 1):
        numerator.append(
            -sum((o * _dot(row, inputs) for o, row in zip(outputs, adjugate, strict=True)), Fraction(0))
        )
        columns = list(zip(*adjugate, strict=True))
        product = [[_dot(row, column) for column in columns] for row in matrix]
        coefficient = -sum((product[i][i] for i in range(size)), Fraction(0)) / k
        denominator.append(coefficient)
        for i in range(size):
            product[i][i] += coefficient
        adjugate = product
    return Transfer.reduced(numerator, denominator)


def _dot(one: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(one, other, strict=True) if a and b), Fraction(0))


class _Forms:
    """Terms as linear forms of some atoms: their coefficients, and last a constant."""

    def __init__(self, name: str, atoms: Sequence[Term], numbers: dict[Term, Fraction], step: Term) -> None:
        self._name, self._step, self._size = name, step, len(atoms) + 1
        self._forms = {atom: self._unit(k) for k, atom in enumerate(atoms)}
        self._forms |= {atom: self._constant(number) for atom, number in numbers.items()}

    def of(self, value: Term) -> tuple[Fraction, ...]:
        """Return the coefficients; the last, a constant, is 0."""
        form = self._form(value)
        if form[-1]:
            self._refuse("adds a constant to")
        return form

    def _unit(self, place: int) -> tuple[Fraction, ...]:
        return tuple(Fraction(int(k == place)) for k in range(self._size))

    def _constant(self, number: Fraction) -> tuple[Fraction, ...]:
        return tuple(number if k == self._size - 1 else Fraction(0) for k in range(self._size))

    def _refuse(self, what: str = "is not linear in") -> None:
        raise NonlinearError(
            f"the rule of {self._name} {what} weights, states and gradient: it has no transfer function"
        )

    def _form(self, value: Term) -> tuple[Fraction, ...]:
        if value not in self._forms:
            self._forms[value] = self._made(value)
        return self._forms[value]

    def _number(self, value: Term) -> Fraction:
        """Return a term's value, if it is a constant."""
        form = self._form(value)
        if any(form[:-1]):
            self._refuse()
        return form[-1]

    def _made(self, value: Term) -> tuple[Fraction, ...]:
        operation, parts = value.operation, value.parts
        if value is self._step:
            raise NonlinearError(
                f"the rule of {self._name} changes with the step: it has no transfer function"
            )
        if operation == "number":
            number = float(value.text)
            if not math.isfinite(number):
                self._refuse()
            return self._constant(Fraction(number))
        if operation in ("+", "-"):
            one, other = map(self._form, parts)
            sign = 1 if operation == "+" else -1
            return tuple(a + sign * b for a, b in zip(one, other, strict=True))
        if operation == "negative":
            return tuple(-a for a in self._form(parts[0]))
        if operation == "*":
            one, other = map(self._form, parts)
            if any(one[:-1]):
                one, other = other, one
            if any(one[:-1]):
                self._refuse()
            return tuple(one[-1] * b for b in other)
        if operation == "/":
            divisor = self._number(parts[1])
            if not divisor:
                self._refuse()
            return tuple(a / divisor for a in self._form(parts[0]))
        if operation == "choose":
            return self._form(parts[1] if self._holds(parts[0]) else parts[2])
        return self._constant(self._function(operation, parts))

    def _holds(self, condition: Term) -> bool:
        if condition.operation not in _COMPARISONS:
            self._refuse()
        return bool(_COMPARISONS[condition.operation](*map(self._number, condition.parts)))

    def _function(self, operation: str, parts: Sequence[Term]) -> Fraction:
        if operation not in _FUNCTIONS:
            self._refuse()
        numbers = [float(self._number(part)) for part in parts]
        try:
            return Fraction(_FUNCTIONS[operation](*numbers))
        except (ValueError, OverflowError):
            self._refuse()
            raise


# -- polynomials -------------------------------------------------------------------------------------------------------


def exact(coefficients: Sequence[float]) -> Polynomial:
    """Return a polynomial of float64 coefficients, which are fractions."""
    return trimmed([Fraction(float(c)) for c in coefficients])


def trimmed(polynomial: Sequence[Fraction]) -> Polynomial:
    """Return a polynomial without zeros in front."""
    first = next((k for k, c in enumerate(polynomial) if c), len(polynomial))
    return tuple(polynomial[first:])


def value_at(polynomial: Sequence[Fraction], z: Any) -> Any:
    """Return a polynomial's value, by Horner's rule."""
    value: Any = Fraction(0)
    for coefficient in polynomial:
        value = value * z + coefficient
    return value


def product(one: Sequence[Fraction], other: Sequence[Fraction]) -> Polynomial:
    """Return the product of two polynomials."""
    out = [Fraction(0)] * max(len(one) + len(other) - 1, 0)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            out[i + j] += a * b
    return tuple(out)


def _divided(one: Polynomial, other: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Return quotient and remainder."""
    rest, quotient = list(one), []
    for k in range(len(one) - len(other) + 1):
        factor = rest[k] / other[0]
        quotient.append(factor)
        for j, c in enumerate(other):
            rest[k + j] -= factor * c
    return tuple(quotient), trimmed(rest)


def _common_divisor(one: Polynomial, other: Polynomial) -> Polynomial:
    """Return the greatest common divisor, which begins with 1, by Euclid's algorithm."""
    while other:
        one, other = other, _divided(one, other)[1]
        if other:
            other = tuple(c / other[0] for c in other)
    return tuple(c / one[0] for c in one)


def floats(polynomial: Sequence[Fraction]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return coefficients as float64.

    Raises
    ------
    ValueError
        If one is beyond 1.8e308.
    """
    try:
        return np.array([float(c) for c in polynomial], dtype=np.float64)
    except OverflowError:
        raise ValueError(
            "a transfer function must have coefficients that float64 holds, got one beyond 1.8e308"
        ) from None


# -- what follows from T -----------------------------------------------------------------------------------------------

_UNIT: Final = (Fraction(1), Fraction(-1))
"""z − 1."""

_ROUNDING: Final = Fraction(1, 10**12)
"""A pole so close to 1, by the size of the coefficients, is at 1: float64 rounded them."""


class TransferCoefficients(NamedTuple):
    """Taylor coefficients of T at z = −1, the swing, and at z = 1, the sharpness.

    With z = e^D and η = 1: −S*·T(−e^D) = 1 − σD + a₂D² + ..., D·T(e^D) = c₀(1 − τD + ...).
    """

    threshold: float
    """S* = −1/T(−1)."""
    sigma: float
    """σ: the swing grows by ln|λ| = ε/σ a step at a small relative excess ε."""
    a2: float
    """a₂."""
    c0: float
    """c₀: a constant gradient moves the weights by ηc₀ a step."""
    tau: float
    """τ, in steps."""


def integrated(denominator: Polynomial) -> Polynomial | None:
    """Return the denominator without its pole at 1, or None if it has none."""
    quotient, rest = _divided(denominator, _UNIT)
    remainder = rest[0] if rest else Fraction(0)
    return None if abs(remainder) > _ROUNDING * sum(map(abs, denominator)) else quotient


def coefficients_of(transfer: Transfer) -> TransferCoefficients:
    """Return the Taylor coefficients of T at −1 and 1.

    Raises
    ------
    ValueError
        If T has no pole at 1 or is 0 or infinite at −1.
    """
    rest = integrated(transfer.denominator)
    above, below = (_taylor(p, -1) for p in (transfer.numerator, transfer.denominator))
    if rest is None or not above[0] or not below[0]:
        raise ValueError("T must have a pole at z = 1 and be finite and not 0 at z = −1, and is not")
    at_flip = _ratio(above, below)
    # D/(e^D − 1) = 1 − D/2 + ...
    slow = _ratio(_taylor(transfer.numerator, 1), _taylor(rest, 1))
    if not slow[0]:
        raise ValueError("T must have a pole at z = 1 that is not cancelled, and has none")
    return TransferCoefficients(
        float(-1 / at_flip[0]),
        float(-at_flip[1] / at_flip[0]),
        float(at_flip[2] / at_flip[0]),
        float(slow[0]),
        float(Fraction(1, 2) - slow[1] / slow[0]),
    )


def _taylor(polynomial: Polynomial, sign: int) -> list[Fraction]:
    """Return the first three coefficients in D of p(±e^D)."""
    highest = len(polynomial) - 1
    parts = [(c * sign ** (highest - k), highest - k) for k, c in enumerate(polynomial)]
    return [sum((c * j**n for c, j in parts), Fraction(0)) / math.factorial(n) for n in range(3)]


def _ratio(one: Sequence[Fraction], other: Sequence[Fraction]) -> list[Fraction]:
    out: list[Fraction] = []
    for k, value in enumerate(one):
        out.append((value - sum((out[j] * other[k - j] for j in range(k)), Fraction(0))) / other[0])
    return out


def is_stable(polynomial: Polynomial) -> bool:
    """Whether all roots are within the unit circle, by the recursion of Schur and Cohn.

    Examples
    --------
    >>> is_stable(exact([1.0, -0.99])), is_stable(exact([1.0, -2.0, 1.0]))
    (True, False)
    """
    rest = list(polynomial)
    while len(rest) > 1:
        last = rest[-1] / rest[0]
        if abs(last) >= 1:
            return False
        rest = [a - last * b for a, b in zip(rest, reversed(rest), strict=True)][:-1]
    return True


def first_to_leave(transfer: Transfer) -> tuple[float, float]:
    """Return S* and the angle in [0, π] at which the first root of 1 + S·T(z) = 0 leaves the unit circle.

    T is to be stable but for its pole at 1. A root on the circle at z = e^{iθ} has T real and negative there. These
    angles are roots of a polynomial in cos θ, so that nothing is searched.

    Returns
    -------
    sharpness, angle
        S* at lr 1, and π for a flip; infinity and nan where no root ever leaves, 0 and 0 where one is outside at once.
    """
    above, below = transfer.numerator, transfer.denominator
    rest = integrated(below)
    if not above or rest is None:
        return math.inf, math.nan
    if value_at(above, 1) / value_at(rest, 1) <= 0:
        return 0.0, 0.0
    crossings = [(math.pi, -value_at(below, -1) / value_at(above, -1))] if value_at(above, -1) else []
    for angle in _real_angles(above, below):
        z = complex(math.cos(angle), math.sin(angle))
        value = np.polyval(floats(above), z)
        if value != 0.0:
            crossings.append((angle, -(np.polyval(floats(below), z) / value).real))
    positive = [(float(sharpness), angle) for angle, sharpness in crossings if sharpness > 0]
    return min(positive, default=(math.inf, math.nan))


def _real_angles(above: Polynomial, below: Polynomial) -> list[float]:
    """Return the angles in (0, π) at which the ratio of two polynomials is real."""
    # N(z)D(1/z) − N(1/z)D(z) = Σ s_k (z^k − z^−k), and sin kθ/sin θ is the Chebyshev polynomial U_{k−1}(cos θ).
    highest = max(len(above), len(below)) - 1
    n, d = (dict(enumerate(reversed(p))) for p in (above, below))
    sines = [Fraction(0)] * (highest + 1)
    for i, a in n.items():
        for j, b in d.items():
            if i != j:
                sines[abs(i - j)] += a * b if i > j else -a * b
    series = [Fraction(0)]
    before, now = [Fraction(0)], [Fraction(1)]  # U_{−1}, U_0, the lowest power first
    for s in sines[1:]:
        series = [a + s * b for a, b in zip_longest(series, now, fillvalue=Fraction(0))]
        doubled = [Fraction(0), *(2 * c for c in now)]
        before, now = now, [a - b for a, b in zip_longest(doubled, before, fillvalue=Fraction(0))]
    coefficients = floats(series[::-1])
    # Leading ones below rounding have their roots far beyond 1, and would spoil the others.
    large = np.abs(coefficients) > np.finfo(float).eps * np.abs(coefficients).sum()
    roots = np.roots(coefficients[np.argmax(large) :]) if large.any() else np.array([])
    return [math.acos(x.real) for x in roots if abs(x.imag) < 1e-9 and abs(x.real) < 1.0]
