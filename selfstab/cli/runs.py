"""The command for one run: simulate."""

from __future__ import annotations

from typing import Any

import click

from selfstab.cli.optimizers import OptimizerCommand, optimizer_of
from selfstab.cli.options import LOSS_HELP, loss_of, problem_options, require, start_of, write_output


@click.command(cls=OptimizerCommand, epilog=LOSS_HELP)
@problem_options
@click.option("--every", type=int, default=1, show_default=True, help="Record every k-th step.")
@click.option("--keep", multiple=True, default=("loss", "sharpness"), show_default=True, metavar="NAME",
              help="loss, sharpness, weights, velocity, gradient_norm, top_eigenvector, preconditioned_sharpness, "
                   "preconditioner.")  # fmt: skip
def simulate(every: int, keep: tuple[str, ...], **options: Any) -> None:
    """Run an optimizer once and record it.

    Prints a few steps, and what happened: catapults, with the overshoot that theory predicts. An output that ends in
    .png, .svg or .pdf is a picture of sharpness and loss.

    Example: selfstab simulate Product --start minimum:4 --flip 1e-3 --lr 0.97 --momentum 0.9 --steps 1000 -o run.png
    """
    from selfstab.cli import pictures, tables
    from selfstab.runs.simulate import simulate as run

    pictures.check_output(options["output"])
    pictures.check_run(keep, options["output"])
    loss = loss_of(options)
    optimizer = optimizer_of(options, options["lr"])
    start, previous = start_of(loss, options)
    require("'--steps'", options["steps"])
    data = run(
        loss, optimizer, start, options["steps"], previous=previous, every=every, keep=keep, escape=options["escape"],
        noise=options["noise"], seed=options["seed"],
    )  # fmt: skip
    found = tables.catapults_of(data)
    click.echo(tables.run_table(data, found))
    click.echo(tables.run_summary(data, found, optimizer))
    write_output(data, options["output"], pictures.of_run)
