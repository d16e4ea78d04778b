"""How a table of text is written: what is before the names of its columns, what separates them, in which characters."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from selfstab import validation
from selfstab.notices import printable
from selfstab.records.columns.roles import rank, words
from selfstab.records.formats.base import ReadError

MOST_COLUMNS: Final = 10_000
"""Most columns of a table of text: each takes a thousand times its two bytes."""

SPACES: Final = r"\s+"

_SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}
_OTHERS: Final = (",", ";", "\t", "|")
_LONGEST: Final = 2**20
_MOST_COMMENTS: Final = 100
_MOST_TITLES: Final = 20
_TAIL: Final = 2**16
_MARKS: Final = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""First bytes of a file, and its encoding; Excel's "Unicode text" has one of the two."""

_EXCEL: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SETTING: Final = re.compile(r"([^\W\d][\w./\-]*)\s*[=:]\s*('[^']*'|\"[^\"]*\"|[^\s,;]+)")
_SETTINGS: Final = ("lookahead", "nesterov", "optimizer", "optimiser", "dampening", "decay", "wd")


@dataclass(frozen=True)
class Layout:
    """How a table of text is written.

    Parameters
    ----------
    separator
        What stands between two values; :data:`SPACES` of any number of blanks.
    names
        Of the columns, each once.
    before
        Lines before that of the names.
    encoding
        Of the characters.
    remarks
        What the lines before the names say.
    """

    separator: str
    names: tuple[str, ...]
    before: int
    encoding: str
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, suffix: str) -> Layout:
        """Return the layout of a file.

        Parameters
        ----------
        path
            The file.
        suffix
            By which its separator is expected: ".csv", ".tsv", or another that says nothing.

        Raises
        ------
        ReadError
            If its first row names no columns, or too many.
        """
        encoding = _encoding(path)
        lines = _first_lines(path, encoding)
        at, forced = _row_of_names(lines, suffix)
        row = lines[at] if at < len(lines) else ""
        below = next((line for line in lines[at + 1 :] if line.strip()), "")
        separator = forced or _separator(row, below, _SEPARATORS.get(suffix, ""))
        fields = _fields(row, separator)
        if separator != SPACES and at == 0:  # a name in quotes may be of several lines
            fields, below_fields = _first_rows(lines, separator)
        else:
            below_fields = _fields(below, separator)
        _check_names(fields, max(len(fields), len(below_fields)))
        remark = at > 0 or row.startswith("#")
        names = _each_once([name.lstrip("#").strip() if remark else name for name in fields])
        return cls(separator, names, at, encoding, tuple(lines[:at]))

    def settings(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return what the remarks before the table say of lr, momentum and optimizer, and a note on it.

        Examples
        --------
        >>> Layout(",", ("sharpness",), 1, "utf-8", ("# lr=0.1, momentum: 0.9",)).settings()
        ({'lr': '0.1', 'momentum': '0.9'}, ('Remarks above the table give lr 0.1, momentum 0.9.',))
        """
        attributes: dict[str, Any] = {}
        for name, value in _SETTING.findall(" ".join(self.remarks)[:_LONGEST]):
            text = value.strip("'\"")
            numeric = rank("lr", name) is not None or rank("momentum", name) is not None
            if (numeric and is_number(text)) or (words(name) and words(name)[-1] in _SETTINGS):
                attributes.setdefault(printable(name), printable(text))
        if not attributes:
            return {}, ()
        listed = ", ".join(f"{name} {value}" for name, value in attributes.items())
        return attributes, (f"Remarks above the table give {listed}.",)

    def is_cut(self, path: Path) -> bool:
        """Return whether the last row of a file ends before its line does, as where a run was killed."""
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(size - _TAIL, 0) & ~1)
            end = file.read()
        if size == 0 or end.endswith((b"\n", b"\r", b"\n\x00")) or len(self.names) < 2:
            return False
        last = re.split(r"\r\n|\n|\r", end.decode(self.encoding, errors="replace"))[-1]
        return bool(last.strip()) and len(_fields(last, self.separator)) < len(self.names)


def is_number(text: str) -> bool:
    """Return whether a text is a number as Python reads it.

    >>> is_number("1e-3"), is_number("lr")
    (True, False)
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return _MARKS.get(file.read(2), "utf-8-sig")


def _first_lines(path: Path, encoding: str) -> list[str]:
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        lines = itertools.takewhile(bool, (file.readline(_LONGEST) for _ in range(_MOST_COMMENTS + 20)))
        return [line.rstrip("\r\n") for line in lines]


def _row_of_names(lines: list[str], suffix: str) -> tuple[int, str]:
    """Return the number of the line that names the columns, and the separator that Excel's first line gives, if any.

    The last remark names them if the row below it is of numbers, as NumPy writes a header.
    """
    at, forced = 0, ""
    if lines and (match := _EXCEL.fullmatch(lines[0])):
        at, forced = 1, match[1]
    last = -1
    while at < len(lines) and (lines[at].startswith("#") or not lines[at].strip()) and at < _MOST_COMMENTS:
        last = at if lines[at].startswith("#") else last
        at += 1
    row = lines[at] if at < len(lines) else ""
    if last >= 0 and _is_named_by(row, lines[last].lstrip("# ")):
        return last, forced
    if suffix in _SEPARATORS and not any(separator in row for separator in _OTHERS):
        # A title, if a row of several names follows.
        for k in range(at + 1, min(at + _MOST_TITLES, len(lines))):
            separator = forced or _separator(lines[k], "", _SEPARATORS[suffix])
            fields = [field.strip() for field in _fields(lines[k], separator)]
            if len(fields) > 1 and not any(is_number(field.replace(",", ".")) for field in fields):
                return k, forced
    return at, forced


def _is_named_by(row: str, remark: str) -> bool:
    """Return whether a remark names the columns of a row: as many names as the row has values, some of them numbers."""
    if all(map(is_number, re.split(r"[,;\s|]+", row.strip().rstrip(",;|")))):
        return True
    separator = _separator(remark, row, "")
    names, values = _fields(remark, separator), _fields(row, separator)
    several = len(names) > 1 and len(names) == len(values)
    return (
        several
        and not any(map(is_number, names))
        and any(is_number(value.replace(",", ".")) for value in values)
    )


def _separator(row: str, below: str, expected: str) -> str:
    """Return what separates the names in a row: what is expected if it cuts the row below as well, else another."""
    candidates = [expected, *_OTHERS] if expected else [*_OTHERS]
    counts = {separator: len(_fields(row, separator)) for separator in candidates}
    several = [separator for separator in candidates if counts[separator] > 1]
    alike = [separator for separator in several if len(_fields(below, separator)) == counts[separator]]
    if several:
        return (alike or several)[0]
    if not expected or (len(row.split()) > 1 and len(row.split()) == len(below.split())):
        return SPACES
    return expected


def _fields(row: str, separator: str) -> list[str]:
    if separator == SPACES:
        return row.lstrip("#").split()
    return _first_rows([row], separator)[0]


def _first_rows(lines: Sequence[str], separator: str) -> tuple[list[str], list[str]]:
    """Return the fields of the first two rows that are not blank."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        rows = list(itertools.islice((row for row in reader if len(row) > 1 or "".join(row).strip()), 2))
    except csv.Error:  # a field that is too long is one of another separator
        rows = [lines[0].split(separator)]
    first, second, *_ = [*rows, [""], [""]]
    return first, second


def _each_once(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of which each stands once, as pandas counts those that stand twice."""
    seen: dict[str, int] = {}
    out = []
    for k, name in enumerate(names):
        name = name if name.strip() else f"Unnamed: {k}"
        count = seen.get(name, 0)
        seen[name] = count + 1
        out.append(f"{name}.{count}" if count else name)
    return tuple(out)


def _check_names(names: Sequence[str], width: int) -> None:
    if width > MOST_COLUMNS:
        raise ReadError(f"run must have at most {MOST_COLUMNS} columns, got {width}")
    named = [name for name in names if name.strip()]
    if named and all(map(is_number, named)):
        raise ReadError(
            f"run must name its columns in the first row, got numbers: {validation.shown([*names])}"
        )
