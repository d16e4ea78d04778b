"""Help that names the formats of recorded runs: the formats are asked when the help is shown, and not before."""

from __future__ import annotations

import inspect

import click

READABLE = "READABLE"
"""In a help, the place of all that is read."""

WRITTEN = "WRITTEN"
"""In a help, the place of the suffixes that are written."""


def with_formats(text: str) -> str:
    """Return a help with the formats that are known in their places.

    >>> with_formats("Write WRITTEN.")
    'Write .csv, .nc, .npz, .tsv or .zarr.'
    """
    from selfstab.records import formats

    written = formats.listed(formats.suffixes(written=True))
    return text.replace(READABLE, formats.readable()).replace(WRITTEN, written)


class FormatsOption(click.Option):
    """An option whose help names formats."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's words and its help."""
        record = super().get_help_record(ctx)
        return record if record is None else (record[0], with_formats(record[1]))


class FormatsCommand(click.Command):
    """A command whose help names formats."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(with_formats(inspect.cleandoc(self.help or "")))
