"""How the command line answers: bad input in one line, an interrupt at once, errors in the words of its options."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click


class BadInput(click.ClickException):
    """Bad input, answered with one line and exit code 2."""

    exit_code = 2

    def __init__(self, error: Exception) -> None:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        super().__init__(" ".join(text.split()) or type(error).__name__)


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; beside --resume nothing is required, and no setting of the sweep allowed."""
        if all(word.partition("=")[0] != "--resume" for word in args):
            return super().parse_args(ctx, args)
        needed = [parameter for parameter in self.params if parameter.required]
        for parameter in needed:
            parameter.required = False
        try:
            rest = super().parse_args(ctx, args)
        finally:
            for parameter in needed:
                parameter.required = True
        for name in ctx.params.keys() - self.beside:
            if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                option = next(p for p in self.get_params(ctx) if p.name == name)
                shown = option.opts[-1] if isinstance(option, click.Option) else option.human_readable_name
                raise click.UsageError(
                    f"--resume must stand without settings of the sweep, got {shown} beside it"
                )
        return rest


@contextmanager
def interrupt_told() -> Iterator[None]:
    """Say at Ctrl-C, at once, what it waits for."""
    if threading.current_thread() is not threading.main_thread():  # only that one gets it
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def told(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)  # the second one need not be told
        click.echo(
            ("\n" if sys.stderr.isatty() else "") + "stopping after the blocks under way ...", err=True
        )
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def in_words_of_options(error: Exception, scheduler: str | None, resume: str | None) -> Exception:
    """Return an error that names the option that was given, not the library's argument."""
    text = str(error)
    for option, given, name in (
        ("--scheduler", scheduler, r"client\b"),
        ("--resume's store", resume, r"store(?= must)"),
    ):
        if given is not None and re.match(name, text):
            return type(error)(re.sub(name, option, text, count=1))
    return error
