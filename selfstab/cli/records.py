"""The command for recorded training runs: analyze."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selfstab.cli.errors import named_as_options
from selfstab.cli.formats import FormatsCommand, FormatsOption


@click.command(cls=FormatsCommand, short_help="Compare a recorded training run with the theory.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-c",
    "--column",
    "columns",
    multiple=True,
    metavar="ROLE=NAME",
    help="Where to find step, sharpness, lr, momentum, loss or second_sharpness, if not by its name.",
)
@click.option("--lr", type=float, help="Learning rate, if it was constant and not recorded.")
@click.option("--momentum", type=float, help="β in [0, 1), if it was constant and not recorded.")
@click.option("--lookahead", type=float, help="γ >= 0; = momentum: Nesterov.  [default: the run's, else 0]")
@click.option(
    "-o",
    "--output",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    cls=FormatsOption,
    help="Write a page .html, the results WRITTEN (of them only the catapults to .csv and .tsv), or a folder with "
    "all of it.",
)
@click.option(
    "--run", "--member", "member", default="", metavar="NAME", help="Which run, where RUN holds several."
)
@click.option(
    "--keep",
    type=click.Choice(["last", "first"]),
    help="Which rows are used where steps go back, as after a restart.  [default: refuse other numbers for a step]",
)
@click.option(
    "--updates-per-epoch",
    type=float,
    metavar="N",
    help="How many steps an epoch is, where epochs are recorded.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def analyze(
    run: Path,
    columns: tuple[str, ...],
    paths: tuple[Path, ...],
    member: str,
    keep: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compare a recorded training run with the theory: thresholds, catapults, overshoot, loss spikes.

    RUN is READABLE. Its columns are step, sharpness, lr, momentum and loss, or have names like these. The optimizer is
    gradient descent with heavy-ball or Nesterov momentum. A run of Adam also needs preconditioned_sharpness,
    since Adam's threshold is a bound on that.

    Example: selfstab analyze run.csv --momentum 0.9 -c sharpness=eig0 -o report.html
    """  # fmt: skip
    from selfstab import notices, validation
    from selfstab.records import formats
    from selfstab.records.columns.columns import OptionError
    from selfstab.records.columns.roles import ALIASES
    from selfstab.records.comparison.analyze import analyze as analysis_of
    from selfstab.reports import analysis

    for path in paths:
        analysis.check_output(path)
    names: dict[str, str] = {}
    for text in columns:
        role, equals, name = text.partition("=")
        if not equals or not name:
            raise ValueError(f"--column must be ROLE=NAME, got {text!r}")
        validation.one_of("--column", role, ALIASES)
        if role in names:
            raise ValueError(f"--column {role} must be given once, got it twice")
        names[role] = name
    options = {"member": "--run", **{name: f"--{name.replace('_', '-')}" for name in settings}}
    try:
        with named_as_options(options):
            data = analysis_of(formats.read(run, member), columns=names, keep=keep, **settings)
    except OptionError as error:
        raise ValueError(f"{error.problem}; {error.option}") from error
    click.echo(analysis.as_json(data) if as_json else analysis.table(data))
    for path in paths:
        analysis.write(data, path, notices.printable(run.name))
        click.echo(notices.printable(f"wrote {path}"), err=as_json)
