"""The commands' pages in the manual: they say what --help says, and their examples can be copied."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click
import pytest

from selfstab.cli.program import main

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_extensions"


@pytest.fixture(scope="module")
def extension():
    sys.path.insert(0, str(EXTENSIONS))
    try:
        yield importlib.import_module("commands")
    finally:
        sys.path.remove(str(EXTENSIONS))


def test_examples_are_code_and_formats_have_names(extension):
    """Protects who copies a line: two hyphens stay two, and a line is whole."""
    lines = [
        "RUN is READABLE.",
        "",
        "Example: selfstab analyze run.csv --momentum 0.9",
        "-o report.html",
        "",
        "The end.",
    ]
    extension.described(None, None, lines)
    assert lines[0].startswith("RUN is .")
    assert ".csv" in lines[0]
    assert "   selfstab analyze run.csv --momentum 0.9 -o report.html" in lines
    assert lines[-1] == "The end."


def test_completion_is_said_once(extension):
    """Protects the page from the same lines twice; the epilogs of other commands stay."""
    lines = ["one", "two"]
    extension.ended(None, click.Context(main), lines)
    assert lines == []
    other = ["LOSS is one of these."]
    extension.ended(None, click.Context(main.commands["simulate"]), other)
    assert other == ["LOSS is one of these."]


def test_the_help_has_completion_for_each_shell():
    """Protects who never opens the manual."""
    text = main.get_help(click.Context(main))
    assert all(f"{shell}_source selfstab" in text for shell in ("bash", "zsh", "fish"))


def test_the_list_of_commands_is_not_cut():
    """Protects the first screen of the command line: each command's line fits 80 columns."""
    assert "..." not in main.get_help(click.Context(main, terminal_width=80)).partition("Commands:")[2]
