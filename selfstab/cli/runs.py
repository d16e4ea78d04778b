"""The command for one run: simulate."""

from __future__ import annotations

from typing import Any

import click

from selfstab.cli.optimizers import OptimizerCommand, optimizer_of
from selfstab.cli.options import LOSS_HELP, loss_of, problem_options, start_of, write_output


@click.command(cls=OptimizerCommand, epilog=LOSS_HELP)
@problem_options
@click.option("--every", type=int, default=1, show_default=True, help="Record every k-th step.")
@click.option("--keep", multiple=True, default=("loss", "sharpness"), show_default=True, metavar="NAME",
              help="loss, sharpness, weights, velocity, gradient_norm, top_eigenvector, preconditioned_sharpness, "
                   "preconditioner.")  # fmt: skip
def simulate(every: int, keep: tuple[str, ...], **options: Any) -> None:
    """Run an optimizer once and record it.

    Example: selfstab simulate Product --start minimum:4 --flip 1e-3 --lr 0.97 --momentum 0.9 --steps 1000
    """
    from selfstab.cli import tables
    from selfstab.records import outputs
    from selfstab.runs.simulate import simulate as run

    if options["output"] is not None:
        outputs.check_output(options["output"])
    loss = loss_of(options)
    start, previous = start_of(loss, options)
    data = run(
        loss, optimizer_of(options, options["lr"]), start, options["steps"], previous=previous, every=every, keep=keep,
        escape=options["escape"], noise=options["noise"], seed=options["seed"],
    )  # fmt: skip
    click.echo(tables.run_table(data))
    write_output(data, options["output"])
