"""What JAX traces of a function: its operations, and the data that it closes over."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def trace(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return a function's jaxpr, traced anew: JAX keeps one for each function that it knows."""
    import jax

    return jax.make_jaxpr(lambda *anew: function(*anew))(*arguments)


def fingerprint(jaxpr: Any) -> str:
    """Return a text that two traces share if they compute the same: operations, constants and data closed over.

    Parameters
    ----------
    jaxpr
        What :func:`trace` returns.
    """
    digest = hashlib.blake2b(digest_size=16)
    _add(jaxpr, digest)
    return digest.hexdigest()


def operations(jaxpr: Any) -> set[str]:
    """Return the names of operations in a jaxpr, in those of functions that it calls as well."""
    names: set[str] = set()
    todo: list[Any] = [jaxpr]
    while todo:
        one = todo.pop()
        if isinstance(one, (list, tuple)):
            todo.extend(one)
            continue
        for equation in getattr(getattr(one, "jaxpr", one), "eqns", ()):
            names.add(equation.primitive.name)
            todo.extend(equation.params.values())
    return names


def holds_host_arrays(jaxpr: Any) -> bool:
    """Return whether a jaxpr closes over NumPy's numbers in float64: JAX keeps one copy of them, in one precision."""
    todo: list[Any] = [jaxpr]
    while todo:
        one = todo.pop()
        if isinstance(one, (list, tuple)):
            todo.extend(one)
            continue
        if any(isinstance(c, np.ndarray) and c.dtype == np.float64 for c in getattr(one, "consts", ())):
            return True
        for equation in getattr(getattr(one, "jaxpr", one), "eqns", ()):
            todo.extend(equation.params.values())
    return False


def _add(jaxpr: Any, digest: Any) -> None:
    """Add a jaxpr to a digest: variables by their order, all else by its value."""
    for constant in getattr(jaxpr, "consts", ()):
        _add_value(constant, digest)
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    numbers: dict[int, int] = {}

    def add(variables: Any) -> None:
        for variable in variables:
            if hasattr(variable, "val"):  # a literal
                _add_value(variable.val, digest)
            else:
                number = numbers.setdefault(id(variable), len(numbers))
                digest.update(f"{number}:{variable.aval};".encode())

    add((*inner.constvars, *inner.invars))
    for equation in inner.eqns:
        digest.update(equation.primitive.name.encode())
        add((*equation.invars, *equation.outvars))
        for name in sorted(equation.params):
            digest.update(name.encode())
            _add_value(equation.params[name], digest)
    add(inner.outvars)


def _add_value(value: Any, digest: Any) -> None:
    """Add a constant or a setting: a jaxpr, numbers, or what its text says; functions have none."""
    if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
        _add(value, digest)
    elif isinstance(value, (list, tuple)):
        digest.update(f"({len(value)}".encode())
        for entry in value:
            _add_value(entry, digest)
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(_bytes_of(value))
    elif not callable(value):
        digest.update(_ADDRESS.sub("", repr(value)).encode())


def _bytes_of(value: Any) -> bytes:
    import jax
    import jax.numpy as jnp

    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return np.ascontiguousarray(np.asarray(value)).tobytes()
