"""sweep: axes, coordinates, repeats, files and its door; the bits of its cells are in kernels/test_lanes.py."""

from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest
import xarray as xr

import selfstab as ss
from selfstab import phases
from selfstab.kernels.measures import MEASURES
from selfstab.sweeps.plan.blocks import cut
from selfstab.sweeps.runners import pool

CUBIC = ss.CubicTaylor(1.0, 0.01)
FEW = ("final_loss", "diverged_at")


def swept(plain_engine, loss=CUBIC, optimizer=None, axes=None, **settings):
    """Sweep in plain CPython: what is tested here is not the kernel, and few kernels are compiled that way."""
    defaults = {"start": [0.1, 0.0], "steps": 12, "measure": FEW, "progress": False}
    return plain_engine(
        ss.sweep, loss, optimizer or ss.HeavyBall(0.5), axes or {"lr": [0.5, 1.0]}, **(defaults | settings)
    )


def final_loss(loss, optimizer, start, steps=12, **settings):
    return float(ss.simulate(loss, optimizer, start, steps, keep=["loss"], **settings).loss[-1])


def test_dimensions_and_coordinates(plain_engine):
    """Protects what people select by: the axes' names verbatim and in order, their values, then repeat."""
    axes = {
        "start.x": [0.1, 0.2, 0.3],
        "lr": (0.5, 1.0),
        "stabilization": np.array([1.0]),
        "momentum": xr.DataArray([0.0, 0.9]),
    }
    data = swept(plain_engine, axes=axes, noise=0.1, repeats=2, measure=tuple(MEASURES))
    assert tuple(data.final_loss.dims) == (*axes, "repeat")
    assert data.final_loss.shape == (3, 2, 1, 2, 2)
    for name, values in axes.items():
        assert data[name].values.tolist() == list(np.asarray(values))
    assert data.repeat.values.tolist() == [0, 1]
    assert set(data.data_vars) == set(MEASURES)
    assert data.phase.dtype == np.int8
    assert data.diverged_at.dtype == np.int64
    assert all(data[v].attrs["long_name"] for v in data.variables if v != "repeat")
    assert data.phase.attrs["flag_meanings"].split()[0] == phases.LABELS[data.phase.attrs["flag_values"][0]]
    assert "repeat" not in swept(plain_engine).dims


@pytest.mark.parametrize(
    ("axis", "values", "run"),
    [
        ("lr", [0.5, 1.7], lambda v: (CUBIC, ss.HeavyBall(v), [0.1, 0.0], [0.1, 0.0])),
        ("momentum", [0.0, 0.9], lambda v: (CUBIC, ss.HeavyBall(0.5, v), [0.1, 0.0], [0.1, 0.0])),
        ("lookahead", [0.0, 0.9], lambda v: (CUBIC, ss.HeavyBall(0.5, 0.0, v), [0.1, 0.0], [0.1, 0.0])),
        ("curvature", [0.5, 2.0], lambda v: (CUBIC.replace(curvature=v), ss.HeavyBall(0.5), [0.1, 0.0], [0.1, 0.0])),
        ("start.x", [0.5, -2.0], lambda v: (CUBIC, ss.HeavyBall(0.5), [v, 0.0], [v, 0.0])),
        ("previous.z", [0.5, -2.0], lambda v: (CUBIC, ss.HeavyBall(0.5), [0.1, 0.0], [0.1, v])),
        ("excess", [-0.5, 0.2], lambda v: (CUBIC, ss.HeavyBall((1 + v) * 4 / (1 + 1.04**0.5)), [0.1, 0.0], [0.1, 0.0])),
    ],
)  # fmt: skip
def test_each_axis_sets_what_it_names(plain_engine, axis, values, run):
    """Protects each axis against a run with that value, one at a time."""
    data = swept(plain_engine, axes={axis: values})
    for value, got in zip(values, data.final_loss.values, strict=True):
        loss, optimizer, start, previous = run(value)
        assert got == pytest.approx(final_loss(loss, optimizer, start, previous=previous), rel=1e-12)


@pytest.mark.parametrize(
    ("axis", "values"), [("lr.start", [0.0, 0.4]), ("lr.end", [0.1, 2.0]), ("lr.steps", [1.0, 30.5])]
)
def test_axes_of_a_warmup(plain_engine, axis, values):
    """Protects the three numbers of a ramp as axes."""
    ramp = {"start": 0.1, "end": 0.6, "steps": 7}
    data = swept(plain_engine, optimizer=ss.HeavyBall(ss.LinearWarmup(**ramp)), axes={axis: values})
    for value, got in zip(values, data.final_loss.values, strict=True):
        schedule = ss.LinearWarmup(**(ramp | {axis[3:]: value}))
        assert got == pytest.approx(final_loss(CUBIC, ss.HeavyBall(schedule), [0.1, 0.0]), rel=1e-12)


def test_a_cell_starts_at_rest_wherever_it_starts(plain_engine):
    """Protects the default of `previous` beside an axis of starts; given, it stays where it is."""
    axes = {"start.x": [0.1, 0.5], "start.z": [0.0, 0.3], "momentum": [0.9]}
    rest = swept(plain_engine, axes=axes)
    moving = swept(plain_engine, axes=axes, previous=[0.1, 0.0])
    mixed = swept(plain_engine, axes=axes | {"previous.z": [0.7]})
    for i, x in enumerate(axes["start.x"]):
        for j, z in enumerate(axes["start.z"]):
            for data, previous in (
                (rest, [x, z]),
                (moving, [0.1, 0.0]),
                (mixed.isel({"previous.z": 0}), [x, 0.7]),
            ):
                expected = final_loss(CUBIC, ss.HeavyBall(0.5, 0.9), [x, z], previous=previous)
                assert float(data.final_loss[i, j, 0]) == pytest.approx(expected, rel=1e-12)


def test_excess_sets_the_rate_at_each_start(plain_engine):
    """Protects ε = S(start)/S* − 1: on each start's own sharpness, with momentum and lookahead."""
    axes = {"excess": [-0.3, 0.1], "momentum": [0.0, 0.5], "lookahead": [0.0, 0.4], "start.u": [1.5, 2.5]}
    loss = ss.Product()
    data = swept(plain_engine, loss, axes=axes, start=[1.5, 0.7])
    for index in np.ndindex(2, 2, 2, 2):
        e, m, g, u = (values[k] for values, k in zip(axes.values(), index, strict=True))
        s = loss.sharpness([u, 0.7])[0]
        optimizer = ss.HeavyBall((1 + e) * 2 * (1 + m) / (s * (1 + 2 * g)), m, g)
        assert s / optimizer.max_stable_sharpness() - 1 == pytest.approx(e)
        assert float(data.final_loss[index]) == pytest.approx(
            final_loss(loss, optimizer, [u, 0.7]), rel=1e-10
        )


def test_repeats_are_noise_of_their_own(plain_engine, same_bits):
    """Protects repeats: the first is the single run's, each differs, more of them change none."""
    one = swept(plain_engine, noise=0.1, seed=4)
    three = swept(plain_engine, noise=0.1, seed=4, repeats=3)
    five = swept(plain_engine, noise=0.1, seed=4, repeats=5)
    assert same_bits(three.final_loss.values[:, 0].copy(), one.final_loss.values)
    assert same_bits(three.final_loss.values, five.final_loss.values[:, :3].copy())
    assert np.unique(five.final_loss.values[0]).size == 5
    run = final_loss(CUBIC, ss.HeavyBall(0.5), [0.1, 0.0], noise=0.1, seed=4)
    assert float(one.final_loss[0]) == run


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_files_keep_everything(plain_engine, kind, tmp_path):
    """Protects stored sweeps: NetCDF and Zarr give back values, attributes and dtypes, without a warning."""
    axes = {"lr.end": [0.5, 9.0], "start.x": [0.1, 0.2], "curvature": [1.0]}
    optimizer = ss.HeavyBall(ss.LinearWarmup(0.0, 0.5, 5), 0.5)
    data = swept(plain_engine, optimizer=optimizer, axes=axes, measure=tuple(MEASURES), noise=0.1, repeats=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind == "netcdf":
            data.to_netcdf(tmp_path / "sweep.nc")
            back = xr.load_dataset(tmp_path / "sweep.nc")
        else:
            # Consolidated metadata are no part of Zarr 3, and xarray says so.
            data.to_zarr(tmp_path / "sweep.zarr", consolidated=False)
            back = xr.load_dataset(tmp_path / "sweep.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_identical(back, data)
    assert back.phase.dtype == np.int8
    assert json.loads(back.attrs["start"]) == [0.1, 0.0]
    assert "LinearWarmup" in json.loads(back.attrs["optimizer"])["lr"]["schedule"]


def test_a_failing_block_is_told_and_the_rest_does_not_begin():
    """Protects against silence: the exception comes out, after the blocks under way."""
    begun = []

    def work(block):
        begun.append(block.number)
        if block.number == 2:
            raise RuntimeError("block 2")
        time.sleep(0.002)

    with pytest.raises(RuntimeError, match="block 2"), pool.progress_bar(1000, "cell", False) as bar:
        pool.run_blocks(work, cut(1000, 1, 1), 1, bar)
    assert len(begun) < 1000


@pytest.mark.parametrize("total", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_cover_every_cell_once(total, threads):
    """Protects the cells at the end, of every repeat."""
    seen = np.zeros((2, total), int)

    def work(block):
        seen[block.repeat, block.first : block.first + block.count] += 1

    with pool.progress_bar(2 * total, "cell", False) as bar:
        pool.run_blocks(work, cut(total, 2, 64), threads, bar)
    assert (seen == 1).all()


SETTINGS = {"start": [0.1, 0.0], "steps": 3, "progress": False}
LR = ss.HeavyBall(0.1)
RAMP = ss.HeavyBall(ss.LinearWarmup(0, 1, 5))


@pytest.mark.parametrize(
    ("arguments", "changes", "match"),
    [
        ((None, LR, {"lr": [1.0]}), {}, "loss must be a selfstab loss"),
        ((CUBIC, 0.1, {"lr": [1.0]}), {}, "optimizer must be a HeavyBall"),
        ((CUBIC, LR, {}), {}, "axes must name at least one axis"),
        ((CUBIC, LR, None), {}, "axes must map names to values"),
        ((CUBIC, LR, [("lr", [1.0])]), {}, "axes must map names to values"),
        (
            (CUBIC, LR, {"lrs": [1.0]}),
            {},
            "axes must be named among momentum, lookahead, lr, excess, .*start.x.*got 'lrs'",
        ),
        ((CUBIC, LR, {"start.u": [1.0]}), {}, "axes must be named among"),
        ((CUBIC, LR, {3: [1.0]}), {}, "axes must be named among"),
        ((CUBIC, LR, {("lr",): [1.0]}), {}, "axes must be named among"),
        ((CUBIC, LR, {"seed": [1.0]}), {}, "axes must be named among"),
        ((CUBIC, LR, {"lr": []}), {}, r"axes\['lr'\] must hold at least one value"),
        ((CUBIC, LR, {"lr": 0.1}), {}, r"axes\['lr'\] must have shape \(any,\)"),
        ((CUBIC, LR, {"lr": [[0.1]]}), {}, r"axes\['lr'\] must have shape"),
        ((CUBIC, LR, {"lr": [0.1, np.nan]}), {}, r"axes\['lr'\] must be finite"),
        ((CUBIC, LR, {"lr": [np.inf]}), {}, r"axes\['lr'\] must be finite"),
        ((CUBIC, LR, {"lr": [0.1, 0.0]}), {}, r"axes\['lr'\] must be in \(0, inf\), got 0.0"),
        ((CUBIC, LR, {"lr": "0.1"}), {}, r"axes\['lr'\] must be real numbers"),
        ((CUBIC, LR, {"lr": [None]}), {}, r"axes\['lr'\] must be real numbers"),
        ((CUBIC, LR, {"lr": [1j]}), {}, r"axes\['lr'\] must be real numbers"),
        ((CUBIC, LR, {"lr": [[0.1], [0.1, 0.2]]}), {}, r"axes\['lr'\] must be an array"),
        ((CUBIC, LR, {"momentum": [1.0]}), {}, r"axes\['momentum'\] must be in \[0, 1\), got 1.0"),
        ((CUBIC, LR, {"momentum": [-0.1]}), {}, r"axes\['momentum'\] must be"),
        ((CUBIC, LR, {"lookahead": [-0.1]}), {}, r"axes\['lookahead'\] must be"),
        ((CUBIC, LR, {"excess": [-1.0]}), {}, r"axes\['excess'\] must be in \(-1, inf\)"),
        ((CUBIC, LR, {"excess": [0.1], "lr": [0.1]}), {}, "excess must be the only setting .* an lr axis"),
        (
            (CUBIC, RAMP, {"excess": [0.1]}),
            {},
            "excess must be the only setting .* the schedule LinearWarmup",
        ),
        ((CUBIC, RAMP, {"lr": [0.1]}), {}, "lr must not be an axis beside the schedule"),
        ((CUBIC, LR, {"lr.end": [0.1]}), {}, "lr.end needs an optimizer with a LinearWarmup"),
        ((CUBIC, RAMP, {"lr.end": [0.0]}), {}, r"axes\['lr.end'\] must be"),
        ((CUBIC, RAMP, {"lr.steps": [0.5]}), {}, r"axes\['lr.steps'\] must be"),
        ((CUBIC, LR, {"start.x": [1e7]}), {}, r"axes\['start.x'\] must be in"),
        (
            (CUBIC, LR, {"excess": [0.1]}),
            {"start": [0.0, -1.5]},
            "excess must start where the sharpness is above 0, got",
        ),
        (
            (CUBIC, LR, {"excess": [0.1], "start.z": [0.0, -3.0]}),
            {"start": [0.0, 0.0]},
            "above 0, got 0 at .*-3",
        ),
        (
            (CUBIC, LR, {"excess": [0.1], "curvature": [1.0, -1.0]}),
            {"start": [0.0, 0.0]},
            "above 0, got 0 at .*curvature = -1",
        ),
        ((CUBIC, LR, {"lr": [0.1]}), {"start": [0.1]}, "start must have shape"),
        ((CUBIC, LR, {"lr": [0.1]}), {"start": [0.1, np.nan]}, "start must be finite"),
        ((CUBIC, LR, {"lr": [0.1]}), {"previous": [0.1]}, "previous must have shape"),
        ((CUBIC, LR, {"lr": [0.1]}), {"steps": -1}, "steps must be an integer >= 0"),
        ((CUBIC, LR, {"lr": [0.1]}), {"steps": 1.5}, "steps must be an integer >= 0"),
        ((CUBIC, LR, {"lr": [0.1]}), {"steps": True}, "steps must be an integer >= 0"),
        ((CUBIC, LR, {"lr": [0.1]}), {"measure": "losses"}, "measure must be one of " + ", ".join(MEASURES)),
        ((CUBIC, LR, {"lr": [0.1]}), {"measure": ["phase", "phase"]}, "measure must not repeat"),
        ((CUBIC, LR, {"lr": [0.1]}), {"measure": []}, "measure must name at least one of"),
        ((CUBIC, LR, {"lr": [0.1]}), {"measure": None}, "measure must be names among"),
        ((CUBIC, LR, {"lr": [0.1]}), {"escape": 0}, "escape must be"),
        ((CUBIC, LR, {"lr": [0.1]}), {"noise": -1}, "noise must be"),
        ((CUBIC, LR, {"lr": [0.1]}), {"seed": -1}, "seed must be"),
        ((CUBIC, LR, {"lr": [0.1]}), {"repeats": 0}, "repeats must be an integer >= 1"),
        ((CUBIC, LR, {"lr": [0.1]}), {"threads": 0}, "threads must be an integer >= 1"),
        ((CUBIC, LR, {"lr": [0.1]}), {"threads": 1.5}, "threads must be an integer >= 1"),
        ((CUBIC, LR, {"lr": [0.1]}), {"threads": 10**5}, "threads must be at most 1024, got 100000"),
        ((CUBIC, LR, {"lr": [0.1]}), {"progress": "yes"}, "progress must be True or False"),
    ],
)
def test_bad_input_is_named(arguments, changes, match):
    """Protects the door; nothing has been compiled or run by then."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        ss.sweep(*arguments, **(SETTINGS | changes))
    assert "\n" not in str(caught.value)
