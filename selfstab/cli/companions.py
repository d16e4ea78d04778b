"""Commands of the packages that come with this one: figures, derivations, benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click


@click.command(short_help="Make one figure, or list all.")
@click.argument("name", required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("figures-output"), show_default=True
)
@click.option("--quick", is_flag=True, help="Coarser grids and fewer steps.")
def figure(name: str | None, output: Path, quick: bool) -> None:
    """Make one figure (PNG, SVG, PDF) and its data. Without a NAME, list the figures.

    Exits 1 if the numbers it shows are not what the theory says.
    """
    from selfstab.reports import figures

    if name is None:
        for known, title in figures.titles().items():
            click.echo(f"{known:24s} {title}")
        return
    try:
        for line in figures.make_figure(name, output, quick=quick):
            click.echo(line)
    except figures.CheckFailed as failed:
        click.echo(f"the numbers shown are not what the theory says: {failed}", err=True)
        sys.exit(1)


@click.command(short_help="Make all figures and the table of predictions.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("report"), show_default=True)
@click.option("--quick", is_flag=True, help="Coarser grids and fewer steps: about a minute.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Only this figure (repeat for more), or 'predictions'."
)
@click.option("--fresh", is_flag=True, help="Make parts again that are finished in the folder.")
def reproduce(output: Path, quick: bool, only: tuple[str, ...], fresh: bool) -> None:
    """Make every figure and the table of predictions, in one folder with an index.html.

    Parts that the same code, versions and settings have finished there are reused. So the same command goes on after an
    interruption.

    Exits 1 if a figure's numbers or a prediction fail, 3 if a prediction could not run.
    """
    from selfstab.machine import available_threads
    from selfstab.reports import reproduce as reproduction

    try:
        code = reproduction.reproduce(output, quick=quick, only=only or None, say=click.echo, fresh=fresh,
                                      processes=min(4, available_threads()))  # fmt: skip
    except KeyboardInterrupt:
        click.echo(
            f"interrupted; {output / 'index.html'} has what is finished, the same command goes on", err=True
        )
        sys.exit(130)
    sys.exit(code)


@click.command(short_help="Print a derivation, with every step checked.")
@click.argument("name", required=False)
@click.option("--latex", is_flag=True, help="Print a LaTeX document instead.")
@click.option(
    "--html", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write pages into DIR instead."
)
def derive(name: str | None, latex: bool, folder: Path | None) -> None:
    """Print the derivation of a result, with every step checked. Without a NAME, run all of them."""
    if latex and folder is not None:
        raise ValueError("latex and html must not be given both")
    if folder is not None and not folder.parent.is_dir():
        raise ValueError(f"html must be in a folder that exists, got {str(folder)!r}")
    from selfstab.reports.companions import companion

    run = companion("derivations.__main__").main
    sys.exit(run([] if name is None else [name], latex, folder))


@click.command(short_help="Measure speed against named baselines.")
@click.argument("words", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Print the lines' names and measure nothing.")
@click.option("--quick", is_flag=True, help="Small grids: a smoke test, not a measurement.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    help="Write all samples, versions and the machine to this file.",
)
def bench(words: tuple[str, ...], listed: bool, quick: bool, json_path: Path | None) -> None:
    """Measure speed as ratios against named baselines in the same run.

    With WORDS only the lines whose names contain one of them, such as hessian or "sweep / C". Each line is printed when
    it is measured. The table also has the processor, the width of its vectors and whether the machine was quiet.

    Exits 1 if a target is missed, 3 if a baseline is missing, 130 if interrupted.
    """
    from selfstab.reports.companions import companion

    benchmarks = companion("benchmarks")
    if listed:
        click.echo("\n".join(benchmarks.names(words, quick)))
        return
    sys.exit(benchmarks.run(quick=quick, json_path=json_path, words=words))


COMMANDS: Final = (figure, reproduce, derive, bench)
"""In the order in which the help lists them."""
