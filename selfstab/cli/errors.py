"""How the command line answers: bad input in one line, an interrupt at once, errors in the words of its options."""

from __future__ import annotations

import copy
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import click

from selfstab.cli.formats import FormatsOption
from selfstab.notices import printable

_PICTURE_WORDS: Final = ("--plot", "--picture", "--figure", "--png")
"""Options of other programs that ask for a picture."""


class BadInput(click.ClickException):
    """Bad input, answered with one line and exit code 2."""

    exit_code = 2

    def __init__(self, error: Exception) -> None:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        if (
            isinstance(error, click.NoSuchOption)
            and error.option_name in _PICTURE_WORDS
            and _draws(error.ctx)
        ):
            text = f"No such option '{error.option_name}'; for a picture use -o run.png"
        super().__init__(printable(" ".join(text.split())) or type(error).__name__)


def _draws(ctx: click.Context | None) -> bool:
    """Whether a command writes pictures beside the formats of datasets."""
    parameters = [] if ctx is None else ctx.command.params
    return any(isinstance(option, FormatsOption) and option.name == "output" for option in parameters)


class OneLine(click.Group):
    """A group whose commands answer bad input with one line and exit code 2."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the words; a usage error becomes bad input."""
        try:
            return super().make_context(*args, **kwargs)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise BadInput(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that a user can cause becomes bad input."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise BadInput(error) from None
        except BrokenPipeError:  # the reader has seen enough, as with | head; click ends quietly
            raise
        except (ValueError, TypeError, ImportError, OSError, MemoryError, OverflowError) as error:
            if ctx.params.get("debug"):
                raise
            raise BadInput(error) from None


class Resumable(click.Command):
    """A command that needs none of its arguments beside ``--resume``."""

    beside = frozenset({"resume", "threads", "scheduler", "progress", "output"})

    def _resuming(self, ctx: click.Context) -> click.Command:
        """Return the same command with copies of its parameters, none of which is required."""
        own = [parameter for parameter in self.get_params(ctx) if parameter != self.get_help_option(ctx)]
        return click.Command(self.name, params=[_optional(parameter) for parameter in own])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; beside --resume nothing is required, and no setting of the sweep allowed."""
        if all(word.partition("=")[0] != "--resume" for word in args):
            return super().parse_args(ctx, args)
        resuming = self._resuming(ctx)
        rest = resuming.parse_args(ctx, args)
        for name in ctx.params.keys() - self.beside:
            if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                option = next(p for p in resuming.params if p.name == name)
                text = option.opts[-1] if isinstance(option, click.Option) else option.human_readable_name
                raise click.UsageError(
                    f"--resume must be without settings of the sweep, got {text} beside it"
                )
        return rest


def _optional(parameter: click.Parameter) -> click.Parameter:
    optional = copy.copy(parameter)
    optional.required = False
    return optional


@contextmanager
def named_as_options(names: Mapping[str, str]) -> Iterator[None]:
    """Let an error about an argument name the option that was given, by argument."""
    from selfstab.validation import ArgumentError

    try:
        yield
    except ArgumentError as error:
        if error.argument in names:
            raise error.named(names[error.argument]) from error
        raise


@contextmanager
def interrupt_notice() -> Iterator[None]:
    """Say at Ctrl-C, at once, what it waits for."""
    if threading.current_thread() is not threading.main_thread():  # only that one gets it
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def answer(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)  # the second one need not be told
        click.echo(
            ("\n" if sys.stderr.isatty() else "") + "stopping after the blocks under way ...", err=True
        )
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
