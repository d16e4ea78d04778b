"""The command simulate: it is the library's call, and its file takes no other's place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray

import selfstab as ss
from selfstab.records import outputs
from tests.cli.commands import PRODUCT, assert_refused, files_of, fill, run


def test_simulate_writes_what_the_library_computes(tmp_path: Path) -> None:
    """Protects: the command is the library's call, not a second program."""
    path = tmp_path / "run.zarr"
    result = run("simulate", *PRODUCT, "--lr", "0.97", "--keep", "weights", "--keep", "loss", "-o", str(path))
    assert result.exit_code == 0, result.output
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    expected = ss.simulate(
        loss, ss.HeavyBall(0.97, 0.9), start, 60, previous=previous, keep=("weights", "loss")
    )
    with xarray.open_zarr(path, consolidated=False) as written:
        assert np.array_equal(written.weights, expected.weights)
        assert np.array_equal(written.loss, expected.loss)
        assert written.attrs["optimizer"] == expected.attrs["optimizer"]


def test_a_formula_and_csv(tmp_path: Path) -> None:
    """Protects: a loss written in text, and the plainest file."""
    path = tmp_path / "run.csv"
    formula = ("(u*v - c)**2/2", "--variables", "u,v", "-p", "c=2")
    result = run("simulate", *formula, "--start", "1,1", "--lr", "0.1", "--steps", "3", "-o", str(path))
    assert result.exit_code == 0, result.output
    assert path.read_text().splitlines()[0].startswith("step,loss,sharpness")


def test_divergence_is_a_result() -> None:
    """Protects: a diverged run exits 0 and says at which step."""
    result = run("simulate", "Product", "--start", "3,1", "--lr", "2", "--steps", "100")
    assert result.exit_code == 0
    assert "diverged at step" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", *PRODUCT, "--lr", "1", "--steps", "-3"), "steps must be an integer >= 0"),
        (("simulate", *PRODUCT, "--lr", "1", "--keep", "los"), "keep must be one of loss, sharpness"),
        (
            ("simulate", *PRODUCT, "--lr", "1", "-o", "run.txt"),
            "output must end in .csv, .nc, .npz, .tsv or .zarr",
        ),
        (
            ("simulate", *PRODUCT, "--lr", "1", "-o", "no-such-folder/run.csv"),
            "output must be in a folder that exists",
        ),
    ],
)
def test_a_run_that_cannot_be_is_refused(arguments, message):
    """Protects the door of simulate."""
    assert_refused(arguments, message)


def test_output_is_checked_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects: a long run is not lost for a folder or a package that is not there."""

    def failing(*_: Any, **__: Any) -> Any:
        raise AssertionError("it ran")

    monkeypatch.setattr("selfstab.runs.simulate.simulate", failing)
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    for path, message in (
        ("none/run.csv", "folder that exists"),
        ("none/run.zarr", "folder"),
        ("r.nc", "netCDF4"),
    ):
        result = run("simulate", *PRODUCT, "--lr", "1", "-o", str(tmp_path / path))
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("store", "is the store of a sweep"),
        ("papers", "is no zarr group"),
        ("other zarr", "selfstab did not write"),
        ("beside", "holds notes.txt"),
        ("in an array", "holds loss/notes.txt"),
        ("among chunks", "holds loss/c/notes.txt"),
    ],
)
def test_output_replaces_nothing_but_its_like(tmp_path: Path, kind: str, reason: str) -> None:
    """Protects other people's folders, before the run and after it: nothing of them changes."""
    folder = tmp_path / "X.zarr"
    fill(folder, kind)
    before = files_of(folder)
    result = run("simulate", *PRODUCT, "--lr", "1", "-o", str(folder))
    assert result.exit_code == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1
    with pytest.raises(ValueError, match=reason):
        outputs.write(xarray.Dataset({"a": ("x", [1.0, 2.0])}), folder)
    assert files_of(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["X.zarr"]


@pytest.mark.parametrize("name", ["a.csv", "a.nc"])
def test_a_folder_is_no_file(tmp_path: Path, name: str) -> None:
    """Protects a folder that is named like a file."""
    (tmp_path / name).mkdir()
    result = run("simulate", *PRODUCT, "--lr", "1", "-o", str(tmp_path / name))
    assert result.exit_code == 2
    assert "output must be a file" in result.stderr


def full_after(write: Any) -> Any:
    """Return a way to write after which the disk is full."""

    def full(*arguments: Any, **settings: Any) -> None:
        write(*arguments, **settings)
        raise OSError(28, "No space left on device")

    return full


@pytest.mark.parametrize("name", ["a.csv", "a.nc", "a.zarr"])
def test_output_of_the_same_kind_is_replaced_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Protects the old file from a write that fails half-way, and a link to it; a good write takes its place."""
    second, link = tmp_path / name, tmp_path / f"link{Path(name).suffix}"
    command = ("simulate", *PRODUCT, "--lr", "0.97", "--keep", "loss")
    assert run(*command, "--steps", "9", "-o", str(second)).exit_code == 0
    link.symlink_to(second)

    def content() -> dict[Path, bytes]:
        return files_of(second) if second.is_dir() else {second: second.read_bytes()}

    before = content()
    with monkeypatch.context() as patch:
        for kind, method in (
            (xarray.Dataset, "to_zarr"),
            (xarray.Dataset, "to_netcdf"),
            (pd.DataFrame, "to_csv"),
        ):
            patch.setattr(kind, method, full_after(getattr(kind, method)))
        result = run(*command, "-o", str(second))
        assert result.exit_code == 2
        assert "No space left" in result.stderr
        assert content() == before
    assert run(*command, "-o", str(link)).exit_code == 0
    assert link.is_symlink()
    assert content() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([second.name, link.name])
