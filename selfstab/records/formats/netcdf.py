"""NetCDF files: .nc."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfstab.records.column_sizes import TEXT_BYTES, check_array
from selfstab.records.formats.base import Column, Format, Table
from selfstab.records.formats.registry import register
from selfstab.records.hdf5_references import SIGNATURE, reference

if TYPE_CHECKING:
    import xarray


@register
class NetCDF(Format):
    """NetCDF files, read by xarray's engines and written by netCDF4."""

    name = "NetCDF"
    suffixes = (".nc",)
    needs_to_write = ("netCDF4",)

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a file, which are read when they are used."""
        with _opened(source) as store:
            variables, attributes = store.load()
            columns = {str(name): variable for name, variable in variables.items() if variable.ndim == 1}
            scalars = {
                str(name): _decoded(store, str(name))[()]
                for name, variable in variables.items()
                if variable.ndim == 0
            }
        return Table(
            {
                name: Column(variable.size, partial(_values, source, name))
                for name, variable in columns.items()
            },
            {str(name): value for name, value in attributes.items()} | scalars,
            dimensions={name: str(variable.dims[0]) for name, variable in columns.items()},
        )

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write a dataset whole, with its attributes."""
        data.to_netcdf(path.absolute(), engine="netcdf4")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield an open file as a store of xarray's, by the first bytes of the file.

    Not by xarray's own choice, which takes some paths for addresses; the C library takes none that begins with "/".
    """
    from xarray import backends

    with path.open("rb") as file:
        begin = file.read(8)
    hdf = begin == SIGNATURE
    if not hdf and begin[:4] not in (b"CDF\x01", b"CDF\x02", b"CDF\x05"):
        raise ValueError("it is neither NetCDF 3 nor NetCDF 4")
    if hdf and (what := _reference(path)):
        raise ValueError(f"it holds {what}, which is not read")
    where = str(path.absolute())
    if find_spec("netCDF4") is not None:
        kind: Any = backends.NetCDF4DataStore
        store: Any = kind.open(where)
    elif not hdf:
        store = backends.ScipyDataStore(where)
    elif find_spec("h5netcdf") is not None:
        store = backends.H5NetCDFStore.open(where)
    else:
        raise ImportError("run in NetCDF 4 needs netCDF4, which cannot be imported")
    try:
        yield store
    finally:
        store.close()


def _reference(path: Path) -> str:
    status = path.stat()
    return _reference_in(path, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=8)
def _reference_in(path: Path, state: tuple[int, ...]) -> str:
    """Return what leads to another file; each state of a file is looked through once."""
    return reference(path)


def _values(path: Path, name: str) -> Any:
    with _opened(path) as store:
        return _decoded(store, name)


def _decoded(store: Any, name: str) -> Any:
    """Return the values of one variable, if its size and that of its chunks may be taken; no other one is read."""
    import xarray

    variables, _ = store.load()
    variable = variables[name]
    itemsize = TEXT_BYTES if variable.dtype.kind == "O" else variable.dtype.itemsize
    chunk = variable.encoding.get("chunksizes") or ()
    check_array(name, variable.shape, itemsize, tuple(map(int, chunk)))
    others = [other for other in variables if other != name]
    return xarray.decode_cf(store, decode_timedelta=False, drop_variables=others)[name].values
