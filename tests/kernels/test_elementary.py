"""Elementary functions: errors below one unit in the last place, proved and measured, and the same bits everywhere.

The proof runs the functions' own text on bounds (`rounding`), on small intervals of the reduced argument: `rounding`
adds up what rounding can do, and where a polynomial is computed its distance from the function, bounded from the
difference of their coefficients, is added. The last rounding costs half an ulp. Scaling by 2**k then is exact, or
rounds once more in results below 2**-1022; those have lost at least a bit, so 0.5 + (0.5 + e)/2 follows from 0.5 + e.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import mpmath
import numpy as np
import pytest

from selfstab.kernels import elementary, modules
from tests.kernels import rounding
from tests.kernels.rounding import Bound, above, times, up

NAMES = ("exp", "expm1", "sinh", "cosh", "tanh", "log", "log1p", "sin", "cos")
ENTRIES = "".join(
    f"@entry\ndef all_{name}(x, out):\n    for i in range(x.size):\n        out[i] = {name}(x[i])\n\n\n"
    for name in NAMES
)
SOURCE = elementary.definitions(ENTRIES) + ENTRIES
LARGEST_ANGLE = 2.0**40
U = 2.0**-53

# -- polynomials ----------------------------------------------------------------------------------------------------


class Polynomial:
    """An exact polynomial: run on the variable itself, a text without rounding gives its coefficients."""

    def __init__(self, *coefficients):
        self.coefficients = [Fraction(c) for c in coefficients]

    def __add__(self, other):
        a, b = self.coefficients, of(other).coefficients
        size = max(len(a), len(b))
        return Polynomial(
            *(x + y for x, y in zip(a + [0] * (size - len(a)), b + [0] * (size - len(b)), strict=True))
        )

    def __mul__(self, other):
        out = [Fraction(0)] * (len(self.coefficients) + len(of(other).coefficients) - 1)
        for i, a in enumerate(self.coefficients):
            for j, b in enumerate(of(other).coefficients):
                out[i + j] += a * b
        return Polynomial(*out)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -of(other)

    def horner(self, a, b):
        """Return integers around 2³⁰⁰ p(x) for 0 <= a <= 2³⁰⁰ x <= b."""
        least = most = 0
        for c in reversed(self.coefficients):
            products = (least * a, least * b, most * a, most * b)
            whole = math.floor(c * 2**300)
            least, most = (min(products) >> 300) + whole, (max(products) >> 300) + whole + 2
        return least, most

    def size(self, low, high, parts=16):
        """Return a bound on |p(x)| for 0 <= low <= x <= high: by the mean value theorem on each part."""
        first, last = (math.floor(Fraction(x) * 2**300) + k for k, x in enumerate((low, high)))
        slope = Polynomial(*(k * c for k, c in enumerate(self.coefficients) if k))
        ends = [first + (last - first) * k // parts for k in range(parts + 1)]
        worst = 0
        for a, b in pairwise(ends):
            middle = max(map(abs, self.horner((a + b) // 2, (a + b) // 2)))
            worst = max(worst, middle + (max(map(abs, slope.horner(a, b))) * (b - a) >> 300) + 1)
        return up(float(Fraction(worst, 2**300)))

    __radd__, __rmul__ = __add__, __mul__


def of(x):
    return x if isinstance(x, Polynomial) else Polynomial(x)


EXACT = {
    "inlined": lambda function: function,
    "fma": lambda a, b, c: of(a) * b + c,
    "fast_sum": lambda a, b: (of(a) + b, Polynomial(0)),
    "exact_product": lambda a, b: (of(a) * b, Polynomial(0)),
}
X, TERMS = Polynomial(0, 1), 30


def text(names, namespace):
    """Return the functions of the kernels' source, run in a namespace whose own functions stay as they are."""
    found = dict(namespace)
    exec(elementary.definitions("bits(" + "".join(f"{name}(" for name in names)), found)
    found.update({name: own for name, own in namespace.items() if name in elementary.definitions(f"{name}(")})
    return found


def odd_or_even(kind):
    """Return the series of sinh, cosh, sin or cos, its terms 1, r, r² left out where the text adds them itself."""
    sign = 1 if kind in ("sinh", "cosh") else -1
    first = {"sinh": 3, "cosh": 4, "sin": 3, "cos": 0}[kind]
    terms = [0] * TERMS
    for n in range(first, TERMS):
        if n % 2 == (kind in ("sinh", "sin")):
            terms[n] = Fraction(sign ** (n // 2), math.factorial(n))
    return Polynomial(*terms)


def distances():
    """Return by name a function (low, high) → how far the text's polynomial is from its function in between."""
    functions = text(("hyperbolic", "sine", "cosine", "artanh_rest"), EXACT)
    s, c = functions["hyperbolic"](X)
    total, rest = functions["cosine"](X, Polynomial(0))
    found = {
        "sinh": s - odd_or_even("sinh"),
        "cosh": c - odd_or_even("cosh"),
        "sin": functions["sine"](X, Polynomial(0)) - odd_or_even("sin"),
        "cos": total + rest - odd_or_even("cos"),
        "artanh": functions["artanh_rest"](X)
        - Polynomial(0, *(Fraction(2, 2 * k + 1) for k in range(1, TERMS))),
    }
    # What the series leave out is below twice its first term.
    return {
        name: lru_cache(maxsize=None)(
            lambda low, high, p=p, left=(1.0 if name == "artanh" else 1e-30): above(
                p.size(low, high), 2 * left * high**TERMS
            )
        )
        for name, p in found.items()
    }


DISTANCE = distances()

# -- rounding -------------------------------------------------------------------------------------------------------


def bounded():
    """Return the kernels' text run on bounds; its polynomials are as far off as DISTANCE says.

    The sums leave out products of the reduced argument's tail t: t² and t times what is told below.
    """
    functions = text(
        ("exp_rest", "exp_less", "sinh_rest", "cosh_rest", "tanh_rest", "log_rest", "sine", "cosine"),
        {"inlined": lambda function: function, "fma": rounding.fma, "fast_sum": rounding.fast_sum,
         "exact_product": rounding.exact_product, "divided": rounding.divided,
         "choose": lambda condition, yes, no: yes if condition else no},
    )  # fmt: skip
    own = dict(functions)

    def hyperbolic(r):
        s, c = own["hyperbolic"](r)
        tail = math.ulp(r.size) / 2
        # of t cosh r the text has t, of t sinh r it has t r
        return (
            s.off_by(above(DISTANCE["sinh"](r.least, r.size), 0.52 * tail * r.size**2, tail**2)),
            c.off_by(above(DISTANCE["cosh"](r.least, r.size), 0.2 * tail * r.size**3, tail**2)),
        )

    def sine(r, tail):
        left_out = above(times(tail.size, r.size**4 / 23), tail.size**2)
        return own["sine"](r, tail).off_by(above(DISTANCE["sin"](r.least, r.size), left_out))

    def cosine(r, tail):
        total, rest = own["cosine"](r, tail)
        left_out = above(times(tail.size, r.size**3 / 5.9), tail.size**2)
        return total, rest.off_by(above(DISTANCE["cos"](r.least, r.size), left_out))

    def artanh_rest(z):
        return own["artanh_rest"](z).off_by(DISTANCE["artanh"](z.least, z.size))

    functions.update(hyperbolic=hyperbolic, sine=sine, cosine=cosine, artanh_rest=artanh_rest)
    return functions


BOUNDED = bounded()


def pieces(low, high, count):
    """Yield bounds that cover [low, high]."""
    ends = np.linspace(low, high, count + 1)
    for a, b in pairwise(ends):
        yield Bound(float(a), float(b))


def near_zero(least, high, count):
    """Yield bounds that cover ±[least, high], finer towards 0."""
    while high > least:
        for piece in pieces(high / 2, high, count):
            yield from (piece, -piece)
        high, count = high / 2, max(2, count // 2)


def ulps(result, left_out=0.0):
    """Return how far a result may be from what it is meant for, in units of that number's last place.

    Half an ulp for the last rounding: where it takes the number over a power of 2, it is the lower side's half ulp.
    """
    unit = math.ulp(result.least - above(result.error, left_out))
    before = above(result.before, left_out) / unit
    assert before < 0.5
    return 0.5 + before


LN2, QUARTER = 0.34658, 0.7855
ROUNDED_OFF = 2.0**-96  # what the tail of a multiple of ln 2 may be off: see test_reductions_are_exact_enough


def exponentials(name, ks, unit):
    """Yield worst errors of a function of e^r, less or more small = unit**k, over the reduced arguments."""
    for k in ks:
        small = unit ** float(-k)
        one, more = 1.0 - small, 1.0 + small
        assert Fraction(one) + Fraction((1.0 - one) - small) == 1 - Fraction(small)
        assert k < 0 or Fraction(more) + Fraction((1.0 - more) + small) == 1 + Fraction(small)
        # Below 2**-60 all terms but r are below its last place.
        parts = pieces(-LN2, LN2, 48 if abs(k) < 3 else 12) if k else near_zero(2.0**-60, LN2, 24)
        for r in parts:
            half = 0.0 if k == 0 else math.ulp(r.size) / 2
            result = BOUNDED[name](r, Bound(-half, half, ROUNDED_OFF if k else 0.0), small)
            yield ulps(result[0] + result[1] if isinstance(result, tuple) else result)


def prove_exp():
    half = math.ulp(LN2) / 2
    return max(ulps(BOUNDED["exp_rest"](r, Bound(-half, half, ROUNDED_OFF))) for r in pieces(-LN2, LN2, 400))


# Beyond k = 61, `small` is only ever added where it is below the last place: nothing grows.
def prove_expm1():
    assert math.exp(-37.0) / U < 0.8  # where -1 is returned
    return max(exponentials("exp_less", range(-53, 62), 2.0))


def prove_tanh():
    return max(exponentials("tanh_rest", range(59), 2.0))


def prove_sinh():
    return max(exponentials("sinh_rest", range(32), 4.0))


def prove_cosh():
    return max(exponentials("cosh_rest", range(32), 4.0))


def prove_log(lost=0.0):
    worst = 0.0
    for k in range(-1075, 1025):
        assert Fraction(k * 0.6931471805598903) == k * Fraction(0.6931471805598903)
        # A larger k makes the result larger and no rounding before the last one: signs and powers of 2 tell all.
        if abs(k) > 4 and abs(k) & (abs(k) - 1):
            continue
        for sign, end in ((1.0, 0.41422), (-1.0, 0.2929)):
            tail = lost
            parts = (
                near_zero(2.0**-28 if lost else 2.0**-54, end, 16)
                if k == 0
                else pieces(0.0, end, 32 if abs(k) < 4 else 12)
            )
            for f in parts:
                f = f if (f.high > 0) == (sign > 0) else -f
                given = Bound(-tail, tail, tail * U) if tail else 0.0
                worst = max(
                    worst, ulps(BOUNDED["log_rest"](f, float(k), given), above(tail**2 / 1.9, abs(k) * 1e-29))
                )
    return worst


def prove_log1p():
    assert 0.3 * U > 5e-9**2 / 3  # x − x²/2 below 5e-9, in one rounding
    return prove_log(U)


def angles(function):
    worst = 0.0
    for r in near_zero(2.0**-63, QUARTER, 24):
        half = math.ulp(r.size) / 2
        tail = Bound(-half, half, above(2.0**-104 * r.size, 2.0**-118))
        worst = max(worst, ulps(function(r, tail)))
    return worst


def prove_sin():
    return max(angles(lambda r, tail: r + BOUNDED["sine"](r, tail)), prove_cos())


def prove_cos():
    def cosine(r, tail):
        total, rest = BOUNDED["cosine"](r, tail)
        return total + rest

    return max(angles(cosine), angles(lambda r, tail: r + BOUNDED["sine"](r, tail)))


@pytest.mark.parametrize(
    "name",
    [n if n in ("exp", "log", "sin", "tanh") else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
def test_proved_to_one_ulp(name):
    """Protects the claim: no argument's result is a unit in the last place or more from the function."""
    worst = globals()[f"prove_{name}"]()
    print(f"{name}: at most {worst:.3f} ulp")
    assert 0.5 < worst < 1.0


def test_reductions_are_exact_enough():
    """Protects what the proof takes for granted: the parts of ln 2 and π/2, and how near a multiple of π/2 can be."""
    with mpmath.workprec(400):
        ln2 = mpmath.mpf(0.6931471805599453) + mpmath.mpf(2.3190468138462996e-17)
        assert abs(ln2 - mpmath.log(2)) * 1100 < ROUNDED_OFF / 2
        assert abs(mpmath.mpf(0.6931471805598903) + mpmath.mpf(5.497923018708371e-14) - mpmath.log(2)) < 1e-29
        # |r|: half a multiple, and what the rounded factor 1/ln 2 or 2/π adds for the largest argument.
        assert mpmath.log(2) / 2 + 1100 * abs(mpmath.log(2) * mpmath.mpf(1.4426950408889634) - 1) < LN2
        assert (
            mpmath.pi / 4 + LARGEST_ANGLE * abs(mpmath.pi / 2 * mpmath.mpf(0.6366197723675814) - 1) < QUARTER
        )
        quarter = sum(map(mpmath.mpf, (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)))
        left_out = abs(quarter - mpmath.pi / 2) * LARGEST_ANGLE
        # Roundings of the tail beside those of 2**-53 |r|: of the second part's product and of the third part's.
        small = 2 * 2.0**-53 * (LARGEST_ANGLE * 6.2e-17 * U + LARGEST_ANGLE * 1.5e-33)
        assert left_out + small < 2.0**-118
        # x = M 2**e with M < 2**53 is nearest a multiple of π/2 where M is a convergent's denominator.
        nearest = mpmath.mpf(1)
        for e in range(-52, -11):
            ratio = Fraction(int(mpmath.floor(mpmath.ldexp(2 / mpmath.pi, 300 + e))), 2**300)
            before, now, rest = 0, 1, ratio - ratio.numerator // ratio.denominator
            while rest:
                rest = 1 / rest
                whole = rest.numerator // rest.denominator
                before, now, rest = now, whole * now + before, rest - whole
                if now >= 2**53:
                    break
            away = ratio * before
            nearest = min(nearest, abs(mpmath.mpf(float(away - round(away)))) * mpmath.pi / 2)
        assert nearest > 2.0**-63


# -- measured -------------------------------------------------------------------------------------------------------


def arguments(name, count):
    """Return arguments of all sizes, and adversarial ones: ends of reductions, ends of the range."""
    random = np.random.default_rng(5)
    sign = random.choice([-1.0, 1.0], count)
    wide = sign * np.exp(random.uniform(-700.0, 709.0, count))
    x = np.concatenate(
        [3 * random.standard_normal(count), sign * np.exp(random.uniform(-40.0, 6.6, count)), wide]
    )
    step = np.pi / 2 if name in ("sin", "cos") else np.log(2)
    ends = random.integers(-1000, 1000, count) * step / 2
    x = np.concatenate(
        [x, np.nextafter(ends, random.choice([-1e9, 1e9], count)), 5e-324 * random.integers(1, 2**52, count)]
    )
    if name in ("sin", "cos"):
        multiples = np.round(2.0 ** random.uniform(0, 39, count)) * step
        x = np.concatenate([x, multiples, sign * np.exp(random.uniform(0.0, np.log(LARGEST_ANGLE), count))])
        return x[np.abs(x) <= LARGEST_ANGLE]
    if name in ("exp", "sinh", "cosh", "expm1"):
        return np.concatenate(
            [x[np.abs(x) < 800], random.uniform(-746.0, -700.0, count), random.uniform(709.0, 711.0, count)]
        )
    return np.abs(x) if name == "log" else x[x > -1.0] if name == "log1p" else x


def worst_error(name, x):
    """Return the largest error in units of the last place, by mpmath."""
    out = np.empty(x.size)
    getattr(modules.compiled(SOURCE), f"all_{name}")(x, out)
    function, worst = getattr(mpmath, name), 0.0
    with mpmath.workprec(200):
        for a, b in zip(x.tolist(), out.tolist(), strict=True):
            exact = function(mpmath.mpf(a))
            if abs(exact) >= mpmath.mpf(2) ** 1024 * (1 - mpmath.mpf(2) ** -54):
                assert b == math.copysign(math.inf, exact), (name, a)
                continue
            _, exponent = mpmath.frexp(exact)
            unit = mpmath.mpf(2) ** max(exponent - 53, -1074)
            worst = max(worst, float(abs(exact - b) / unit))
    return worst


@pytest.mark.parametrize(
    ("name", "count"),
    [(name, 300) for name in NAMES] + [pytest.param(name, 20_000, marks=pytest.mark.slow) for name in NAMES],
)
def test_measured_below_one_ulp(name, count):
    """Protects the proof from a slip in what it assumes: the compiled functions against mpmath."""
    worst = worst_error(name, arguments(name, count))
    print(f"{name}: {worst:.3f} ulp measured")
    assert worst < 0.9


EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 709.78, 709.79, 710.4, 710.5, -745.1, -745.2, -708.4, 5e-324,
         -5e-324, 2.0**-1060, 1e308, -1e308, 2.0**40, 1.0000001 * 2.0**40, -37.0, -37.01, 20.0, -20.0]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_compiled_and_plain(name, same_bits):
    """Protects bit equality at its root: vectors, and plain CPython one number at a time."""
    x = np.concatenate([EDGES, arguments(name, 150)])
    outs = [np.empty(x.size) for _ in range(2)]
    getattr(modules.compiled(SOURCE), f"all_{name}")(x, outs[0])
    modules.plain(SOURCE)[f"all_{name}"](x, outs[1])
    assert same_bits(*outs)


@pytest.mark.parametrize("name", NAMES)
def test_edges_are_those_of_the_c_library(name, same_bits):
    """Protects zeros' signs, infinities, nan, overflow, and the domain of sin and cos."""
    x = np.array(EDGES)
    out = np.empty(x.size)
    getattr(modules.compiled(SOURCE), f"all_{name}")(x, out)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    if name in ("sin", "cos"):
        expected[np.abs(x) > LARGEST_ANGLE] = np.nan
    exact = ~np.isfinite(expected) | (np.abs(expected) < 1e-300) | (np.abs(expected) == 1.0)
    assert same_bits(out[exact], expected[exact])
    np.testing.assert_allclose(out[~exact], expected[~exact], rtol=1e-15)
