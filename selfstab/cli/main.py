"""The command line: simulate, sweep, analyze, verify, figure, reproduce, explore, derive, bench.

Every import that costs time stands inside the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfstab import __version__
from selfstab.cli import companions
from selfstab.cli.errors import OneLine, Resumable, in_words_of_options, interrupt_told

if TYPE_CHECKING:
    import xarray

    from selfstab.losses.base.loss import Loss
    from selfstab.optimizers.heavy_ball import HeavyBall
    from selfstab.validation import Array

LOSS_HELP = """LOSS is Quadratic, CubicTaylor, Product, DoubleWell, Minimalist, Chain, Coupled, MLP (on scikit-learn's
digits), DiagonalNetwork (on sparse regression), or a formula such as "(u*v - c)**2/2" with --variables u,v
and -p c=1."""


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="selfstab")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Momentum at large learning rates: self-stabilization, catapults and the edge of stability."""


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_problem = _options(
    click.argument("loss"),
    click.option("--variables", metavar="NAMES", help="A formula's weights, such as u,v."),
    click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A setting of the loss."),
    click.option("--lr", type=float, help="Learning rate (after the warmup, if there is one)."),
    click.option("--momentum", type=float, default=0.0, show_default=True, help="β in [0, 1)."),
    click.option("--lookahead", type=float, default=0.0, show_default=True, help="γ >= 0; = momentum: Nesterov."),
    click.option("--warmup", type=float, metavar="STEPS", help="Let lr grow linearly from --warmup-start."),
    click.option("--warmup-start", type=float, help="lr at the warmup's start.  [default: 0]"),
    click.option("--start", default=None, metavar="WEIGHTS",
                 help="Numbers such as 1.9,0.5, or minimum[:SHARPNESS], or initial[:SCALE]."),
    click.option("--flip", type=float, metavar="SIZE", help="Swing by ±SIZE along the top eigenvector at the start."),
    click.option("--steps", type=int, required=True, help="Number of updates."),
    click.option("--escape", type=float, default=1e6, show_default=True, help="Radius of divergence."),
    click.option("--noise", type=float, default=0.0, show_default=True, help="Standard deviation of gradient noise."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise."),
    click.option("-o", "--output", type=click.Path(path_type=Path), help="Write .zarr, .csv, or .nc (with netCDF4)."),
)  # fmt: skip


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"parameter must be NAME=VALUE, got {text!r}")
        if name in pairs:
            raise ValueError(f"parameter {name} must be given once, got it twice")
        pairs[name] = value
    return pairs


def _loss(options: dict[str, Any], axes: Container[str] = ()) -> Loss:
    from selfstab.losses.named import named_loss

    variables = [v.strip() for v in (options["variables"] or "").split(",") if v.strip()]
    return named_loss(options["loss"], _pairs(options["parameters"]), variables, axes)


def _start(loss: Loss, options: dict[str, Any]) -> tuple[Array, Array | None]:
    from selfstab.losses.base.starts import flip_start
    from selfstab.losses.named import named_start
    from selfstab.losses.symbolic.loss import SymbolicLoss

    text = options["start"]
    if text is None:
        if isinstance(loss, SymbolicLoss):
            raise ValueError(
                "start must be given for this loss: numbers, minimum[:SHARPNESS] or initial[:SCALE]"
            )
        text = "initial"
    start = named_start(text, loss)
    return (start, None) if options["flip"] is None else flip_start(loss, start, options["flip"])


def _optimizer(options: dict[str, Any], lr: float | None) -> HeavyBall:
    from selfstab.optimizers.heavy_ball import HeavyBall
    from selfstab.optimizers.schedules import LinearWarmup

    if lr is None:
        raise ValueError("lr must be given")
    warmup, first = options["warmup"], options["warmup_start"]
    if warmup is None and first is not None:
        raise ValueError(f"warmup-start must come with warmup, got {first!r} alone")
    rate = lr if warmup is None else LinearWarmup(0.0 if first is None else first, lr, warmup)
    return HeavyBall(rate, options["momentum"], options["lookahead"])


@main.command(epilog=LOSS_HELP)
@_problem
@click.option("--every", type=int, default=1, show_default=True, help="Record every k-th step.")
@click.option("--keep", multiple=True, default=("loss", "sharpness"), show_default=True, metavar="NAME",
              help="loss, sharpness, weights, velocity, gradient_norm, top_eigenvector.")  # fmt: skip
def simulate(every: int, keep: tuple[str, ...], **options: Any) -> None:
    """Run momentum gradient descent once and record it.

    Example: selfstab simulate Product --start minimum:4 --flip 1e-3 --lr 0.97 --momentum 0.9 --steps 1000
    """
    from selfstab.records import outputs
    from selfstab.runs.simulate import simulate as run

    if options["output"] is not None:
        outputs.check_output(options["output"])
    loss = _loss(options)
    start, previous = _start(loss, options)
    data = run(
        loss, _optimizer(options, options["lr"]), start, options["steps"], previous=previous, every=every, keep=keep,
        escape=options["escape"], noise=options["noise"], seed=options["seed"],
    )  # fmt: skip
    click.echo(outputs.run_table(data))
    _write(data, options["output"])


def _write(data: xarray.Dataset, path: Path | None) -> None:
    from selfstab.records import outputs

    if path is not None:
        outputs.write(data, path)
        click.echo(f"wrote {path}")


@main.command(cls=Resumable, epilog=LOSS_HELP)
@_problem
@click.option("-a", "--axis", "axes", multiple=True, required=True, metavar="NAME=VALUES",
              help="a,b,c or lin:FIRST:LAST:COUNT or log:FIRST:LAST:COUNT of momentum, lookahead, lr, excess, "
                   "noise, lr.start, lr.end, lr.steps, start.NAME, previous.NAME, start.seed or start.scale (with "
                   "--start initial), or a parameter of the loss or its data.")  # fmt: skip
@click.option("-m", "--measure", "measures", multiple=True, metavar="NAME",
              default=("final_loss", "final_sharpness", "min_sharpness", "diverged_at", "phase"), show_default=True,
              help="Also max_loss, max_sharpness, overshoot, peak_excess, drop.")  # fmt: skip
@click.option("--repeats", type=int, default=1, show_default=True, help="Noise realizations.")
@click.option("--threads", type=int, help="Number of threads (default: one for each CPU).")
@click.option("--scheduler", metavar="ADDRESS", help="Run on a Dask cluster, such as tcp://127.0.0.1:8786.")
@click.option(
    "--store",
    metavar="FOLDER",
    help="Keep each finished block in this Zarr store: the same command, "
    "killed and started again, goes on from there.",
)
@click.option(
    "--resume", metavar="STORE", help="Go on with the sweep of a store; nothing else need be given."
)
@click.option("--progress/--no-progress", default=True, help="Show a bar (in a terminal only).")  # fmt: skip
def sweep(
    axes: tuple[str, ...],
    measures: tuple[str, ...],
    repeats: int,
    threads: int | None,
    scheduler: str | None,
    store: str | None,
    resume: str | None,
    progress: bool,
    **options: Any,
) -> None:
    """Run a grid of settings and measure each run.

    Example: selfstab sweep CubicTaylor --start minimum --flip 1e-3 --steps 2000 -a momentum=lin:0:0.95:64 -a
    excess=log:0.001:0.3:64 -m overshoot -m phase -o diagram.zarr
    """
    import warnings

    from selfstab.records import outputs

    if options["output"] is not None:
        outputs.check_output(options["output"], store or resume)
    if scheduler is not None and threads is not None:
        raise ValueError(
            f"--threads must be left out beside --scheduler, whose workers have theirs, got {threads}"
        )
    where: dict[str, Any] = {"threads": threads, "client": scheduler, "progress": progress}
    with warnings.catch_warnings():
        # A damaged store is told in one line.
        warnings.filterwarnings("always", message="store ")
        warnings.showwarning = lambda message, *_, **__: click.echo(f"note: {message}", err=True)
        try:
            with interrupt_told():
                if resume is None:
                    data = _swept(axes, measures, repeats, options, where | {"store": store})
                else:
                    from selfstab.sweeps.sweep import resume as run

                    data = run(resume, **where)
        except (ValueError, ImportError, OSError) as error:
            raise in_words_of_options(error, scheduler, resume) from error
        except KeyboardInterrupt:
            kept = store or resume
            click.echo(
                "interrupted" + (f"; selfstab sweep --resume {shlex.quote(kept)} goes on" if kept else ""),
                err=True,
            )
            sys.exit(130)
    click.echo(outputs.sweep_table(data))
    _write(data, options["output"])


def _swept(
    axes: tuple[str, ...],
    measures: tuple[str, ...],
    repeats: int,
    options: dict[str, Any],
    where: dict[str, Any],
) -> xarray.Dataset:
    from selfstab.losses.named import named_axis, named_initialization
    from selfstab.sweeps.sweep import sweep as run

    grid: dict[str, Any] = {}
    for name, values in map(named_axis, axes):
        if name in grid:
            raise ValueError(f"axis {name} must be given once, got it twice")
        grid[name] = values
    setting = next((name for name in ("lr", "lr.end", "excess") if name in grid), None)
    if setting is not None and options["lr"] is not None:
        raise ValueError(
            f"--lr must be left out beside the axis {setting}, which sets it, got {options['lr']:g}"
        )
    loss = _loss(options, grid)
    start, previous = _start(loss, options)
    # Axes may set what the weights are drawn from.
    drawn = None if options["flip"] is not None else named_initialization(options["start"] or "initial")
    # An axis may set the lr; the optimizer then holds a number that is not used.
    lr = options["lr"] if setting is None else 1.0
    return run(
        loss, _optimizer(options, lr), grid, start=drawn or start, steps=options["steps"], previous=previous,
        measure=measures, escape=options["escape"], noise=options["noise"], seed=options["seed"], repeats=repeats,
        **where,
    )  # fmt: skip


@main.command()
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


@main.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--list", "listed", is_flag=True, help="List the names and what they state; check nothing.")
def verify(names: tuple[str, ...], as_json: bool, listed: bool) -> None:
    """Check the theory's predictions (all, or those NAMED) against simulation.

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
        _check_prediction(name, [*dict.fromkeys(word.split()[0] for word in known), *known])
    data = verification.verify(list(names) or None)
    click.echo(json.dumps(data.to_dict(), default=str) if as_json else verification.table(data))
    sys.exit(verification.exit_code(data))


def _check_prediction(name: str, known: list[str]) -> None:
    """Raise ValueError, with the names most like it, if a prediction is not known."""
    import difflib

    from selfstab import validation

    if name in known:
        return
    lower = {word.lower(): word for word in known}
    close = [lower[word] for word in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.4)]
    raise ValueError(
        f"NAMES must be names of predictions, got {validation.shown(name)}"
        + (f"; like it: {', '.join(close)}" if close else "")
        + "; selfstab verify --list shows all"
    )


@main.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1.  [default: a free one]"
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in a browser.")
def explore(port: int, browser: bool) -> None:
    """Explore runs and diagrams with sliders, on a page of this machine's own (extra 'explore').

    The page is served on 127.0.0.1 only, and fetches nothing from elsewhere.
    """
    from selfstab.explorer import server

    server.serve(port, browser=browser, say=click.echo)


for command in companions.COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main()
