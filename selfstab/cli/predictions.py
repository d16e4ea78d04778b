"""The command for the theory's predictions: verify."""

from __future__ import annotations

import sys

import click


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

    known = {p.name: p.statement for p in verification.PREDICTIONS}
    if listed:
        for name, statement in known.items():
            click.echo(f"{name:32s} {statement}")
        return
    for name in names:
        _check_prediction(name, verification.known_names())
    data = verification.verify(list(names) or None)
    click.echo(json.dumps(data.to_dict(), default=str) if as_json else verification.table(data, wide=wide))
    sys.exit(verification.exit_code(data))


def _check_prediction(name: str, known: list[str]) -> None:
    """Raise ValueError, with the names most like it, if a prediction is not known."""
    import difflib

    from selfstab import validation, verification

    if verification.meant_by(name):
        return
    lower = {word.lower(): word for word in known}
    close = [lower[word] for word in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.4)]
    raise ValueError(
        f"NAMES must be names of predictions, got {validation.shown(name)}"
        + (f"; like it: {', '.join(close)}" if close else "")
        + "; selfstab verify --list shows all"
    )
