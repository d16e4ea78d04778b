"""Tables of text: .csv and .tsv, with the columns' names in the first row."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from selfstab import sizes, validation
from selfstab.notices import raised
from selfstab.records.formats.base import Format, ReadError, Table
from selfstab.records.formats.frame import table_of_frame
from selfstab.records.formats.registry import register

if TYPE_CHECKING:
    import xarray

_MOST_COLUMNS: Final = 10_000
"""Most columns of a table of text: each takes a thousand times its two bytes."""

_SEPARATORS = {"commas": ",", "tabs": "\t", "semicolons": ";"}


@register
class Text(Format):
    """Tables of text, separated by commas (.csv) or tabs (.tsv)."""

    name = "text"
    suffixes = (".csv", ".tsv")
    tabular = True

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a table of text."""
        import pandas

        word = self._separator(source)
        sizes.check(source.name, source.stat().st_size)
        _check_header(source, word)
        separator = _SEPARATORS[word]
        # To the last bit, which is the default from pandas 3.1 on.
        old = tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1)
        exact: dict[str, Any] = {"float_precision": "round_trip"} if old else {}
        # By the open file: pandas takes the text of some paths for an address, or for a compressed file.
        # A value without a name is refused: pandas would leave it out, with a warning.
        with source.open("rb") as file, raised(pandas.errors.ParserWarning):
            frame = pandas.read_csv(file, sep=separator, skipinitialspace=True, index_col=False, **exact)
        return table_of_frame(frame)

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write one row for each point of the dataset's dimensions, which are the first columns."""
        with path.open("w", encoding="utf-8", newline="") as file:
            data.to_dataframe().to_csv(file, sep=_SEPARATORS[self._separator(path)])

    def _separator(self, path: Path) -> str:
        return "tabs" if self.suffix_of(path) == ".tsv" else "commas"


def _check_header(path: Path, word: str) -> None:
    """Refuse a table of text whose first row names no columns, or is cut by another separator."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
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
    try:
        values = [float(name) for name in names if name.strip()]
    except ValueError:
        return
    if values:
        raise ReadError(f"run must name its columns in the first row, got numbers: {validation.shown(names)}")
