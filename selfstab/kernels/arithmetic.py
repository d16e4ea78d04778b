"""The functions a generated source may call, as plain CPython runs them.

Generated sources import nothing: they call the names below. Compiled, a name is the function of the C library;
run by plain CPython it is the function of `math`, wrapped so that it returns inf or nan where `math` raises. Both
call the same library, so both give the same bits.

fma(a, b, c) is a·b + c rounded once: an operation of IEEE 754, exact to the same bits in hardware and in the C library,
and one instruction instead of two. choose(condition, yes, no) is ``yes if condition else no`` without a branch, which
lets a loop over lanes vectorise. bits(x) and number(n) read the 64 bits of a number as an integer and back. A source
that calls exp, sin, ... brings its own (kernels.elementary). wide_vectors() lets the function that calls it use the
512 bits of a processor that has them: LLVM stays at 256 on many. It pays where much is kept and compared, and costs
where square roots are the most of the work, which take such vectors twice as long.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

FUNCTIONS: Final = (
    "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
    "asinh", "acosh", "atanh", "erf", "erfc", "pow",
)  # fmt: skip


def _total(name: str) -> Callable[..., np.float64]:
    function = getattr(math, name)
    vectorised = getattr(np, "power" if name == "pow" else re.sub("^a", "arc", name), None)

    def total(*arguments: float) -> np.float64:
        try:
            return np.float64(function(*arguments))
        except (ValueError, OverflowError):
            # Only the sign of infinity and nan are left to decide here, no digits.
            return np.float64(vectorised(*arguments)) if vectorised is not None else np.float64(np.nan)

    return total


def _fused() -> Callable[[float, float, float], np.float64]:
    """Return a·b + c rounded once, from `math` (Python 3.13 and newer) or the C library."""
    function: Any = getattr(math, "fma", None)
    if function is None:
        import ctypes
        import sys

        function = (ctypes.CDLL("ucrtbase") if sys.platform == "win32" else ctypes.CDLL(None)).fma
        function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double] * 3

    def fused(a: float, b: float, c: float) -> np.float64:
        try:
            return np.float64(function(a, b, c))
        except (ValueError, OverflowError):
            # math.fma raises where the result is nan or infinite; there is one rounding less to lose then.
            return np.float64(a) * np.float64(b) + np.float64(c)

    return fused


def plain_namespace() -> dict[str, Any]:
    """Return the names a generated source needs when plain CPython runs it."""

    def unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    names: dict[str, Any] = {name: _total(name) for name in FUNCTIONS}
    names["fma"] = _fused()
    names["choose"] = lambda condition, yes, no: np.float64(yes if condition else no)
    names["copysign"] = lambda size, sign: np.float64(math.copysign(size, sign))
    names["bits"] = lambda x: np.float64(x).view(np.int64)
    names["wide_vectors"] = lambda: None
    names["number"] = lambda n: np.int64(n).view(np.float64)
    return names | {"np": np, "inlined": unchanged, "compiled": unchanged, "entry": unchanged}
