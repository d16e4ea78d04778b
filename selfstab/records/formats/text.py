"""Tables of text: .csv, .tsv and .txt, with the columns' names in the first row, after remarks behind "#"."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab.files import sizes
from selfstab.notices import raised
from selfstab.records import settings_files, spectra
from selfstab.records.formats.base import Format, ReadError, Table
from selfstab.records.formats.frame import table_of_frame
from selfstab.records.formats.registry import register
from selfstab.records.frames import members_of_frame, run_of_frame, tag_of_path
from selfstab.records.text_layout import SPACES, Layout

if TYPE_CHECKING:
    import xarray

_THOUSANDS: Final = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL_COMMA: Final = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d*([eE][-+]?\d+)?")


class _Table(Format):
    """What is common to tables of text."""

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs, where the table says which one a column or a row is of."""
        layout = Layout.of(source, self.suffix_of(source))
        return members_of_frame(layout.names, lambda name: _frame(source, layout, [name])[0].iloc[:, 0])

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a table of text."""
        layout = Layout.of(source, self.suffix_of(source))
        frame, notes = _frame(source, layout)
        frame, more = run_of_frame(frame, member, tag_of_path(source.stem)[1])
        beside, others = settings_files.of_log(source)
        above, remarks = layout.settings()
        columns, roles = spectra.spread(table_of_frame(frame).columns)
        return Table(columns, beside | above, roles, notes=(*notes, *more, *others, *remarks))


@register
class PlainText(_Table):
    """Tables of text that say themselves how they are separated, such as NumPy writes."""

    name = "plain text"
    suffixes = (".txt", ".dat", ".log")


@register
class Text(_Table):
    """Tables of text, separated by commas (.csv) or tabs (.tsv), or as their first row is."""

    name = "text"
    suffixes = (".csv", ".tsv")
    tabular = True

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write one row for each point of the dataset's dimensions, which are the first columns."""
        with path.open("w", encoding="utf-8", newline="") as file:
            data.to_dataframe().to_csv(file, sep="\t" if self.suffix_of(path) == ".tsv" else ",")


def exactly() -> dict[str, Any]:
    """Return the arguments by which pandas reads numbers to the last bit, which is its default from 3.1 on."""
    import pandas

    old = tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1)
    return {"float_precision": "round_trip"} if old else {}


def _frame(path: Path, layout: Layout, columns: list[str] | None = None) -> tuple[Any, tuple[str, ...]]:
    """Return the rows of a file, or some columns of them, and notes on how they were read."""
    import pandas

    sizes.check(path.name, path.stat().st_size)
    options = exactly()
    if layout.separator != SPACES:
        options["skipinitialspace"] = True
    plain = layout.before == 0 and layout.separator != SPACES
    if not plain:  # a header behind "#" would be one field more
        options |= {"skiprows": layout.before + 1, "names": list(layout.names), "header": None}
    # By the open file: pandas takes the text of some paths for an address, or for a compressed file.
    # A value without a name is refused: pandas would leave it out, with a warning.
    try:
        with path.open("rb") as file, raised(pandas.errors.ParserWarning):
            frame = pandas.read_csv(
                file, sep=layout.separator, index_col=False, usecols=columns, encoding=layout.encoding,
                encoding_errors="replace", **options,
            )  # fmt: skip
    except pandas.errors.ParserError:
        if "16" not in layout.encoding and b"\0" in path.read_bytes():
            raise ReadError(
                f"run must be a table of text, got other bytes in {path.name}; export it again as text"
            ) from None
        raise
    notes = []
    if len(frame) and layout.is_cut(path):
        frame = frame.iloc[:-1]
        notes.append("The last row is cut off: it is left out.")
    texts = [name for name in frame.columns if frame[name].dtype.kind in "OUT"]
    named = [name for name in frame.columns if not str(name).startswith("Unnamed: ")]
    if named and all(name in texts for name in named):  # a run that was begun again writes the names again
        written = [[str(value).strip().lstrip("#").strip() for value in frame[name]] for name in named]
        own = [str(name).strip().lstrip("#").strip() for name in named]
        repeated = np.array([list(values) == own for values in zip(*written, strict=True)], dtype=bool)
        if repeated.any():
            frame = frame[~repeated].reset_index(drop=True)
            notes.append("Rows that repeat the columns' names are left out.")
    return _without_commas(frame, texts, layout.separator, notes), tuple(notes)


def _without_commas(frame: Any, texts: list[Any], separator: str, notes: list[str]) -> Any:
    """Return a frame whose numbers with decimal commas, or with commas between thousands, are as Python writes them."""
    columns = {}
    for name in texts:
        values = frame[name].dropna().astype(str).str.strip()
        with_comma = values[values.str.contains(",", regex=False)]
        if not with_comma.empty and with_comma.str.fullmatch(_DECIMAL_COMMA).all():
            columns[name] = with_comma
    thousands = [name for name, values in columns.items() if values.str.fullmatch(_THOUSANDS).all()]
    by_decimals = separator != "," and len(thousands) < len(columns)
    if not columns or not (by_decimals or separator == ","):
        # In "1,000;2,000" a comma may be either: the number is refused with its row.
        return frame
    frame = frame.copy()
    for name in columns if by_decimals else thousands:
        values = frame[name].astype(object)
        changed = columns[name].str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        values[columns[name].index] = (
            changed if by_decimals else columns[name].str.replace(",", "", regex=False)
        )
        frame[name] = values
    if by_decimals:
        notes.append("Commas in numbers are read as decimal points.")
    elif thousands:
        notes.append(f"Commas in {', '.join(map(str, thousands))} are read as those between thousands.")
    return frame
