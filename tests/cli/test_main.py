"""The command line: what it prints, what it writes, how it answers bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
import xarray
from click.testing import CliRunner, Result

import selfstab as ss
from selfstab import verification
from selfstab.cli import tables
from selfstab.cli.main import main
from selfstab.cli.parsing import named_axis, named_start
from selfstab.losses.named import NAMES, named_loss
from selfstab.records import outputs
from selfstab.reports import reproduce
from selfstab.sweeps.runners.cells import CellRunner


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


PRODUCT = ("Product", "--start", "minimum:4", "--flip", "1e-3", "--momentum", "0.9", "--steps", "60")


@pytest.mark.parametrize(
    "command",
    ["simulate", "sweep", "analyze", "verify", "figure", "reproduce", "explore", "derive", "bench"],
)
def test_help_of_each_command(command: str) -> None:
    # Protects: --help works and names every option with a text.
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 4


def test_simulate_writes_what_the_library_computes(tmp_path: Path) -> None:
    # Protects: the command is the library's call, not a second program.
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


def test_sweep_writes_what_the_library_computes(tmp_path: Path) -> None:
    # Protects: axes, measures and files of the sweep command.
    path = tmp_path / "grid.nc"
    axes = ("-a", "momentum=0,0.5", "-a", "excess=log:0.01:0.1:3")
    result = run("sweep", *PRODUCT[:-2], "--steps", "200", *axes, "-m", "final_loss", "-o", str(path))
    assert result.exit_code == 0, result.output
    loss = ss.Product()
    start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), 1e-3)
    expected = ss.sweep(
        loss, ss.HeavyBall(1.0), {"momentum": [0.0, 0.5], "excess": np.geomspace(0.01, 0.1, 3)},
        start=start, previous=previous, steps=200, measure=["final_loss"], progress=False,
    )  # fmt: skip
    with xarray.open_dataset(path) as written:
        assert np.array_equal(written.final_loss, expected.final_loss)


def test_a_formula_and_csv(tmp_path: Path) -> None:
    # Protects: a loss written in text, and the plainest file.
    path = tmp_path / "run.csv"
    formula = ("(u*v - c)**2/2", "--variables", "u,v", "-p", "c=2")
    result = run("simulate", *formula, "--start", "1,1", "--lr", "0.1", "--steps", "3", "-o", str(path))
    assert result.exit_code == 0, result.output
    assert path.read_text().splitlines()[0].startswith("step,loss,sharpness")


BAD = [
    (("simulate", *PRODUCT, "--lr", "-1"), "lr must be in (0, inf), got -1.0"),
    (("simulate", *PRODUCT), "lr must be given"),
    (("simulate", *PRODUCT, "--lr", "nan"), "lr must be in (0, inf), got nan"),
    (("simulate", *PRODUCT, "--lr", "1", "--momentum", "1"), "momentum must be in [0, 1), got 1.0"),
    (("simulate", *PRODUCT, "--lr", "1", "--steps", "-3"), "steps must be an integer >= 0"),
    (("simulate", *PRODUCT, "--lr", "1", "--keep", "los"), "keep must be one of loss, sharpness"),
    (
        ("simulate", *PRODUCT, "--lr", "1", "-o", "run.txt"),
        "output must end in .csv, .nc, .npz, .tsv or .zarr",
    ),
    (("simulate", "Nothing", "--start", "1", "--lr", "1", "--steps", "1"), "loss must be one of Quadratic"),
    (("simulate", "Product", "--start", "1", "--lr", "1", "--steps", "1"), "start must have shape (2,)"),
    (
        ("simulate", "Product", "--start", "a,b", "--lr", "1", "--steps", "1"),
        "start must be a number, got 'a'",
    ),
    (("simulate", "Product", "--lr", "1", "--steps", "1"), "start must be given"),
    (
        ("simulate", "CubicTaylor", "-p", "curve=1", "--start", "0,0", "--lr", "1", "--steps", "1"),
        "curvature",
    ),
    (("simulate", "u.__class__", "--variables", "u", "--start", "1", "--lr", "1", "--steps", "1"), "column"),
    (("sweep", *PRODUCT, "--lr", "1", "-a", "momentum=0,2"), "axes['momentum'] must be in [0, 1), got 2.0"),
    (("sweep", *PRODUCT, "--lr", "1", "-a", "beta=0"), "axes must be named among momentum"),
    (("sweep", *PRODUCT, "-a", "momentum"), "axis must be NAME=VALUES"),
    (
        ("sweep", *PRODUCT, "-a", "excess=lin:-1e308:1e308:3"),
        "must have finite ends and a finite span",
    ),
    (
        ("simulate", "MLP", "-p", "widths=64.7,1", "--lr", "1", "--steps", "1"),
        "widths must be a whole number",
    ),
    (("simulate", "MLP", "-p", "widths=inf,1", "--lr", "1", "--steps", "1"), "got 'inf'"),
    (("simulate", *PRODUCT, "-p", "c=1", "--lr", "1"), "settings of Product must be left out"),
    (("simulate", *PRODUCT, "-p", "c=1", "-p", "c=2", "--lr", "1"), "parameter c must be given once"),
    (("simulate", *PRODUCT, "--lr", "1", "--warmup-start", "0"), "warmup-start must come with warmup"),
    (("simulate", *PRODUCT, "--lr", "abc"), "Invalid value for '--lr'"),
    (("simulate", *PRODUCT[:-2], "--lr", "1"), "Missing option '--steps'"),
    (("simulate",), "Missing argument 'LOSS'"),
    (("simulation",), "No such command 'simulation'"),
    (("--nothing",), "--nothing"),
    (("--debug", "simulate", *PRODUCT, "--lr", "abc"), "is not a valid float"),
    (
        ("simulate", *PRODUCT, "--lr", "1", "-o", "no-such-folder/run.csv"),
        "output must be in a folder that exists",
    ),
    (("sweep", *PRODUCT, "-a", "excess=log:0:1:3"), "must have ends above 0"),
    (("sweep", *PRODUCT, "--lr", "1", "-a", "momentum=0", "-m", "sharpnes"), "measure must be one of"),
    (("verify", "q1 regons"), "got 'q1 regons'; like it: Q1 regions"),
    (("verify", "☃"), "got '☃'; selfstab verify --list shows all"),
    (
        ("sweep", *PRODUCT, "--lr", "0.3", "-a", "lr=0.1"),
        "--lr must be left out beside the axis lr, which sets it",
    ),
    (("sweep", *PRODUCT, "--lr", "0.3", "-a", "excess=0.1"), "--lr must be left out beside the axis excess"),
    (
        ("sweep", *PRODUCT, "-a", "lr=0.1", "--scheduler", "nonsense"),
        "Error: --scheduler must be the address",
    ),
    (
        ("sweep", *PRODUCT, "-a", "lr=0.1", "--scheduler", "tcp://127.0.0.1:1", "--threads", "2"),
        "--threads must be left out beside --scheduler",
    ),
    (("figure", "nothing"), "modes"),
    (("derive", "z9"), "name must be one of"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    # Protects: no traceback, the message names what is wrong, exit code 2.
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert message in result.stderr


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("8 EiB"), OverflowError("too\nlarge")])
def test_what_does_not_fit_is_one_line_too(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    # Protects: numbers that no machine holds are bad input, even where the error says nothing.
    def failing(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(verification, "verify", failing)
    result = run("verify")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {' '.join(str(error).split()) or 'MemoryError'}\n"


def test_output_is_checked_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Protects: a long run is not lost for a folder or a package that is not there.
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
    # Protects other people's folders, before the run and after it: nothing of them changes.
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
    # Protects a folder that is named like a file.
    (tmp_path / name).mkdir()
    result = run("simulate", *PRODUCT, "--lr", "1", "-o", str(tmp_path / name))
    assert result.exit_code == 2
    assert "output must be a file" in result.stderr


def test_output_is_apart_from_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Protects a store from its own command, however the two paths are written; no store is begun.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").symlink_to(tmp_path)
    for store, output in (
        ("X.zarr", "X.zarr"),
        ("X.zarr", "./there/X.zarr"),
        (str(tmp_path / "X.zarr"), "X.zarr"),
    ):
        result = run("sweep", *PRODUCT, "--lr", "1", "-a", "momentum=0", "--store", store, "-o", output)
        assert result.exit_code == 2
        assert f"output must be apart from the store {store!r}" in result.stderr
    fill(tmp_path / "kept.zarr", "store")
    for output in ("kept.zarr", "kept.zarr/a.csv"):
        assert "apart from the store" in run("sweep", "--resume", "kept.zarr", "-o", output).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.zarr", "there"]


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
    # Protects the old file from a write that fails half-way, and a link to it; a good write takes its place.
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


def test_without_a_command_the_help_is_shown() -> None:
    # Protects: the answer to no arguments at all, which is no bad input.
    result = run()
    assert "Usage:" in result.output
    assert "simulate" in result.output
    version = run("--version")
    assert (version.exit_code, version.output) == (0, f"selfstab, version {ss.__version__}\n")


def test_divergence_is_a_result() -> None:
    # Protects: a diverged run exits 0 and says at which step.
    result = run("simulate", "Product", "--start", "3,1", "--lr", "2", "--steps", "100")
    assert result.exit_code == 0
    assert "diverged at step" in result.output


def test_verify_exit_codes_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    # Protects: the exit code is the registry's, and JSON is JSON.
    result = run("verify", "Q1 regions", "--json")
    assert result.exit_code == 0
    assert json.loads(result.output)["coords"]["prediction"]["data"] == ["Q1 regions"]
    monkeypatch.setattr(verification, "exit_code", lambda data: 3)
    assert run("verify", "Q1 regions").exit_code == 3


def test_predictions_are_listed() -> None:
    # Protects the way to a name: one line each, nothing is run.
    lines = run("verify", "--list").output.splitlines()
    assert [line[:32].strip() for line in lines] == [p.name for p in verification.PREDICTIONS]


def test_compiling_is_told_apart() -> None:
    # Protects the summary's seconds: of running, and of compiling where there was some.
    data = xarray.Dataset(
        {"drop": (("a", "b"), np.zeros((2, 3)))}, attrs={"seconds": 29.4, "compile_seconds": 28.2}
    )
    assert tables.sweep_table(data).splitlines()[0] == "a 2 × b 3: 1.2 s, and 28.2 s to compile"
    assert tables.sweep_table(data.assign_attrs(compile_seconds=0.0)).splitlines()[0] == "a 2 × b 3: 29.4 s"


def test_an_interrupt_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Protects the one who waits: the word comes before the blocks under way have ended; the handler is taken back.
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


def test_figure_whose_check_fails_exits_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Protects: wrong numbers in a figure are not a success, nor a traceback.
    def failing(*_: Any, **__: Any) -> Any:
        raise reproduce.CheckFailed("0.5 is not 0.6")
        yield ""

    monkeypatch.setattr(reproduce, "make_figure", failing)
    result = run("figure", "modes", "-o", str(tmp_path))
    assert result.exit_code == 1
    assert "0.5 is not 0.6" in result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_named_loss_is_made_with_its_defaults(name: str) -> None:
    # Protects: the names the help lists.
    loss = named_loss(name, {})
    assert loss.dimension >= 1
    assert np.isfinite(loss.value(loss.initial_weights(seed=1, scale=0.5)))


def test_named_starts_and_axes() -> None:
    # Protects: the little languages of --start and --axis.
    loss = named_loss("Product", {})
    assert named_start("minimum:4", loss).tolist() == loss.minimum(sharpness=4.0).tolist()
    assert named_start("1.5,2", loss).tolist() == [1.5, 2.0]
    assert named_start("initial:0.1", loss).tolist() == loss.initial_weights(scale=0.1).tolist()
    name, values = named_axis("lr=lin:0.5:1.5:3")
    assert (name, values.tolist()) == ("lr", [0.5, 1.0, 1.5])
    for text in ("lr=lin:1:2", "lr=lin:a:2:3", "lr=", "=1", "lr=lin:1:2:0"):
        with pytest.raises(ValueError, match=r"axis|number"):
            named_axis(text)


def test_help_loads_nothing_slow() -> None:
    # Protects: --help is quick because nothing heavy is imported for it.
    code = (
        "import sys; from selfstab.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'scipy', 'sympy', 'numba', 'xarray', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
