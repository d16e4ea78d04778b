"""Names of vectors and of their entries in formulas: ``x[0]``, ``x_0`` or ``x0``, and ``dot(w, x)``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import sympy

from selfstab import validation
from selfstab.formulas.expressions import check_length, parse

# Letters of their own, so that x[0] is a name of as many characters and a message points at the right column.
_LETTERS: Final = dict(zip("[](), ", "\u01c0\u01c1\u01c2\u01c3\u0294\u0295", strict=True))
_WORD: Final = r"[^\W\d]\w*"
_ENTRY: Final = re.compile(rf"({_WORD}) *\[ *(\d+) *\]")
_NAME: Final = re.compile(rf"(?<![\w.]){_WORD}\b(?! *\()")
_DOT: Final = re.compile(rf"\bdot *\( *({_WORD}) *, *({_WORD}) *\)")

_ADD: Final = "add it to weights, to data, or to parameters with its value"


@dataclass(frozen=True)
class Vector:
    """A name in formulas: of a number, or of as many numbers as `length` says.

    >>> Vector("x", 3).entries
    ('x_0', 'x_1', 'x_2')
    >>> Vector("y").entries, Vector("b", 1).entries
    (('y',), ('b',))
    """

    name: str
    length: int | None = None

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of the numbers; a vector of one is called as the number is."""
        if self.length in (None, 1):
            return (self.name,)
        return tuple(f"{self.name}_{k}" for k in range(self.length or 0))

    def __str__(self) -> str:
        return self.name if self.length is None else f"{self.name} ({self.length})"


@dataclass(frozen=True)
class Names:
    """All names that a formula may use.

    Parameters
    ----------
    vectors
        The weights', the data's and the parameters'.

    Raises
    ------
    ValueError
        If a name is no identifier, or two numbers have one name.
    """

    vectors: tuple[Vector, ...]

    def __post_init__(self) -> None:
        of_entry: dict[str, str] = {}
        for vector in self.vectors:
            if not vector.name.isidentifier() or vector.name != unicodedata.normalize("NFKC", vector.name):
                raise ValueError(
                    f"weights, data and parameters must have names that are Python identifiers in normal form, got "
                    f"{validation.shown(vector.name)}"
                )
            for entry in vector.entries:
                if entry in of_entry:
                    raise ValueError(
                        "weights, data and parameters must not repeat a name, their entries' names such as x_0 "
                        f"included, got {entry} of {of_entry[entry]} and of {vector}: rename one of them"
                    )
                of_entry[entry] = str(vector)

    @property
    def listed(self) -> str:
        """The names, with the lengths of vectors."""
        text = ", ".join(map(str, self.vectors))
        return text if len(text) <= 200 else f"{text[:197]}..."

    @cached_property
    def symbols(self) -> dict[str, sympy.Symbol]:
        """Symbol by entry."""
        return {e: sympy.Symbol(e, real=True) for vector in self.vectors for e in vector.entries}

    def _vector(self, name: str) -> Vector:
        known = {vector.name: vector for vector in self.vectors}
        if name not in known:
            raise ValueError(f"expression must use declared names only ({self.listed}), got {name}: {_ADD}")
        return known[name]

    def entry(self, name: str, place: int) -> sympy.Symbol:
        """Return the symbol of an entry.

        Raises
        ------
        ValueError
            If there is none.
        """
        vector = self._vector(name)
        if vector.length is None:
            raise ValueError(
                f"expression must use {name} without an index, as it is one number, got {name}[{place}]"
            )
        if not 0 <= place < vector.length:
            last = f" to {name}[{vector.length - 1}]" if vector.length > 1 else ""
            raise ValueError(
                f"expression must use entries of {name} that exist, {name}[0]{last}, got {name}[{place}]"
            )
        return sympy.Symbol(name if vector.length == 1 else f"{name}_{place}", real=True)

    def dot(self, one: str, other: str) -> sympy.Expr:
        """Return the sum of the products of two vectors' entries."""
        a, b = self._vector(one), self._vector(other)
        if len(a.entries) != len(b.entries):
            raise ValueError(
                f"expression must use dot with vectors of one length, got dot({one}, {other}) of {len(a.entries)} and "
                f"{len(b.entries)} entries"
            )
        symbols = self.symbols
        return sympy.Add(*(symbols[x] * symbols[y] for x, y in zip(a.entries, b.entries, strict=True)))

    def named(self, word: str) -> sympy.Symbol:
        """Return the symbol that a word such as x_0 or x0 stands for.

        Raises
        ------
        ValueError
            If there is none, or it is a vector's without an index.
        """
        symbols = self.symbols
        if word in symbols:
            return symbols[word]
        for vector in self.vectors:
            if word == vector.name:
                raise ValueError(
                    f"expression must use entries of {word}, such as {word}[0], as it is a vector of {vector.length}, "
                    f"or dot(a, b); got {word} alone"
                )
        known = {vector.name for vector in self.vectors if vector.length is not None}
        parts = re.fullmatch(r"(.*?)_?(0|[1-9]\d{0,8})", word)
        if parts is not None and parts[1] in known:
            return self.entry(parts[1], int(parts[2]))
        raise ValueError(f"expression must use declared names only ({self.listed}), got {word}: {_ADD}")

    def parsed(self, text: str) -> sympy.Expr:
        """Return the expression that a text writes.

        >>> Names((Vector("w", 2), Vector("x", 2), Vector("y"))).parsed("dot(w, x) - y*x[1]/w0")
        w_0*x_0 + w_1*x_1 - x_1*y/w_0
        """
        check_length(text)
        symbols: dict[str, Any] = {}

        def entry(match: re.Match[str]) -> str:
            word = _lettered(match[0])
            symbols[word] = self.entry(match[1], int(match[2][:9]))
            return word

        def dot(match: re.Match[str]) -> str:
            word = _lettered(match[0])
            symbols[word] = self.dot(match[1], match[2])
            return word

        coded = _DOT.sub(dot, _ENTRY.sub(entry, text))
        if (column := coded.find("[")) >= 0:
            raise ValueError(
                "expression must have entries written like x[0], with one whole number, "
                f"got {text!r}: column {column + 1}"
            )
        for match in _NAME.finditer(coded):
            if match[0] not in symbols and match[0] not in ("pi", "E"):
                symbols[match[0]] = self.named(match[0])
        try:
            return parse(coded, symbols)
        except ValueError as error:
            raise ValueError(_unlettered(str(error))) from None

    def renamed(self, expression: sympy.Expr) -> sympy.Expr:
        """Return a SymPy expression in the entries' symbols: ``IndexedBase("x")[0]`` and symbols x_0, x0 are found."""
        by_node: dict[Any, sympy.Symbol] = {}
        for node in expression.atoms(sympy.Indexed):
            if len(node.indices) != 1 or not node.indices[0].is_Integer:
                raise ValueError(
                    f"expression must have entries with one whole number, such as x[0], got {node}"
                )
            by_node[node] = self.entry(str(node.base.label), int(node.indices[0]))
        # An Indexed holds its base's symbol, which is no symbol of the formula.
        for symbol in expression.xreplace(by_node).free_symbols - {*by_node.values()}:
            by_node[symbol] = self.named(str(symbol))
        result: sympy.Expr = expression.xreplace(by_node)
        return result


def _lettered(text: str) -> str:
    return "".join(_LETTERS.get(c, c) for c in text)


def _unlettered(text: str) -> str:
    characters = {letter: c for c, letter in _LETTERS.items()}
    return "".join(characters.get(c, c) for c in text)


def by_name(name: str, values: Any) -> dict[str, Any]:
    """Return a mapping with its keys as text, or raise TypeError."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{name} must map names to arrays, got {validation.shown(values)}")
    return {str(key): value for key, value in values.items()}
