"""The command for many runs: sweep."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from selfstab import notices
from selfstab.cli.errors import Resumable, interrupt_notice, named_as_options
from selfstab.cli.optimizers import OptimizerCommand, final_rates, optimizer_of
from selfstab.cli.options import LOSS_HELP, loss_of, problem_options, require, start_of, write_output

if TYPE_CHECKING:
    import xarray


class _Sweep(Resumable, OptimizerCommand):
    """The command's words: those of optimizers, and those allowed beside --resume."""


@click.command(cls=_Sweep, epilog=LOSS_HELP)
@problem_options
@click.option("-a", "--axis", "axes", multiple=True, metavar="NAME=VALUES",
              help="a,b,c or lin:FIRST:LAST:COUNT or log:FIRST:LAST:COUNT of lr, excess, noise, a number of "
                   "the optimizer such as momentum, lr.start, lr.end, lr.steps, start.NAME, previous.NAME, start.seed "
                   "or start.scale (with --start initial), or a parameter of the loss or its data.  "
                   "[required]")  # fmt: skip
@click.option("-m", "--measure", "measures", multiple=True, metavar="NAME",
              default=("final_loss", "final_sharpness", "min_sharpness", "diverged_at", "phase"), show_default=True,
              help="Also max_loss, max_sharpness, overshoot, peak_excess_sharpness, drop; of Adam and RMSProp also "
                   "final_preconditioned_sharpness, and min and max of it.")  # fmt: skip
@click.option("--repeats", type=int, default=1, show_default=True, help="Noise realizations.")
@click.option("--threads", type=int, help="Number of threads (default: one for each CPU).")
@click.option("--scheduler", metavar="ADDRESS", help="Run on a Dask cluster, such as tcp://127.0.0.1:8786.")
@click.option(
    "--store",
    metavar="FOLDER",
    help="Keep each finished block in this Zarr store. The same command goes on from there "
    "after an interruption.",
)
@click.option("--resume", metavar="STORE", help="Go on with the sweep of a store. Nothing else is needed.")
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

    An output that ends in .png, .svg or .pdf is a phase diagram, of a sweep over two axes.

    Example: selfstab sweep CubicTaylor --start minimum --flip 1e-3 --steps 2000 -a momentum=lin:0:0.95:64 -a
    excess=log:0.001:0.3:64 -m overshoot -m phase -o diagram.png
    """
    from selfstab.cli import pictures, tables

    pictures.check_output(options["output"], store or resume)
    if scheduler is not None and threads is not None:
        raise ValueError(
            f"--threads must be left out beside --scheduler, whose workers have theirs, got {threads}"
        )
    where: dict[str, Any] = {"threads": threads, "client": scheduler, "progress": progress}
    names = {} if scheduler is None else {"client": "--scheduler"}
    if resume is not None:
        names["store"] = "--resume's store"
    try:
        with named_as_options(names), notices.heard_by(_note), interrupt_notice():
            if resume is None:
                data = _swept(axes, measures, repeats, options, where | {"store": store})
            else:
                from selfstab.sweeps.sweep import resume as run

                data = run(resume, **where)
    except KeyboardInterrupt:
        folder = store or resume
        click.echo(
            "interrupted"
            + (
                f"; selfstab sweep --resume {notices.printable(shlex.quote(folder))} goes on"
                if folder
                else ""
            ),
            err=True,
        )
        sys.exit(130)
    click.echo(tables.sweep_table(data))
    write_output(data, options["output"], pictures.of_sweep)


def _note(text: str) -> None:
    click.echo(f"note: {notices.printable(text)}", err=True)


def _swept(
    axes: tuple[str, ...],
    measures: tuple[str, ...],
    repeats: int,
    options: dict[str, Any],
    where: dict[str, Any],
) -> xarray.Dataset:
    import numpy as np

    from selfstab.cli.parsing import named_axis, named_initialization
    from selfstab.cli.pictures import check_sweep
    from selfstab.kernels.measures import measure_names
    from selfstab.notices import unheard
    from selfstab.sweeps.plan.axes import check_names
    from selfstab.sweeps.sweep import sweep as run

    grid: dict[str, Any] = {}
    for name, values in map(named_axis, axes):
        if name in grid:
            raise ValueError(f"axis {name} must be given once, got it twice")
        grid[name] = values
    setting = next((name for name in ("lr", *final_rates(), "excess") if name in grid), None)
    if setting is not None and options["lr"] is not None:
        raise ValueError(
            f"--lr must be left out beside the axis {setting}, which sets it, got {options['lr']:g}"
        )
    loss = loss_of(options, grid)
    # Axes may set what the weights are drawn from.
    drawn = None if options["flip"] is not None else named_initialization(options["start"] or "initial")
    # An axis may set the lr; the optimizer then holds a number that is not used.
    lr = options["lr"] if setting is None else 1.0
    # What is misspelt is told before what is missing.
    check_names(loss, optimizer_of(options, 1.0 if lr is None else lr), grid, drawn)
    with unheard():  # the sweep itself notes former names
        measure_names("measure", measures)
    require("'-a' / '--axis'", axes)
    check_sweep({name: np.size(values) for name, values in grid.items()}, measures, options["output"])
    optimizer = optimizer_of(options, lr)
    start, previous = start_of(loss, options)
    require("'--steps'", options["steps"])
    return run(
        loss, optimizer, grid, start=drawn or start, steps=options["steps"], previous=previous,
        measure=measures, escape=options["escape"], noise=options["noise"], seed=options["seed"], repeats=repeats,
        **where,
    )  # fmt: skip
