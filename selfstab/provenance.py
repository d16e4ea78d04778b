"""What a result was computed with."""

from __future__ import annotations

import json
import platform
from functools import cache
from importlib.metadata import version

import selfstab


@cache
def versions() -> str:
    """Return the versions of this package and of those that its numbers come from, as JSON."""
    found = {name: version(name) for name in ("numpy", "numba", "scipy", "sympy", "xarray")}
    return json.dumps(found | {"selfstab": selfstab.__version__, "python": platform.python_version()})
