"""The playable story: the kept page is the one that its sources make, it needs nothing else, and it reads well."""

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import selfstab as ss

DOCS = Path(__file__).parents[2] / "docs"
STORY = (DOCS / "catapults.html").read_text(encoding="utf-8")


def module(path):
    """Return a module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


story_page = module(DOCS / "story" / "story_page.py")


def table(name):
    """Return a table of theory as the kept page has it."""
    return json.loads(re.search(rf'^  "{name}": (.+),$', STORY, re.MULTILINE).group(1))


class Prose(HTMLParser):
    """The text of the page's paragraphs."""

    def __init__(self):
        super().__init__()
        self.paragraphs, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "p":
            self.inside = True
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        if tag == "p":
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.paragraphs[-1] += data


def test_the_kept_page_is_made_of_its_sources():
    """Protects against a page of yesterday: `make story` writes it anew."""
    assert story_page.page(table("lookaheadLaw"), table("warmupLaw")) == STORY


def test_the_table_of_lookahead_is_the_librarys_law():
    """Protects the line of theory in the fifth experiment; heavy ball's closed form is its first entry."""
    law = table("lookaheadLaw")
    assert law["lookahead"] == list(story_page.LOOKAHEADS)
    heavy_ball = ss.theory.overshoot(ss.theory.inertia_number(law["excess"], law["momentum"]))
    assert law["overshoot"][0] == pytest.approx(heavy_ball, abs=1e-5)
    nesterov = ss.HeavyBall(1.0, law["momentum"], lookahead=law["lookahead"][-1])
    slow = ss.theory.slow_overshoot(nesterov, law["excess"])
    assert law["overshoot"][-1] == pytest.approx(slow, abs=1e-5)


def test_the_table_of_warmups_is_near_the_runs():
    """Protects the line of theory in the third experiment: an estimate, within 0.09 of what runs end at."""
    law = table("warmupLaw")
    assert law["warmup"] == list(story_page.WARMUPS)
    for steps in (500, 2000):
        for name, momentum in (("GD", 0.0), ("PHB", law["momentum"])):
            crossing = 2.0 * (1.0 + momentum)
            schedule = ss.LinearWarmup(
                story_page.RAMP_START * crossing, (1.0 + law["excess"]) * crossing, steps
            )
            run = story_page.catapult(ss.HeavyBall(schedule, momentum), steps + 100)
            expected = law["finalSharpness"][name][law["warmup"].index(steps)]
            assert float(run.sharpness[-1]) == pytest.approx(expected, abs=0.09), (name, steps)
            assert expected < run.max_stable_sharpness[-1]


def test_the_page_needs_nothing_else():
    """Protects the reader without network or server: nothing is loaded, and the page is small."""
    assert len(STORY.encode()) < 80_000
    assert (
        re.findall(
            r"https?://|<link(?! rel=\"icon\" href=\"data:,\")|<script src|@import|url\(|fetch\(", STORY
        )
        == []
    )
    assert {address for address in re.findall(r'(?:src|href)="([^"#]*)', STORY) if address} == {"data:,"}


def test_sentences_are_short():
    """Protects the newcomer: no sentence of the story has more than 20 words, and the average is below 13."""
    prose = Prose()
    prose.feed(STORY)
    text = " ".join(" ".join(paragraph.split()) for paragraph in prose.paragraphs)
    lengths = [len(sentence.split()) for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", text)]
    assert len(lengths) > 60
    assert max(lengths) <= 20
    assert np.mean(lengths) < 13


def test_every_chapter_has_a_preset_and_a_claim_before_its_picture():
    """Protects the form: a claim introduces each picture and its controls."""
    sections = re.findall(r'<section id="([\w-]+)".*?</section>', STORY, re.DOTALL)
    assert sections[:3] == ["opening", "gradient-descent", "momentum"]
    pictures = re.findall(
        r'<p class="claim">(?:(?!<div).)*</p>\s*<div class="stage" data-stage="([\w-]+)">', STORY, re.DOTALL
    )
    assert pictures == [name for name in sections if name != "model"]
    chapters = re.findall(r'href="#([\w-]+)"', re.search(r"<nav.*?</nav>", STORY, re.DOTALL).group())
    assert [name for name in pictures if name not in ("opening", "overshoot", "together")] == chapters


def test_links_are_to_pages_of_the_manual():
    """Protects the copy in the manual, whose links the build adds."""
    text = story_page.linked(STORY, {name: f"{name}.html" for name in story_page.LINKS})
    assert text.count("<a ") == STORY.count("<a ") + len(story_page.LINKS)
    assert all((DOCS / f"{name}.md").is_file() for name in story_page.LINKS)
