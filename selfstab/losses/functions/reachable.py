"""What a function of the user's can reach: what it closes over, names, holds as defaults or is bound to."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

_DEEPEST: Final = 4
_MOST: Final = 2000
"""Objects looked at, so that a long list of samples costs nothing."""

_FOREIGN: Final = ("torch.", "jax.", "flax.", "numpy.")
"""How modules begin whose methods reach nothing of the user's."""


def reachable(*roots: Any) -> list[Any]:
    """Return the objects that functions reach by closures, global names, defaults, arguments and attributes.

    Parameters
    ----------
    *roots
        Functions, or other objects that they are called with.

    Returns
    -------
    list
        Each once; only the first 2000, not deeper than four steps from a root, and nothing inside of modules.

    Examples
    --------
    >>> import random
    >>> generator = random.Random(0)
    >>> generator in reachable(lambda: generator.random())
    True
    """
    seen: dict[int, Any] = {}
    level = list(roots)
    for _ in range(_DEEPEST):
        following: list[Any] = []
        for entry in level:
            for member in _members(entry):
                if id(member) not in seen and len(seen) < _MOST:
                    seen[id(member)] = member
                    following.append(member)
        level = following
    return [*seen.values()]


def _members(entry: Any) -> Iterator[Any]:
    """Yield what an object holds, if it is a function, a container or an object of the user's."""
    if isinstance(entry, functools.partial):
        yield from (entry.func, *entry.args, *entry.keywords.values())
    elif inspect.ismethod(entry):
        yield from (entry.__self__, entry.__func__)
    elif inspect.isbuiltin(entry):  # such as random.Random().random
        yield entry.__self__
    elif inspect.isfunction(entry):
        yield from _of_function(entry)
    elif inspect.isgenerator(entry):
        yield from (entry.gi_frame.f_locals.values() if entry.gi_frame is not None else ())
    elif isinstance(entry, Mapping):
        yield from entry.values() if len(entry) <= _MOST else ()
    elif isinstance(entry, (list, tuple, set, frozenset)):
        yield from entry if len(entry) <= _MOST else ()
    elif not (inspect.ismodule(entry) or inspect.isclass(entry)):
        yield from _of_object(entry)


def _of_function(function: Any) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
    code = [function.__code__]
    names: set[str] = set()
    while code:
        one = code.pop()
        names.update(one.co_names)
        code.extend(constant for constant in one.co_consts if inspect.iscode(constant))
    yield from (function.__globals__[name] for name in sorted(names) if name in function.__globals__)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _of_object(entry: Any) -> Iterator[Any]:
    """Yield attributes and methods of an object, and the function that it wraps, as one that is compiled."""
    if type(entry).__name__ == "PjitFunction":
        yield entry.__wrapped__
        return
    attributes = getattr(entry, "__dict__", None)
    if isinstance(attributes, dict):
        yield from attributes.values() if len(attributes) <= _MOST else ()
    for name in ("__call__", "forward"):
        method = inspect.getattr_static(type(entry), name, None)
        if inspect.isfunction(method) and not (method.__module__ or "").startswith(_FOREIGN):
            yield method
