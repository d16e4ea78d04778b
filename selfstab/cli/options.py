"""What the commands share: the options of a run, and the objects that they name."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfstab.cli.formats import FormatsOption
from selfstab.losses.registry import REGISTRY
from selfstab.notices import printable

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from selfstab.losses.base.loss import Loss
    from selfstab.validation import Array

_NAMES = ", ".join(f"{name} ({note})" if note else name for name, (_, note) in REGISTRY.items())
LOSS_HELP = f"""LOSS is {_NAMES}, or a formula such as "(u*v - c)**2/2" with --variables u,v and -p c=1."""


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


problem_options = _options(
    click.argument("loss"),
    click.option("--variables", metavar="NAMES", help="A formula's weights, such as u,v."),
    click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A setting of the loss."),
    click.option("--lr", type=float, help="Learning rate (after the warmup, if there is one)."),
    click.option("--start", default=None, metavar="WEIGHTS",
                 help="Numbers such as 1.9,0.5, or minimum[:SHARPNESS], or near:1.9,0.5, the minimum near them, "
                 "or initial[:SCALE]."),
    click.option("--flip", type=float, metavar="SIZE", help="Swing by ±SIZE along the top eigenvector at the start."),
    click.option("--steps", type=int, help="Number of updates.  [required]"),
    click.option("--escape", type=float, default=1e6, show_default=True, help="Radius of divergence."),
    click.option("--noise", type=float, default=0.0, show_default=True, help="Standard deviation of gradient noise."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise."),
    click.option("-o", "--output", type=click.Path(path_type=Path), cls=FormatsOption,
                 help="Write WRITTEN, or a picture: .png, .svg or .pdf; .nc needs netCDF4."),
)  # fmt: skip


def named_values(texts: tuple[str, ...]) -> dict[str, str]:
    """Return the values by name of texts NAME=VALUE."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"parameter must be NAME=VALUE, got {text!r}")
        if name in pairs:
            raise ValueError(f"parameter {name} must be given once, got it twice")
        pairs[name] = value
    return pairs


def loss_of(options: dict[str, Any], axes: Container[str] = ()) -> Loss:
    """Return the loss that the options name; a family where an axis sets what its data are made from."""
    from selfstab.losses.named import named_loss

    variables = [v.strip() for v in (options["variables"] or "").split(",") if v.strip()]
    return named_loss(options["loss"], named_values(options["parameters"]), variables, axes)


def start_of(loss: Loss, options: dict[str, Any]) -> tuple[Array, Array | None]:
    """Return the weights at the start, and those before it if the options ask for a flip."""
    from selfstab.cli.parsing import named_start
    from selfstab.losses.base.starts import flip_start

    text = options["start"]
    if text is None:
        if loss.kernel is not None:
            raise ValueError(
                "start must be given for this loss: numbers, minimum[:SHARPNESS], near:NUMBERS or initial[:SCALE]"
            )
        text = "initial"
    start = named_start(text, loss)
    return (start, None) if options["flip"] is None else flip_start(loss, start, options["flip"])


def require(option: str, value: Any) -> None:
    """Raise UsageError if an option was not given: after names are checked, so that typos come first."""
    if value is None or value == ():
        raise click.UsageError(f"Missing option {option}.")


def write_output(
    data: xarray.Dataset, path: Path | None, draw: Callable[[xarray.Dataset], Figure] | None = None
) -> None:
    """Write a dataset, or its picture, to the file that the options name, if they do, and say so."""
    from selfstab.cli import pictures
    from selfstab.records import outputs

    if path is None:
        return
    if draw is not None and pictures.is_picture(path):
        click.echo(pictures.write(data, path, draw))
        return
    outputs.write(data, path)
    click.echo(printable(f"wrote {path}"))
