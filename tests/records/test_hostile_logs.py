"""Logs that somebody made: nothing in them is run, nothing elsewhere is read, and each is refused in one line."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import shutil
import struct
import zipfile

import pytest

import selfstab as ss
from selfstab.records import formats
from tests.records.test_hostile_files import HUGE, Trap
from tests.records.test_logs import LIBRARIES, PLAIN, SAMPLES

GIVEN = {"lr": 0.5, "momentum": 0.25}


def refused(path, match="run must|sharpness must|.* must "):
    """Check that a file is refused by one line of what can be seen."""
    with pytest.raises((ValueError, ImportError), match=match) as caught:
        ss.analyze(path, **GIVEN)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500
    return str(caught.value)


NOT_A_RUN = [
    ("run.json", "", "readable .json"),
    ("run.json", "{", "readable .json"),
    ("run.json", "null", "must be rows or columns with names, got None"),
    ("run.json", "[]", r"must be rows or columns with names, got \[\]"),
    ("run.json", "[1, 2, 3]", "must be rows or columns with names"),
    ("run.json", "{}", "must hold columns of numbers, got nothing"),
    ("run.json", '{"sharpness": 3}', "must hold columns of numbers, got sharpness"),
    ("run.json", '{"sharpness": [1, "x", 3]}', "sharpness must hold real numbers.*got 'x' in row 2"),
    ("run.json", '{"sharpness": [1, [2], 3]}', "must hold columns of numbers|must hold real numbers"),
    ("run.json", '{"sharpness": {"0": 1, "x": 2}}', "must hold columns of numbers"),
    ("run.json", '{"columns": ["sharpness"], "data": [[1, 2]]}', "a value for each of its columns"),
    ("run.json", '{"sharpness": [1, 2, 1e999], "x": 1}', "must hold at least 3 numbers"),
    ("run.json", '[{"sharpness": 1' + "0" * 5000 + "}]", "readable .json"),
    ("run.json", '{"sharpness": [1' + "0" * 400 + ", 2, 3]}", "beyond all floats"),
    ("run.json", '{"a\\u001b[2J": [1, 2, 3]}', r"got a\\x1b\[2J"),
    ("run.jsonl", "1\n2\n", "must be rows or columns with names"),
    ("run.jsonl", '{"a": 1}\n{"a":\n{"a": 2}\n', "line 2"),
    ("trainer_state.json", '{"log_history": 3}', "log_history as a list"),
    ("trainer_state.json", '{"log_history": [3]}', "log_history as a list"),
    ("trainer_state.json", '{"log_history": []}', "set logging_steps"),
    ("trainer_state.json", '{"log_history": [{"train_runtime": 1}]}', "set logging_steps"),
    ("run.txt", "", "must have a column sharpness|readable .txt"),
    ("run.txt", "1 2 3\n4 5 6\n", "must name its columns"),
    ("run.txt", "# only a remark\n", "must have a column sharpness|readable"),
    ("run.txt", "# a b\n# c d\n", "must have a column sharpness|readable"),
    ("run.txt", "sharpness loss\n1 2\n1 2 3\n", "readable .txt"),
    ("results.txt", "# Edge of Stochastic Stability.\n1, 2\n", "name its columns in the last remark"),
    ("results.txt", "# Edge of Stochastic Stability.\n# (0) epoch, (1) step\n1, 2\n", "the column lambda max"),
    ("results.txt", "# Edge of Stochastic Stability.\n# (0) epoch, (1) lambda max\n", "readable .txt"),
    ("chart.csv", "Step,a - b,b - b\n0,1,2\n", "member must be one of a, b"),
    ("long.csv", "key,step,value\n" + "".join(f"k{k},0,1\n" for k in range(2000)), "at most 1000 quantities"),
    ("run.csv", "#\n#\n", "must have a column sharpness|readable"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "says"), NOT_A_RUN, ids=range(len(NOT_A_RUN)))
def test_what_is_no_run_is_refused(tmp_path, name, text, says):
    """Protects the terminal from tracebacks of parsers: each text is refused by what is wrong with it."""
    (tmp_path / name).write_text(text)
    refused(tmp_path / name, says)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_without_end(tmp_path, opening, suffix):
    """Protects from a hundred thousand brackets, on which a parser's stack would end."""
    (tmp_path / f"run{suffix}").write_text(opening * 10**5)
    assert "nested too deeply" in refused(tmp_path / f"run{suffix}", "readable .json")
    (tmp_path / "metrics.csv").write_text("sharpness\n1\n2\n3\n")
    (tmp_path / "config.json").write_text(opening * 10**5)
    assert (
        "config.json beside it is not understood"
        in ss.analyze(tmp_path / "metrics.csv", **GIVEN).attrs["notes"]
    )


def test_a_document_with_a_column_for_each_letter(tmp_path, in_little_memory):
    """Protects memory and time from a hundred thousand columns, and from as many in a row of their own."""
    for document in ({f"a{k}": [1] for k in range(20_000)}, [{f"a{k}": 1} for k in range(20_000)]):
        (tmp_path / "run.json").write_text(json.dumps(document))
        del document
        refused(tmp_path / "run.json", "at most 10000 columns")


def test_sizes_of_text_are_bounded(tmp_path, monkeypatch):
    """Protects memory: a document takes many times its bytes."""
    (tmp_path / "run.json").write_text(json.dumps({"sharpness": [1.0] * 1000}))
    monkeypatch.setenv("SELFSTAB_MOST_BYTES", "50000")
    refused(tmp_path / "run.json", r"run.json takes 6\.02e-05 GB, more than")


def test_what_is_compressed_is_bounded(tmp_path, in_little_memory, monkeypatch):
    """Protects memory and disk from a hundred kilobytes that give a hundred megabytes."""
    (tmp_path / "run.csv.gz").write_bytes(gzip.compress(b"sharpness\n" + bytes(10**8), mtime=0))
    monkeypatch.setenv("SELFSTAB_MOST_BYTES", "10000000")
    in_little_memory()
    refused(tmp_path / "run.csv.gz", "the file inside, of at least .* takes")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("run.csv.gz", b"nothing", "readable .gz"),
        ("run.csv.gz", gzip.compress(b"sharpness\n1\n2\n3\n", mtime=0)[:-9], "readable .gz"),
        ("run.gz", gzip.compress(b"sharpness\n1\n", mtime=0), "readable .gz"),
        ("run.csv.gz.gz", gzip.compress(b"", mtime=0), "compressed twice"),
        ("run.nc.gz", gzip.compress(b"x", mtime=0), "neither NetCDF"),
    ],
)
def test_what_is_compressed_and_no_run(tmp_path, name, data, says):
    """Protects from damaged files of gzip, and names the file that the user gave."""
    (tmp_path / name).write_bytes(data)
    assert name in refused(tmp_path / name, says)


def test_settings_beside_run_nothing(tmp_path):
    """Protects the process: a tag of Python in hparams.yaml is not followed, and aliases have an end."""
    (tmp_path / "metrics.csv").write_text("sharpness\n1\n2\n3\n")
    (tmp_path / "hparams.yaml").write_text(f"lr: !!python/object/apply:os.mkdir ['{tmp_path / 'owned'}']\n")
    notes = ss.analyze(tmp_path, **GIVEN).attrs["notes"]
    assert "hparams.yaml beside it is not understood" in notes
    assert not (tmp_path / "owned").exists()
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{k}: &a{k} {{{', '.join(f'y{j}: *a{k - 1}' for j in range(10))}}}" for k in range(1, 9)]
    (tmp_path / "hparams.yaml").write_text("\n".join(lines))
    assert "hparams.yaml beside it is not understood" in ss.analyze(tmp_path, **GIVEN).attrs["notes"]


def test_folders_without_end(tmp_path, monkeypatch):
    """Protects from links that lead in a circle or elsewhere, from pipes, and from a folder of everything."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a" / "metrics.csv")
    refused(tmp_path / "a", "run must be")
    from selfstab.records import folders

    monkeypatch.setattr(folders, "MOST", 3)
    for k in range(9):
        (tmp_path / "a" / f"{k}").write_text("")
    refused(tmp_path / "a", "run must be")


def test_links_in_a_folder_of_metrics(tmp_path):
    """Protects files elsewhere from a metric or a parameter that is a link."""
    run = tmp_path / "run"
    shutil.copytree(next((SAMPLES / "mlruns").glob("*/*/metrics")).parent, run)
    (tmp_path / "secret").write_text("0.125")
    (run / "params" / "lr").unlink()
    (run / "params" / "lr").symlink_to(tmp_path / "secret")
    assert "lr" not in formats.read(run).attributes
    (run / "metrics" / "sharpness").write_text("a b c\n")
    with pytest.raises(ValueError, match="metric sharpness, line 1: 'a b c' is not time, value and step"):
        ss.analyze(run, lr=0.5)


def damaged(path, rng):
    """Change one file of a sample at random."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    file = rng.choice(files)
    data = bytearray(file.read_bytes())
    at = rng.randrange(len(data) + 1)
    how = rng.choice(["cut", "flip", "insert", "repeat", "number"])
    if how == "cut":
        del data[at:]
    elif how == "flip":
        for _ in range(3):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "insert":
        data[at:at] = rng.choice(
            [b"\x00" * 8, b"\xff" * 8, b"nan", b"[[", b'"', b"\n", b"\x1b[2J", b"9" * 400]
        )
    elif how == "repeat":
        data[at:at] = data[:at]
    else:
        data[at : at + 8] = struct.pack("<q", rng.choice([2**31, 2**62, -1]))
    file.write_bytes(data)


def survives(name, seed, folder):
    """Damage a sample at random: it is read, or refused by one line."""
    rng = random.Random(f"{name} {seed}")
    copy = folder / f"{seed}" / name.partition("/")[0]
    copy.parent.mkdir()
    source = SAMPLES / name.partition("/")[0]
    (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    damaged(copy, rng)
    message = ""
    try:
        ss.analyze(copy, momentum=0.5)
    except ValueError as error:
        message = str(error)
    assert message.isprintable(), seed


@pytest.mark.parametrize("name", [name for name in PLAIN if "/" not in name])
def test_a_damaged_sample_is_read_or_refused(tmp_path, name):
    """Protects the terminal from whatever a damaged file makes of a parser."""
    for seed in range(12):
        survives(name, seed, tmp_path)


@pytest.mark.integrations
@pytest.mark.parametrize("name", [name for name in LIBRARIES if "/" not in name])
def test_a_damaged_sample_of_a_library_is_read_or_refused(tmp_path, name):
    """Protects the terminal from whatever a damaged file makes of a library's parser."""
    for seed in range(40):
        survives(name, seed, tmp_path)


@pytest.mark.integrations
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_pickle_is_not_run(tmp_path, suffix):
    """Protects the process: whatever torch.save kept beside tensors is not made."""
    import torch

    path = tmp_path / f"run{suffix}"
    torch.save({"sharpness": [1.0, 2.0, 3.0], "other": Trap(tmp_path / "owned")}, path)
    refused(path, "tensors, numbers and texts only, got io.open|tensors, numbers and texts only")
    path.write_bytes(pickle.dumps({"sharpness": [1.0, 2.0, 3.0], "other": Trap(tmp_path / "owned")}))
    refused(path)
    folder = tmp_path / "lr_0.1"
    folder.mkdir()
    for name in ("eigs_final", "train_loss_final"):
        torch.save(Trap(tmp_path / "owned"), folder / name)
    refused(folder, "tensors, numbers and texts only")
    assert not (tmp_path / "owned").exists()


@pytest.mark.integrations
def test_a_tensor_that_declares_gigabytes(tmp_path, in_little_memory):
    """Protects memory from tensors of more numbers than they store, and from an archive that is compressed."""
    import torch

    torch.save({"sharpness": torch.ones(1).expand(HUGE)}, tmp_path / "run.pt")
    torch.save({"sharpness": torch.zeros(10**5)}, tmp_path / "plain.pt")
    in_little_memory()
    refused(tmp_path / "run.pt", "a tensor takes .* GB, more than")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as bomb:
        for entry in plain.namelist():
            data = plain.read(entry)
            bomb.writestr(entry, data * (3 if "/data/" in entry else 1), zipfile.ZIP_DEFLATED)
    refused(tmp_path / "bomb.pt")
    whole = (tmp_path / "plain.pt").read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pt").write_bytes(whole[:size])
        refused(tmp_path / "cut.pt", "cut off or damaged; copy it again")


@pytest.mark.integrations
def test_columns_that_declare_gigabytes(tmp_path, in_little_memory):
    """Protects memory from columns of one value, repeated: a few kilobytes for gigabytes."""
    import h5py
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rows = pa.table({"sharpness": pa.array(np.zeros(10**6)), "other": pa.array(np.zeros(10**6))})
    with parquet.ParquetWriter(tmp_path / "run.parquet", rows.schema, compression="zstd") as writer:
        for _ in range(20):
            writer.write_table(rows)
    del rows
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.create_dataset("sharpness", (HUGE,), chunks=(1000,), dtype="f8")
        file.create_dataset("group/loss", (4,), dtype="f8")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["sharpness"] = h5py.ExternalLink("run.h5", "group")
    in_little_memory()
    refused(tmp_path / "run.parquet", "sharpness of 20000000 rows takes 5.6 GB, more than")
    refused(tmp_path / "run.h5", "sharpness of 1099511627776 rows takes")
    refused(tmp_path / "link.h5", "a link to another file")
