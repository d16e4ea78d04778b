"""The report on a recorded run, and the command that makes it: whole, readable without network, honest when refused."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import xarray
from click.testing import CliRunner

import selfstab as ss
from selfstab.cli.main import main
from selfstab.reports import analysis


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
    return CliRunner().invoke(main, ["analyze", *map(str, arguments)])


GIVEN = ("--lr", 0.97, "--momentum", 0.9, "-c", "sharpness=eig0")


class Page(HTMLParser):
    """Collects tags, what a browser would load or follow, and the text it would show."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_its_pictures_and_needs_nothing_else(seen):
    shown = Page(analysis.page(seen, "a <b>run</b>"))
    assert "a <b>run</b>" in shown.text
    assert not {"b", "script", "link", "iframe"} & set(shown.tags)
    assert shown.tags.count("img") == 3
    assert all(link.startswith("data:image/png;base64,") for link in shown.links)
    for name in ("overshoot", "predicted_overshoot", "loss_spike", "inertia_number"):
        assert f"{float(seen[name][0]):.4g}" in shown.text
    assert "large_drop" in shown.text


def test_a_page_without_catapults_or_loss_says_so():
    quiet = ss.analyze({"sharpness": [1.0, 1.1, 1.2, 1.1]}, lr=0.5, momentum=0.0)
    shown = Page(analysis.page(quiet, "quiet"))
    assert "None: the sharpness did not rise through the threshold" in shown.text
    assert shown.tags.count("img") == 1


def test_of_very_many_catapults_the_largest_are_listed(seen):
    many = xarray.concat([seen[["drop", "cautions"]]] * 5, "catapult", combine_attrs="override")
    many["drop"] = ("catapult", [1.0, 5.0, 2.0, 4.0, 3.0])
    listed, told = analysis._listed(many, 3)
    assert listed["number"].values.tolist() == [1, 3, 4]
    assert told == "Listed are the 3 of the largest drop."
    assert analysis._listed(many, 5)[1] == ""


def test_json_is_valid_and_has_null_for_what_is_not_defined(run, seen):
    found = json.loads(analysis.as_json(seen), parse_constant=pytest.fail)
    first = found["catapults"][0]
    assert first["overshoot"] == float(seen["overshoot"][0])
    assert first["cautions"] == ["large_drop"]
    assert first["sharpening_rate"] is None
    assert found["steps"] == [0, 200]


def test_the_command_says_what_the_library_computes(table, seen):
    result = invoke(table, *GIVEN, "--json")
    assert result.exit_code == 0, result.output
    first = json.loads(result.stdout)["catapults"][0]
    assert first["overshoot"] == pytest.approx(float(seen["overshoot"][0]), rel=1e-12)
    shown = invoke(table, *GIVEN)
    assert "1 catapult; " in shown.output
    assert f"{float(seen['overshoot'][0]):.4g}" in shown.output
    assert "large_drop: the drop is more than a tenth" in shown.output


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
            ("--momentum", 0.9, "--lr", 0.97),
            "must have a column sharpness .*name it by --column sharpness=NAME",
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
