"""What identifies code and values of the user's own: a text that is the same in every process that holds the same."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.former_names import MOVED, SPLIT
from selfstab.losses.base.former_names import Alias

_OF_KNOWN_VERSION: Final = {*sys.stdlib_module_names, "selfstab", "numpy", "scipy", "sympy", "numba"}
"""Packages whose code is identified by its name: stores keep their versions."""

_FORMER_MODULES: Final = {
    f"selfstab.{home}": f"selfstab.{former}"
    for former, homes in [*SPLIT.items(), *((former, (home,)) for former, home in MOVED.items())]
    for home in homes
}
"""Modules of today and where version 0.1 had what is in them: its stores know classes by those names."""

_OF_MODULES: Final = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    tuple,
    list,
    dict,
    set,
    frozenset,
    np.ndarray,
)
"""Kinds of a module's variables that count as part of the functions that use them."""


def hash_of(value: object) -> str:
    """Return the SHA-256 of a value's text: its numbers, its state, and its code without where it stands.

    Raises
    ------
    TypeError
        If the value holds something that cannot be told apart from others of its kind, such as a lock.

    Examples
    --------
    >>> hash_of({"a": 1.0}) == hash_of({"a": 1.0}), hash_of({"a": 1.0}) == hash_of({"a": 1})
    (True, False)
    """
    return f"sha256 {hashlib.sha256(_Text().of(value).encode()).hexdigest()}"


class _Text:
    """Writes values as text; what refers to itself is written once."""

    def __init__(self) -> None:
        self._defined: dict[int, tuple[int, object]] = {}
        self._within: list[int] = []

    def of(self, value: object) -> str:
        """Return the text of any value, or raise TypeError."""
        if isinstance(value, float):
            return float(value).hex()
        if value is None or isinstance(value, (bool, int, str, bytes, complex, type(...), range)):
            return repr(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiubcSUmM":
            return f"{value.dtype.str}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, BuiltinFunctionType):
            return f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, (FunctionType, type)):
            return self._definition(value)
        if id(value) in self._within:
            return f"up {len(self._within) - self._within.index(id(value))}"
        self._within.append(id(value))
        try:
            return f"{type(value).__qualname__}({self._state(value)})"
        finally:
            self._within.pop()

    def _state(self, value: Any) -> str:
        if isinstance(value, (set, frozenset)):  # their order changes from process to process
            return ", ".join(sorted(_Text().of(v) for v in value))
        if isinstance(value, (tuple, list)):
            return ", ".join(map(self.of, value))
        if isinstance(value, Mapping):
            return ", ".join(f"{self.of(k)}: {self.of(v)}" for k, v in value.items())
        if isinstance(value, CodeType):
            names = (value.co_names, value.co_varnames, value.co_freevars, value.co_argcount, value.co_flags)
            return self.of((value.co_code, names, value.co_consts))
        if isinstance(value, MethodType):
            return self.of((value.__func__, value.__self__))
        try:
            reduced: Any = value.__reduce_ex__(4)
        except Exception as error:  # whatever a class raises that does not pickle
            raise TypeError(
                f"{type(value).__qualname__} has no state to tell: {validation.one_line(str(error))}"
            ) from None
        if isinstance(reduced, str):
            return reduced
        return self.of(tuple(tuple(part) if isinstance(part, Iterator) else part for part in reduced))

    def _definition(self, value: FunctionType | type) -> str:
        if id(value) in self._defined:
            return f"definition {self._defined[id(value)][0]}"
        self._defined[id(value)] = (len(self._defined), value)
        if (value.__module__ or "").partition(".")[0] in _OF_KNOWN_VERSION:
            return f"{_FORMER_MODULES.get(value.__module__, value.__module__)}.{value.__qualname__}"
        return self._function(value) if isinstance(value, FunctionType) else self._class(value)

    def _function(self, function: FunctionType) -> str:
        parts = [function.__code__, function.__defaults__, function.__kwdefaults__]
        texts = [*map(self._part, parts), *(self._part(v) for v in closure_of(function))]
        package = function.__module__.partition(".")[0]
        for name in sorted(_names(function.__code__)):
            used = function.__globals__.get(name)
            of_package = (
                isinstance(used, (FunctionType, type)) and used.__module__.partition(".")[0] == package
            )
            if of_package or type(used) in _OF_MODULES:
                texts.append(f"{name}: {self._part(used)}")
        return f"{function.__name__}({', '.join(texts)})"

    def _class(self, kind: type) -> str:
        texts = [self.of(base) for base in kind.__bases__]
        # An alias is a second name of what the class defines anyhow.
        own = {name: member for name, member in vars(kind).items() if not isinstance(member, Alias)}
        generated = own.pop("__generated__", None)
        if generated is not None:
            own = {n: v for n, v in own.items() if n != "settings" and generated.get(n) is not v}
        for name, member in sorted(own.items()):
            if isinstance(member, property):
                member = (member.fget, member.fset)
            elif isinstance(member, cached_property):
                member = member.func
            elif isinstance(member, (staticmethod, classmethod)):
                member = member.__func__
            elif (name.startswith("__") and not isinstance(member, FunctionType)) or name == "_abc_impl":
                continue
            texts.append(f"{name}: {self._part(member)}")
        return f"{kind.__name__}({', '.join(texts)})"

    def _part(self, value: object) -> str:
        """Return the text of a part of code, or its kind alone where it has none."""
        try:
            return self.of(value)
        except TypeError:
            return type(value).__qualname__


def closure_of(function: FunctionType) -> list[object]:
    """Return the values that a function takes from around it, those that are set."""
    values: list[object] = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not set yet
            values.append(None)
    return values


def _names(code: CodeType) -> set[str]:
    inner = (_names(c) for c in code.co_consts if isinstance(c, CodeType))
    return {*code.co_names}.union(*inner)
