"""Tables of text: .csv, .tsv and .txt, with the columns' names in the first row, after remarks behind "#"."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from selfstab import sizes, validation
from selfstab.notices import raised
from selfstab.records import settings_files
from selfstab.records.formats.base import Format, ReadError, Table
from selfstab.records.formats.frame import table_of_frame
from selfstab.records.formats.registry import register
from selfstab.records.frames import members_of_frame, run_of_frame, tag_of_path

if TYPE_CHECKING:
    import xarray

_MOST_COLUMNS: Final = 10_000
"""Most columns of a table of text: each takes a thousand times its two bytes."""

_LONGEST: Final = 2**20
_MOST_COMMENTS: Final = 100

_SEPARATORS = {"commas": ",", "tabs": "\t", "semicolons": ";"}


class _Table(Format):
    """What is common to tables of text."""

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs, where the table says which one a column or a row is of."""
        form = _Form.of(source, self.suffix_of(source))
        return members_of_frame(form.names, lambda name: _frame(source, form, [name]).iloc[:, 0])

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a table of text."""
        frame = _frame(source, _Form.of(source, self.suffix_of(source)))
        frame, notes = run_of_frame(frame, member, tag_of_path(source.stem)[1])
        attributes, more = settings_files.of_log(source)
        return Table(table_of_frame(frame).columns, attributes, notes=(*notes, *more))


@register
class PlainText(_Table):
    """Tables of text that say themselves how they are separated, such as NumPy writes."""

    name = "plain text"
    suffixes = (".txt", ".dat", ".log")


@register
class Text(_Table):
    """Tables of text, separated by commas (.csv) or tabs (.tsv)."""

    name = "text"
    suffixes = (".csv", ".tsv")
    tabular = True

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write one row for each point of the dataset's dimensions, which are the first columns."""
        with path.open("w", encoding="utf-8", newline="") as file:
            data.to_dataframe().to_csv(file, sep="\t" if self.suffix_of(path) == ".tsv" else ",")


@dataclass(frozen=True)
class _Form:
    """How a table of text is written."""

    separator: str
    names: tuple[str, ...]
    comments: int
    """Rows that begin with "#" and are no header."""

    @classmethod
    def of(cls, path: Path, suffix: str) -> _Form:
        comments, begin = _comments(path)
        word = "tabs" if suffix == ".tsv" else "commas" if suffix == ".csv" else _guess(begin)
        if word == "spaces":
            names = tuple(begin.lstrip("#").split())
            _check_names(names)
            return cls(r"\s+", names, comments)
        return cls(_SEPARATORS[word], _header(path, word, comments), comments)


def _comments(path: Path) -> tuple[int, str]:
    """Return how many rows of remarks stand before the names of the columns, and the row of names.

    The last remark holds them if the row below it is of numbers, as NumPy writes a header.
    """
    count, last = 0, ""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        while (row := file.readline(_LONGEST)).startswith("#") and count < _MOST_COMMENTS:
            count, last = count + 1, row
    fields = re.split(r"[,;\s]+", row.strip().rstrip(",;"))
    if count and all(map(_is_number, fields)):
        return count - 1, last
    return count, row


def _guess(row: str) -> str:
    """Return what separates the names of columns in a row."""
    return next((word for word, separator in _SEPARATORS.items() if separator in row), "spaces")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def exactly() -> dict[str, Any]:
    """Return the arguments by which pandas reads numbers to the last bit, which is its default from 3.1 on."""
    import pandas

    old = tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1)
    return {"float_precision": "round_trip"} if old else {}


def _frame(path: Path, form: _Form, columns: list[str] | None = None) -> Any:
    import pandas

    sizes.check(path.name, path.stat().st_size)
    exact = exactly()
    if form.separator != r"\s+":
        exact["skipinitialspace"] = True
    if form.comments or form.separator == r"\s+":  # a header behind "#" would be one field more
        exact |= {"skiprows": form.comments + 1, "names": list(form.names), "header": None}
    # By the open file: pandas takes the text of some paths for an address, or for a compressed file.
    # A value without a name is refused: pandas would leave it out, with a warning.
    with path.open("rb") as file, raised(pandas.errors.ParserWarning):
        return pandas.read_csv(file, sep=form.separator, index_col=False, usecols=columns, **exact)


def _header(path: Path, word: str, comments: int) -> tuple[str, ...]:
    """Return the names in the first row; refuse one that names no columns, or is cut by another separator."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for _ in range(comments):
            file.readline(_LONGEST)
        rows = csv.reader(file, delimiter=_SEPARATORS[word], skipinitialspace=True)
        # The longer of the first two rows decides how many columns there are; blank ones are passed over.
        first = list(itertools.islice((row for row in rows if len(row) > 1 or "".join(row).strip()), 2))
    for row in first:
        if len(row) > _MOST_COLUMNS:
            raise ReadError(f"run must have at most {_MOST_COLUMNS} columns, got {len(row)}")
    names = first[0] if first else [""]
    for other, separator in _SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise ReadError(f"run must have its columns separated by {word}, got {other} in {names[0]!r}")
    _check_names(names)
    return tuple(name.lstrip("#").strip() if comments else name for name in names)


def _check_names(names: Sequence[str]) -> None:
    named = [name for name in names if name.strip()]
    if named and all(map(_is_number, named)):
        raise ReadError(
            f"run must name its columns in the first row, got numbers: {validation.shown([*names])}"
        )
    if len(names) > _MOST_COLUMNS:
        raise ReadError(f"run must have at most {_MOST_COLUMNS} columns, got {len(names)}")
