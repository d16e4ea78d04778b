"""Examples that need large libraries: of the callbacks' docstrings and of the how-to pages."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.docs.test_docs import DOCS, run_examples

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]

PAGES = sorted((DOCS / "how_to").glob("*.md"))
CALLBACKS = ("keras", "lightning", "transformers")


@pytest.mark.parametrize("name", CALLBACKS)
def test_examples_of_a_callback_run(name):
    """Protects the docstrings, which other runs leave out."""
    module = importlib.import_module(f"selfstab.records.callbacks.{name}")
    assert sum(bool(test.examples) for test in doctest.DocTestFinder().find(module)) == 1
    failures: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(module):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_a_page_run(page, tmp_path, monkeypatch):
    """Protects what a reader copies: every block is an example, with what it prints."""
    monkeypatch.chdir(tmp_path)
    run_examples(page.read_text(encoding="utf-8"), page)


def test_callbacks_have_a_file_each():
    """Protects the lists above from a callback that nobody tries."""
    folder = Path(importlib.import_module("selfstab.records.callbacks").__file__).parent
    assert {path.stem for path in folder.glob("*.py")} == {"__init__", *CALLBACKS}
