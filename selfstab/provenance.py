"""What a result was computed with: versions of libraries, the machine, and which of them decide bits."""

from __future__ import annotations

import json
import platform
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Final

import selfstab

BITS_SINCE: Final = "0.1.0"
"""The version of selfstab since which a cell's bits are unchanged where no kernel's text tells.

A kernel's bits follow from its generated text, whose hash a store keeps. Networks, and functions of selfstab that a
user's own loss or schedule calls, have no such text: a change that moves a bit of theirs sets this constant to the
version that brings it.
"""


KERNELS: Final = "2"
"""The number of the kernels' text: one more wherever a generated text changes, though its cells keep their bits.

Version 0.1 wrote none. Its texts computed the same bits, but for what they had wrong: the sharpness of Hessians that
hold NaN, or whose squares leave the range of float64, and the phases named in :mod:`selfstab.phases` since; and the
last digits of the sharpness of three weights and more, which another method finds. They ran with subnormal numbers,
which are 0 now (:mod:`selfstab.kernels.subnormals`): runs that die out end otherwise.
"""


def libraries(*names: str) -> dict[str, str]:
    """Return the installed versions of packages by name.

    Parameters
    ----------
    *names
        Names as on the package index.

    Returns
    -------
    dict
        Version by name, in the order given.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If one is not installed.

    Examples
    --------
    >>> list(libraries("numpy", "scipy"))
    ['numpy', 'scipy']
    """
    return {name: version(name) for name in names}


def this_code() -> dict[str, str]:
    """Return the versions of selfstab and of Python, by name."""
    return {"selfstab": selfstab.__version__, "python": platform.python_version()}


def versions() -> str:
    """Return the versions of selfstab, of Python and of the packages that numbers come from, as JSON.

    It is the attribute ``versions`` of every dataset.
    """
    return json.dumps(_of_numbers() | this_code())


@cache
def _of_numbers() -> dict[str, str]:
    return libraries("numpy", "llvmlite", "scipy", "sympy", "xarray")


def deciding_bits(blas: bool) -> dict[str, str]:
    """Return what the bits of a sweep's cell depend on, beside its settings and its kernel.

    Parameters
    ----------
    blas
        Whether the cell computes with BLAS, which picks its code by the processor: networks do, kernels do not.

    Returns
    -------
    dict
        Versions by library, LLVM's by that of llvmlite. ``python`` as far as the minor version. ``machine``: system,
        processor and C library. ``bits_since``: :data:`BITS_SINCE`. If asked for, ``blas``: the libraries loaded.
    """
    decisive = libraries("numpy", "llvmlite", "scipy", "sympy") | {
        "bits_since": BITS_SINCE,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": " ".join([platform.system(), platform.machine(), *platform.libc_ver()]).strip(),
    }
    if blas:
        from threadpoolctl import threadpool_info

        import_module("scipy.linalg")  # it brings a BLAS of its own
        loaded = {
            " ".join(str(library.get(key)) for key in ("internal_api", "version", "architecture"))
            for library in threadpool_info()
            if library["user_api"] == "blas"
        }
        decisive["blas"] = ", ".join(sorted(loaded))
    return decisive


def of_store(made_by: dict[str, str]) -> dict[str, str]:
    """Return what a store says decides its bits, in the words of :func:`deciding_bits`.

    Version 0.1 wrote its own version under ``selfstab`` in place of ``bits_since``. It wrote Numba's as well, which
    compiled its kernels: their text has the same bits by any compiler that keeps IEEE arithmetic.

    Parameters
    ----------
    made_by
        As it stands in the store.

    Returns
    -------
    dict
        As :func:`deciding_bits`, with the store's further entries.

    Examples
    --------
    >>> of_store({"numpy": "2.0", "numba": "0.62.1", "selfstab": "0.1.0"})
    {'numpy': '2.0', 'bits_since': '0.1.0'}
    """
    return {
        ("bits_since" if name == "selfstab" else name): text
        for name, text in made_by.items()
        if name != "numba"
    }
