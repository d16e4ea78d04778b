"""The mode of the processor in which kernels compute: a number below 2.2e-308 is 0.

An oscillation that dies out reaches numbers between 5e-324 and 2.2e-308, which float64 keeps with fewer digits. Some
processors take twenty times as long for each product of one. They all have a mode in which an operation reads such a
number as 0 and returns 0 in its place: bits 6 and 15 of MXCSR on x86, bit 24 of FPCR on ARM. A thread's mode is set
before a kernel and put back after it, compiled or run by plain CPython, so that both have the same bits.

The C library reads and writes the mode. Compiled code that did so itself could be reordered with what it computes.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np

from selfstab.validation import Array

P = ParamSpec("P")
R = TypeVar("R")

LEAST: Final = sys.float_info.min
"""The least number above 0 in a kernel, 2^-1022."""

_X86, _ARM = 0x8040, 1 << 24

_PLACES: Final = {
    ("linux", "x86_64"): (7, _X86),
    ("linux", "aarch64"): (0, _ARM),
    ("darwin", "x86_64"): (1, _X86),
    ("darwin", "arm64"): (2, _ARM),
}
"""Which 32 bits of C's fenv_t hold the mode, and its bits in them, by system and processor."""

_Mode = tuple[Any, ...]


@dataclass(frozen=True)
class Control:
    """A thread's mode: `read` returns it and the same without and with subnormal numbers; ``write(*mode)`` sets one.

    `write` is a function of C: no interrupt comes between its call and its effect.
    """

    read: Callable[[], tuple[_Mode, _Mode, _Mode]]
    write: Callable[..., Any]


def without_subnormals(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that computes without subnormal numbers, in the thread that calls it.

    Where the processor's mode cannot be set, it is the function itself.

    >>> product = without_subnormals(lambda a, b: a * b)
    >>> product(1e-200, 1e-100)
    1e-300
    >>> product(1e-200, 1e-120) == (0.0 if control() else 1e-320)
    True
    >>> 1e-200 * float("1e-120")
    1e-320
    """
    return function if (mode := control()) is None else _in_mode(mode, _WITHOUT, function)


def normal(values: Array) -> Array:
    """Return numbers with a zero, of the same sign, in the place of each that is subnormal.

    A kernel gets no other: the mode acts on what an operation reads. A compiler leaves out a product by 1 and writes a
    choice as a maximum, which makes such a number 0 where plain CPython keeps it, and the other way round.

    >>> normal(np.array([1.0, 1e-310, -1e-310])).tolist()
    [1.0, 0.0, -0.0]
    """
    return np.where(np.abs(values) < LEAST, np.copysign(0.0, values), values)


def with_subnormals(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that computes with subnormal numbers, though it is called where there are none.

    For what a kernel's first call does beside its numbers. A thread has the mode that it is started in to its end.

    >>> product = without_subnormals(with_subnormals(lambda a, b: a * b))
    >>> product(1e-200, 1e-120)
    1e-320
    """
    return function if (mode := control()) is None else _in_mode(mode, _WITH, function)


_WITHOUT, _WITH = 1, 2
"""Places among what `Control.read` returns."""


def _in_mode(mode: Control, place: int, function: Callable[P, R]) -> Callable[P, R]:
    write = mode.write

    @wraps(function)
    def called(*arguments: P.args, **settings: P.kwargs) -> R:
        modes = mode.read()
        before, during = modes[0], modes[place]
        # Python looks for an interrupt after a call, not before it: from here on `before` is put back.
        try:
            write(*during)
            return function(*arguments, **settings)
        finally:
            write(*before)

    return called


@cache
def control() -> Control | None:
    """Return what sets the mode here, tried once; None where nothing does."""
    mode = _windows() if sys.platform == "win32" else _c_library()
    if mode is None:
        return None
    least, half, many = [LEAST, 0.5, 2.0**60]
    subnormal = least * half
    # Compared outside the mode: inside it a subnormal number is equal to 0.
    written, read = _in_mode(mode, _WITHOUT, lambda: (least * half, subnormal * many))()
    return mode if written == 0.0 and read == 0.0 and least * half > 0.0 else None


def _c_library() -> Control | None:
    if (sys.platform, platform.machine()) not in _PLACES or sys.maxsize < 2**32:
        return None
    place, bits = _PLACES[sys.platform, platform.machine()]
    library = _library_of("fesetenv")
    if library is None:
        return None
    get, environment = library.fegetenv, ctypes.c_uint32 * 16

    def read() -> tuple[_Mode, _Mode, _Mode]:
        before = environment()
        get(before)
        flushing, keeping = environment(*before), environment(*before)
        flushing[place] |= bits
        keeping[place] &= ~bits
        return (before,), (flushing,), (keeping,)

    return Control(read, library.fesetenv)


def _library_of(name: str) -> Any:
    """Return the library of C, or of its mathematics, that has a function; None if neither has."""
    for file in (None, "libm.so.6"):
        try:
            library = ctypes.PyDLL(file)
        except OSError:
            continue
        if hasattr(library, name):
            return library
    return None


def _windows() -> Control | None:
    flush, mask = 0x01000000, 0x03000000
    try:
        put: Any = ctypes.PyDLL("ucrtbase")._controlfp
    except (OSError, AttributeError):
        return None
    put.argtypes, put.restype = [ctypes.c_uint, ctypes.c_uint], ctypes.c_uint
    return Control(lambda: ((put(0, 0) & mask, mask), (flush, mask), (0, mask)), put)
