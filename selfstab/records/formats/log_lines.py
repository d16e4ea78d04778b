"""What a program prints: lines that hold numbers behind their names, such as "step 12: loss=0.5 sharpness=20.1"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from selfstab.files import sizes
from selfstab.records import settings_files, trees
from selfstab.records.columns.roles import ALIASES, is_other, rank
from selfstab.records.formats.base import Format, Match, Table
from selfstab.records.formats.registry import register

_BYTES_EACH: Final = 12
"""Bytes of memory for a byte of text."""

_LOOKED_AT: Final = 2**16
_LONGEST: Final = 10_000
_FEWEST: Final = 3
_WORD: Final = r"[^\W\d][\w./\-]{0,60}"
_NUMBER: Final = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf|infinity)\b"
_PAIR: Final = re.compile(
    rf"({_WORD}(?: {_WORD}){{0,2}})[\"']?\s{{0,4}}[=:]\s{{0,8}}({_NUMBER})", re.IGNORECASE
)
_COUNT: Final = re.compile(
    r"\b(global_step|step|iteration|iter|epoch)\b[ :#=\[(]{0,4}(\d{1,15})\b", re.IGNORECASE
)


@register
class LogLines(Format):
    """Printed lines with a sharpness behind its name."""

    name = "printed lines"
    suffixes = (".log", ".txt", ".out")

    def match(self, source: Any) -> Match:
        """Return CERTAIN for a file whose first lines hold numbers behind their names, with a sharpness."""
        if super().match(source) is Match.NONE or not source.is_file():
            return Match.NONE
        with source.open(encoding="utf-8-sig", errors="replace") as file:
            rows = _rows(file.read(_LOOKED_AT).splitlines())
        several = [row for row in rows if len(row) > 1]
        sharp = [row for row in rows if any(rank("sharpness", name) is not None for name in row)]
        return Match.CERTAIN if len(several) >= _FEWEST and len(sharp) >= _FEWEST else Match.NONE

    def read(self, source: Any, member: str = "") -> Table:
        """Return a column for each name; a line without a step belongs to the step before."""
        sizes.check(source.name, _BYTES_EACH * source.stat().st_size)
        with source.open(encoding="utf-8-sig", errors="replace") as file:
            rows = _rows(file)
        table = trees.table(rows)
        attributes, notes = settings_files.of_log(Path(source))
        return Table(table.columns, attributes, notes=("The run is read from printed lines.", *notes))


def _rows(lines: Iterable[str]) -> list[dict[str, float]]:
    """Return the numbers of each line by their names."""
    rows: list[dict[str, float]] = []
    last: dict[str, float] = {}
    for line in lines:
        if len(line) > _LONGEST:
            continue
        row = {name.lower(): float(number) for name, number in _COUNT.findall(line)}
        counts = dict(row)
        for words, number in _PAIR.findall(line):
            name = _name(words)
            if name.lower() not in counts:
                row.setdefault(name, float(number))
        if not row:
            continue
        if counts:
            last = counts
        rows.append(row if counts or not last else last | row)
    return rows


def _name(words: str) -> str:
    """Return the last words of a text that are a name with a role, the longest such; else the text.

    Words by which a name is another quantity stay with it: "test loss" is no "loss".
    """
    parts = words.split(" ")
    for k in range(len(parts)):
        name = " ".join(parts[k:])
        if any(rank(role, name) is not None for role in ALIASES):
            return name
        if is_other(parts[k]):
            break
    return words
