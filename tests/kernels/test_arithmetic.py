"""The functions that sources call: the same bits compiled and plain, and what they are by definition."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selfstab.kernels import arithmetic, modules

PLAIN = arithmetic.plain_namespace()
ONE = [name for name in arithmetic.FUNCTIONS if name != "pow"]


# Powers as sources hold them: of a variable, and of constants that no compiler turns into another function.
TWO = [
    "pow(x, y)",
    "pow(abs(x), y)",
    *(f"pow(abs(x), {p})" for p in (0.25, 0.3, 1.5, -1.5, 2.5, "(1.0 / 3.0)", 3.7)),
]


MORE = [
    "choose(x > y, x, y)",
    "choose(x < y, x, choose(x > 1.0, 2.0, y))",
    "abs(x)",
    "x / y",
    "exp(0.3 * x) * cos(x)",
    "fma(x, y, x)",
    "fma(x, x, -y)",
    "fma(-x, y, x * y)",
]


EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 709.9, -745.2, 1e308, -1e308, 5e-324, 2.0**-1060, 0.5]


def test_functions_have_the_same_bits_compiled_and_plain(same_bits):
    """Protects bit equality at its root: each function, ordinary numbers and the edges of float64, no warning."""
    texts = [*(f"{name}(x)" for name in ONE), *TWO, *MORE]
    lines = "".join(f"        out[{k}, i] = {text}\n" for k, text in enumerate(texts))
    source = (
        f"@entry\ndef f(a, b, out):\n    for i in range(a.size):\n        x = a[i]\n        y = b[i]\n{lines}"
    )
    random = np.random.default_rng(0)
    some = np.concatenate(
        [
            3 * random.standard_normal(3000),
            random.uniform(-1, 1, 3000),
            np.exp(random.uniform(-300, 300, 1000)),
        ]
    )
    left, right = np.meshgrid(EDGES, EDGES)
    a = np.concatenate([some, left.ravel()])
    b = np.concatenate([random.permutation(some), right.ravel()])
    outs = [np.empty((len(texts), a.size)) for _ in range(2)]
    modules.compiled(source).f(a, b, outs[0])
    modules.plain(source)["f"](a, b, outs[1])
    for text, compiled, plain in zip(texts, *outs, strict=True):
        assert same_bits(compiled, plain), text


FINITE = st.floats(allow_nan=False, allow_infinity=False)


def rounded(exact):
    """Return an exact number as the nearest float64, infinite beyond the largest."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


@given(a=FINITE, b=FINITE, c=FINITE)
def test_fma_is_rounded_once(a, b, c):
    """Protects one rounding: the exact sum of fractions, rounded by Python."""
    assert PLAIN["fma"](a, b, c) == rounded(Fraction(a) * Fraction(b) + Fraction(c))


@given(x=st.floats())
def test_bits_are_those_in_memory(x):
    """Protects bits and number: the integer of the eight bytes, as `struct` reads them, and back."""
    bits = PLAIN["bits"](x)
    assert bits == struct.unpack("<q", struct.pack("<d", x))[0]
    assert struct.pack("<d", PLAIN["number"](bits)) == struct.pack("<d", x)


def test_what_math_refuses_is_a_number():
    """Protects plain runs from exceptions: poles and overflows are infinite with their sign, the rest is nan."""
    inf, nan = math.inf, math.nan
    for name, arguments, expected in (
        ("exp", (1e3,), inf), ("sinh", (-1e3,), -inf), ("log", (0.0,), -inf), ("log", (-1.0,), nan),
        ("log1p", (-1.0,), -inf), ("sqrt", (-1.0,), nan), ("atanh", (-1.0,), -inf), ("acos", (2.0,), nan),
        ("pow", (-0.0, -1.0), -inf), ("pow", (0.0, -2.0), inf), ("pow", (-2.0, 0.5), nan), ("sin", (inf,), nan),
    ):  # fmt: skip
        with np.errstate(all="ignore"):
            np.testing.assert_equal(float(PLAIN[name](*arguments)), expected, err_msg=name)
