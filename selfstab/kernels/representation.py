"""Types, values and lines of LLVM's intermediate representation, as text."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

NUMBER: Final = "double"
INTEGER: Final = "i64"
TRUTH: Final = "i1"
WIDTH: Final = {TRUTH: 0, INTEGER: 1, NUMBER: 2}


class NotInLanguage(ValueError):
    """A source has what no generated source has."""


@dataclass(frozen=True)
class Rows:
    """The type of an array in row order."""

    element: str
    dimension: int


@dataclass(frozen=True)
class Several:
    """The type of a tuple of numbers."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{{ {', '.join(self.parts)} }}"


Type = str | Rows | Several


@dataclass(frozen=True)
class Value:
    """A value in a function: its type, and the words that name it.

    One word for a number, the pointer and the lengths for an array, a word for each part of a tuple.
    """

    type: Type
    words: tuple[str, ...]

    @property
    def word(self) -> str:
        """The word of a number."""
        if not isinstance(self.type, str):
            raise NotInLanguage(f"{self.type} is not a number")
        return self.words[0]


def literal(value: float) -> str:
    """Return a float64 as LLVM writes it, with all its bits."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Lines:
    """The lines of one function: operations, blocks and numbers."""

    def __init__(self) -> None:
        self._places: list[str] = []
        self._lines: list[str] = []
        self._slots: dict[str, tuple[str, str]] = {}
        self._arrays: dict[str, Value] = {}
        # What the variables hold, as far as this block of straight lines knows.
        self._current: dict[str, str] = {}
        self._count = 0
        self._block = "entry"
        self._ended = False

    # -- lines ----------------------------------------------------------------------------------------------------

    def _emit(self, text: str) -> str:
        """Write an operation and return the word of its result."""
        self._count += 1
        word = f"%v{self._count}"
        self._lines.append(f"  {word} = {text}")
        return word

    def _write(self, text: str) -> None:
        self._lines.append(f"  {text}")

    def _label(self) -> str:
        self._count += 1
        return f"b{self._count}"

    def _begin(self, label: str) -> None:
        """Begin a block; the one before goes on with it."""
        if not self._ended:
            self._write(f"br label %{label}")
        self._lines.append(f"{label}:")
        self._block, self._ended = label, False
        self._current = {}

    def _end(self, text: str) -> None:
        self._write(text)
        self._ended = True

    def _branch(self, condition: Value, yes: str, no: str) -> None:
        self._end(f"br i1 {self._truth(condition)}, label %{yes}, label %{no}")

    # -- numbers --------------------------------------------------------------------------------------------------

    def _truth(self, value: Value) -> str:
        if value.type == TRUTH:
            return value.word
        if value.type == INTEGER:
            return self._emit(f"icmp ne i64 {value.word}, 0")
        return self._emit(f"fcmp une double {value.word}, {literal(0.0)}")

    def _as(self, value: Value, type_: str) -> str:
        """Return the word of a number as one of a type that is no narrower."""
        word = value.word
        if value.type == type_:
            return word
        if value.type == INTEGER and type_ == NUMBER:
            return (
                literal(float(word))
                if word.lstrip("-").isdigit()
                else self._emit(f"sitofp i64 {word} to double")
            )
        if value.type == TRUTH and type_ in (INTEGER, NUMBER):
            return self._emit(f"{'zext' if type_ == INTEGER else 'uitofp'} i1 {word} to {type_}")
        raise NotInLanguage(f"{value.type} for {type_}")

    def _same(self, *values: Value, least: str = TRUTH) -> tuple[str, list[str]]:
        """Return the widest type of numbers, no narrower than `least`, and their words as such."""
        type_ = least
        for value in values:
            if not isinstance(value.type, str):
                raise NotInLanguage(f"{value.type} among numbers")
            type_ = max(type_, value.type, key=WIDTH.__getitem__)
        return type_, [self._as(value, type_) for value in values]
