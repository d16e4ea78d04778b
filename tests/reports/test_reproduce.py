"""The report: all of it is written, failures are shown and returned, and nothing in it can become markup."""

import os
import re
import signal
from html.parser import HTMLParser
from importlib.metadata import version
from types import ModuleType

import numpy as np
import pytest
import xarray

from selfstab.plotting import style
from selfstab.reports import figures as report_figures
from selfstab.reports import reproduce as reproduction


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
    monkeypatch.setattr(report_figures, "companion", modules.__getitem__)
    monkeypatch.setattr(reproduction, "companion", modules.__getitem__)


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
    assert reproduction.reproduce(tmp_path, quick=True, only=["good", "bad", "broken"], say=said.append) == 1
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "3 steps < 10 & counting" in shown.text
    assert "Check failed: overshoot 2 & not <3>" in shown.text
    assert "KeyError" in shown.text
    assert [line.split(":")[0] for line in said[:3]] == ["good", "bad", "broken"]
    assert (tmp_path / "bad.png").exists(), "a figure whose check fails must be there to look at"
    assert not (tmp_path / "broken.png").exists()


def test_the_page_needs_no_network_and_its_files_exist(figures, tmp_path):
    reproduction.reproduce(tmp_path, only=["good"], say=lambda _: None)
    links = Page((tmp_path / "index.html").read_text(encoding="utf-8")).links
    assert {"good.png", "good.svg", "good.pdf", "good.zarr"} <= set(links)
    assert all((tmp_path / link).exists() for link in links if not link.startswith("#"))
    assert not re.search(r"https?:|//", "".join(links))


def counted(figures, monkeypatch):
    """Return how often each figure has been computed, its pictures replaced by one that costs nothing."""
    times = {}

    def save(figure, folder, name):
        (folder / f"{name}.png").write_bytes(b"a picture")
        return [f"{name}.png"]

    monkeypatch.setattr(report_figures, "_save_figure", save)
    for name in ("good", "bad", "broken"):
        module = reproduction.companion(f"figures.{name}")

        def compute(quick, name=name, before=module.compute):
            times[name] = times.get(name, 0) + 1
            return before(quick)

        monkeypatch.setattr(module, "compute", compute)
    return times


def test_a_rerun_reuses_what_is_finished_and_makes_again_what_failed(figures, monkeypatch, tmp_path):
    times, said = counted(figures, monkeypatch), []
    first = reproduction.reproduce(tmp_path, quick=True, only=["good", "bad"], say=said.append)
    second = reproduction.reproduce(tmp_path, quick=True, only=["good", "bad"], say=said.append)
    assert (first, second) == (1, 1)
    assert times == {"good": 1, "bad": 2}
    assert "finished before" in said[3]
    assert "finished before" not in said[4]
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "3 steps < 10 & counting" in shown.text
    assert "good.png" in shown.links
    reproduction.reproduce(tmp_path, quick=True, only=["good"], say=said.append, fresh=True)
    assert times["good"] == 2


@pytest.mark.parametrize("change", ["settings", "code", "versions", "picture", "data", "record"])
def test_a_part_is_made_again_once_anything_it_stands_on_has_changed(figures, monkeypatch, tmp_path, change):
    times = counted(figures, monkeypatch)
    reproduction.reproduce(tmp_path, quick=True, only=["good"], say=lambda _: None)
    if change == "code":
        source = tmp_path / "package" / "figures.py"
        source.parent.mkdir()
        source.write_text("new")
        monkeypatch.setattr(report_figures.companion("figures"), "__file__", str(source), raising=False)
    elif change == "versions":
        monkeypatch.setattr(report_figures.provenance, "libraries", lambda *_: {"numpy": "0.0"})
    elif change == "picture":
        (tmp_path / "good.png").write_bytes(b"")
    elif change == "data":
        next(path for path in (tmp_path / "good.zarr").rglob("*") if path.is_file()).unlink()
    elif change == "record":
        (tmp_path / report_figures.PARTS / "good.json").write_text('{"key": ')
    reproduction.reproduce(tmp_path, quick=change != "settings", only=["good"], say=lambda _: None)
    assert times == {"good": 2}


def test_the_page_names_the_compiler():
    """Protects who reads a report: what its kernels were compiled with is among its versions."""
    assert report_figures.report_versions()["llvmlite"] == version("llvmlite")


def test_the_key_is_of_the_code():
    # Protects reuse from code that has changed: another hash for other sources, the same for the same.
    assert report_figures.part_key("modes", False) == report_figures.part_key("modes", False)
    keys = {
        report_figures.part_key(*of) for of in (("modes", False), ("modes", True), ("overshoot_law", False))
    }
    assert len(keys) == 3
    assert report_figures.part_key("predictions", True) == report_figures.part_key("predictions", False)


def test_one_part_asked_for_keeps_the_others_on_the_page(figures, predictions, monkeypatch, tmp_path):
    predictions("holds", 0)
    times = counted(figures, monkeypatch)
    reproduction.reproduce(tmp_path, only=["good", "predictions"], say=lambda _: None)
    assert reproduction.reproduce(tmp_path, only=["bad"], say=lambda _: None) == 1
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert {"good.png", "bad.png"} <= set(shown.links)
    assert "0.333333" in shown.text
    assert times == {"good": 1, "bad": 1}


def test_predictions_that_hold_are_reused_and_others_run_again(figures, predictions, tmp_path):
    said = []
    for verdict, code in (("not run", 3), ("holds", 0), ("fails", 1)):
        predictions(verdict, code)
        reproduction.reproduce(tmp_path, only=["predictions"], say=said.append)
    assert [line.split(" (")[0] for line in said[::2]] == ["predictions: 1 not run"] + [
        "predictions: 1 holds"
    ] * 2


def test_an_interrupt_leaves_a_page_of_what_is_finished_and_nothing_half_kept(figures, monkeypatch, tmp_path):
    times = counted(figures, monkeypatch)
    module = reproduction.companion("figures.bad")
    draw = module.draw

    def interrupted(data):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reproduction.reproduce(tmp_path, only=["good", "bad"], say=lambda _: None)
    links = Page((tmp_path / "index.html").read_text(encoding="utf-8")).links
    assert "good.png" in links
    assert "bad.png" not in links
    monkeypatch.setattr(module, "draw", draw)
    reproduction.reproduce(tmp_path, only=["good", "bad"], say=lambda _: None)
    assert times == {"good": 1, "bad": 2}
    assert not list(tmp_path.rglob(".partial*"))


def test_text_of_figures_and_predictions_is_escaped(figures, predictions, tmp_path):
    predictions("holds", 0)
    reproduction.reproduce(tmp_path, only=["bad", "predictions"], say=lambda _: None)
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "script" not in shown.tags
    assert "b" not in shown.tags
    assert "Q1 <modes>" in shown.text
    assert "|λ| < 1 & so on" in shown.text


@pytest.mark.parametrize(("verdict", "code"), [("holds", 0), ("fails", 1), ("not run", 3)])
def test_the_predictions_verdict_is_returned_and_shown(figures, predictions, tmp_path, verdict, code):
    predictions(verdict, code)
    assert reproduction.reproduce(tmp_path, only=["good", "predictions"], say=lambda _: None) == code
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert verdict in shown.text
    assert ("Not all holds" in shown.text) == (code != 0)
    assert "0.333333" in shown.text


def test_a_failing_figure_outranks_a_prediction_that_did_not_run(figures, predictions, tmp_path):
    predictions("not run", 3)
    assert reproduction.reproduce(tmp_path, only=["bad", "predictions"], say=lambda _: None) == 1


def test_an_error_in_the_predictions_does_not_lose_the_figures(figures, monkeypatch, tmp_path):
    from selfstab import verification

    def break_down():
        raise RuntimeError("no such machine")

    monkeypatch.setattr(verification, "verify", break_down)
    assert reproduction.reproduce(tmp_path, only=["good", "predictions"], say=lambda _: None) == 1
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "no such machine" in shown.text
    assert "good.png" in shown.links


def test_the_data_can_be_read_back(figures, tmp_path):
    lines = list(report_figures.make_figure("good", tmp_path, quick=True))
    assert lines[-1] == "3 steps < 10 & counting"
    data = xarray.open_datatree(tmp_path / "good.zarr", engine="zarr", consolidated=False)
    assert data["run"]["loss"].values.tolist() == [0.0, 1.0, 2.0]


def test_a_failed_check_is_raised_after_the_files_are_written(figures, tmp_path):
    with pytest.raises(report_figures.CheckFailed, match=r"bad: Check failed: overshoot 2 & not <3>"):
        list(report_figures.make_figure("bad", tmp_path / "new"))
    assert (tmp_path / "new/bad.pdf").exists()


def test_an_unknown_figure_is_refused_before_anything_runs(figures, tmp_path):
    with pytest.raises(ValueError, match="name must be one of good, bad, broken, got 'better'"):
        list(report_figures.make_figure("better", tmp_path / "new"))
    with pytest.raises(ValueError, match="only must be one of good, bad, broken, predictions, got 'better'"):
        reproduction.reproduce(tmp_path / "new", only=["better"])
    assert not (tmp_path / "new").exists()


def test_parts_made_at_once_are_on_the_page(tmp_path):
    """Protects make reproduce: figures that other processes made are shown in order, and reused afterwards."""
    said = []
    assert (
        reproduction.reproduce(tmp_path, quick=True, only=["modes", "envelope"], say=said.append, processes=2)
        == 0
    )
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 0 < page.index("modes.png") < page.index("envelope.png")
    assert {line.partition(":")[0] for line in said[:2]} == {"modes", "envelope"}
    again = []
    reproduction.reproduce(tmp_path, quick=True, only=["modes", "envelope"], say=again.append)
    assert all("finished before" in line for line in again[:2])


def test_a_part_whose_process_ends_keeps_no_other_from_the_page(tmp_path, monkeypatch):
    """Protects the report from a part that takes all memory: the system ends its process, and the others are made."""
    made = reproduction._made

    def of_little_memory(folder, name, quick):
        if name == "modes":
            os.kill(os.getpid(), signal.SIGKILL)
        return made(folder, name, quick)

    monkeypatch.setattr(reproduction, "_made", of_little_memory)
    said = []
    code = reproduction.reproduce(tmp_path, True, ["modes", "envelope"], said.append, processes=2)
    assert code == 1
    assert (tmp_path / "envelope.png").exists()
    assert any(line.startswith("modes:") and "its process ended before it was made" in line for line in said)


@pytest.mark.parametrize(("processes", "threads"), [(1, 3), (3, 1)])
def test_a_process_has_the_threads_that_are_its_share(tmp_path, monkeypatch, processes, threads):
    """Protects make reproduce: parts made at once do not ask for more threads together than there are processors."""

    def threads_as_lines(folder, name, quick):
        from selfstab import machine

        lines = [str(machine.available_threads()), os.environ["OPENBLAS_NUM_THREADS"]]
        return report_figures.FigurePart(name, "", "", lines=lines)

    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    monkeypatch.setattr(reproduction, "_made", threads_as_lines)
    parts = reproduction._made_in_processes(tmp_path, ["modes", "envelope"], True, processes, threads)
    there = reproduction.machine.available_threads()
    assert [part.lines for _, part in parts] == [[str(min(threads, there)), str(threads)]] * 2


def test_a_part_that_divides_its_runs_has_all_processors(tmp_path, monkeypatch):
    """Protects make reproduce: the longest parts are made one by one, and the others beside each other."""
    calls = []

    def made(folder, parts, quick, processes, threads):
        calls.append((list(parts), processes, threads))
        yield from ((name, report_figures.FigurePart(name, "", "")) for name in list(parts))

    monkeypatch.setattr(reproduction, "_made_in_processes", made)
    monkeypatch.setattr(reproduction.machine, "available_threads", lambda: 4)
    names = ["modes", "flatter", "envelope", "networks"]
    parts = list(reproduction._all_made(tmp_path, names, True, 2))
    assert calls == [(["networks"], 1, 4), (["flatter"], 1, 4), (["modes", "envelope"], 2, 2)]
    assert [name for name, _ in parts] == ["networks", "flatter", "modes", "envelope"]


def test_the_page_begins_with_a_summary_and_thumbnails(figures, predictions, tmp_path):
    """Protects the reader's first look: how many hold of how many, the time, and a small picture of each figure."""
    predictions("holds", 0)
    reproduction.reproduce(tmp_path, say=lambda line: None)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    head, _, _ = text.partition("<section")
    assert "<dt>figures whose numbers hold</dt><dd>1 of 3</dd>" in head
    assert "<dt>predictions that hold</dt><dd>1 of 1</dd>" in head
    assert re.search(r"<dt>time of this run</dt><dd>\d+ s</dd>", head)
    assert head.count("<img ") == text.count("<figure>\n<a ")
