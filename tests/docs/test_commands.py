"""Command lines of README and the manual: each is run as a reader would run it, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from selfstab.cli.program import main
from selfstab.reports.companions import companion

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [path for path in PAGES if not {"_build", "examples", "generated"} & {*path.relative_to(ROOT).parts}]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def command_lines(text: str) -> list[str]:
    """Return the command lines of a page: in blocks for the shell, and within the prose."""
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", "").splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`(selfstab [^`]+)`", FENCE.sub("", text))]
    return [line.partition(" # ")[0].strip() for line in lines if line.startswith("selfstab ")]


LINES = {line: path.name for path in reversed(PAGES) for line in command_lines(path.read_text("utf-8"))}
"""Each command line, with the first page that has it."""
LONG = ("figure ", "reproduce", "explore", "bench")
"""What takes minutes, or serves until it is stopped: its arguments are parsed."""
SHORT_FIGURES = ("envelope",)


def arguments(line: str) -> list[str]:
    return shlex.split(line)[1:]


def is_long(line: str) -> bool:
    command = line.removeprefix("selfstab ")
    return command.startswith(LONG) and not any(name in command for name in SHORT_FIGURES)


def is_mention(line: str) -> bool:
    """Return whether a line only names a command, such as ``selfstab verify``."""
    return len(arguments(line)) == 1 and line.split()[1] in main.commands


RUN = sorted(line for line in LINES if not is_long(line) and not is_mention(line) and "NAME" not in line)
PARSED = sorted(line for line in LINES if line not in RUN)


def test_there_are_command_lines_of_each_kind():
    """Protects the tests below: the pages are read, and few lines are only parsed."""
    assert len(RUN) >= 6
    assert len(PARSED) >= 6


@pytest.mark.parametrize("line", PARSED)
def test_a_command_line_that_takes_long_is_accepted(line):
    """Protects who copies it: the command is there and takes these arguments; a figure is one that exists."""
    with click.Context(main) as context:
        name, command, rest = main.resolve_command(context, arguments(line))
        if rest:
            command.make_context(name, [*rest], parent=context)
    if line.startswith("selfstab figure ") and "NAME" not in line:
        assert rest[0] in companion("figures").NAMES


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Return the path of a recorded run, as a reader would have one."""
    path = tmp_path_factory.mktemp("record") / "run.csv"
    sys_arguments = [
        "simulate", "CubicTaylor", "--start", "minimum", "--flip", "1e-6", "--lr", "3.8063", "--momentum", "0.9",
        "--steps", "2000", "-o", str(path),
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "selfstab", *sys_arguments], check=True, capture_output=True)
    return path


@pytest.mark.docs
@pytest.mark.parametrize("line", RUN)
def test_a_command_line_runs(line, record, tmp_path):
    """Protects who copies it: it succeeds, and what it says that it writes is there."""
    (tmp_path / "run.csv").write_bytes(record.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "selfstab", *arguments(line)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{LINES[line]}: {done.stderr}"
    words = arguments(line)
    for option in ("-o", "--output"):
        if option in words:
            assert (tmp_path / words[words.index(option) + 1]).exists()
