"""The command analyze: it says and writes what the library computes, and is honest when refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import xarray
from click.testing import CliRunner

import selfstab as ss
from selfstab.cli.program import main
from tests.cli.commands import run as run_command


@pytest.fixture(scope="module")
def run():
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    return ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 200, previous=previous)


@pytest.fixture(scope="module")
def seen(run):
    return ss.analyze(run)


@pytest.fixture
def table(run, tmp_path):
    path = tmp_path / "run.csv"
    frame = run[["sharpness", "loss"]].to_dataframe().reset_index()
    frame.rename(columns={"sharpness": "eig0"}).to_csv(path, index=False)
    return path


def invoke(*arguments):
    return run_command("analyze", *map(str, arguments))


GIVEN = ("--lr", 0.97, "--momentum", 0.9, "-c", "sharpness=eig0")


def test_the_command_says_what_the_library_computes(table, seen):
    result = invoke(table, *GIVEN, "--json")
    assert result.exit_code == 0, result.output
    first = json.loads(result.stdout)["catapults"][0]
    assert first["overshoot"] == pytest.approx(float(seen["overshoot"][0]), rel=1e-12)
    shown = invoke(table, *GIVEN)
    assert "1 catapult; " in shown.output
    assert f"{float(seen['overshoot'][0]):.4g}" in shown.output
    assert "large drop: the drop, or the law's, is more than a tenth" in shown.output


def test_the_command_writes_each_form(table, seen, tmp_path):
    outputs = [tmp_path / name for name in ("r.html", "r.nc", "r.zarr", "r.csv", "folder")]
    for chosen in (outputs, outputs[1:4]):  # the second call replaces what the first wrote
        result = invoke(table, *GIVEN, *(word for path in chosen for word in ("-o", path)))
        assert result.exit_code == 0, result.output
    assert "data:image/png" in outputs[0].read_text(encoding="utf-8")
    with xarray.open_dataset(outputs[1], engine="netcdf4") as written:
        assert written["overshoot"].values == pytest.approx(seen["overshoot"].values, rel=1e-12)
        assert written["sharpness"].sizes == {"step": 201}
    with xarray.open_zarr(outputs[2], consolidated=False) as written:
        assert np.array_equal(written["cautions"], seen["cautions"])
    assert pd.read_csv(outputs[3])["overshoot"].size == 1
    assert {"index.html", "catapults.csv", "analysis.zarr", "run.svg", "overshoot.pdf"} <= {
        path.name for path in outputs[4].iterdir()
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--momentum", 0.9, "--lr", 0.97, "-c", "sharpness=absent"),
            "must have the column absent for sharpness.*name it by --column sharpness=NAME",
        ),
        (("-c", "sharpness=eig0", "--lr", 0.97), "must have a column momentum"),
        (("-c", "sharpness=eig0", "--lr", 0.97, "--momentum", 1), r"momentum must be in \[0, 1\), got 1"),
        ((*GIVEN, "-c", "loss"), "--column must be ROLE=NAME, got 'loss'"),
        ((*GIVEN, "-c", "sharpness=loss"), "--column sharpness must be given once"),
        (
            (*GIVEN, "-o", "report.pdf"),
            r"output must end in \.html, \.csv, \.nc, \.npz, \.tsv or \.zarr or be a folder",
        ),
        ((*GIVEN, "-o", "absent/report.html"), "output must be in a folder that exists"),
        ((*GIVEN, "-o", "."), "output must be a new folder or one of an earlier analysis"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(table, monkeypatch, words, message):
    monkeypatch.chdir(table.parent)
    result = invoke(table, *words)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert re.search(message, result.output)


def test_lookahead_is_the_options(table):
    # S* = 2(1 + β)/(η(1 + 2γ))
    result = invoke(table, *GIVEN, "--lookahead", 0.9)
    assert f"threshold {3.8 / (0.97 * 2.8):g}" in result.output


def test_an_absent_file_is_refused(tmp_path):
    result = invoke(tmp_path / "none.csv", "--lr", 1)
    assert result.exit_code == 2
    assert "run must be a file that exists" in result.output


def test_json_stands_alone_on_the_screen(table, tmp_path):
    """Protects programs that read --json: what was written is said on the other stream, one line a file."""
    paths = [tmp_path / "r.nc", tmp_path / "r.csv"]
    words = [word for path in paths for word in ("-o", path)]
    result = invoke(table, *GIVEN, "--json", *words)
    assert set(json.loads(result.stdout)) >= {"catapults", "steps"}
    assert result.stderr.splitlines() == [f"wrote {path}" for path in paths]
    plain = invoke(table, *GIVEN, *words)
    assert plain.stdout.splitlines()[-2:] == result.stderr.splitlines()
    assert plain.stderr == ""


def test_a_role_that_is_none_is_refused(table):
    """Protects --column from a misspelt role, which would be passed over."""
    result = invoke(table, *GIVEN, "-c", "sharpnes=loss")
    assert result.exit_code == 2
    assert "--column must be one of step, sharpness" in result.stderr


def test_what_a_run_calls_its_columns_does_not_reach_the_terminal(tmp_path):
    """Protects the screen and the page: control characters and marks of direction in names and paths are escapes."""
    name = "a\x1b[2J\u202e"
    path = tmp_path / f"{name}.csv"
    path.write_text(f"{name},lr\n1,0.5\n1.5,0.5\n2,0.5\n", newline="")
    words = ["analyze", str(path), "--momentum", "0"]
    shown = CliRunner().invoke(main, [*words, "-c", f"sharpness={name}", "-o", str(tmp_path / "page.html")])
    assert shown.exit_code == 0, shown.output
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    assert "a\\x1b[2J\\u202e" in refused.output
    for text in (shown.output, refused.output, (tmp_path / "page.html").read_text()):
        assert not {"\x1b", "\u202e", "\x9b"} & {*text}
