"""NumPy's archives of arrays: .npz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab.records.formats.base import Format, Table
from selfstab.records.formats.mapping import table_of_mapping
from selfstab.records.formats.registry import register

if TYPE_CHECKING:
    import xarray


@register
class Npz(Format):
    """NumPy's archives of arrays."""

    name = "NumPy archive"
    suffixes = (".npz",)

    def read(self, source: Any, member: str = "") -> Table:
        """Return the arrays of an archive; nothing of it is unpickled."""
        try:
            with source.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except ValueError as error:
            if "pickle" in str(
                error
            ):  # NumPy takes whatever it does not know for a pickle, and advises to load it
                raise ValueError("it holds no arrays of numbers") from None
            raise
        return table_of_mapping(arrays)

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write each variable and each coordinate as an array; texts in NumPy's own form, attributes not."""
        arrays: dict[str, Any] = {
            str(name): values.astype(str) if values.dtype.kind == "O" else values
            for name, values in ((name, data[name].values) for name in data.variables)
        }
        # Through a file: NumPy would add a suffix to a name that lacks it.
        with path.open("wb") as file:
            np.savez(file, **arrays)
