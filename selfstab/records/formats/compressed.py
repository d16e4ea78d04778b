"""Any file of another format, compressed: .csv.gz, .csv.bz2, .csv.xz and the like."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from selfstab.files import sizes
from selfstab.records.formats import registry
from selfstab.records.formats.base import Format, Table

_PIECE: Final = 2**20


_OPEN: Final[dict[str, Callable[..., Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@registry.register
class Compressed(Format):
    """Files compressed by gzip, bzip2 or xz; the suffix before says what is in them."""

    name = "compressed"
    suffixes = tuple(_OPEN)

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs in the file inside."""
        return tuple(_inside(source, lambda form, path: form.members(path)))

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of the file inside, all of which are read."""

        def whole(form: Format, path: Path) -> Table:
            table = form.read(path, member)
            columns = {name: np.asarray(table.columns[name]) for name in table.columns}
            return Table(columns, table.attributes, table.roles, table.dimensions, table.notes)

        table: Table = _inside(source, whole)
        return table


def _inside(source: Path, ask: Callable[[Format, Path], Any]) -> Any:
    """Return what the format of the file inside answers; the file is there for as long."""
    with tempfile.TemporaryDirectory() as folder:
        suffix = source.suffix.lower()
        path = Path(folder) / source.name[: -len(suffix)]
        if path.suffix.lower() in _OPEN:
            raise ValueError("it is compressed twice")
        total = 0
        with _OPEN[suffix](source) as packed, path.open("wb") as file:
            while piece := packed.read(_PIECE):
                total += len(piece)
                sizes.check(f"the file inside, of at least {total} bytes,", total)
                if total > shutil.disk_usage(folder).free // 2:
                    raise ValueError("the disk has no room for the file inside")
                file.write(piece)
        form = registry.format_of(path)
        registry.needed(form, f"run in {form.name}")
        return ask(form, path)
