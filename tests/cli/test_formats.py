"""Help that names formats: those that are known when it is shown, in an option and in a command's text."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from selfstab.cli.formats import FormatsCommand, FormatsOption, with_formats
from selfstab.records import formats
from selfstab.records.formats import Format, Table
from tests.cli.commands import run


@click.command(cls=FormatsCommand)
@click.option("-o", "--output", cls=FormatsOption, help="Write WRITTEN here.")
@click.option("--quiet", cls=FormatsOption, hidden=True, help="Write WRITTEN nowhere.")
def copy(output: str, quiet: str) -> None:
    """Copy READABLE to WRITTEN."""


def shown() -> str:
    return " ".join(CliRunner().invoke(copy, ["--help"], terminal_width=200).output.split())


def test_help_follows_the_registry() -> None:
    """Protects formats of one's own: a help written before them names them, and no longer once they are gone."""

    class Log(Format):
        name = "log"
        suffixes = (".ours",)

        def read(self, source, member=""):
            return Table({})

    before = shown()
    assert "Copy .arrow, .bz2, .csv, .dat, .db, .feather, " in before
    assert "Write .csv, .nc, .npz, .tsv or .zarr here." in before
    formats.register(Log)
    try:
        # It is read, and not written.
        assert ".ours" in with_formats("READABLE")
        assert ".ours" in shown()
        assert ".ours" not in with_formats("WRITTEN")
    finally:
        formats.unregister("log")
    assert shown() == before


@pytest.mark.parametrize("command", ["simulate", "sweep", "analyze"])
def test_no_help_shows_the_word_that_stands_for_formats(command: str) -> None:
    """Protects helps whose option or command is of click's own class, which would show the placeholder."""
    output = run(command, "--help").output
    assert "WRITTEN" not in output
    assert "READABLE" not in output
    assert ".zarr" in output
