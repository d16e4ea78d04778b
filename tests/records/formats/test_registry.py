"""Formats of recorded runs: each file is read by its own, a new one by the class that a user registers."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray
from click.testing import CliRunner

import selfstab as ss
from selfstab.cli.program import main
from selfstab.records import formats
from selfstab.records.formats import Format, Match, ReadError, Table
from selfstab.records.read import recorded_run

COLUMNS = {"sharpness": [1.0, 1.5, 2.0], "lr": [0.5, 0.5, 0.5], "momentum": [0.0, 0.0, 0.0]}


@pytest.fixture
def registered():
    """Return what registers a format for one test."""
    before = {form.name: type(form) for form in formats.registered()}

    yield formats.register

    for form in formats.registered():
        formats.unregister(form.name)
    for kind in before.values():
        formats.register(kind)


class History(Format):
    """JSON with a run's history under its name, and settings beside it: several runs, names of its own."""

    name = "history"
    suffixes = (".json",)

    def match(self, source):
        if super().match(source) is Match.NONE or "history" not in source.read_text():
            return Match.NONE
        return Match.CERTAIN

    def members(self, source):
        return tuple(json.loads(source.read_text())["history"])

    def read(self, source, member=""):
        run = json.loads(source.read_text())["history"][member]
        return Table(
            run["columns"], run["settings"], roles={"sharpness": "curvature/top"}, notes=("Sampled.",)
        )

    def write(self, data, path):
        columns = {name: data[name].values.tolist() for name in ("sharpness", "lr")}
        run = {"columns": columns, "settings": {}}
        path.write_text(json.dumps({"history": {"run": run}}))


class Lines(Format):
    """JSON, a row a line: the same suffix, known by its content."""

    name = "lines"
    suffixes = (".json",)

    def read(self, source, member=""):
        rows = [json.loads(line) for line in source.read_text().splitlines()]
        return Table({name: [row[name] for row in rows] for name in rows[0]})


class Compressed(Format):
    """Any format that is known, compressed."""

    name = "gzip"
    suffixes = (".gz",)

    def read(self, source, member=""):
        inner = source.parent / f"inner{source.with_suffix('').suffix}"
        inner.write_bytes(gzip.decompress(source.read_bytes()))
        return formats.read(inner)


class Experiment(Format):
    """A folder with a file for each quantity, known by what is in it."""

    name = "a folder of an experiment"

    def match(self, source):
        return Match.CERTAIN if isinstance(source, Path) and (source / "eigs.npy").exists() else Match.NONE

    def read(self, source, member=""):
        lr = float(re.search(r"lr_(\S+)", source.name)[1])
        return Table({"sharpness": np.load(source / "eigs.npy")[:, 0]}, {"lr": lr, "momentum": 0.0})


def history(path, *names):
    runs = {
        name: {
            "columns": {"curvature/top": [1.0, 1.5, 2.0 + k], "loss": [3.0, 2.0, 1.0]},
            "settings": {"lr": 0.25, "momentum": 0.5},
        }
        for k, name in enumerate(names)
    }
    path.write_text(json.dumps({"history": runs}))
    return path


def test_a_format_of_ones_own_is_read_and_written_everywhere(registered, tmp_path):
    """Protects the one-file promise: analyze, the recorder, the command line and its help know a new format."""
    registered(History)
    path = history(tmp_path / "run.json", "first")
    data = ss.analyze(path)
    assert data["sharpness"].values.tolist() == [1.0, 1.5, 2.0]
    assert data["max_stable_sharpness"].values.tolist() == [12.0] * 3
    assert "Sampled." in json.loads(data.attrs["notes"])
    recorder = ss.Recorder(lr=0.5)
    for step in range(3):
        recorder.log(step, loss=1.0, hessian_vector=lambda v: np.array([3.0, 1.0]) * v, dimension=2)
    recorder.save(tmp_path / "saved.json")
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert saved["history"]["run"]["columns"]["lr"] == [0.5] * 3
    runner = CliRunner()
    for words in (["analyze", "--help"], ["simulate", "--help"]):
        assert ".json" in runner.invoke(main, words).output
    result = runner.invoke(main, ["analyze", str(path), "--json", "-o", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.json").exists()


def test_of_several_runs_one_is_chosen(registered, tmp_path):
    """Protects files with several runs: which one must be said, and the message lists them."""
    registered(History)
    path = history(tmp_path / "runs.json", "first", "second")
    assert formats.members(path) == ("first", "second")
    with pytest.raises(
        ValueError, match="member must be one of first, second, which the file holds, got none"
    ):
        ss.analyze(path)
    with pytest.raises(ValueError, match=r"member must be one of first, second, .* got 'third'"):
        formats.read(path, "third")
    assert ss.analyze(formats.read(path, "second"))["sharpness"].values.tolist() == [1.0, 1.5, 3.0]
    result = CliRunner().invoke(main, ["analyze", str(path), "--member", "second", "--json"])
    assert result.exit_code == 0, result.output
    (tmp_path / "run.csv").write_text("sharpness\n1\n2\n3\n")
    with pytest.raises(
        ValueError, match="member must be left out of a file that holds one run, got 'second'"
    ):
        formats.read(tmp_path / "run.csv", "second")


@pytest.mark.parametrize("order", [(History, Lines), (Lines, History)])
def test_formats_of_one_suffix_are_told_apart_by_content(registered, tmp_path, order):
    """Protects logs that share .json: the format that knows the content reads it, whichever was registered first."""
    for kind in order:
        registered(kind)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
    (tmp_path / "lines.json").write_text("\n".join(map(json.dumps, rows)))
    assert formats.format_of(history(tmp_path / "run.json", "a")).name == "history"
    assert formats.format_of(tmp_path / "lines.json").name == "lines"
    assert ss.analyze(tmp_path / "lines.json")["sharpness"].values.tolist() == COLUMNS["sharpness"]


def test_a_format_that_cannot_open_a_source_is_not_its_reader(registered, tmp_path):
    """Protects other formats' files from one that looks into all of a suffix: bytes that are no text, and folders."""
    registered(Lines)
    registered(History)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.json").mkdir()
    for name in ("bytes.json", "folder.json"):
        assert formats.format_of(tmp_path / name).name == "lines"


def test_of_formats_equally_sure_the_longest_suffix_then_the_latest_reads(registered, tmp_path):
    """Protects the order that the reference promises."""
    registered(Compressed)
    path = tmp_path / "run.csv.gz"
    path.write_bytes(gzip.compress(b"sharpness,lr,momentum\n1,0.5,0\n1.5,0.5,0\n2,0.5,0\n"))
    assert formats.format_of(path).name == "gzip"
    assert ss.analyze(path)["sharpness"].values.tolist() == [1.0, 1.5, 2.0]

    class Exact(Compressed):
        name = "compressed text"
        suffixes = (".csv.gz",)

    class Later(Exact):
        name = "another reader of compressed text"

    registered(Exact)
    registered(Compressed)
    assert formats.format_of(path).name == "compressed text"
    registered(Later)
    assert formats.format_of(path).name == "another reader of compressed text"


def test_a_folder_is_known_by_its_content(registered, tmp_path):
    """Protects folders of research code, which have no suffix and hold settings in their names."""
    registered(Experiment)
    folder = tmp_path / "lr_0.5"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"run must be .*\.zarr, .* or a folder of an experiment, got"):
        ss.analyze(folder)
    np.save(folder / "eigs.npy", np.array([[1.0, 0.5], [1.5, 0.5], [2.0, 0.5]]))
    assert ss.analyze(folder)["max_stable_sharpness"].values.tolist() == [4.0] * 3


def test_a_reader_in_a_package_that_is_missing_is_named(registered, tmp_path):
    """Protects optional packages: the format and the module are named before anything is read or written."""

    class Optional(Lines):
        needs = ("no_such_package",)

        def write(self, data, path):
            raise AssertionError

    registered(Optional)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ImportError, match="run in lines needs no_such_package, which cannot be imported"):
        ss.analyze(tmp_path / "run.json")
    with pytest.raises(ImportError, match=r"path to \.json needs no_such_package"):
        ss.Recorder(lr=1.0).save(tmp_path / "new.json")


def test_errors_of_a_reader_are_one_line_that_names_the_file(registered, tmp_path):
    """Protects users from a reader's traceback; what a format refuses in words is passed on."""

    class Refusing(Lines):
        name = "refusing"

        def read(self, source, member=""):
            raise ReadError("run must hold a history, got none; log one")

    (tmp_path / "run.json").write_text("{")
    registered(Lines)
    with pytest.raises(
        ValueError, match=r"run must be a readable \.json file, got '.*run\.json': "
    ) as caught:
        ss.analyze(tmp_path / "run.json")
    assert "\n" not in str(caught.value)
    registered(Refusing)
    with pytest.raises(ReadError, match=r"^run must hold a history, got none; log one$"):
        ss.analyze(tmp_path / "run.json")


def test_what_is_no_format_is_refused(registered):
    """Protects the registry."""
    with pytest.raises(TypeError, match="kind must be a subclass of Format, got 3"):
        registered(3)
    with pytest.raises(TypeError, match="kind must have a name"):
        registered(type("Nameless", (Format,), {"read": lambda *_: None}))
    for suffix in ("csv", ".CSV", "."):
        with pytest.raises(ValueError, match="suffixes must be of the form"):
            registered(type("Wrong", (Lines,), {"suffixes": (suffix,)}))
    with pytest.raises(ValueError, match=r"name must be one of .*, got 'none'"):
        formats.unregister("none")


def test_roles_go_from_the_user_to_the_format_to_the_names(tmp_path):
    """Protects the order: the user's name for a column, then the format's, then what a name is known for."""
    table = Table(
        COLUMNS | {"eig": [4.0, 5.0, 6.0], "top": [7.0, 8.0, 9.0]}, roles={"sharpness": "eig", "loss": "none"}
    )
    assert ss.analyze(table)["sharpness"].values.tolist() == [4.0, 5.0, 6.0]
    assert ss.analyze(table, columns={"sharpness": "top"})["sharpness"].values.tolist() == [7.0, 8.0, 9.0]


def test_a_dimension_is_chosen_by_the_sharpness():
    """Protects datasets with records of several kinds: columns of the sharpness's dimension count."""
    data = xarray.Dataset({name: ("t", values) for name, values in COLUMNS.items()})
    data["eigenvalue"] = ("epoch_record", [4.0, 5.0, 6.0, 7.0])
    data["loss"] = ("epoch_record", [1.0, 1.0, 1.0, 1.0])
    assert "loss" not in ss.analyze(data)
    other = ss.analyze(data, lr=0.5, momentum=0.0, columns={"sharpness": "eigenvalue"})
    assert other["loss"].values.tolist() == [1.0] * 4
    data["lambda_max"] = ("epoch_record", [4.0, 5.0, 6.0, 7.0])
    with pytest.raises(
        ValueError, match="run must have its columns along one dimension, got t, epoch_record"
    ):
        ss.analyze(data)


@pytest.mark.parametrize("suffix", formats.suffixes(written=True))
def test_what_is_written_is_read_again(tmp_path, suffix):
    """Protects each format's writer by its reader: the numbers come back to the bit, or to 15 digits as text."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    run = ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 20, previous=previous, keep=("loss", "sharpness"))
    form = formats.format_to_write(tmp_path / f"run{suffix}")
    form.write(run, tmp_path / f"run{suffix}")
    table = formats.read(tmp_path / f"run{suffix}")
    for name in ("step", "sharpness", "loss", "lr", "max_stable_sharpness"):
        assert np.array_equal(table.columns[name], run[name]), name


def test_a_setting_of_the_whole_run_that_is_no_number_is_refused():
    """Protects the threshold from a schedule's name in place of a learning rate."""
    with pytest.raises(ValueError, match="lr must be a real number, got 'cosine'"):
        ss.analyze({"sharpness": [1.0, 2.0, 3.0], "lr": "cosine"}, momentum=0.0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.csv", b""),
        ("run.csv", b"\xff\xfe\x00junk"),
        ("run.csv", b"sharpness,lr\n1,2,3\n4,5\n"),
        ("run.npz", b"PK\x03\x04 broken"),
        ("run.nc", b"nothing"),
        ("run.zarr", b"no folder"),
        ("run.npz", "pickled"),
    ],
)
def test_damaged_files_are_refused_in_words(tmp_path, name, content):
    path = tmp_path / name
    if content == "pickled":
        np.savez(path, sharpness=np.array([{}, None], dtype=object))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run must|sharpness must|must hold"):
        recorded_run(path, momentum=0.0)


def test_files_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "run.other").write_bytes(b"")
    with pytest.raises(ValueError, match=r"run must be \.arrow, .*\.csv, .*, \.zarr, .* got '.*run\.other'"):
        recorded_run(tmp_path / "run.other")
    with pytest.raises(ValueError, match="run must be a file that exists"):
        recorded_run(tmp_path / "run.csv")


def test_a_format_that_fails_to_look_keeps_no_other_from_reading(tmp_path):
    """Protects every other file from a format of somebody's own: one that raises, whatever it raises, is no match."""

    class Careless(formats.Format):
        name = "careless"
        suffixes = ()

        def match(self, source):
            raise RecursionError("lost")

        def read(self, source, member=None):
            raise AssertionError

    formats.register(Careless)
    try:
        path = tmp_path / "run.csv"
        path.write_text("step,sharpness,lr\n0,1.0,0.1\n")
        assert formats.format_of(path).name == "text"
    finally:
        formats.unregister("careless")
