"""Zarr groups, against the library Zarr; and which folders a group may take the place of."""

from __future__ import annotations

import numpy as np
import pytest
import xarray
import zarr

from selfstab.records import formats
from selfstab.records.formats.zarr import Zarr

DATA = xarray.Dataset(
    {"loss": ("step", np.arange(7.0), {"units": "seconds"})},
    {"step": np.arange(7)},
    {"versions": '{"selfstab": "0"}'},
)


@pytest.fixture
def folder(tmp_path):
    """Return a group of this package's, in several chunks."""
    path = tmp_path / "run.zarr"
    Zarr().write(DATA.chunk(step=2), path)
    return path


def test_a_group_is_what_zarr_reads(folder):
    """Protects other programs' reading, and numbers whose unit looks like a time."""
    group = zarr.open_group(folder, mode="r")
    assert np.array_equal(group["loss"][:], np.arange(7.0))
    assert group.attrs["versions"] == DATA.attrs["versions"]
    table = formats.read(folder)
    assert table.columns["loss"].tolist() == list(range(7))
    assert table.columns["loss"].dtype == np.float64


def test_a_second_dataset_takes_the_whole_place(folder):
    """Protects against columns of an earlier run that would stand beside the new ones."""
    Zarr().write(DATA.rename(loss="sharpness"), folder)
    assert {entry.name for entry in folder.iterdir()} == {"zarr.json", "sharpness", "step"}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("notes.txt", "which holds notes.txt"),
        ("loss/notes.txt", "which holds loss/notes.txt"),
        ("loss/c/notes", "which holds loss/c/notes"),
        ("loss/d/0", "which holds loss/d"),
        ("other/0", "which holds other"),
        ("loss/c/99", ""),
    ],
)
def test_whatever_is_no_chunk_keeps_its_folder(folder, place, reason):
    """Protects files put into a group: c and numbers are chunks, everything else is somebody's."""
    assert Zarr().refusal(folder) == ""
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("mine")
    assert Zarr().refusal(folder) == reason


def test_what_a_link_leads_to_is_not_ours(folder, tmp_path):
    """Protects data elsewhere that a chunk's name leads to."""
    (tmp_path / "data").write_text("mine")
    (folder / "loss" / "c" / "9").symlink_to(tmp_path / "data")
    assert Zarr().refusal(folder) == "which holds loss/c/9"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "which is no zarr group"),
        (b"\xff", "which is no zarr group"),
        (b"[1]", "which is no zarr group"),
        (b'{"node_type": "array"}', "which is no zarr group"),
        (b'{"node_type": "group"}', "which selfstab did not write"),
        (b'{"node_type": "group", "attributes": {"versions": 3}}', "which selfstab did not write"),
        (b'{"node_type": "group", "attributes": {"versions": "{}"}}', "which selfstab did not write"),
        (b'{"node_type": "group", "attributes": {"versions": "[\\"selfstab\\"]"}}', ""),
    ],
)
def test_only_our_groups_are_replaced(tmp_path, metadata, reason):
    """Protects folders whose zarr.json is another's, damaged or none: each is refused with its reason."""
    for name, content in [("zarr.json", metadata)][: metadata is not None]:
        (tmp_path / name).write_bytes(content)
    assert Zarr().refusal(tmp_path) == reason
    (tmp_path / "file.zarr").write_text("")
    assert Zarr().refusal(tmp_path / "file.zarr") == "which is no folder"
