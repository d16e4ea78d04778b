"""The compiler of generated sources: each construct against plain CPython, bit for bit, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab.kernels import arithmetic, modules
from selfstab.kernels.lowering import Source
from selfstab.kernels.machine_code import heard
from selfstab.kernels.representation import NUMBER, NotInLanguage, Rows

ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)

NUMBERS = """
@inlined
def both(a, b):
    return a + b, a - b


@entry
def run(x, y, n, m, yes, out, places):
    total, lost = both(x, y)
    out[0] = total * lost
    out[1] = x / y
    out[2] = -x
    out[3] = abs(y)
    out[4] = fma(x, y, -total)
    out[5] = choose((x < y) | (x != x), x, n)
    out[6] = copysign(x, y)
    out[7] = sqrt(abs(x))
    out[8] = number(bits(x) ^ (1 << 3))
    out[9] = n // m
    out[10] = n % m
    out[11] = n / m
    out[12] = (n - 3 * m) >> 2
    out[13] = x if x > y and not yes else n
    out[14] = choose(yes, 1.0, 0.0)
    out[15] = 1 if -1 < n < m or x == y else 2.5
    out[16] = LIMIT * places[1, 0] + places.size + places.shape[1]
    out[17] = TABLE[n % 3] + PAIRS[1, n % 2]
    out[18] = bits(y) & 255


LIMIT = 3
TABLE = np.array([1, 2, 3], np.int64)
PAIRS = np.array([[0.1, 0.2], [0.3, 0.4]])
"""

LOOPS = """
@compiled
def first(row, least):
    for k in range(row.size):
        if row[k] >= least:
            return k
    return -1


@compiled
def sign(x):
    if x < 0.0:
        return -1
    return x


@entry
def run(table, steps, out):
    scratch = np.empty(steps + 100)
    small = np.empty((2, 3))
    marks = np.empty(4, np.int64)
    count = 0
    t = 0
    while t < steps and count < 50:
        t += 1
        if t % 3 == 0:
            continue
        if t > 40:
            break
        for k in range(1, t, 2):
            count = count + k if k < 5 else count + 0.5
        scratch[t] = count
    for i in range(2):
        for j in range(3):
            small[i, j] = i - j
    marks[3] = t
    out[0] = count
    out[1] = marks[3]
    out[2] = first(table[1], 4.0) + first(table[0], 1e9)
    out[3] = sign(small[0, 2]) + sign(small[1, 0])
    ours, theirs = out.view(np.int64), scratch.view(np.int64)
    theirs[0] = ours[2]
    out[4] = bits(out[2]) == theirs[0]
    at = table[1]
    out[5] = at[2] if at.size > 2 else 0.0
    return t
"""


def both(text, *arguments, size):
    """Return what ``run`` puts into `out` and returns, compiled and by plain CPython."""
    ends = []
    for function in (modules.compiled(text).run, modules.plain(text)["run"]):
        out = np.full(size, 7.0)
        filled = [out if argument is None else argument for argument in arguments]
        ends.append((function(*filled), out))
    return ends


@given(x=ANY, y=ANY, n=st.integers(-1000, 1000), m=st.integers(1, 50), yes=st.booleans())
def test_numbers_are_those_of_plain_python(x, y, n, m, yes):
    """Protects every operation: rounding, signs of zeros, nan and infinity, floors of negative integers, tables."""
    places = np.array([[1.0, 2.0, 3.0], [0.1, 5.0, 6.0]])
    x, y = np.float64(x), np.float64(y)  # as it is in a kernel: Python's own division by 0 raises
    (_, compiled), (_, plain) = both(NUMBERS, x, y, n, m, yes, None, places, size=19)
    # Which bits a nan has is left open.
    np.testing.assert_array_equal(compiled, plain)
    assert (np.signbit(compiled) == np.signbit(plain))[~np.isnan(plain)].all()


@pytest.mark.parametrize("steps", [0, 1, 2, 7, 39, 45, 300])
def test_loops_are_those_of_plain_python(steps):
    """Protects control flow: breaks, continues, early returns, a variable that widens, arrays of any size."""
    table = np.arange(8.0).reshape(2, 4)
    (ended, compiled), (plain_ended, plain) = both(LOOPS, table, steps, None, size=6)
    assert ended == plain_ended
    assert compiled.tolist() == plain.tolist()
    assert plain[4:].tolist() == [1.0, 6.0]


@pytest.mark.parametrize("name", [name for name in arithmetic.FUNCTIONS if name != "pow"])
def test_functions_of_the_c_library(name):
    """Protects formulas that call the C library: the same function is called as by plain CPython."""
    text = f"@entry\ndef run(x, out):\n    out[0] = {name}(x)\n"
    for x in (0.3, 1.7, -0.4):
        (_, compiled), (_, plain) = both(text, x, None, size=1)
        np.testing.assert_array_equal(compiled, plain)


def test_arrays_in_any_order_and_of_any_type():
    """Protects callers with transposed, strided or integer arrays: they are read and filled as NumPy would."""
    text = "@entry\ndef run(a, out):\n    for i in range(a.shape[0]):\n        out[i, 1] = a[i, 0] + 0.5\n"
    out = np.zeros((3, 8))[:, ::4]
    modules.compiled(text).run(np.arange(6).reshape(2, 3).T, out)
    assert out[:, 1].tolist() == [0.5, 1.5, 2.5]
    assert out[:, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "line",
    ["out[0] = x ** 2", "out[0] = x // 2.0", "out[0] = max(x, 1.0)", "out[0] = {}", "return", "out = None",
     "out[0] = unknown(x)", "out[0] = absent", "for k in [1, 2]:\n        pass", "x.fill(1.0)", "out[0] = abs(3)",
     "for k in range(2):\n        pass\n    else:\n        out[0] = 1.0", "out[0, 1] = 1.0", "out[-1] = 1.0",
     "while x < 1.0:\n        x += 1.0\n    else:\n        out[0] = 1.0", "row = np.empty(4, dtype=np.int64)",
     "row = np.empty(4, np.int32)", "out[0] = fma(x, x, c=x)", "y = z = x",
     "out[0] = (x < 1.0) + (x > 0.0)"],
)  # fmt: skip
def test_other_python_is_refused(line):
    """Protects from a silent other meaning: what is not translated exactly raises."""
    with pytest.raises(NotInLanguage):
        Source(f"@entry\ndef run(x, out):\n    {line}\n").entry("run", [NUMBER, Rows(NUMBER, 1)])


def test_a_long_sum():
    """Protects losses of many weights: a sum of 2,000 terms is one expression."""
    text = f"@entry\ndef run(x, out):\n    out[0] = {' + '.join(['x', *map(str, range(2_000))])}\n"
    (_, compiled), _ = both(text, 0.5, None, size=1)
    assert compiled[0] == 0.5 + 1999 * 1000


def test_nothing_may_be_fused_or_reordered():
    """Protects the bits: no operation of a whole kernel allows more than IEEE 754 does."""
    text, _ = Source(NUMBERS).entry(
        "run", [NUMBER, NUMBER, "i64", "i64", "i1", Rows(NUMBER, 1), Rows(NUMBER, 2)]
    )
    words = set(text.split())
    assert words & {"fadd", "fsub", "fmul", "fdiv"}
    assert not words & {"fast", "contract", "reassoc", "arcp", "nnan", "ninf", "nsz", "afn"}


def test_wide_vectors_are_the_functions_own():
    """Protects the width of vectors: the function that calls for wide ones has them, and gives the same number."""
    text = "@entry\ndef run(x, out):\n    wide_vectors()\n    out[0] = 2.0 * x\n"
    representation, _ = Source(text).entry("run", [NUMBER, Rows(NUMBER, 1)])
    assert '"prefer-vector-width"="512"' in representation
    out = np.empty(1)
    modules.compiled(text).run(1.5, out)
    assert out[0] == 3.0


def test_a_compilation_is_heard_once(cold_cache):
    """Protects the line that says what one waits for: it is shown while a kernel is compiled, and never after."""
    text = "@entry\ndef run(x, out):\n    out[0] = x\n"
    calls: list[int] = []
    for expected in (True, False):
        with heard(lambda: calls.append(1)) as compilation:
            modules.compiled(text).run(1.0, np.empty(1))
        assert compilation.begun == expected
    assert calls == [1]
