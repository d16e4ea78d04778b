"""The command for recorded training runs: analyze."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
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
    help="Write a page .html, all results .nc or .zarr, the catapults .csv, or a folder with all of it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def analyze(
    run: Path, columns: tuple[str, ...], paths: tuple[Path, ...], as_json: bool, **settings: float | None
) -> None:
    """Hold a recorded training run against the theory: thresholds, catapults, overshoot, loss spikes.

    RUN is a .csv, .tsv, .npz, .nc or .zarr with columns step, sharpness, lr, momentum, loss, or names like them, of
    gradient descent with heavy-ball or Nesterov momentum; Adam and its like have another threshold.

    Example: selfstab analyze run.csv --momentum 0.9 -c sharpness=eig0 -o report.html
    """  # fmt: skip
    from selfstab.records.analyze import analyze as held
    from selfstab.reports import analysis as run_analysis

    for path in paths:
        run_analysis.check_output(path)
    chosen: dict[str, str] = {}
    for text in columns:
        role, equals, name = text.partition("=")
        if not equals or not name:
            raise ValueError(f"--column must be ROLE=NAME, got {text!r}")
        if role in chosen:
            raise ValueError(f"--column {role} must be given once, got it twice")
        chosen[role] = name
    try:
        data = held(run, columns=chosen, **settings)
    except ValueError as error:
        # The library's argument in the words of the option.
        raise ValueError(str(error).replace("by columns, ", "by --column ")) from error
    click.echo(run_analysis.as_json(data) if as_json else run_analysis.table(data))
    for path in paths:
        run_analysis.write(data, path, run.name)
        click.echo(f"wrote {path}", err=as_json)
