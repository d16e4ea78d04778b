"""Functions that are stable where their textbook formulas are not: against mpmath, and the same bits everywhere."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from selfstab.kernels import elementary, modules

BOUNDS = {
    "sigmoid": 2.5, "sigmoid_slope": 4.0, "softplus": 2.5, "logcosh": 5.0, "sech": 3.0, "csch": 4.0, "planck": 4.0,
    "gaussian": 2.0, "sqrt1pm1": 3.0, "erfc": 4.0,
}  # fmt: skip
"""The errors that the functions' docstrings state, in units of the last place; erfc is the C library's."""

EXACT = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sigmoid_slope": lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "logcosh": lambda x: mpmath.log1p(2 * mpmath.sinh(x / 2) ** 2),
    "sech": mpmath.sech,
    "csch": mpmath.csch,
    "planck": lambda x: 1 / mpmath.expm1(x),
    "gaussian": lambda x: mpmath.exp(-x * x),
    "sqrt1pm1": lambda x: x / (mpmath.sqrt(1 + x) + 1),
    "erfc": mpmath.erfc,
}
ENTRIES = "".join(
    f"@entry\ndef all_{name}(x, out):\n    for i in range(x.size):\n        out[i] = {name}(x[i])\n\n\n"
    for name in BOUNDS
)
SOURCE = elementary.definitions(ENTRIES) + ENTRIES
FAR = [0.0, 745.0, 710.0, 800.0, 1e3, 1e300, 37.5, 26.5, 1e-9, 1e-160, 5e-324]


def arguments(name, count):
    """Return arguments of all sizes, and those where a naive formula overflows, underflows or cancels."""
    random = np.random.default_rng(3)
    sign = random.choice([-1.0, 1.0], count)
    x = np.concatenate(
        [
            3 * random.standard_normal(count),
            sign * np.exp(random.uniform(-40.0, 6.6, count)),
            FAR,
            [-y for y in FAR],
        ]
    )
    if name == "sqrt1pm1":
        return np.where(x < -1.0, 1.0 / np.where(x < -1.0, x, 1.0), x)
    # mpmath has no erfc of 1e300, and csch has a pole.
    return x[
        (x != 0.0) if name in ("csch", "planck") else (np.abs(x) < 1e4) if name == "erfc" else slice(None)
    ]


def ulps(value, exact):
    """Return the distance of a number from what it is meant for, in units of that number's last place."""
    # The largest float's unit for what overflows, the least number for what is below all normal ones.
    size = min(max(abs(exact), mpmath.mpf(2.0**-1022)), mpmath.mpf(1.7e308))
    if not np.isfinite(value):
        return 0.0 if abs(exact) > mpmath.mpf(2) ** 1024 else np.inf
    return float(abs(mpmath.mpf(float(value)) - exact) / mpmath.mpf(float(np.spacing(float(size)))))


@pytest.mark.parametrize("name", BOUNDS)
def test_errors_are_those_stated(name):
    """Protects digits: a few units in the last place at any argument, subnormal results included."""
    x = arguments(name, 150)
    out = np.empty(x.size)
    getattr(modules.compiled(SOURCE), f"all_{name}")(x, out)
    with mpmath.workprec(700):
        worst = max(ulps(value, EXACT[name](mpmath.mpf(float(at)))) for at, value in zip(x, out, strict=True))
    print(f"{name}: {worst:.3f} ulp measured")
    assert worst < BOUNDS[name]


@pytest.mark.parametrize("name", BOUNDS)
def test_the_same_bits_compiled_and_plain(name, same_bits):
    """Protects bit equality: vectors, and plain CPython one number at a time; nan stays nan."""
    x = np.concatenate([arguments(name, 60), [np.nan, np.inf, -np.inf, -0.0]])
    outs = [np.empty(x.size) for _ in range(2)]
    getattr(modules.compiled(SOURCE), f"all_{name}")(x, outs[0])
    modules.plain(SOURCE)[f"all_{name}"](x, outs[1])
    assert same_bits(*outs)
    assert np.isnan(outs[0][-4])


def test_two_arguments_and_limits():
    """Protects logaddexp far out, products that vanish, and what decides a tie."""
    functions = modules.plain(elementary.definitions("logaddexp( vanishing( tie( clipped("))
    assert functions["logaddexp"](1000.0, -1000.0) == 1000.0
    assert functions["logaddexp"](-1000.0, -1000.0) == pytest.approx(-1000.0 + np.log(2.0), rel=1e-16)
    assert functions["logaddexp"](-50.0, 0.0) == pytest.approx(np.exp(-50.0), rel=1e-15)
    assert functions["vanishing"](0.0, -np.inf) == 0.0
    assert functions["vanishing"](2.0, -np.inf) == -np.inf
    assert [functions["tie"](*pair) for pair in ((0.0, -3.0), (-0.0, 2.0), (5.0, -3.0))] == [-3.0, 2.0, 5.0]
    assert [functions["clipped"](x) for x in (-1e300, -28.0, 3.0, 1e300)] == [-28.0, -28.0, 3.0, 28.0]
