"""The command line as a whole: its commands, its help, and what it answers to no command at all."""

from __future__ import annotations

import subprocess
import sys

import pytest

import selfstab as ss
from tests.cli.commands import run


@pytest.mark.parametrize(
    "command",
    ["simulate", "sweep", "analyze", "verify", "figure", "reproduce", "explore", "derive", "bench"],
)
def test_help_of_each_command(command: str) -> None:
    """Protects: --help works and names every option with a text."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 4


def test_without_a_command_the_help_is_shown() -> None:
    """Protects: the answer to no arguments at all, which is no bad input."""
    result = run()
    assert "Usage:" in result.output
    assert "simulate" in result.output
    version = run("--version")
    assert (version.exit_code, version.output) == (0, f"selfstab, version {ss.__version__}\n")


def test_help_loads_nothing_slow() -> None:
    """Protects: --help is quick because nothing heavy is imported for it."""
    code = (
        "import sys; from selfstab.cli.program import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'scipy', 'sympy', 'numba', 'xarray', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
