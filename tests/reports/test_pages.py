"""Templates of reports: text is escaped, and a value that lacks is an error."""

from __future__ import annotations

import jinja2
import pytest

from selfstab.reports import pages


def test_text_cannot_become_markup():
    """Protects readers of a page from a run's name or an error's text."""
    page = pages.filled(
        "reproduce.html",
        figures=[],
        predictions=[],
        settings={"a": "<b>"},
        failures=["<script>"],
        summary={"<i>": "<u>"},
    )
    assert "<b>" not in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_value_that_lacks_is_an_error():
    """Protects against a page with a hole."""
    with pytest.raises(jinja2.UndefinedError, match="is undefined"):
        pages.filled("reproduce.html", figures=[])
    with pytest.raises(jinja2.TemplateNotFound):
        pages.filled("absent.html")
