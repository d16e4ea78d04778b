"""HDF5 files that lead to other files: each form of it is seen before the library follows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

import selfstab as ss
from selfstab.records import formats
from selfstab.records.hdf5_references import reference

FILES = Path(__file__).parent / "formats" / "hdf5_references"
KINDS = {
    "link": "a link to another file", "many_links": "a link to another file", "inner_link": "a link to another file",
    "external": "data in another file", "virtual": "data that are put together from other files", "plain": "",
}  # fmt: skip


@pytest.mark.parametrize("form", ["earliest", "latest"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_leads_to_another_file_is_not_read(kind, form):
    """Protects files elsewhere, whose bytes would be shown as a column, in HDF5's oldest and newest form."""
    path = FILES / f"{kind}_{form}.nc"
    assert reference(path) == KINDS[kind]
    if KINDS[kind]:
        with pytest.raises(ValueError, match=f"it holds {KINDS[kind]}, which is not read"):
            ss.analyze(path)
    else:
        assert formats.read(path).columns["sharpness"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_what_looks_like_a_link_is_none(tmp_path):
    """Protects plain files: any bytes, among them those of real messages without their surroundings, are data."""
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, 10**6, dtype=np.uint8)
    pieces = [
        b"\x01\x08\x40\x04name\x00\x00",
        b"\x04\x03" + bytes(8),
        b"HEAP\x00\x00\x00\x00",
        b"FRHP\x00\x08\x00\x00\x00",
    ]
    for piece in pieces:
        for at in rng.integers(0, 10**6 - 99, 50):
            raw[at : at + len(piece)] = [*piece]
    data = xarray.Dataset(
        {"raw": ("step", raw), "sharpness": ("step", np.ones(10**6))}, {"step": np.arange(10**6)}
    )
    data.attrs |= {f"attribute {k}": "x" * k for k in range(40)}
    data.to_netcdf(tmp_path / "run.nc", engine="netcdf4")
    assert reference(tmp_path / "run.nc") == ""


@pytest.mark.parametrize("at", [8, 12, 13, 24])
def test_hdf5_of_an_unusual_form_is_not_read(tmp_path, at):
    """Protects the look through the file, which knows addresses of 8 bytes from the begin of the file only."""
    data = bytearray((FILES / "plain_earliest.nc").read_bytes())
    data[at] ^= 4
    (tmp_path / "run.nc").write_bytes(data)
    with pytest.raises(ValueError, match=r"run must be a readable \.nc file"):
        ss.analyze(tmp_path / "run.nc")
