"""Help texts of commands in the manual: as the terminal shows them, with examples that can be copied."""

from __future__ import annotations

from typing import Any

from selfstab.cli.formats import with_formats
from selfstab.cli.program import COMPLETION, main

EXAMPLE = "Example: "


def described(app: Any, ctx: Any, lines: list[str]) -> None:
    """Name the formats that are read and written, and set examples as code."""
    out: list[str] = []
    example = False
    for line in lines:
        if line.startswith(EXAMPLE):
            example = True
            out += ["Example:", "", ".. code-block:: sh", "", f"   {line.removeprefix(EXAMPLE)}"]
        elif example and line.strip():
            out[-1] += f" {line.strip()}"
        else:
            example = False
            out.append(with_formats(line))
    lines[:] = out


def optioned(app: Any, ctx: Any, lines: list[str]) -> None:
    """Name the formats that an option reads or writes."""
    lines[:] = [with_formats(line) for line in lines]


def ended(app: Any, ctx: Any, lines: list[str]) -> None:
    """Leave out what the page says above: completion."""
    if ctx.command is main and ctx.command.epilog == COMPLETION:
        lines.clear()


def setup(app: Any) -> dict[str, bool]:
    """Register what is above with sphinx-click."""
    app.setup_extension("sphinx_click")
    app.connect("sphinx-click-process-description", described)
    app.connect("sphinx-click-process-options", optioned)
    app.connect("sphinx-click-process-epilog", ended)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
