"""Apache's columnar files: Parquet and Feather, by pyarrow."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from selfstab.files import sizes
from selfstab.records import spectra
from selfstab.records.column_sizes import TEXT_BYTES, check_array
from selfstab.records.columns.roles import rank
from selfstab.records.formats.base import Column, Format, Table
from selfstab.records.formats.frame import table_of_frame
from selfstab.records.formats.registry import register
from selfstab.records.frames import is_long, members_of_frame, run_column, run_of_frame, side_by_side

_MOST_COLUMNS: Final = 10_000


class _Columnar(Format):
    """What the two have in common: columns that are read one by one."""

    needs = ("pyarrow",)

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs, where a column says which one a row is of."""
        names, rows, types = self.shape(source)
        return members_of_frame(names, lambda name: _values(self, source, name, rows, types[name]))

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of numbers and texts, which are read when they are used."""
        import pandas

        names, rows, types = self.shape(source)
        plain = [name for name in names if types[name] is not None]
        counted = self.index(source)
        if member or side_by_side(names) or run_column(names) or is_long(names):
            frame = pandas.DataFrame({name: _values(self, source, name, rows, types[name]) for name in plain})
            frame, notes = run_of_frame(frame, member)
            table = table_of_frame(frame)
            return Table(table.columns, notes=notes)
        columns: dict[str, Any] = {
            name: Column(rows, partial(_values, self, source, name, rows, types[name])) for name in plain
        }
        if (
            counted is not None
            and len(counted) == rows
            and not any(rank("step", name) in (0, 1) for name in names)
        ):
            columns = {"step": np.asarray(counted)} | columns
        several: dict[str, Any] = {}
        roles: dict[str, str] = {}
        for name in names:
            if types[name] is None and spectra.is_list(name):
                several |= spectra.columns(name, _values(self, source, name, rows, spectra.MOST * 8))
                roles |= spectra.roles_of([*several])
        return Table(columns | several, roles=roles)

    def shape(self, source: Path) -> tuple[list[str], int, dict[str, int | None]]:
        """Return the columns' names, the number of rows, and bytes of a value of each; None of what is no number."""
        raise NotImplementedError

    def column(self, source: Path, name: str) -> Any:
        """Return one column as an array of Arrow."""
        raise NotImplementedError

    def index(self, source: Path) -> range | None:
        """Return the index of a frame of pandas that is no column but a range, if it is not that of plain rows."""
        return None


def _range(metadata: Any) -> range | None:
    """Return what pandas keeps in a file's metadata of an index that counts, as steps at a stride do."""
    try:
        (entry,) = json.loads((metadata or {})[b"pandas"])["index_columns"]
        counted = range(int(entry["start"]), int(entry["stop"]), int(entry["step"]))
        named = rank("step", str(entry.get("name"))) is not None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None
    plain = counted.start == 0 and counted.step == 1
    return counted if counted.step > 0 and (named or not plain) else None


def _values(form: _Columnar, source: Path, name: str, rows: int, itemsize: int | None) -> Any:
    check_array(name, (rows,), itemsize or TEXT_BYTES)
    values = form.column(source, name).to_numpy(zero_copy_only=False)
    if len(values) != rows:
        raise ValueError(f"{name} has {len(values)} values in place of {rows}")
    return np.asarray(values)


def _itemsize(kind: Any) -> int | None:
    """Return the bytes of a value of a type of Arrow; None if it is neither a number nor a text."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind):
        return TEXT_BYTES
    numeric = (
        types.is_floating(kind) or types.is_integer(kind) or types.is_null(kind) or types.is_boolean(kind)
    )
    return 8 if numeric else None


def _kinds(schema: Any) -> tuple[list[str], dict[str, int | None]]:
    if len(schema) > _MOST_COLUMNS:
        raise ValueError(f"it has {len(schema)} columns, more than {_MOST_COLUMNS}")
    if len({*schema.names}) < len(schema.names):
        raise ValueError("a name stands twice")
    return list(schema.names), {field.name: _itemsize(field.type) for field in schema}


@register
class Parquet(_Columnar):
    """Parquet files, such as W&B and pandas write."""

    name = "Parquet"
    suffixes = (".parquet", ".pq")

    def shape(self, source: Path) -> tuple[list[str], int, dict[str, int | None]]:
        """Return names, rows and bytes by the file's own account of itself."""
        import pyarrow.parquet as parquet

        sizes.check(source.name, source.stat().st_size)
        with source.open("rb") as file, parquet.ParquetFile(file) as opened:
            names, kinds = _kinds(opened.schema_arrow)
            return names, int(opened.metadata.num_rows), kinds

    def index(self, source: Path) -> range | None:
        """Return a range that pandas keeps in the metadata."""
        import pyarrow.parquet as parquet

        with source.open("rb") as file:
            return _range(parquet.read_schema(file).metadata)

    def column(self, source: Path, name: str) -> Any:
        """Return one column; the others are not decompressed."""
        import pyarrow.parquet as parquet

        with source.open("rb") as file, parquet.ParquetFile(file) as opened:
            declared = sum(
                opened.metadata.row_group(k).column(j).total_uncompressed_size
                for k in range(opened.metadata.num_row_groups)
                for j in range(opened.metadata.num_columns)
                if opened.metadata.schema.column(j).path == name
            )
            sizes.check(name, declared)
            return opened.read(columns=[name], use_threads=False).column(0)


@register
class Feather(_Columnar):
    """Feather and Arrow's own files."""

    name = "Feather"
    suffixes = (".feather", ".arrow", ".ipc")

    def shape(self, source: Path) -> tuple[list[str], int, dict[str, int | None]]:
        """Return names, rows and bytes; no column is read for it."""
        from pyarrow import dataset, fs, ipc

        sizes.check(source.name, source.stat().st_size)
        with source.open("rb") as file:
            if file.read(4) == b"FEA1":
                raise ValueError("it is of Feather's first version; write it again by pandas")
            file.seek(0)
            names, kinds = _kinds(ipc.open_file(file).schema)
        # By the batches' own accounts: nothing is decompressed. By a path that is no address.
        one = dataset.dataset(str(source.absolute()), format="ipc", filesystem=fs.LocalFileSystem())
        return names, int(one.count_rows(use_threads=False)), kinds

    def index(self, source: Path) -> range | None:
        """Return a range that pandas keeps in the metadata."""
        from pyarrow import ipc

        with source.open("rb") as file:
            return _range(ipc.open_file(file).schema.metadata)

    def column(self, source: Path, name: str) -> Any:
        """Return one column; the others are not decompressed."""
        from pyarrow import ipc

        with source.open("rb") as file:
            at = ipc.open_file(file).schema.get_field_index(name)
            file.seek(0)
            options = ipc.IpcReadOptions(included_fields=[at], use_threads=False)
            return ipc.open_file(file, options=options).read_all().column(0)
