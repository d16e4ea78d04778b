"""The report on a recorded run: whole, readable without network, honest when refused."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
import xarray

import selfstab as ss
from selfstab.records.comparison import analysis_text
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
    assert lines[1].startswith("0 catapults")
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
