"""How the command line answers: bad input in one line, an interrupt at once, errors in its options' words."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from selfstab import validation, verification
from selfstab.cli import errors
from selfstab.sweeps.runners.cells import CellRunner
from tests.cli.commands import PRODUCT, assert_refused, run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", *PRODUCT, "--lr", "abc"), "Invalid value for '--lr'"),
        (("simulate", *PRODUCT[:-2], "--lr", "1"), "Missing option '--steps'"),
        (("simulate", "Prodct"), "got 'Prodct'; did you mean Product?"),
        (("sweep", "Prodct"), "got 'Prodct'; did you mean Product?"),
        (("sweep", "Product", "--optimizer", "HeavyBal"), "got 'HeavyBal'; did you mean HeavyBall?"),
        (("sweep", "Product", "-a", "beta=0,1"), "got 'beta'; did you mean momentum?"),
        (("sweep", "Product", "--lr", "1", "-m", "drp"), "got 'drp'; did you mean drop?"),
        (("sweep", *PRODUCT, "--lr", "1"), "Missing option '-a' / '--axis'"),
        (("sweep", *PRODUCT[:-2], "--lr", "1", "-a", "momentum=0"), "Missing option '--steps'"),
        (("simulate", "Product", "--plot"), "No such option '--plot'; for a picture use -o run.png"),
        (("verify", "--plot"), "--plot"),  # Click's own words, which differ between its versions
        (("simulate",), "Missing argument 'LOSS'"),
        (("simulation",), "No such command 'simulation'"),
        (("--nothing",), "--nothing"),
        (("--debug", "simulate", *PRODUCT, "--lr", "abc"), "is not a valid float"),
    ],
)
def test_words_that_do_not_parse_are_told_in_one_line(arguments, message):
    """Protects usage errors: one line where click has several, also with --debug; typos come before what is missing."""
    assert_refused(arguments, message)


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("8 EiB"), OverflowError("too\nlarge")])
def test_what_does_not_fit_is_one_line_too(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Protects: numbers that no machine holds are bad input, even where the error says nothing."""

    def failing(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(verification, "verify", failing)
    result = run("verify")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {' '.join(str(error).split()) or 'MemoryError'}\n"


def test_an_interrupt_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the one who waits: the word comes before the blocks under way have ended; the handler is taken back."""
    heard, told = threading.Event(), threading.Event()
    echo = click.echo

    def listening(message: Any = None, **settings: Any) -> None:
        echo(message, **settings)
        if message == "stopping after the blocks under way ...":
            heard.set()

    def slow(self: CellRunner, cells: Any, repeat: int = 0) -> Any:
        time.sleep(0.3)  # until the other thread waits for this one
        os.kill(os.getpid(), signal.SIGINT)
        if heard.wait(60):
            told.set()
        return np.zeros((1, len(cells)))

    monkeypatch.setattr(click, "echo", listening)
    monkeypatch.setattr(CellRunner, "run", slow)
    before = signal.getsignal(signal.SIGINT)
    network = ("DiagonalNetwork", "-p", "samples=4", "-p", "features=3", "-p", "nonzeros=1")
    result = run("sweep", *network, "--steps", "2", "-a", "lr=0.1", "-m", "final_loss", "--threads", "1")
    assert (result.exit_code, told.is_set()) == (130, True)
    assert result.stderr.splitlines() == ["stopping after the blocks under way ...", "interrupted"]
    assert signal.getsignal(signal.SIGINT) is before


def test_debug_lets_the_error_through() -> None:
    """Protects whoever reports a defect: with --debug the traceback is there, and not one line."""
    result = run("--debug", "simulate", *PRODUCT, "--lr", "-1")
    assert type(result.exception) is ValueError
    assert "lr must be in (0, inf)" in str(result.exception)


def test_a_reader_that_leaves_is_no_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects | head: a pipe that is closed ends the command quietly, where other OS errors are told."""

    def failing(error: Exception) -> Any:
        def verify(*_: Any, **__: Any) -> Any:
            raise error

        return verify

    monkeypatch.setattr(verification, "verify", failing(BrokenPipeError(32, "Broken pipe")))
    assert "Error" not in run("verify").stderr
    monkeypatch.setattr(verification, "verify", failing(OSError(28, "No space left")))
    assert run("verify").stderr == "Error: [Errno 28] No space left\n"


@click.command(cls=errors.Resumable)
@click.argument("loss")
@click.option("-s", "--steps", type=int, required=True)
@click.option("--seed", type=int, default=0)
@click.option("--threads", type=int)
@click.option("--resume")
def resumable(**options: Any) -> None:
    """Say what was parsed."""
    click.echo(sorted((name, value) for name, value in options.items() if value is not None))


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (("--resume", "S"), "[('resume', 'S'), ('seed', 0)]"),
        (("--resume=S", "--threads", "2"), "[('resume', 'S'), ('seed', 0), ('threads', 2)]"),
        (("--resume", "S", "-s", "3"), "got --steps beside it"),
        (("--resume=S", "--seed", "0"), "got --seed beside it"),
        (("Product", "--resume", "S"), "got LOSS beside it"),
        (("Product",), "Missing option '-s' / '--steps'"),
        (("-s", "3"), "Missing argument 'LOSS'"),
        (("Product", "-s", "3"), "[('loss', 'Product'), ('seed', 0), ('steps', 3)]"),
    ],
)
def test_beside_resume_nothing_is_required_and_no_setting_allowed(
    words: tuple[str, ...], output: str
) -> None:
    """Protects stores from settings that would be passed over; without --resume the command asks for all of them."""
    assert output in CliRunner().invoke(resumable, list(words)).output


def test_an_error_names_the_option_that_was_given() -> None:
    """Protects the reader from arguments that are no options; other arguments and other errors stay as they are."""
    names = {"client": "--scheduler"}
    for error, message in (
        (validation.ArgumentError("client", "must have workers"), "--scheduler must have workers"),
        (validation.ArgumentError("store", "must exist"), "store must exist"),
        (ValueError("client"), "client"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"), errors.named_as_options(names):
            raise error


def test_the_notice_is_for_the_main_thread() -> None:
    """Protects sweeps begun in another thread: Python allows no handler there, and the main one's stays."""
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with errors.interrupt_notice():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
    with errors.interrupt_notice():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
