"""The report: all of it is written, failures are shown and returned, and nothing in it can become markup."""

import re
from html.parser import HTMLParser
from types import ModuleType

import numpy as np
import pytest
import xarray

from selfstab import report
from selfstab.plotting import style


def fake(title, check, draw=None):
    module = ModuleType(title)
    module.__doc__ = "A figure.\n\nWhat it <b>shows</b>."
    module.TITLE = title
    module.compute = lambda quick: {
        "run": xarray.Dataset({"loss": ("step", np.arange(3.0 if quick else 5.0))})
    }
    module.check = check

    def one(data):
        figure = style.new_figure()
        figure.add_subplot().plot(data["run"]["loss"])
        return figure

    module.draw = draw or one
    return module


def fails(_):
    raise AssertionError("overshoot 2 & not <3>")


@pytest.fixture
def figures(monkeypatch):
    package = ModuleType("figures")
    modules = {
        "figures": package,
        "figures.good": fake("Good one", lambda data: [f"{data['run'].sizes['step']} steps < 10 & counting"]),
        "figures.bad": fake("Bad <script>alert(1)</script>", fails),
        "figures.broken": fake("Broken", lambda _: [], draw=lambda data: data["absent"]),
    }
    package.NAMES = ("good", "bad", "broken")
    monkeypatch.setattr(report, "companion", modules.__getitem__)


@pytest.fixture
def predictions(monkeypatch):
    def give(verdict, code):
        rows = {"measured": 1.0, "predicted": 1.0 / 3.0, "error": 2e-7, "order": np.nan, "verdict": verdict}
        data = xarray.Dataset(coords={"prediction": ["Q1 <modes>"]})
        for name, value in (
            rows | {"statement": "|λ| < 1 & so on", "reason": "" if code == 0 else "too far"}
        ).items():
            data[name] = ("prediction", [value])
        from selfstab import verification

        monkeypatch.setattr(verification, "verify", lambda: data)
        monkeypatch.setattr(verification, "exit_code", lambda _: code)

    return give


class Page(HTMLParser):
    """Collects what a browser would load or follow, and the text it would show."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_one_failing_figure_leaves_the_rest_and_is_returned(figures, tmp_path):
    said = []
    assert report.reproduce(tmp_path, quick=True, only=["good", "bad", "broken"], say=said.append) == 1
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "3 steps < 10 & counting" in shown.text
    assert "Check failed: overshoot 2 & not <3>" in shown.text
    assert "KeyError" in shown.text
    assert [line.split(":")[0] for line in said[:3]] == ["good", "bad", "broken"]
    assert (tmp_path / "bad.png").exists(), "a figure whose check fails must be there to look at"
    assert not (tmp_path / "broken.png").exists()


def test_the_page_needs_no_network_and_its_files_exist(figures, tmp_path):
    report.reproduce(tmp_path, only=["good"], say=lambda _: None)
    links = Page((tmp_path / "index.html").read_text(encoding="utf-8")).links
    assert {"good.png", "good.svg", "good.pdf", "good.zarr"} <= set(links)
    assert all((tmp_path / link).exists() for link in links if not link.startswith("#"))
    assert not re.search(r"https?:|//", "".join(links))


def test_text_of_figures_and_predictions_is_escaped(figures, predictions, tmp_path):
    predictions("holds", 0)
    report.reproduce(tmp_path, only=["bad", "predictions"], say=lambda _: None)
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "script" not in shown.tags
    assert "b" not in shown.tags
    assert "Q1 <modes>" in shown.text
    assert "|λ| < 1 & so on" in shown.text


@pytest.mark.parametrize(("verdict", "code"), [("holds", 0), ("fails", 1), ("not run", 3)])
def test_the_predictions_verdict_is_returned_and_shown(figures, predictions, tmp_path, verdict, code):
    predictions(verdict, code)
    assert report.reproduce(tmp_path, only=["good", "predictions"], say=lambda _: None) == code
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert verdict in shown.text
    assert ("Not all holds" in shown.text) == (code != 0)
    assert "0.333333" in shown.text


def test_a_failing_figure_outranks_a_prediction_that_did_not_run(figures, predictions, tmp_path):
    predictions("not run", 3)
    assert report.reproduce(tmp_path, only=["bad", "predictions"], say=lambda _: None) == 1


def test_an_error_in_the_predictions_does_not_lose_the_figures(figures, monkeypatch, tmp_path):
    from selfstab import verification

    def break_down():
        raise RuntimeError("no such machine")

    monkeypatch.setattr(verification, "verify", break_down)
    assert report.reproduce(tmp_path, only=["good", "predictions"], say=lambda _: None) == 1
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "no such machine" in shown.text
    assert "good.png" in shown.links


def test_the_data_can_be_read_back(figures, tmp_path):
    lines = list(report.make_figure("good", tmp_path, quick=True))
    assert lines[-1] == "3 steps < 10 & counting"
    data = xarray.open_datatree(tmp_path / "good.zarr", engine="zarr", consolidated=False)
    assert data["run"]["loss"].values.tolist() == [0.0, 1.0, 2.0]


def test_a_failed_check_is_raised_after_the_files_are_written(figures, tmp_path):
    with pytest.raises(report.CheckFailed, match=r"bad: Check failed: overshoot 2 & not <3>"):
        list(report.make_figure("bad", tmp_path / "new"))
    assert (tmp_path / "new/bad.pdf").exists()


def test_an_unknown_figure_is_refused_before_anything_runs(figures, tmp_path):
    with pytest.raises(ValueError, match="name must be one of good, bad, broken, got 'better'"):
        list(report.make_figure("better", tmp_path / "new"))
    with pytest.raises(ValueError, match="only must be one of good, bad, broken, predictions, got 'better'"):
        report.reproduce(tmp_path / "new", only=["better"])
    assert not (tmp_path / "new").exists()


def test_companions_are_found_and_absent_ones_named():
    assert report.titles()["modes"] == report.companion("figures.modes").TITLE
    assert report.companion("figures") is report.companion("figures")
    with pytest.raises(ImportError, match="nonsense must be installed with selfstab or stand beside it"):
        report.companion("nonsense")
