"""NetCDF files: .nc."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfstab.records.formats.base import Format, Table
from selfstab.records.formats.dataset import table_of_dataset
from selfstab.records.formats.registry import register

if TYPE_CHECKING:
    import xarray


@register
class NetCDF(Format):
    """NetCDF files, read by xarray's engines and written by netCDF4."""

    name = "NetCDF"
    suffixes = (".nc",)
    needs_to_write = ("netCDF4",)

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a file."""
        import xarray

        with xarray.open_dataset(source, decode_timedelta=False) as data:
            return table_of_dataset(data.load())

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write a dataset whole, with its attributes."""
        data.to_netcdf(path, engine="netcdf4")
