"""NetCDF files, against the libraries that others write and read them with."""

from __future__ import annotations

import netCDF4
import numpy as np
import xarray
from scipy.io import netcdf_file

from selfstab.records import formats

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
