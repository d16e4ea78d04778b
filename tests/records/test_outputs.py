"""Datasets in files: of a kind that is known, whole, and in no other file's place; the command's tests have more."""

from __future__ import annotations

import numpy as np
import pytest
import xarray

from selfstab.records import formats, outputs

DATA = xarray.Dataset(
    {"sharpness": ("step", [1.0, 2.0])}, {"step": [0, 5]}, {"versions": '{"selfstab": "0"}'}
)


@pytest.mark.parametrize("suffix", formats.suffixes(written=True))
def test_an_output_replaces_its_like(tmp_path, suffix):
    """Protects every format's second write, and leaves nothing beside it."""
    path = tmp_path / f"run{suffix}"
    for data in (DATA, DATA * 2.0):
        outputs.check_output(path)
        outputs.write(data.assign_attrs(DATA.attrs), path)
        assert np.array_equal(formats.read(path).columns["sharpness"], data["sharpness"])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", formats.suffixes(written=True))
def test_a_write_that_fails_leaves_the_old_output(tmp_path, monkeypatch, suffix):
    """Protects every format's older file from a writer that breaks off."""
    path = tmp_path / f"run{suffix}"
    outputs.write(DATA, path)
    form = formats.format_to_write(path)
    write = type(form).write

    def failing(self, data, partial):
        write(self, data, partial)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(form), "write", failing)
    with pytest.raises(OSError, match="No space left"):
        outputs.write(DATA * 2.0, path)
    assert formats.read(path).columns["sharpness"].tolist() == [1.0, 2.0]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_messages_name_the_argument(tmp_path):
    """Protects whoever calls by another name: the recorder's argument is path, the command's option output."""
    for name in ("output", "path"):
        for path, message in (
            (tmp_path / "run.txt", "must end in .csv, .nc, .npz, .tsv or .zarr, got 'run.txt'"),
            (tmp_path / "absent" / "run.csv", "must be in a folder that exists"),
        ):
            with pytest.raises(ValueError, match=f"^{name} {message}"):
                outputs.check_output(path, name=name)
