"""English of the manual and of docstrings: short sentences, and words that say what is meant."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.sentences import PAGES, ROOT, Sentence, of_docstring, of_page, public_docstrings, words

LONGEST_ON_A_PAGE = 30
LONGEST_IN_A_DOCSTRING = 25
MEAN = 20
"""Numbers of words: a formula is one word, and so is a piece of code."""
PRIVATE = re.compile(
    r"\b(held against|runs? beside|stands?|stood|(?:is|are|be|was|told) told|tells? of|brought to|"
    r"(?:and|or) (?:its|their) (?:like|kin)|(?:excess|drop|error) over)\b"
)
"""Words in a sense of our own, or "over" in place of "above" or "divided by"."""
FIGURES = [path for path in sorted((ROOT / "figures").glob("*.py")) if path.stem != "__init__"]
DOCSTRINGS = dict(public_docstrings())


def longer(sentences: list[Sentence], most: int) -> list[str]:
    return [f"{one.words}: {one.text}" for one in sentences if one.words > most]


@pytest.mark.parametrize("page", PAGES)
def test_sentences_of_pages_are_short(page):
    """Protects readers of English as a second language, on every page: on average, and each sentence."""
    sentences = of_page(page)
    assert longer(sentences, LONGEST_ON_A_PAGE) == []
    assert sum(one.words for one in sentences) < MEAN * max(1, len(sentences))


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_no_private_words(page):
    """Protects readers from words that mean something else than in a dictionary."""
    assert [one.text for one in of_page(page) if PRIVATE.search(one.text)] == []


def test_sentences_of_docstrings_are_short():
    """Protects who reads ``help``: of every public name."""
    assert len(DOCSTRINGS) > 400
    sentences = [one for name, text in DOCSTRINGS.items() for one in of_docstring(name, text)]
    assert [
        f"{one.where}, {one.words}: {one.text}" for one in sentences if one.words > LONGEST_IN_A_DOCSTRING
    ] == []
    assert sum(one.words for one in sentences) < 15 * len(sentences)


def test_sentences_of_captions_are_short():
    """Protects who reads a figure: its caption is the docstring of its script."""
    captions = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in FIGURES}
    assert len(captions) > 30
    assert [
        one for name, text in captions.items() for one in longer(of_docstring(name, text), LONGEST_ON_A_PAGE)
    ] == []


def test_docstrings_have_no_private_words():
    """Protects who reads ``help`` from words that mean something else than in a dictionary."""
    found = [
        f"{one.where}: {one.text}"
        for name, text in DOCSTRINGS.items()
        for one in of_docstring(name, text)
        if PRIVATE.search(one.text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The sharpness falls by 2y₀ = 0.4 there.", 6),
        ("It is ε((1 + β)/(1 − β))² at the start", 6),
        ("One, two and three", 4),
    ],
)
def test_a_formula_is_one_word(text, count):
    """Protects the count: else mathematics would be forbidden, or anything allowed."""
    assert words(text) == count


def test_sentences_are_cut_where_they_end():
    """Protects the cut: at a stop, an item, a heading and a line set off, and not at an abbreviation or in code."""
    text = "One is here. Two is `a. B` here, e.g. Three.\n\n- An item is one.\n- Another item is two.\n"
    page = of_docstring("", text)
    assert [one.text for one in page] == [
        "One is here.",
        "Two is `a. B` here, e.g. Three.",
        "An item is one.",
        "Another item is two.",
    ]
