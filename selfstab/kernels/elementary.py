"""Elementary functions of our own, as source text that is put before the formulas that call them.

The C library's functions stand in the way of vectors and differ in their last bits from one library to the next. Those
below are a few dozen additions, multiplications and fma's without a branch, so that a loop over lanes vectorises, and
without anything that a machine may round in its own way: compiled or run by plain CPython, on any machine, they give
the same bits. They are in error by less than one unit in the last place (ulp) for every argument, which
tests/kernels/test_elementary.py proves; nan, infinities, zeros' signs, overflow and gradual underflow are as in the C
library. The domain of sin and cos is |x| <= 2**40, the square of the default escape radius; beyond it they are nan.

Each takes the argument apart into a multiple of ln 2 or π/2, subtracted without a rounding error, and a rest r in ±½ of
that, keeps what 1 + r or its like loses to rounding, and adds it to the polynomial of the rest.
"""

from __future__ import annotations

import re
from typing import Final

_PARTS: Final[dict[str, str]] = {}


def _define(text: str) -> None:
    """Keep a piece of source under the name it defines; it may call those kept before."""
    _PARTS[re.findall(r"^(?:def )?(\w+)(?:\(| = )", text, re.MULTILINE)[0]] = text.strip("\n")


def definitions(text: str) -> str:
    """Return the source of all functions of this module that `text` calls, and of those they call.

    Examples
    --------
    >>> print(definitions("e0 = w_x * w_x"))
    <BLANKLINE>
    >>> "def exp(x)" in definitions("e1 = exp(w_x)")
    True
    """
    names: list[str] = []
    for name in reversed(_PARTS):
        if re.search(rf"\b{name}\b", "\n".join([text, *(_PARTS[other] for other in names)])):
            names.append(name)
    return "".join(f"{_PARTS[name]}\n\n\n" for name in reversed(names))


_define("""
ROUND = 6755399441055744.0
""")

_define('''
@inlined
def fast_sum(a, b):
    """Return a + b and its rounding error, exactly; |a| >= |b|, or a is 0."""
    total = a + b
    return total, (a - total) + b
''')

_define('''
@inlined
def two_sum(a, b):
    """Return a + b and its rounding error, exactly."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)
''')

_define('''
@inlined
def exact_product(a, b):
    """Return a * b and its rounding error, exactly."""
    product = a * b
    return product, fma(a, b, -product)
''')

_define('''
@inlined
def power_of_two(k):
    """Return 2**k for a whole number -1022 <= k <= 1023; adding ROUND = 1.5 * 2**52 puts k into the last bits."""
    return number((bits(k + ROUND) << 52) + bits(1.0))
''')

_define('''
@inlined
def scaled(y, k):
    """Return y * 2**k, rounded once more if that is subnormal; |k| <= 2040."""
    half = (0.5 * k + ROUND) - ROUND
    return y * power_of_two(half) * power_of_two(k - half)
''')

_define('''
@inlined
def less_logs(x):
    """Return k, r and its tail: x = k ln 2 + r + tail, |r| <= 0.347, |k| < 2048; fma(-k, ..., x) is exact."""
    k = fma(x, 1.4426950408889634, ROUND) - ROUND
    first = fma(-k, 0.6931471805599453, x)
    r = fma(-k, 2.3190468138462996e-17, first)
    return k, r, fma(-k, 2.3190468138462996e-17, first - r)
''')

_define('''
@inlined
def hyperbolic(r):
    """Return sinh(r) - r and cosh(r) - 1 - r**2/2 for |r| <= 0.347."""
    z = r * r
    s = fma(z, 2.510037731201438e-08, 2.7557268476783703e-06)
    s = fma(z, fma(z, s, 0.00019841269863043171), 0.008333333333330063)
    s = (r * z) * fma(z, s, 0.16666666666666669)
    c = fma(z, 2.0911230662480162e-09, 2.7557282981835015e-07)
    c = fma(z, fma(z, c, 2.4801587317136817e-05), 0.0013888888888886554)
    return s, (z * z) * fma(z, c, 0.041666666666666664)
''')

_define('''
@inlined
def exp_rest(r, tail):
    """Return exp(r + tail)."""
    s, c = hyperbolic(r)
    total, lost = fast_sum(1.0, r)
    return total + (lost + (fma(0.5 * r, r, c) + (s + fma(tail, r, tail))))
''')

_define('''
@inlined
def exp(x):
    """Return e**x."""
    x = choose(x > 710.0, 710.0, choose(x < -746.0, -746.0, x))
    k, r, tail = less_logs(x)
    return scaled(exp_rest(r, tail), k)
''')

_define('''
@inlined
def exp_less(r, tail, small):
    """Return exp(r + tail) - small as a sum of two; small = 2**-k, and r is what x leaves."""
    s, c = hyperbolic(r)
    square, square_lost = exact_product(0.5 * r, r)
    one = 1.0 - small
    total, lost = fast_sum(one, r)
    total, more_lost = fast_sum(total, square)
    rest = (square_lost + c) + (s + fma(tail, r, tail))
    return total, (lost + more_lost) + (((1.0 - one) - small) + rest)
''')

_define('''
@inlined
def expm1(x):
    """Return e**x - 1."""
    near = choose(x > 710.0, 710.0, choose(x < -38.0, -38.0, x))
    k, r, tail = less_logs(near)
    total, rest = exp_less(r, tail, power_of_two(choose(k > 1000.0, -1000.0, -k)))
    y = scaled(total + rest, k)
    return choose(x < -37.0, -1.0, choose(x == 0.0, x, y))
''')

_define('''
@inlined
def sinh_rest(r, tail, small):
    """Return exp(r + tail) - small * exp(-r - tail); small = 4**-k."""
    s, c = hyperbolic(r)
    less = 1.0 - small
    more = 1.0 + small
    head, head_lost = exact_product(more, r)
    total, lost = fast_sum(less, head)
    rest = head_lost + fma(fma(less, r, more), tail, ((1.0 - less) - small) + ((1.0 - more) + small) * r)
    return total + (lost + (fma(less, fma(0.5 * r, r, c), more * s) + rest))
''')

_define('''
@inlined
def cosh_rest(r, tail, small):
    """Return exp(r + tail) + small * exp(-r - tail); small = 4**-k."""
    return sinh_rest(r, tail, -small)
''')

for _name, _sign in (("sinh", "copysign({}, x)"), ("cosh", "{}")):
    _define(f'''
@inlined
def {_name}(x):
    """Return {"(e**x - e**-x)/2" if _name == "sinh" else "(e**x + e**-x)/2"}."""
    size = abs(x)
    k, r, tail = less_logs(choose(size > 711.0, 711.0, size))
    y = {_name}_rest(r, tail, power_of_two(choose(k > 500.0, -1000.0, -2.0 * k)))
    return {_sign.format("scaled(0.5 * y, k)")}
''')

_define('''
@inlined
def divided(top, top_tail, bottom, bottom_tail):
    """Return (top + top_tail) / (bottom + bottom_tail), the tails below a few units in the last place."""
    inverse = 1.0 / bottom
    first = top * inverse
    return fma(fma(-first, bottom_tail, fma(-first, bottom, top) + top_tail), inverse, first)
''')

_define('''
@inlined
def tanh_rest(r, tail, small):
    """Return (exp(r + tail) - small) / (exp(r + tail) + small); small = 2**-k."""
    top, top_tail = exp_less(r, tail, small)
    top, top_tail = fast_sum(top, top_tail)
    bottom, bottom_tail = exp_less(r, tail, -small)
    bottom, bottom_tail = fast_sum(bottom, bottom_tail)
    return divided(top, top_tail, bottom, bottom_tail)
''')

_define('''
@inlined
def tanh(x):
    """Return (e**2x - 1)/(e**2x + 1)."""
    twice = 2.0 * abs(x)
    k, r, tail = less_logs(choose(twice > 40.0, 40.0, twice))
    return copysign(tanh_rest(r, tail, power_of_two(-k)), x)
''')

_define('''
@inlined
def artanh_rest(z):
    """Return 2 artanh(s)/s - 2 for z = s**2 <= 0.02945."""
    p = fma(z, 0.14617737225469243, 0.15331607916449494)
    p = fma(z, fma(z, p, 0.18182892889013655), 0.22222211077377177)
    return z * fma(z, fma(z, fma(z, p, 0.2857142862637119), 0.3999999999989851), 0.666666666666667)
''')

_define('''
@inlined
def log_rest(f, k, lost):
    """Return k ln 2 + log(1 + f) + lost for -0.293 <= f <= 0.4143: log(1 + f) = 2 artanh(s), s = f/(2 + f)."""
    s = f / (2.0 + f)
    square, square_lost = exact_product(0.5 * f, f)
    total, rest = fast_sum(k * 0.6931471805598903, f)
    total, more = fast_sum(total, -square)
    small = fma(k, 5.497923018708371e-14, s * (square + artanh_rest(s * s))) - square_lost
    return total + ((rest + more) + (lost + small))
''')

_define('''
@inlined
def parts(x):
    """Return k and m: x = m * 2**k, 0.707 < m < 1.415, for a positive normal x."""
    k = (bits(x) - bits(0.7071067811865476)) >> 52
    return number(k + bits(ROUND)) - ROUND, number(bits(x) - (k << 52))
''')

_define('''
@inlined
def log(x):
    """Return the natural logarithm."""
    tiny = x < 2.2250738585072014e-308
    k, m = parts(choose(tiny, 18014398509481984.0 * x, x))
    y = log_rest(m - 1.0, choose(tiny, k - 54.0, k), 0.0)
    return choose(x > 0.0, choose(x < np.inf, y, x), choose(x == 0.0, -np.inf, np.nan))
''')

_define('''
@inlined
def log1p(x):
    """Return log(1 + x)."""
    y, lost = two_sum(1.0, x)
    k, m = parts(y)
    y = log_rest(m - 1.0, k, lost / y)
    y = choose(abs(x) < 5e-9, fma(-0.5 * x, x, x), choose(x < np.inf, y, x))
    return choose(x > -1.0, y, choose(x == -1.0, -np.inf, np.nan))
''')

_define('''
@inlined
def less_quarters(x):
    """Return n (ROUND added), r and its tail: x = n π/2 + r + tail, |r| <= 0.786, for |x| <= 2**40."""
    turned = fma(x, 0.6366197723675814, ROUND)
    n = turned - ROUND
    p, p_lost = exact_product(n, 6.123233995736766e-17)
    r, lost = two_sum(fma(-n, 1.5707963267948966, x), -p)
    r, tail = fast_sum(r, fma(n, 1.4973849048591698e-33, lost - p_lost))
    return turned, r, tail
''')

_define('''
@inlined
def sine(r, tail):
    """Return sin(r + tail) - r for |r| <= 0.786."""
    z = r * r
    p = fma(z, -7.586671593104681e-13, 1.6058531192182336e-10)
    p = fma(z, fma(z, p, -2.5052106229802317e-08), 2.755731921933172e-06)
    p = fma(z, fma(z, p, -0.00019841269841265055), 0.008333333333333331)
    p = fma(z, p, -0.16666666666666666)
    return fma(r * z, p, fma(-0.5 * z, tail, tail))
''')

_define('''
@inlined
def cosine(r, tail):
    """Return cos(r + tail) for |r| <= 0.786 as a sum of two."""
    z = r * r
    p = fma(z, -1.1382639612804117e-11, 2.087614637921954e-09)
    p = fma(z, fma(z, p, -2.7557317272327375e-07), 2.4801587298767004e-05)
    p = fma(z, fma(z, p, -0.0013888888888887398), 0.041666666666666664)
    half, half_lost = exact_product(0.5 * r, r)
    total, lost = fast_sum(1.0, -half)
    return total, lost + (fma(-r, tail, z * z * p) - half_lost)
''')

for _name, _turn in (("sin", ""), ("cos", " + 1")):
    _define(f'''
@inlined
def {_name}(x):
    """Return the {"sine" if _name == "sin" else "cosine"}."""
    turned, r, tail = less_quarters(x)
    n = bits(turned){_turn}
    total, rest = cosine(r, tail)
    y = choose(n & 1 == 0, r + sine(r, tail), total + rest)
    y = number(bits(y) ^ ((n >> 1) << 63))
    y = choose(abs(x) <= 1099511627776.0, y, np.nan)
    return {"choose(abs(x) < 1e-8, x, y)" if _name == "sin" else "y"}
''')

# Functions that are stable where their textbook formula is not: errors of a few ulp, as tests/kernels/test_stable.py
# measures against mpmath.

_define('''
@inlined
def sigmoid(x):
    """Return 1/(1 + e**-x), within 2.5 ulp."""
    small = exp(-abs(x))
    return choose(x >= 0.0, 1.0, small) / (1.0 + small)
''')

_define('''
@inlined
def sigmoid_slope(x):
    """Return e**x/(1 + e**x)**2, the derivative of the one above, within 4 ulp."""
    small = exp(-abs(x))
    more = 1.0 + small
    return small / (more * more)
''')

_define('''
@inlined
def softplus(x):
    """Return log(1 + e**x), within 2.5 ulp."""
    return choose(x > 0.0, x, 0.0) + log1p(exp(-abs(x)))
''')

_define('''
@inlined
def logaddexp(a, b):
    """Return log(e**a + e**b), within 3 ulp of the larger of its two terms."""
    return choose(a > b, a, b) + log1p(exp(-abs(a - b)))
''')

_define('''
@inlined
def logcosh(x):
    """Return log((e**x + e**-x)/2), within 5 ulp."""
    size = abs(x)
    half = sinh(0.5 * choose(size > 20.0, 20.0, size))
    return choose(size > 20.0, size - 0.6931471805599453, log1p((2.0 * half) * half))
''')

_define('''
@inlined
def sech(x):
    """Return 2/(e**x + e**-x), within 3 ulp."""
    small = exp(-abs(x))
    return 2.0 * small / fma(small, small, 1.0)
''')

_define('''
@inlined
def csch(x):
    """Return 2/(e**x - e**-x), within 4 ulp."""
    size = abs(x)
    return copysign(2.0 * exp(-size) / abs(expm1(-2.0 * size)), x)
''')

_define('''
@inlined
def planck(x):
    """Return 1/(e**x - 1), within 4 ulp."""
    size = abs(x)
    return choose(x > 0.0, exp(-size), -1.0) / abs(expm1(-size))
''')

_define('''
@inlined
def gaussian(x):
    """Return e**-x**2, within 2 ulp: what the square loses to rounding is added to the exponent."""
    size = abs(x)
    square, lost = exact_product(choose(size > 28.0, 28.0, size), choose(size > 28.0, 28.0, size))
    y = exp(-square)
    return fma(-lost, y, y)
''')

_define('''
@inlined
def clipped(x):
    """Return x within ±28, beyond which e**-x**2 is 0: powers of it are finite."""
    return choose(x > 28.0, 28.0, choose(x < -28.0, -28.0, x))
''')

_define('''
@inlined
def sqrt1pm1(x):
    """Return sqrt(1 + x) - 1, within 3 ulp."""
    y = sqrt(1.0 + x)
    return choose(x < 1e300, x / (y + 1.0), y)
''')

_define('''
@inlined
def vanishing(factor, x):
    """Return factor * x, 0 where the factor is 0 whatever x is."""
    return choose(factor == 0.0, 0.0, factor * x)
''')

_define('''
@inlined
def tie(x, slope):
    """Return x, or the slope that decides which side of 0 it is on where it is 0."""
    return choose(x == 0.0, slope, x)
''')
