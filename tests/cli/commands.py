"""The command line, called in this process."""

from __future__ import annotations

from pathlib import Path

import xarray
from click.testing import CliRunner, Result

import selfstab as ss
from selfstab.cli.program import main

PRODUCT = ("Product", "--start", "minimum:4", "--flip", "1e-3", "--momentum", "0.9", "--steps", "60")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def assert_refused(arguments: tuple[str, ...], message: str) -> None:
    """Bad input: no traceback, one line that names what is wrong, exit code 2."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert message in result.stderr


def fill(folder: Path, kind: str) -> None:
    """Make a folder of a kind that no command may replace."""
    if kind == "store":
        ss.sweep(ss.DiagonalNetwork([[1.0]], [1.0]), ss.HeavyBall(0.1), {"lr": [0.1]}, start=[0.5, 0.5], steps=2,
                 measure=["final_loss"], store=folder, progress=False)  # fmt: skip
    elif kind == "papers":
        folder.mkdir()
        (folder / "thesis.tex").write_text("years of work")
    elif kind == "other zarr":
        xarray.Dataset({"a": ("x", [1.0, 2.0])}).to_zarr(folder, consolidated=False)
    else:
        assert run("simulate", *PRODUCT, "--lr", "1", "-o", str(folder)).exit_code == 0
        place = {"beside": folder, "in an array": folder / "loss", "among chunks": folder / "loss" / "c"}[
            kind
        ]
        (place / "notes.txt").write_text("mine")


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
