"""What people type, in functions that neither overflow nor cancel where the value does not.

It is rewritten before derivatives are taken. Sums of exponentials with positive numbers as factors are what most of the
patterns are made of: S = Σ cₖ exp(aₖ).

========================================== ==========================================
written                                    computed
========================================== ==========================================
log(1 + exp(a)), log(S)                    softplus(a), logaddexp, logsumexp
1/(1 + exp(−a)), exp(a)/(1 + exp(a))       sigmoid(a)
exp(aₖ)/S, S**p for p < 1                  softmax, exp(p log S)
exp(a)*exp(b)                              exp(a + b)
log(cosh(a)), 1/cosh(a), sinh(a)/cosh(a)   logcosh(a), sech(a), tanh(a)
1/sinh(a), cosh(a)/sinh(a), 1/(exp(a) − 1) csch(a), coth(a), planck(a)
log(sinh(a)**2)                            2 logcosh(a) + log(tanh(a)²)
(p + q*cosh(a)**n)**r, its log             q cosh(a)ⁿ (1 + (p/q) sech(a)ⁿ), each to its power
(exp(a) − exp(−a))/(exp(a) + exp(−a))      tanh(a)
exp(a) − 1, log(1 + a), √(1 + a) − 1       expm1(a), log1p(a), sqrt1pm1(a)
log of a product with such factors         the sum of their logarithms
1 − sigmoid(a), 1 − erf(a), 1 − tanh(a)²   sigmoid(−a), erfc(a), sech(a)²
log(1 + tanh(a)), log(exp(a) − 1)          log 2 − softplus(−2a), a + log(−expm1(−a))
a**b, where b is no number                 a power with its limits at a = 0
========================================== ==========================================

A parameter is such a factor where it is not negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sympy

from selfstab.formulas.functions import (
    Tanh,
    coth,
    csch,
    erfc,
    expm1,
    log1p,
    logaddexp,
    logcosh,
    logsumexp,
    planck,
    power,
    sech,
    sigmoid,
    sigmoid_slope,
    softmax,
    softplus,
    sqrt1pm1,
)
from selfstab.formulas.kinks import Extremum, relu, where

_ONE, _ZERO = sympy.S.One, sympy.S.Zero


def stable(expression: Any, parameters: Sequence[Any] = ()) -> Any:
    """Return an expression with the module's patterns rewritten, and kinks as choices of pieces.

    Sums of exponentials may have `parameters` as factors, of which no derivative is taken.

    Examples
    --------
    >>> x, y = sympy.symbols("x y", real=True)
    >>> stable(sympy.log(1 + sympy.exp(-2 * x)) + 1 / (1 + sympy.exp(y)))
    sigmoid(-y) + softplus(-2*x)
    >>> stable(sympy.exp(x) / (sympy.exp(x) + sympy.exp(y)))
    sigmoid(x - y)
    >>> stable(sympy.log(1 + y * sympy.exp(x)), [y])
    where(y >= 0, softplus(x + log(y)), log1p(y*exp(x)))
    """
    if parameters:
        expression = _by_sign(expression, frozenset(parameters))
    memory: dict[Any, Any] = {}

    def rebuilt(node: Any) -> Any:
        if not node.args:
            return node
        if node not in memory:
            parts = [rebuilt(part) for part in node.args]
            changed = any(a is not b for a, b in zip(parts, node.args, strict=True))
            memory[node] = _rewritten(node.func(*parts) if changed else node)
        return memory[node]

    return rebuilt(expression)


def merged(derivative: Any) -> Any:
    """Return a derivative with exp(a) exp(b) as exp(a + b) where b holds exponentials, as in that of exp(−exp(x)).

    Examples
    --------
    >>> x = sympy.Symbol("x", real=True)
    >>> merged(sympy.diff(sympy.exp(-sympy.exp(x)), x))
    -exp(x - exp(x))
    """

    def is_tower(node: Any) -> bool:
        return isinstance(node, sympy.exp) and bool(node.args[0].has(sympy.exp))

    def product(node: Any) -> Any:
        # Sums times sums are left alone where they are too many terms to write out.
        if math.prod(len(f.args) for f in node.args if f.is_Add) > 64:
            return node
        terms = []
        for term in sympy.Add.make_args(sympy.expand_mul(node, deep=False)):
            factors = sympy.Mul.make_args(term)
            exponents = [f.args[0] for f in factors if isinstance(f, sympy.exp)]
            rest = sympy.Mul(*(f for f in factors if not isinstance(f, sympy.exp)))
            terms.append(rest * sympy.exp(sympy.Add(*exponents)))
        return sympy.Add(*terms)

    if not any(is_tower(node) for node in derivative.atoms(sympy.exp)):
        return derivative
    return derivative.replace(
        lambda node: node.is_Mul and any(is_tower(f) for f in node.args) and len(node.atoms(sympy.exp)) > 1,
        product,
    )


def _rewritten(node: Any) -> Any:
    """Return a node, whose parts are rewritten already, in its stable form if it has one."""
    if isinstance(node, (Extremum, relu)):
        return stable(node.lowered())
    rule = _of_pieces(node)
    if rule is not None:
        return rule
    if isinstance(node, sympy.log):
        rule = _log_of(node.args[0])
    elif isinstance(node, log1p):
        rule = _log_of(_ONE + node.args[0])
    elif isinstance(node, sympy.exp):
        rule = _exponential(node.args[0])
    elif node.is_Mul:
        rule = _product(node)
    elif node.is_Pow:
        rule = _power(node.base, node.exp)
    elif node.is_Add and len(node.args) == 2:
        rule = _difference(node)
    return node if rule is None else rule


def _of_pieces(node: Any) -> Any:
    """Return a function with poles or roots, of a choice of pieces, as the choice of its values, or None.

    Its derivatives by the chain rule would be ∞·0 where the piece is constant.
    """
    if node.is_Pow:
        if node.exp.is_Integer and node.exp.is_positive:
            return None
    elif not isinstance(node, (sympy.log, sympy.asin, sympy.acos, sympy.acosh, sympy.atanh)):
        return None
    inner = node.args[0]
    choices = [f for f in sympy.Mul.make_args(inner) if isinstance(f, where)]
    if len(choices) != 1:
        return None
    condition, *ends = choices[0].args
    yes, no = (stable(node.func(inner.xreplace({choices[0]: end}), *node.args[1:])) for end in ends)
    if any(end.has(sympy.zoo, sympy.oo, -sympy.oo, sympy.nan, sympy.I) for end in (yes, no)):
        return None
    return where(condition, yes, no)


def _by_sign(expression: Any, parameters: frozenset[Any]) -> Any:
    """Return an expression with a choice by the signs of the parameters that are factors of exponentials in it."""
    positive: dict[Any, Any] = {}

    def factors(total: Any) -> set[Any]:
        """Return the factors that have to be positive for a sum to have a logarithm of its own."""
        if not total.is_Add or not total.free_symbols & parameters or _exponents(total):
            return set()
        parts = [f for term in total.args for f in sympy.Mul.make_args(term)]
        bases = {f.base if f.is_Pow and f.exp.is_number else f for f in parts if not isinstance(f, sympy.exp)}
        fixed = {b for b in bases if b.free_symbols and b.free_symbols <= parameters}
        for b in fixed:
            positive.setdefault(b, sympy.Dummy(positive=True))
        return fixed if _exponents(total.xreplace({b: positive[b] for b in fixed})) else set()

    def of(node: Any) -> set[Any]:
        if isinstance(node, log1p):
            return factors(_ONE + node.args[0])
        if isinstance(node, sympy.log):
            return factors(node.args[0]).union(*(of(f) for f in sympy.Mul.make_args(node.args[0])))
        if node.is_Pow and not (node.exp.is_number and node.exp >= 1):
            return factors(node.base)
        return {p for f in node.args if f.is_Pow for p in of(f)} if node.is_Mul else set()

    def rebuilt(node: Any) -> Any:
        if not node.args:
            return node
        signs = sorted(of(node), key=sympy.default_sort_key)
        if not signs:
            return node.func(*(rebuilt(part) for part in node.args))
        own = {p: positive[p] for p in signs}
        choice = stable(node.xreplace(own)).xreplace({symbol: p for p, symbol in own.items()})
        for p in signs:
            choice = where(p, choice, node)
        return choice

    return rebuilt(expression)


def _exponent(term: Any) -> Any:
    """Return a where a term is exp(a), a positive number's logarithm included, or None."""
    if isinstance(term, sympy.exp):
        return term.args[0]
    if term.is_Number and term > 0:
        return _ZERO if float(term) == 1.0 else sympy.log(term)
    if term.is_Pow and term.base.is_Number and term.base > 0 and not term.exp.is_number:
        return term.exp * sympy.log(term.base)
    if term.is_Symbol and term.is_positive:
        return sympy.log(term)
    if term.is_Pow and term.base.is_Symbol and term.base.is_positive and term.exp.is_number:
        return term.exp * sympy.log(term.base)
    if term.is_Mul:
        parts = [_exponent(factor) for factor in term.args]
        return None if None in parts else sympy.Add(*parts)
    return None


def _exponents(expression: Any) -> list[Any]:
    """Return the exponents of a sum of exponentials; none if it is none."""
    if not expression.is_Add:
        return []
    exponents = [_exponent(term) for term in expression.args]
    if None in exponents or not any(a.free_symbols for a in exponents):
        return []
    return sorted(exponents, key=sympy.default_sort_key)


def _of_cosh(expression: Any) -> tuple[Any, Any, int, Any] | None:
    """Return p, q, n and a of p + q cosh(a)ⁿ with q > 0, or of p + q sinh(a)² written so; None if it is none."""
    if not expression.is_Add or len(expression.args) != 2:
        return None
    for term, p in (expression.args, expression.args[::-1]):
        q, f = term.as_coeff_Mul()
        base, n = f.as_base_exp()
        if not (q.is_positive and n.is_Integer and n.is_positive) or p.has(sympy.Function, sympy.exp):
            continue
        if isinstance(base, sympy.cosh) and not p.free_symbols & base.free_symbols:
            return p, q, int(n), base.args[0]
        if isinstance(base, sympy.sinh) and n == 2 and not p.free_symbols & base.free_symbols:
            return p - q, q, 2, base.args[0]
    return None


def _log_sum(exponents: list[Any]) -> Any:
    """Return the logarithm of a sum of exponentials."""
    if len(exponents) == 2:
        a, b = exponents
        if a == -b:
            return sympy.log(2) + logcosh(max(a, b, key=sympy.default_sort_key))
        if _ZERO in exponents:
            return softplus(a + b)
    return logsumexp(*exponents)


def _log_of(x: Any) -> Any:
    """Return log(x) in its stable form, or None."""
    if isinstance(x, sigmoid):
        return -softplus(-x.args[0])
    if isinstance(x, sigmoid_slope):
        return -softplus(-x.args[0]) - softplus(x.args[0])
    if isinstance(x, softmax):
        return -logsumexp(_ZERO, *x.args)
    if isinstance(x, sech):
        return -logcosh(x.args[0])
    if isinstance(x, sympy.cosh):
        return logcosh(x.args[0])
    if isinstance(x, sympy.exp):
        return x.args[0]
    if isinstance(x, expm1):
        return x.args[0] + sympy.log(-expm1(-x.args[0]))
    if isinstance(x, sympy.sinh):
        a = x.args[0]
        return a - sympy.log(2) + sympy.log(-expm1(-2 * a))
    if exponents := _exponents(x):
        return _log_sum(exponents)
    if of_cosh := _of_cosh(x):
        p, q, n, a = of_cosh
        return sympy.log(q) + n * logcosh(a) + (_ZERO if p == 0 else log1p(p / q * sech(a) ** n))
    if x.is_Pow and isinstance(x.base, sympy.sinh) and x.exp.is_even:
        return x.exp * logcosh(x.base.args[0]) + sympy.log(Tanh(x.base.args[0]) ** x.exp)
    if x.is_Pow and x.exp.is_number and x.exp.is_real and x.base.is_positive:
        inner = _log_of(x.base)
        return None if inner is None else x.exp * inner
    if x.is_Mul:
        known = {f: inner for f in x.args if _is_positive(f) and (inner := _log_of(f)) is not None}
        if not known:
            return None
        rest = sympy.Mul(*(f for f in x.args if f not in known))
        return sympy.Add(*known.values()) + (_ZERO if rest == 1 else _rewritten(sympy.log(rest)))
    if x.is_Add and len(x.args) == 2:
        one, other = x.args if x.args[0].is_Number else x.args[::-1]
        slope = other.as_coeff_Mul()
        if one == slope[0] * slope[0] == 1 and isinstance(slope[1], sympy.tanh):
            return sympy.log(2) - softplus(-2 * slope[0] * slope[1].args[0])
    if x.is_Add:
        constant, rest = x.as_coeff_Add()
        if constant.is_Number and float(constant) == 1.0:
            return log1p(rest)
    return None


def _is_positive(factor: Any) -> bool:
    """Say whether a factor of a logarithm's argument has a logarithm of its own wherever the product has."""
    base = factor.base if factor.is_Pow else factor
    return not factor.is_Number and bool(
        (isinstance(base, sympy.sinh) and factor.is_Pow and factor.exp.is_even)
        or isinstance(base, (sigmoid, sigmoid_slope, softmax, sech, sympy.cosh, sympy.exp))
        or _exponents(base)
    )


def _exponential(a: Any) -> Any:
    """Return exp(a) as a share of a sum of exponentials where a is a term less the sum's logarithm, or None."""
    for term in sympy.Add.make_args(a):
        factor, sum_of = term.as_coeff_Mul()
        if isinstance(sum_of, (logaddexp, logsumexp)) and factor in (-1, -2):
            terms, rest = [*sum_of.args], a - term
            for k, own in enumerate(terms):
                if factor == -1 and rest == own:
                    return softmax(*(other - own for j, other in enumerate(terms) if j != k))
            if factor == -2 and len(terms) == 2 and rest == terms[0] + terms[1]:
                return sigmoid_slope(terms[0] - terms[1])
    return None


def _power(base: Any, exponent: Any) -> Any:
    """Return a power in its stable form, or None."""
    negative = exponent.is_number and exponent.is_negative
    if negative and isinstance(base, sympy.cosh):
        return sech(base.args[0]) ** -exponent
    if negative and isinstance(base, sympy.sinh):
        return csch(base.args[0]) ** -exponent
    if negative and isinstance(base, expm1):
        return planck(base.args[0]) ** -exponent
    if isinstance(base, sympy.cosh) and exponent.is_Rational and not exponent.is_Integer:
        return sympy.exp(exponent * logcosh(base.args[0]))
    exponents = _exponents(base)
    if exponents and not (exponent.is_number and exponent >= 1):
        if len(exponents) == 2:
            a, b = exponents
            if a == -b:
                return (sech(a) / 2) ** -exponent
            if _ZERO in exponents:
                return sigmoid(-(a + b)) ** -exponent if negative else sympy.exp(exponent * softplus(a + b))
        return _rewritten(sympy.exp(exponent * _log_sum(exponents)))
    of_cosh = _of_cosh(base)
    if of_cosh and exponent.is_Rational and not (exponent.is_Integer and exponent.is_positive):
        p, q, n, a = of_cosh
        grown = n * exponent
        size = sech(a) ** -grown if negative else _rewritten(sympy.cosh(a) ** grown)
        return sympy.Mul(q**exponent, size, (1 + p / q * sech(a) ** n) ** exponent)
    if not (exponent.is_number or base.is_positive):
        return power(_ONE, base, exponent, _ZERO)
    return None


def _product(node: Any) -> Any:
    """Return a product in its stable form, or None."""
    factors = [f for f in node.args if isinstance(f, sympy.exp)]
    if len(factors) > 1:
        rest = sympy.Mul(*(f for f in node.args if f not in factors))
        product = rest * _rewritten(sympy.exp(sympy.Add(*(f.args[0] for f in factors))))
        return _rewritten(product) if product.is_Mul else product
    powers = {f.base if f.is_Pow else f: (f.exp if f.is_Pow else _ONE) for f in node.args if not f.is_Number}
    exponentials = [f for f in powers if isinstance(f, sympy.exp) and powers[f] == 1]
    for f, n in powers.items():
        if not (n.is_number and n.is_positive):
            continue
        c: Any = f.args[0] if f.args else None
        if isinstance(f, sigmoid) and c.free_symbols:
            for e in exponentials:
                shift = e.args[0] + c
                if shift.is_number and n >= 1:
                    return _without(node, {e: _ONE, f: _ONE}, sympy.exp(shift) * sigmoid(-c))
                if shift.free_symbols & c.free_symbols and e.args[0].free_symbols & c.free_symbols:
                    return _without(node, {e: _ONE, f: n}, sympy.exp(e.args[0] - n * softplus(-c)))
            for other in powers:
                if isinstance(other, expm1) and powers[other] >= 1 and n >= 1 and other.args[0] == -c:
                    return _without(node, {other: _ONE, f: _ONE}, Tanh(-c / 2))
        if isinstance(f, sech) and n >= 1:
            for other in powers:
                if isinstance(other, sympy.cosh) and powers[other] >= 1 and other.args[0] == c:
                    return _without(node, {other: _ONE, f: _ONE}, _ONE)
                if isinstance(other, sympy.exp) and powers[other] == 1 and other.args[0] in (c, -c):
                    return _without(node, {other: _ONE, f: _ONE}, 2 * sigmoid(2 * other.args[0]))
                if isinstance(other, sympy.sinh) and powers[other] >= 1 and other.args[0] == c:
                    return _without(node, {other: _ONE, f: _ONE}, Tanh(c))
        if isinstance(f, csch) and n >= 1:
            for other in powers:
                if isinstance(other, sympy.cosh) and powers[other] >= 1 and other.args[0] == c:
                    return _without(node, {other: _ONE, f: _ONE}, coth(c))
    return None


def _without(product: Any, taken: dict[Any, Any], factor: Any) -> Any:
    """Return a product with powers of some factors taken out, and another factor instead."""
    for base, exponent in taken.items():
        product = product / base**exponent
    rest = product * factor
    return _rewritten(rest) if rest.is_Mul else rest


def _difference(node: Any) -> Any:
    """Return a sum of two terms in its stable form, or None."""
    number, term = node.as_coeff_Add()
    if number == 0:
        (a, x), (b, y) = (part.as_coeff_Mul() for part in node.args)
        if a == -b and isinstance(x, sympy.exp) and isinstance(y, sympy.exp) and x.args[0] == -y.args[0]:
            return 2 * a * sympy.sinh(x.args[0])
        return None
    factor, other = term.as_coeff_Mul()
    if float(number) == -2 * float(factor) and isinstance(other, erfc):
        return -factor * erfc(-other.args[0])
    if float(number) != -float(factor):
        return None
    if isinstance(other, sympy.exp):
        return factor * expm1(other.args[0])
    if isinstance(other, sigmoid):
        return number * sigmoid(-other.args[0])
    if isinstance(other, sympy.erf):
        return number * erfc(other.args[0])
    if other.is_Pow and other.exp == 2 and isinstance(other.base, sympy.tanh):
        return number * sech(other.base.args[0]) ** 2
    if other.is_Pow and other.exp == sympy.Rational(1, 2) and other.base.is_Add:
        constant, rest = other.base.as_coeff_Add()
        if constant.is_Number and float(constant) == 1.0:
            return factor * sqrt1pm1(rest)
    return None
