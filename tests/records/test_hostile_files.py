"""Recorded files that somebody made: nothing in them is run, nothing elsewhere is read, declared sizes are bounded."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import xarray
import zarr

import selfstab as ss
from selfstab.notices import printable
from selfstab.records import formats

RUN = {"sharpness": np.array([1.0, 1.5, 2.0, 1.9]), "lr": np.full(4, 0.5), "momentum": np.full(4, 0.25)}
FILES = Path(__file__).parent / "formats" / "hdf5_references"


class Trap:
    """What leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def group_of(path, version, **arrays):
    """Write a group of Zarr, in format 2 or 3."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, values in ({**RUN} | arrays).items():
        if version == 2:
            array = group.create_array(name, data=np.asarray(values), compressors=numcodecs.Zstd())
            array.attrs["_ARRAY_DIMENSIONS"] = ["step"]
        else:
            group.create_array(name, data=np.asarray(values), dimension_names=["step"])
    return path


def metadata(path, name, version, **changes):
    """Change what an array declares."""
    file = path / name / ("zarr.json" if version == 3 else ".zarray")
    file.write_text(json.dumps(json.loads(file.read_bytes()) | changes))


# -- nothing is run ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["sharpness", "unused"])
@pytest.mark.parametrize(
    "codec", ["pickle", "json2", "msgpack2", "vlen-bytes", "vlen-array", "categorize", "base64"]
)
def test_a_codec_of_objects_is_refused_before_it_is_made(tmp_path, monkeypatch, codec, column):
    """Protects the process: a pickle in a Zarr file is not run, whatever numcodecs allows, and no codec is asked."""
    path = group_of(tmp_path / "run.zarr", 2, unused=np.zeros(4))
    data = pickle.dumps(np.array([Trap(tmp_path / "owned")] * 4 + ["|O", (4,)], dtype=object))
    (path / column / "0").write_bytes(data)
    settings = {"labels": ["a"]} if codec == "categorize" else {}
    for filters, compressor in (([{"id": codec, **settings}], None), (None, {"id": codec, **settings})):
        metadata(path, column, 2, dtype="|O", filters=filters, compressor=compressor, fill_value=None)
        asked = []
        with monkeypatch.context() as patch:
            patch.setattr(numcodecs.registry, "get_codec", asked.append)
            if column == "sharpness":
                with pytest.raises(ValueError, match=r"sharpness has the (codec|type) .*, which is not read"):
                    ss.analyze(path)
            else:
                with pytest.raises(ValueError, match="unused has the"):
                    formats.read(path).columns["unused"]
        assert not asked
    assert not (tmp_path / "owned").exists()


def test_texts_of_any_length_are_read(tmp_path):
    """Protects runs whose steps or names are texts: that codec holds no objects but them."""
    path = group_of(tmp_path / "two.zarr", 2)
    text = zarr.create_array(path, name="optimizer", shape=(4,), chunks=(4,), dtype=str, zarr_format=2)
    text.attrs["_ARRAY_DIMENSIONS"] = ["step"]
    text[:] = np.array(["SGD"] * 4, dtype=object)
    columns = {"optimizer": np.array(["SGD"] * 4, dtype=object), **RUN}
    data = xarray.Dataset({name: ("step", values) for name, values in columns.items()})
    data.to_zarr(tmp_path / "three.zarr", zarr_format=3, consolidated=False)
    for name in ("two", "three"):
        assert formats.read(tmp_path / f"{name}.zarr").columns["optimizer"].tolist() == ["SGD"] * 4
        assert ss.analyze(tmp_path / f"{name}.zarr").sizes["step"] == 4


def test_a_pickle_in_an_archive_is_not_read(tmp_path):
    """Protects the process: of an archive with objects the other columns are read, and these are refused."""
    np.savez(tmp_path / "run.npz", **RUN, names=np.array([Trap(tmp_path / "owned")] * 4, dtype=object))
    assert ss.analyze(tmp_path / "run.npz").sizes["step"] == 4
    with pytest.raises(ValueError, match="names holds objects of Python, which are not read"):
        ss.analyze(tmp_path / "run.npz", columns={"loss": "names"})
    assert not (tmp_path / "owned").exists()


# -- nothing elsewhere is read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_links_in_a_group_are_not_followed(tmp_path, version):
    """Protects files elsewhere: neither metadata nor chunks nor arrays are read through a link."""
    other = group_of(tmp_path / "other.zarr", version, sharpness=np.full(4, 1234.0))
    chunk = "c/0" if version == 3 else "0"
    for inner in (
        "sharpness",
        f"sharpness/{chunk}",
        "sharpness/" + ("zarr.json" if version == 3 else ".zarray"),
    ):
        path = group_of(tmp_path / f"{inner.replace('/', '-')}.zarr", version)
        if (path / inner).is_dir():
            (path / inner).rename(tmp_path / f"aside {version}")
        else:
            (path / inner).unlink()
        (path / inner).symlink_to(other / inner)
        with pytest.raises(ValueError, match=r"run must have a column sharpness|is a link"):
            ss.analyze(path)


@pytest.mark.parametrize(
    "name", ["simplecache::file:run", "a::b", "file:run", "#mode=zarr,s3", "[mode=zarr]run", "~run"]
)
@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".npz", ".csv"])
def test_a_path_is_a_path(tmp_path, monkeypatch, name, suffix):
    """Protects from libraries that take parts of a path for the name of a file system, or of a server."""
    import fsspec

    def refused(*_, **__):
        raise AssertionError("fsspec was asked")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refused)
    monkeypatch.chdir(tmp_path)
    path = Path(name + suffix)
    data = xarray.Dataset({key: ("step", values) for key, values in RUN.items()})
    formats.format_to_write(path).write(data, path)
    assert [entry.name for entry in tmp_path.iterdir()] == [str(path)]
    assert ss.analyze(str(path)).sharpness.values.tolist() == RUN["sharpness"].tolist()


@pytest.mark.parametrize("suffix", [".nc", ".npz", ".csv"])
def test_a_pipe_is_not_waited_for(tmp_path, suffix):
    """Protects the one who waits: a pipe that nobody writes to is no file."""
    os.mkfifo(tmp_path / f"run{suffix}")
    with pytest.raises(ValueError, match=r"run must be a file or a folder, got .* a pipe or a device"):
        ss.analyze(tmp_path / f"run{suffix}")


# -- declared sizes ---------------------------------------------------------------------------------------------------

HUGE = 2**40


@pytest.mark.parametrize("version", [2, 3])
def test_a_group_that_declares_gigabytes(tmp_path, in_little_memory, version):
    """Protects memory: an array that is not used costs nothing, one that is used what it may, its chunks too."""
    path = group_of(tmp_path / "run.zarr", version, other=np.zeros(4))

    def chunks(n):
        return {"chunks": [n]} if version == 2 else {
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [n]}}}  # fmt: skip

    metadata(path, "other", version, shape=[HUGE], **chunks(HUGE))
    in_little_memory()
    assert ss.analyze(path).sizes["step"] == 4
    for changes, says in (
        (
            {"shape": [HUGE], **chunks(HUGE)},
            "sharpness of 1099511627776 rows takes .* SELFSTAB_MOST_BYTES sets how many",
        ),
        ({"shape": [4], **chunks(2**27)}, "sharpness of 4 values has chunks of 1.07 GB"),
        ({"shape": [10**6], **chunks(1)}, "sharpness declares 1000000 chunks, and has .* files"),
        ({"shape": [-4]}, "metadata of sharpness are damaged"),
        ({"shape": [4], **chunks(0)}, "metadata of sharpness are damaged"),
    ):
        metadata(path, "sharpness", version, **changes)
        with pytest.raises(ValueError, match=says):
            formats.read(path).columns["sharpness"]


@pytest.mark.parametrize("codec", ["zstd", "gzip", "zlib", "bz2", "lzma", "blosc", "lz4"])
def test_a_chunk_that_gives_gigabytes(tmp_path, in_little_memory, codec):
    """Protects memory from a chunk of a few kilobytes that gives more than the array may hold."""
    path = group_of(tmp_path / "run.zarr", 2)
    compressor = numcodecs.get_codec({"id": codec})
    bomb, honest = compressor.encode(bytes(5 * 10**7)), compressor.encode(RUN["sharpness"])
    metadata(path, "sharpness", 2, compressor=compressor.get_config())
    in_little_memory()
    for data, says in (
        (honest, ""),
        (bomb, "gives more than the 32 bytes it may"),
        (b"", "damaged|more"),
    ):
        (path / "sharpness" / "0").write_bytes(data)
        if says:
            with pytest.raises(ValueError, match="run must be a readable"):
                ss.analyze(path)
        else:
            assert ss.analyze(path).sharpness.values.tolist() == RUN["sharpness"].tolist()


def test_texts_that_declare_gigabytes(tmp_path, in_little_memory):
    """Protects memory from a chunk of four bytes that says it holds four thousand million texts."""
    path = group_of(tmp_path / "run.zarr", 2)
    text = zarr.create_array(path, name="optimizer", shape=(4,), chunks=(4,), dtype=str, zarr_format=2)
    text.attrs["_ARRAY_DIMENSIONS"] = ["step"]
    metadata(path, "optimizer", 2, compressor=None)
    (path / "optimizer" / "0").write_bytes(b"\xff\xff\xff\xff")
    in_little_memory()
    with pytest.raises(ValueError, match="a chunk of optimizer is damaged"):
        ss.analyze(path)


@pytest.mark.parametrize("name", ["chunk.nc", "unused.nc"])
def test_a_netcdf_file_that_declares_gigabytes(name, in_little_memory):
    """Protects memory: a variable of 64 GB that is not used, and a chunk of 134 MB for five numbers."""
    if name == "chunk.nc":
        with pytest.raises(ValueError, match=r"sharpness of 5 values has chunks of 0\.134 GB, more than"):
            ss.analyze(FILES / name)
    else:
        assert ss.analyze(FILES / name).sizes["step"] == 5
        with pytest.raises(ValueError, match="other of 8589934592 rows takes"):
            formats.read(FILES / name).columns["other"]


def member(shape, data=b"", dtype="<f8"):
    """Return a member of an archive that declares a shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (member((HUGE,)), "is damaged: its header is of 8796093022208 bytes"),
        (member((-3,)), "is damaged"),
        (member((3,), bytes(25)), "is damaged: its header is of 24 bytes"),
        (b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little"), "a header has 2147483648 bytes"),
        (b"\x93NUMPY\x03\x00" + bytes(9), "holds no arrays of numbers"),
    ],
    ids=["shape", "negative", "longer", "header", "version"],
)  # fmt: skip
def test_an_archive_that_declares_gigabytes(tmp_path, in_little_memory, content, says):
    """Protects memory from a member whose header and size say other things, and from zeros that are compressed."""
    with zipfile.ZipFile(tmp_path / "run.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sharpness.npy", content)
        archive.writestr("lr.npy", member((3,), np.full(3, 0.5).tobytes()))
    del content
    in_little_memory()
    with pytest.raises(ValueError, match=says):
        ss.analyze(tmp_path / "run.npz", momentum=0.0)


def test_an_unused_member_costs_nothing(tmp_path, in_little_memory):
    """Protects memory: 2.7 kB took 4.7 GB, because all columns were read."""
    np.savez(tmp_path / "run.npz", **RUN)
    with zipfile.ZipFile(tmp_path / "run.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("other.npy", member((125 * 10**5,), bytes(10**8)))
    in_little_memory()
    assert ss.analyze(tmp_path / "run.npz").sizes["step"] == 4


@pytest.mark.parametrize(
    "begin", ["sharpness", "\n \nsharpness", '"lr\n"', "lr,sharpness\n0.5", "lr\rsharpness"]
)
def test_a_table_of_text_with_a_column_for_each_letter(tmp_path, in_little_memory, begin):
    """Protects memory and time from a million columns, wherever in the first two rows they stand."""
    (tmp_path / "run.csv").write_text(begin + ",a" * 10**5 + "\n", newline="")
    in_little_memory()
    with pytest.raises(ValueError, match="run must have at most 10000 columns, got 100001"):
        ss.analyze(tmp_path / "run.csv")


def test_a_value_without_a_name_is_refused(tmp_path):
    """Protects from numbers that are left out of a table of text, and from a warning of pandas."""
    (tmp_path / "run.csv").write_text("sharpness,lr\n1,0.5,\n2,0.5,\n1,0.5,\n")
    assert ss.analyze(tmp_path / "run.csv", momentum=0.0).sizes["step"] == 3
    (tmp_path / "run.csv").write_text("sharpness,lr\n1,0.5,\n2,0.5,7\n1,0.5,\n")
    with pytest.raises(ValueError, match=r"run must be a readable .csv file, .* loss of data"):
        ss.analyze(tmp_path / "run.csv", momentum=0.0)


@pytest.mark.parametrize("version", [2, 3])
def test_a_missing_text_that_takes_gigabytes(tmp_path, in_little_memory, version):
    """Protects memory: the text that stands for missing ones is copied to each of a thousand places."""
    path = group_of(tmp_path / "run.zarr", version)
    text = zarr.create_array(
        path, name="note", shape=(10**4,), chunks=(10**4,), dtype=str, fill_value="", zarr_format=version
    )  # fmt: skip
    text.attrs["_ARRAY_DIMENSIONS"] = ["note"]
    metadata(path, "note", version, fill_value="x" * 10**5)
    in_little_memory()
    assert ss.analyze(path).sizes["step"] == 4
    with pytest.raises(ValueError, match=r"note of 10000 rows takes 4 GB|has chunks of 4 GB"):
        formats.read(path).columns["note"]


def test_a_filter_that_widens_its_numbers_to_texts(tmp_path):
    """Protects memory: a filter of Zarr 2 turned ten numbers into texts of gigabytes."""
    path = group_of(tmp_path / "run.zarr", 2)
    kind = {"id": "fixedscaleoffset", "scale": 1, "offset": 1, "dtype": "<U99999999", "astype": "<f8"}
    metadata(path, "sharpness", 2, filters=[kind])
    with pytest.raises(ValueError, match="sharpness has the type <U99999999, which is not read"):
        ss.analyze(path)


def test_settings_of_an_optimizer_without_end(tmp_path):
    """Protects from JSON of a hundred thousand brackets in an attribute, and from a name of a megabyte."""
    nested = np.array("[" * 10**5)
    np.savez(tmp_path / "run.npz", sharpness=RUN["sharpness"], optimizer=nested)
    assert ss.analyze(tmp_path / "run.npz", lr=0.5, momentum=0.0).sizes["step"] == 4
    with pytest.raises(ValueError, match="run must be a file that exists, got 'aaa"):
        ss.analyze("a" * 5000 + ".npz")


def test_a_larger_file_is_read_by_who_says_so(tmp_path, monkeypatch):
    """Protects large runs: the bound that the message names can be set."""
    np.savez(tmp_path / "run.npz", **RUN)
    monkeypatch.setenv("SELFSTAB_MOST_BYTES", "1000")
    with pytest.raises(ValueError, match=r"of 4 rows takes 1\.12e-06 GB, more than the 1e-06 GB"):
        ss.analyze(tmp_path / "run.npz")
    monkeypatch.setenv("SELFSTAB_MOST_BYTES", "2000")
    assert ss.analyze(tmp_path / "run.npz").sizes["step"] == 4


# -- names ------------------------------------------------------------------------------------------------------------

NAMES = ["sharpness\x1b[2J", "\x9b31mlr", "a\u202eb", "loss\r", "\x07", "x\u2028y", "\u200bw"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".npz", ".csv", "mapping"])
def test_names_are_shown_with_escapes(tmp_path, name, suffix):
    """Protects the screen from names that move the cursor, change colours or turn the direction of writing."""
    columns = {name: RUN["sharpness"], "lr": RUN["lr"]}
    path = tmp_path / f"run{suffix}"
    if suffix == ".csv":
        path.write_text(f'"{name}",lr\n1,2\n', newline="")
    elif suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            for key, values in columns.items():
                archive.writestr(f"{key}.npy", member((4,), values.tobytes()))
    elif suffix != "mapping":
        data = xarray.Dataset({key: ("step", values) for key, values in columns.items()})
        try:
            formats.format_to_write(path).write(data, path)
        except Exception:  # NetCDF has no such names
            return
    source = columns if suffix == "mapping" else path
    with pytest.raises(ValueError, match="column sharpness") as caught:
        ss.analyze(source, momentum=0.0)
    assert str(caught.value).isprintable()
    if suffix != ".csv":
        run = ss.analyze(source, momentum=0.0, columns={"sharpness": name})
        assert run.sharpness.values.tolist() == RUN["sharpness"].tolist()
        assert all(note.isprintable() for note in json.loads(run.attrs["notes"]))


def test_what_is_seen_stays_as_it_is():
    """Protects Greek letters, accents and other scripts: only what cannot be seen becomes an escape."""
    for text in ("κ = 1", "Schärfe", "鋭さ", "a b", "حدة"):
        assert printable(text) == text
    assert printable("a\x1b[0m\u202e\n\ud800") == "a\\x1b[0m\\u202e\\n\\ud800"
