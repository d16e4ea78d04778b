"""The command sweep: it is the library's call, and its words stand together or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

import selfstab as ss
from tests.cli.commands import PRODUCT, assert_refused, fill, run


def test_sweep_writes_what_the_library_computes(tmp_path: Path) -> None:
    """Protects: axes, measures and files of the sweep command."""
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("sweep", *PRODUCT, "--lr", "1", "-a", "momentum=0,2"),
            "axes['momentum'] must be in [0, 1), got 2.0",
        ),
        (("sweep", *PRODUCT, "--lr", "1", "-a", "beta=0"), "axes must be named among momentum"),
        (("sweep", *PRODUCT, "--lr", "1", "-a", "momentum=0", "-m", "sharpnes"), "measure must be one of"),
        (
            ("sweep", *PRODUCT, "--lr", "0.3", "-a", "lr=0.1"),
            "--lr must be left out beside the axis lr, which sets it",
        ),
        (
            ("sweep", *PRODUCT, "--lr", "0.3", "-a", "excess=0.1"),
            "--lr must be left out beside the axis excess",
        ),
        (
            ("sweep", *PRODUCT, "-a", "lr=0.1", "--scheduler", "nonsense"),
            "Error: --scheduler must be the address",
        ),
        (
            ("sweep", *PRODUCT, "-a", "lr=0.1", "--scheduler", "tcp://127.0.0.1:1", "--threads", "2"),
            "--threads must be left out beside --scheduler",
        ),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(arguments, message):
    """Protects the door of sweep: axes, measures, and words that say the same twice."""
    assert_refused(arguments, message)


def test_output_is_apart_from_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects a store from its own command, however the two paths are written; no store is begun."""
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
