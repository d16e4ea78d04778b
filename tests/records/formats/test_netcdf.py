"""NetCDF files, against the libraries that others write and read them with."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import xarray
from scipy.io import netcdf_file

from selfstab.records import formats
from selfstab.records.formats import netcdf

RUN = {"sharpness": [1.0, 1.5, 2.0], "seconds": [0.0, 60.0, 120.0]}


def test_files_of_other_writers_are_read(tmp_path):
    """Protects NetCDF 3 of SciPy and NetCDF 4: numbers as they stand, also where a unit looks like a time."""
    with netcdf_file(tmp_path / "three.nc", "w") as three, netCDF4.Dataset(tmp_path / "four.nc", "w") as four:
        for file, kind in ((three, "f8"), (four, "f8")):
            file.createDimension("row", 3)
            for name, values in RUN.items():
                variable = file.createVariable(name, kind, ("row",))
                variable[:] = np.array(values)
            variable.units = "seconds"
            file.momentum = 0.5
    for name in ("three.nc", "four.nc"):
        table = formats.read(tmp_path / name)
        assert {key: values.tolist() for key, values in table.columns.items()} == RUN
        assert table.columns["seconds"].dtype.kind == "f"
        assert float(table.attributes["momentum"]) == 0.5
        assert table.dimensions == dict.fromkeys(RUN, "row")


def test_a_dataset_is_written_whole(tmp_path):
    """Protects other programs' reading: values, dimensions, units and attributes, by netCDF4 alone."""
    data = xarray.Dataset(
        {"weights": (("step", "weight"), [[1.0, np.nan], [3.0, 4.0]], {"units": "weight"})},
        {"step": [0, 5], "weight": ["u", "v"]},
        {"optimizer": '{"lr": 0.5}'},
    )
    formats.format_to_write(tmp_path / "run.nc").write(data, tmp_path / "run.nc")
    with netCDF4.Dataset(tmp_path / "run.nc") as file:
        weights = file["weights"]
        assert (weights.dimensions, weights.units) == (("step", "weight"), "weight")
        assert np.array_equal(np.ma.filled(weights[:], np.nan), data["weights"], equal_nan=True)
        assert (file["step"][:].tolist(), file["weight"][:].tolist()) == ([0, 5], ["u", "v"])
        assert file.optimizer == '{"lr": 0.5}'


def test_without_the_c_library(tmp_path, monkeypatch):
    """Protects installations without netCDF4: SciPy reads NetCDF 3; NetCDF 4 says what it needs."""
    data = xarray.Dataset({name: ("row", np.array(values)) for name, values in RUN.items()})
    data.to_netcdf(tmp_path / "three.nc", engine="netcdf4", format="NETCDF3_CLASSIC")
    data.to_netcdf(tmp_path / "four.nc", engine="netcdf4")
    monkeypatch.setattr(netcdf, "find_spec", lambda name: None)
    table = formats.read(tmp_path / "three.nc")
    assert {key: values.tolist() for key, values in table.columns.items()} == RUN
    with pytest.raises(ImportError, match="run in NetCDF 4 needs netCDF4, which cannot be imported"):
        formats.read(tmp_path / "four.nc")


def test_what_is_no_netcdf_is_told(tmp_path):
    """Protects from a reader that guesses: the first bytes tell what a file is."""
    (tmp_path / "run.nc").write_bytes(b"sharpness\n1.0\n")
    with pytest.raises(ValueError, match=r"readable \.nc file, got .*: it is neither NetCDF 3 nor NetCDF 4"):
        formats.read(tmp_path / "run.nc")
