"""refine: the boundary is where theory and direct runs say, at a small cost; cells as a sweep's; files; its door."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

import selfstab as ss
from selfstab.sweeps import refinement
from selfstab.sweeps.runners import cells
from selfstab.sweeps.runners.lanes import LaneRunner

QUADRATIC = ss.Quadratic([1.0])
FLIP = {
    "start": [1.0],
    "previous": [-1.0],
    "measure": ["diverged_at"],
    "jumps": {"diverged_at": 1},
    "progress": False,
}


def refined(plain_engine, loss=QUADRATIC, optimizer=None, axes=None, **settings):
    """Refine in plain CPython."""
    defaults = FLIP | {"steps": 60, "levels": 3, "escape": 4.0}
    axes = axes or {"momentum": (0.0, 0.9, 4), "lr": (1.5, 4.5, 4)}
    return plain_engine(ss.refine, loss, optimizer or ss.HeavyBall(1.0), axes, **(defaults | settings))


def diverges(lr, momentum, steps, escape):
    """Whether heavy ball on w²/2 leaves the escape radius: the update itself, for all points at once."""
    w, v = np.ones(lr.size), np.full(lr.size, 2.0)
    out = np.zeros(lr.size, dtype=bool)
    for _ in range(steps):
        v = momentum * v - lr * w
        w = np.clip(w + v, -1e9, 1e9)
        out |= np.abs(w) > escape
    return out


def test_a_smooth_boundary_is_fine_at_a_small_part_of_the_full_grids_cost(monkeypatch):
    """Protects the purpose: ηS = 2(1 + β) to 1/16384 of each axis, for less than 3% of the runs of the full grid."""
    run, counted = LaneRunner.run, []

    def counting(self, cells, repeat=0):
        counted.append(len(cells))
        return run(self, cells, repeat)

    monkeypatch.setattr(LaneRunner, "run", counting)
    steps, escape = 4000, 2.0
    axes = {"momentum": (0.0, 0.9, 64), "lr": (1.5, 4.5, 64)}
    data = ss.refine(QUADRATIC, ss.HeavyBall(1.0), axes, **FLIP, steps=steps, escape=escape, levels=8)
    assert data.attrs["full_grid"] == 16384**2
    assert sum(counted) == data.attrs["runs"] < 0.03 * 16384**2
    assert data.attrs["resolved"] == 1
    assert not data.unresolved.any()

    momentum, lr = data.momentum.values, data.lr.values
    height, width = 3.0 / 16384, 0.9 / 16384
    # With |λ| = 1 + η(S − S*)/(1 − β) a run leaves once η(S − S*) > (1 − β) ln(escape)/steps.
    late = np.log(escape) / steps
    above = lr - 2.0 * (1.0 + momentum)
    assert ((data.diverged_at.values >= 0) == (above > 0))[np.abs(above) > 3.0 * height + late].all()
    edge = data.boundary.values
    assert (data.level.values[edge] == 8).all()
    # Middles of cells that differ are at most a cell apart along both axes; the line rises by 2 per unit of momentum.
    assert np.abs(above[edge]).max() < height + 2.0 * width + late
    assert np.unique(momentum[edge]).size == 16384

    generator = np.random.default_rng(0)
    beta = generator.uniform(0.0, 0.9, 600)
    near = 2.0 * (1.0 + beta) + generator.choice([-1, 1], 600) * generator.uniform(3, 8, 600) * height
    points = np.stack([beta, np.where(np.arange(600) % 2, near + late, generator.uniform(1.5, 4.5, 600))])
    centres, halves = np.stack([momentum, lr]), data["size"].values.T * np.array([[0.45], [1.5]])
    cells = [int(np.flatnonzero((np.abs(centres - p[:, None]) <= halves).all(axis=0))[0]) for p in points.T]
    assert ((data.diverged_at.values[cells] >= 0) == diverges(points[1], points[0], steps, escape)).all()


def test_cells_are_those_of_a_sweep(plain_engine, same_bits):
    """Protects the numbers: each cell has the bits of a sweep there; so on other numbers of threads."""
    loss, optimizer = ss.CubicTaylor(1.0, 0.01), ss.HeavyBall(1.0, 0.5)
    settings = {"start": [0.1, 0.0], "previous": [-0.1, 0.0], "steps": 20, "noise": 1e-3, "seed": 2}
    measure = ("final_loss", "final_sharpness", "overshoot", "diverged_at", "phase")
    axes = {"stabilization": (0.5, 2.0, 3), "lr": (0.5, 6.0, 3)}

    def made(threads):
        return refined(
            plain_engine, loss, optimizer, axes, levels=2, threads=threads, measure=measure, jumps=None,
            geometric=["lr"], **settings,
        )  # fmt: skip

    data = made(1)
    assert np.unique(data.level).tolist() == [1, 2]
    for k in np.random.default_rng(1).choice(data.sizes["cell"], 25, replace=False):
        at = {name: [float(data[name][k])] for name in axes}
        cell = plain_engine(
            ss.sweep, loss, optimizer, at, measure=measure, progress=False, escape=4.0, **settings
        )
        for name in measure:
            assert same_bits(cell[name].values.ravel(), data[name].values[k : k + 1]), name
    xr.testing.assert_identical(made(3).drop_attrs(), data.drop_attrs())


def test_a_loss_without_a_kernel_and_one_axis():
    """Protects the other runner, and bisection: cells of one axis of a diagonal network are simulate's runs."""
    data = ss.datasets.sparse_regression(4, 6, 2, seed=1)
    loss = ss.DiagonalNetwork(*data)
    start = loss.initial_weights(scale=0.5)
    found = ss.refine(
        loss, ss.HeavyBall(0.1), {"lr": (0.01, 4.0, 4)}, start=start, steps=30, levels=6, measure=["diverged_at"],
        jumps={"diverged_at": 1}, progress=False, escape=1e3,
    )  # fmt: skip
    assert found.attrs["runs"] < 60
    edge = found.isel(cell=found.boundary.values)
    assert edge.sizes["cell"] >= 2
    for lr, diverged_at in zip(edge.lr.values, edge.diverged_at.values, strict=True):
        run = ss.simulate(loss, ss.HeavyBall(float(lr)), start, 30, keep=["loss"], escape=1e3)
        assert int(run.diverged_at) == diverged_at


def test_a_fractal_boundary_stops_at_the_most_cells(plain_engine):
    """Protects the budget: a boundary without a scale ends at max_cells, at one resolution, and says so."""
    axes = {"start.w": (-3.0, 3.0, 12), "lr": (0.6, 1.2, 12)}
    settings = {
        "start": [0.0],
        "previous": None,
        "steps": 60,
        "jumps": {"diverged_at": 0.2},
        "levels": 9,
        "escape": 10.0,
    }
    data = refined(plain_engine, ss.DoubleWell(), axes=axes, max_cells=2000, **settings)
    assert 1000 < data.sizes["cell"] <= 2000
    assert data.attrs["resolved"] == 0
    assert "more than max_cells = 2000" in data.attrs["stopped"]
    assert data.unresolved.any()
    assert (data.level.values[data.unresolved.values] < 9).all()
    done = refined(plain_engine)
    assert (done.attrs["resolved"], done.attrs["stopped"], bool(done.unresolved.any())) == (1, "", False)


@pytest.mark.parametrize(
    ("a", "b", "jump", "differs"),
    [
        (1.0, 1.1, 0.05, True), (1.0, 1.1, 0.2, False), (-1.0, 300.0, 1.0, True), (5.0, 300.0, 1.0, False),
        (0.0, 0.0, 0.0, False), (np.nan, np.nan, 0.0, False), (np.nan, 1.0, 9.0, True), (np.inf, 1.0, 9.0, True),
        (np.inf, np.inf, 0.0, False), (np.inf, -np.inf, 9.0, True), (1e308, -1e308, 1.0, True),
    ],
)  # fmt: skip
def test_jumps_are_relative(a, b, jump, differs):
    """Protects what counts as a jump: relative to the larger, nan and infinity included, and the same both ways."""
    rule = refinement._Rule(("final_loss", "phase"), {"final_loss": jump})
    for x, y in ((a, b), (b, a)):
        assert rule.differ(np.array([[x], [1.0]]), np.array([[y], [1.0]])).tolist() == [differs]
    assert rule.differ(np.array([[1.0], [1.0]]), np.array([[1.0], [2.0]])).all()


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_files_keep_the_cells_and_their_grid(plain_engine, kind, tmp_path):
    """Protects stored refinements: read back they are the same, and make the same grid."""
    data = refined(plain_engine, geometric=["lr"], measure=["final_loss", "phase"], jumps=None, levels=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind == "netcdf":
            data.to_netcdf(tmp_path / "cells.nc")
            back = xr.load_dataset(tmp_path / "cells.nc")
        else:
            # Consolidated metadata are no part of Zarr 3, and xarray says so.
            data.to_zarr(tmp_path / "cells.zarr", consolidated=False)
            back = xr.load_dataset(tmp_path / "cells.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_identical(back, data)
    xr.testing.assert_identical(ss.rasterize(back, 20), ss.rasterize(data, 20))
    assert json.loads(back.attrs["axes"])["lr"] == {"low": 1.5, "high": 4.5, "cells": 4, "geometric": True}


def test_datasets_of_others_are_left_alone():
    """Protects xarray's namespace: no module of the package adds an accessor to its classes."""
    code = """if True:
        import pkgutil, xarray
        classes = (xarray.Dataset, xarray.DataArray, *filter(None, [getattr(xarray, "DataTree", None)]))
        before = [set(dir(kind)) for kind in classes]
        import selfstab
        for module in pkgutil.walk_packages(selfstab.__path__, "selfstab."):
            if "explorer" not in module.name and not module.name.endswith("__main__"):
                __import__(module.name)
        assert [set(dir(kind)) for kind in classes] == before
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_grid_has_the_values_of_the_cells_that_cover_it(plain_engine):
    """Protects rasterize: at the finest resolution each fine cell is one point; coordinates are middles of parts."""
    data = refined(plain_engine, geometric=["lr"])
    grid = ss.rasterize(data, {"lr": 32, "momentum": 64})
    assert grid.diverged_at.dims == ("momentum", "lr")
    assert grid.diverged_at.dtype == np.int64
    np.testing.assert_allclose(grid.lr.values[:2], 1.5 * 3.0 ** (np.array([0.5, 1.5]) / 32), rtol=1e-14)
    np.testing.assert_allclose(grid.momentum.values[:2], 0.9 * np.array([0.5, 1.5]) / 64, rtol=1e-14)
    exact = ss.rasterize(data, 32)
    fine = data.isel(cell=data.level.values == 3)
    for lr, momentum, value in zip(
        fine.lr.values, fine.momentum.values, fine.diverged_at.values, strict=True
    ):
        assert int(exact.diverged_at.sel(lr=lr, momentum=momentum)) == value
    with pytest.raises(ValueError, match="data must hold all cells"):
        ss.rasterize(data.isel(cell=slice(5, None)), 32)


AXES = {"lr": (0.1, 1.0, 3)}
DOOR = {"start": [1.0], "steps": 3, "levels": 2, "progress": False}


@pytest.mark.parametrize(
    ("axes", "changes", "match"),
    [
        (None, {}, r"axes must map names to \(low, high, cells\), got None"),
        ({}, {}, "axes must name at least one axis"),
        ({"lrs": (0.1, 1.0, 3)}, {}, "axes must be named among"),
        ({3: (0.1, 1.0, 3)}, {}, "axes must be named among"),
        ({"level": (0.1, 1.0, 3)}, {}, "axes must not be named cell, axis, level"),
        ({"lr": [0.1, 0.2, 0.3, 0.4]}, {}, r"axes\['lr'\] must be \(low, high, cells\)"),
        ({"lr": 0.1}, {}, r"axes\['lr'\] must be \(low, high, cells\)"),
        ({"lr": (0.1, 0.2, 0.3)}, {}, r"axes\['lr'\]: cells must be an integer >= 1, got 0.3"),
        ({"lr": (0.1, 0.2, 0)}, {}, r"axes\['lr'\]: cells must be an integer >= 1, got 0"),
        ({"lr": (1.0, 0.1, 3)}, {}, r"axes\['lr'\]: high must be in \(1, inf\), got 0.1"),
        ({"lr": (-1.0, 0.1, 3)}, {}, r"axes\['lr'\] must be in \(0, inf\)"),
        ({"lr": (np.nan, 0.1, 3)}, {}, r"axes\['lr'\]: low must be a finite number"),
        ({"lr": ("a", 0.1, 3)}, {}, r"axes\['lr'\]: low must be a single number"),
        ({"momentum": (0.0, 1.5, 3)}, {}, r"axes\['momentum'\] must be in \[0, 1\)"),
        ({"lr": (0.0, 1.0, 3)}, {"geometric": ["lr"]}, r"axes\['lr'\]: low must be in \(0, inf\), got 0.0"),
        (AXES, {"geometric": ["momentum"]}, "geometric must be one of lr, got 'momentum'"),
        (AXES, {"levels": -1}, "levels must be an integer >= 0"),
        (AXES, {"levels": 60}, r"levels must leave at most 2\*\*60 of the finest cells"),
        (AXES, {"max_cells": 2}, "max_cells must be an integer >= 3, got 2"),
        (AXES, {"measure": ["final_loss"]}, "jumps must name a measure where measure has no phase"),
        (AXES, {"jumps": {"drop": 0.1}}, "jumps must be one of final_loss"),
        (AXES, {"jumps": {"final_loss": -0.1}}, r"jumps\['final_loss'\] must be in \[0, inf\)"),
        (AXES, {"jumps": ["final_loss"]}, "jumps must map measures to numbers"),
        (AXES, {"threads": 0}, "threads must be an integer >= 1"),
        (AXES, {"progress": 1}, "progress must be True or False"),
        (AXES, {"start": [1.0, 2.0]}, "start must have shape"),
        (AXES, {"steps": 1.5}, "steps must be an integer"),
    ],
)
def test_bad_input_is_named(axes, changes, match):
    """Protects the door; nothing has been compiled or run by then."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        ss.refine(QUADRATIC, ss.HeavyBall(0.1), axes, **(DOOR | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("n", "match"),
    [
        (0, "n must be an integer >= 1, got 0"),
        (2.0, "n must be an integer >= 1"),
        ({"lr": 3}, "n must have a number for each of momentum, lr, got none for momentum"),
        ({"lr": 3, "x": 2}, "n must be one of momentum, lr, got 'x'"),
    ],
)
def test_a_grids_size_is_checked(plain_engine, n, match):
    """Protects rasterize's door."""
    data = refined(plain_engine, levels=0)
    with pytest.raises((ValueError, TypeError), match=match):
        ss.rasterize(data, n)
    for other, word in (
        (data.drop_vars("level"), "without level"),
        (None, "must be a dataset of refine, got None"),
    ):
        with pytest.raises((ValueError, TypeError), match=word):
            ss.rasterize(other, 3)


@pytest.mark.parametrize("parameters", [{}, {"width": (0.5, 1.5, 2)}], ids=["starts", "parameters"])
def test_excess_is_refused_at_a_start_of_any_cell_that_runs(plain_engine, parameters):
    """Protects lr = (1 + excess)·2/S(start): S <= 0 at finer cells' starts only is refused, as a sweep refuses it."""
    # S = width·((w − 15/32)² − 1/256) is below 0 within 1/16 of 15/32: no middle of the first two levels.
    loss = ss.SymbolicLoss("width*((w - 0.46875)**4/12 - w**2/512)", "w", {"width": 1.0})
    axes = parameters | {"start.w": (0.0, 1.0, 2), "excess": (0.1, 4.0, 2)}
    with pytest.raises(ValueError, match=r"excess must start where the sharpness is above 0, got -0\.00"):
        refined(
            plain_engine, loss, axes=axes, start=[0.25], previous=None, steps=1, levels=3,
            measure=["final_loss"], jumps={"final_loss": 0},
        )  # fmt: skip
    found = refined(
        plain_engine, loss, axes=axes, start=[0.25], previous=None, steps=1, levels=0,
        measure=["final_loss"], jumps={"final_loss": 0},
    )  # fmt: skip
    assert np.isfinite(found.final_loss).all()


def test_processes_run_the_cells_of_a_loss_without_a_kernel(monkeypatch):
    """Protects `threads`: the number of cells that run decides whether processes are worth it; same bits."""
    loss = ss.DiagonalNetwork([[1.0, 0.5], [0.0, 2.0]], [1.0, 0.0])
    seen, init = [], cells.CellRunner.__init__

    def watched(self, plan, processes=1, **given):
        seen.append((processes, given["runs"]))
        init(self, plan, processes, **given)

    monkeypatch.setattr(cells.CellRunner, "__init__", watched)

    def made(threads):
        return ss.refine(
            loss, ss.HeavyBall(0.1), {"momentum": (0.0, 0.9, 2), "lr": (0.1, 3.0, 2)}, start=[0.5] * 4, steps=20,
            levels=2, measure=["diverged_at"], jumps={"diverged_at": 1}, threads=threads, progress=False,
        )  # fmt: skip

    here = made(1)
    assert sum(runs for _, runs in seen) == here.attrs["runs"]
    monkeypatch.setattr(cells, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(cells, "_run", None)  # what runs here, not in a process, fails
    xr.testing.assert_identical(made(2).drop_attrs(), here.drop_attrs())
    assert {processes for processes, _ in seen} == {1, 2}


def test_axes_of_the_optimizer_and_its_schedule_keep_their_names(plain_engine):
    """Protects labels of refined diagrams: long name and unit are those of a sweep over the same axis."""
    optimizer, box = (
        ss.HeavyBall(ss.LinearWarmup(0.0, 1.0, 5)),
        {"momentum": (0.0, 0.5, 2), "lr.steps": (1.0, 9.0, 2)},
    )
    refined = plain_engine(
        ss.refine, ss.Quadratic([1.0]), optimizer, box, start=[1.0], steps=4, levels=0, measure=["diverged_at"],
        jumps={"diverged_at": 1}, progress=False,
    )  # fmt: skip
    axes = {"momentum": [0.0], "lr.steps": [5.0]}
    swept = plain_engine(
        ss.sweep,
        ss.Quadratic([1.0]),
        optimizer,
        axes,
        start=[1.0],
        steps=4,
        measure=["diverged_at"],
        progress=False,
    )
    for name in axes:
        assert refined[name].attrs == swept[name].attrs
    assert refined["lr.steps"].attrs == {"long_name": "length of the warmup", "units": "step"}


def test_a_smooth_boundary_hides_nothing():
    """Protects what refine says of its own resolution: a smooth edge has dimension 1 and hides in no cell."""
    axes = {"momentum": (0.0, 1.0, 4), "lr": (0.0, 4.0, 4)}
    data = ss.refine(
        ss.Quadratic([1.0]), ss.HeavyBall(1.0), axes, start=[1.0], previous=[-1.0], steps=100, levels=5,
        measure=["diverged_at"], jumps={"diverged_at": 1}, escape=4.0, progress=False,
    )  # fmt: skip
    assert data.attrs["missed"] == 0.0
    assert data.attrs["boundary_dimension"] == pytest.approx(1.0, abs=0.1)


def test_what_a_fractal_boundary_hides_is_measured():
    """Protects the estimate where a boundary is fractal: cells beside it hide more of it, in a dimension above 1."""
    box = {"start.u": (1.0, 3.0, 8), "start.v": (1.0, 3.0, 8)}
    rest = {"start": [1.0, 2.0], "steps": 100, "measure": ["phase"], "progress": False, "threads": 1}
    data = ss.refine(ss.Product(), ss.HeavyBall(0.5), box, levels=4, **rest)
    assert 0.0 < data.attrs["missed"] < 0.5
    assert 1.1 < data.attrs["boundary_dimension"] <= 2.0
