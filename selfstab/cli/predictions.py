"""The command for the theory's predictions: verify."""

from __future__ import annotations

import sys

import click

from selfstab.cli.errors import named_as_options


@click.command(short_help="Check the predictions of the theory against simulation.")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--wide", is_flag=True, help="Print all columns, in lines of about 190 characters.")
@click.option("--list", "listed", is_flag=True, help="List the names and what they state; check nothing.")
def verify(names: tuple[str, ...], as_json: bool, wide: bool, listed: bool) -> None:
    """Check the theory's predictions (all, or those NAMED) against simulation.

    NAMES are those of --list, their first words, such as A5, or derivations such as a5_overshoot.

    Exits 0 if all hold, 1 if some fail, 3 if some could not run.
    """
    import json

    from selfstab import verification

    if listed:
        for prediction in verification.PREDICTIONS:
            click.echo(f"{prediction.name:32s} {prediction.statement}")
        return
    with named_as_options({"names": "NAMES"}):
        data = verification.verify(list(names) or None)
    click.echo(json.dumps(data.to_dict(), default=str) if as_json else verification.table(data, wide=wide))
    sys.exit(verification.exit_code(data))
