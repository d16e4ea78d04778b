"""The report on a recorded run: whole, readable without network, honest when refused."""

from __future__ import annotations

import html
import json
from html.parser import HTMLParser

import pytest
import xarray

import selfstab as ss
from selfstab.records.comparison import analysis_text
from selfstab.records.comparison.analysis_text import listed, tables
from selfstab.reports import analysis


@pytest.fixture(scope="module")
def run():
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    return ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 200, previous=previous)


@pytest.fixture(scope="module")
def seen(run):
    return ss.analyze(run)


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
    # The run, and the law: the catapult takes most of the run, which is not drawn twice.
    assert shown.tags.count("img") == 2
    assert all(link.startswith("data:image/png;base64,") for link in shown.links)
    for name in ("overshoot", "predicted_overshoot", "loss_spike", "inertia_number"):
        assert f"{float(seen[name][0]):.4g}" in shown.text
    assert "large drop" in shown.text
    assert "_" not in shown.text


def test_a_page_without_catapults_or_loss_says_so():
    quiet = ss.analyze({"sharpness": [1.0, 1.1, 1.2, 1.1]}, lr=0.5, momentum=0.0)
    shown = Page(analysis.page(quiet, "quiet"))
    assert "None: the sharpness did not rise through the threshold" in shown.text
    assert shown.tags.count("img") == 1


def test_of_very_many_catapults_the_largest_are_listed(seen):
    many = xarray.concat([seen[["drop", "cautions"]]] * 5, "catapult", combine_attrs="override")
    many["drop"] = ("catapult", [1.0, 5.0, 2.0, 4.0, 3.0])
    listed, told = analysis_text.listed(many, 3)
    assert listed["number"].values.tolist() == [1, 3, 4]
    assert told == "Listed are the 3 of the largest drop."
    assert analysis_text.listed(many, 5)[1] == ""


def test_json_is_valid_and_has_null_for_what_is_not_defined(run, seen):
    found = json.loads(analysis.as_json(seen), parse_constant=pytest.fail)
    first = found["catapults"][0]
    assert first["overshoot"] == float(seen["overshoot"][0])
    assert first["cautions"] == ["large_drop"]
    assert first["sharpening_rate"] is None
    assert found["steps"] == [0, 200]


def test_the_report_tells_each_cautions_number(seen):
    """Protects a reader: a caution stands with the number that triggered it, on the screen and on the page."""
    top = float(seen["peak_excess_sharpness"][0] + seen["max_stable_sharpness"][0])
    share, law = (float(seen[name][0]) / top for name in ("drop", "predicted_drop"))
    told_of = f"(0: measured {share:.0%} of the sharpness, the law's {law:.0%})"
    assert share > 0.1
    assert told_of in analysis.table(seen)
    assert told_of in Page(analysis.page(seen, "run")).text


def test_the_report_names_what_is_no_catapult():
    """Protects from a divergence's prelude, and from cycles at the edge, as catapults."""
    diverging = ss.analyze(ss.simulate(ss.Product(), ss.HeavyBall(1.2, 0.9), [1.932, 0.519], 100))
    lines = analysis.summary(diverging)
    assert lines[0].startswith(
        "The run diverges at step 13; the sharpness is above the threshold since step 1."
    )
    assert lines[2].startswith("0 catapults")
    assert "The run diverged at step 13." in lines
    assert "The swing that began at step 1 led there: it is no catapult." in lines
    edge = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    cycling = ss.analyze(
        ss.simulate(edge, ss.HeavyBall(2.0), [0.0141, 0.005], 1360, previous=[-0.0141, 0.005])
    )
    shown = Page(analysis.page(cycling, "cycles")).text
    assert "6 self-stabilization cycles at the edge" in shown
    assert "The record ends during a swing" in shown
    assert len(json.loads(analysis.as_json(cycling))["edge_cycles"]) == 6
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-4)
    large = ss.analyze(ss.simulate(loss, ss.HeavyBall(1.02, 0.95), start, 4000, previous=previous))
    assert any("The law does not apply to catapult 0" in line for line in analysis.summary(large))


def test_the_report_begins_with_a_conclusion(seen):
    """Protects who reads one sentence: from which sharpness to which, at which step, and whether the law applies."""
    top = float(seen["peak_excess_sharpness"][0] + seen["max_stable_sharpness"][0])
    first = analysis.summary(seen)[0]
    assert first.startswith(
        f"The sharpness falls from {top:.4g} to {top - float(seen['drop'][0]):.4g} in a catapult"
    )
    assert f"at step {int(seen['onset'][0])}." in first
    assert "The law carries 1 caution for it: the drop is large beside the sharpness." in first
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-4)
    run = ss.simulate(loss, ss.HeavyBall(1.02, 0.95), start, 4000, previous=previous)
    large = analysis.summary(ss.analyze(run.isel(step=slice(None, None, 5))))[0]
    assert "The law does not apply to it: the drop that it predicts is larger than the sharpness" in large
    assert "What to do: record every step and lower the momentum." in large
    calm = ss.analyze({"sharpness": [1.0, 1.1, 1.2, 1.1]}, lr=0.5, momentum=0.0)
    assert analysis.summary(calm)[0].startswith(
        "The sharpness stays below the threshold, at 0.287 of it at most"
    )


def test_tables_for_the_screen_fit_a_terminal(seen):
    """Protects a terminal of 80 characters, whatever the numbers, and names each caution's number below."""
    large = seen.copy()
    for name in (
        "drop",
        "relative_excess",
        "inertia_number",
        "overshoot",
        "loss_spike",
        "predicted_loss_spike",
    ):
        large[name] = seen[name] * 0.0 + 1.2345e-300
    large["onset"], large["died"] = seen["onset"] + 12_345_678, seen["died"] + 12_345_678
    large["cautions"] = seen["cautions"] * 0 + 2**15 - 1
    for data in (seen, large):
        text = analysis.table(data)
        rows = [line for block in tables(listed(data, 40)[0], "simple") for line in block.splitlines()]
        assert len(rows) == 6
        assert max(map(len, rows)) <= 80
        assert all(row in text for row in rows)
    assert rows[-1].endswith("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15")
    assert "\n15. another scale: " in text


def test_a_notebook_shows_tables(seen):
    """Protects who reads in Jupyter: two tables of HTML, and the same sentences as on the screen."""
    shown = seen._repr_html_()
    assert shown.count("<table>") == 2
    assert "<pre>" not in shown
    for line in analysis.summary(seen):
        assert html.escape(line) in shown


def test_the_caption_names_what_is_drawn(seen):
    """Protects a reader from bars and arrowheads that the picture lacks, and from cells that are empty."""
    assert analysis.pictures(seen)["run"][1].endswith(
        "Bars: the sharpness at the end and the highest loss, as the overshoot law predicts. "
        "Grey bars: catapults with a caution."
    )
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-4)
    large = ss.analyze(ss.simulate(loss, ss.HeavyBall(1.02, 0.95), start, 4000, previous=previous))
    caption = analysis.pictures(large)["run"][1]
    assert "Shaded: catapults" in caption
    assert "Bars" not in caption
    assert "Arrowheads" not in caption
    assert "<td></td>" not in analysis.page(large, "large")


def test_a_law_that_does_not_apply_is_on_no_picture_and_in_no_cell():
    """Protects the loss's axis and the reader: a spike that the law puts far above the record is left out."""
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-4)
    large = ss.analyze(ss.simulate(loss, ss.HeavyBall(1.02, 0.95), start, 4000, previous=previous))
    shown = Page(analysis.page(large, "large")).text
    for name in ("predicted_drop", "predicted_overshoot", "predicted_loss_spike"):
        assert f"{float(large[name][0]):.4g}" not in shown
    assert "\N{EN DASH}" in shown
    assert "overshoot" not in analysis.pictures(large)  # there is nothing to compare


def test_a_catapult_has_a_picture_of_its_own_where_the_run_is_longer(seen):
    """Protects from the same picture twice, and a long run's reader."""
    assert "largest_catapult" not in analysis.pictures(seen)
    assert "largest_catapult" in analysis.pictures(
        seen.pad(step=(0, 400), mode="edge").assign_coords(step=range(601))
    )


def test_no_two_columns_have_one_head():
    heads = list(analysis_text.COLUMNS.values())
    assert len(set(heads)) == len(heads)
