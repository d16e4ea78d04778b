"""orbits: the last records of single runs, at every schedule and noise; cycles and their doublings in closed form."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

import selfstab as ss
from selfstab import machine, theory
from selfstab.runs import states as states_module

LOGISTIC = ss.SymbolicLoss("w**2/2 - w**3/3", "w")
CUBIC = ss.CubicTaylor(1.0, 0.01)
KEEP = ("weights", "velocity", "loss", "sharpness")


@dataclass(frozen=True)
class Sawtooth:
    lr: float

    def values(self, first, last):
        return self.lr * (1.0 + 0.5 * (np.arange(first, last) % 7) / 7.0)


def found(plain_engine, loss, optimizer, axes, **settings):
    return plain_engine(ss.orbits, loss, optimizer, axes, progress=False, **settings)


def run_of(loss, optimizer, start, settings, last):
    more = {
        name: value for name, value in settings.items() if name in ("noise", "seed", "escape", "previous")
    }
    run = ss.simulate(loss, optimizer, start, settings["steps"], keep=KEEP, **more)
    return run.isel(step=slice(settings["steps"] + 1 - last, None))


@pytest.mark.parametrize(
    ("loss", "axes", "optimizer", "settings"),
    [
        (CUBIC, {"lr": [0.2, 0.4], "momentum": [0.0, 0.9]}, lambda lr, momentum: ss.HeavyBall(lr, momentum),
         {"start": [0.1, 0.0], "previous": [0.08, 0.0]}),
        (CUBIC, {"momentum": [0.0, 0.7], "lookahead": [0.0, 0.5]}, lambda momentum, lookahead: ss.HeavyBall(
            0.8, momentum, lookahead), {"start": [0.1, 0.0], "noise": 0.01, "seed": 3}),
        # A ramp that ends within the last states, and one that goes on beyond them.
        (CUBIC, {"lr.steps": [47.0, 90.5], "lr.end": [0.5, 2.1]}, lambda steps, end: ss.HeavyBall(
            ss.LinearWarmup(0.1, end, steps), 0.3), {"start": [0.1, 0.0]}),
        (ss.Product(), {"momentum": [0.0, 0.5]}, lambda momentum: ss.HeavyBall(Sawtooth(0.2), momentum),
         {"start": [1.5, 0.9], "noise": 1e-3}),
    ],
    ids=["constant", "noise", "ramp", "table"],
)  # fmt: skip
def test_states_are_the_last_records_of_a_run(
    plain_engine, same_bits, monkeypatch, loss, axes, optimizer, settings
):
    """Protects the rate and the noise of the right step, over the cuts of a long transient, bit for bit."""
    settings = settings | {"steps": 50}
    first = optimizer(*(values[0] for values in axes.values()))
    with monkeypatch.context() as patch:
        patch.setattr(states_module, "NUMBERS", 20)
        patch.setattr(states_module, "_LEAST_UPDATES", 3)
        data = found(plain_engine, loss, first, axes, last=13, keep=KEEP, **settings)
    assert data.step.values.tolist() == [*range(38, 51)]
    assert json.loads(data.attrs["optimizer"])["momentum"] == first.momentum
    for index in np.ndindex(data.diverged_at.shape):
        chosen = optimizer(*(values[k] for values, k in zip(axes.values(), index, strict=True)))
        run = run_of(loss, chosen, settings["start"], settings, 13)
        for name in KEEP:
            assert same_bits(data[name].values[index], run[name].values), name
        assert int(data.diverged_at[index]) == -1


def test_axes_of_excess_start_and_parameters(plain_engine, same_bits):
    """Protects the axes that are not the optimizer's, and that a cell starts at rest."""
    axes = {"excess": [0.02, 0.05], "start.x": [0.01, 0.02], "curvature": [0.5, 1.0]}
    still = ss.CubicTaylor(1.0)
    data = found(plain_engine, still, ss.HeavyBall(1.0, 0.5), axes, start=[0.1, 0.0], steps=30, last=3)
    for index in np.ndindex(2, 2, 2):
        e, x, c = (values[k] for values, k in zip(axes.values(), index, strict=True))
        loss = still.replace(curvature=c)
        optimizer = ss.HeavyBall((1.0 + e) * 3.0 / loss.sharpness([x, 0.0])[0], 0.5)
        run = run_of(loss, optimizer, [x, 0.0], {"steps": 30}, 3)
        assert same_bits(data.weights.values[index], run.weights.values)


def test_an_axis_of_noise(plain_engine, same_bits):
    """Protects the noise of each cell's own level."""
    axes = {"noise": [0.0, 0.1]}
    data = found(plain_engine, CUBIC, ss.HeavyBall(0.3), axes, start=[0.1, 0.0], steps=20, last=4, seed=2)
    for k, noise in enumerate(axes["noise"]):
        run = run_of(CUBIC, ss.HeavyBall(0.3), [0.1, 0.0], {"steps": 20, "noise": noise, "seed": 2}, 4)
        assert same_bits(data.weights.values[k], run.weights.values)


def widths(width):
    return ss.MLP([2, width, 1], np.eye(2), np.ones((2, 1)))


def test_weights_of_other_dimensions_are_refused():
    """Protects the array of states where an axis changes the number of weights; their losses can be kept."""
    family, axes = ss.LossFamily(widths, width=2), {"width": [2, 3]}
    settings = {"start": ss.Initialization(seed=1), "steps": 5, "last": 2, "progress": False}
    with pytest.raises(
        ValueError, match=r"keep must not name weights or velocity .* 13 of them with \{'width': 3\}, not 9"
    ):
        ss.orbits(family, ss.HeavyBall(0.1), axes, **settings)
    data = ss.orbits(family, ss.HeavyBall(0.1), axes, keep=["loss"], **settings)
    for width in (2, 3):
        start = widths(width).initial_weights(seed=1)
        run = ss.simulate(widths(width), ss.HeavyBall(0.1), start, 5, keep=["loss"])
        assert data.loss.sel(width=width).values.tolist() == run.loss.values[-2:].tolist()


@pytest.mark.parametrize("last", [1, 5, 41])
def test_a_divergence_ends_the_states(plain_engine, last):
    """Protects diverged runs: states up to the divergence, nan after it, and its step."""
    steps = 40
    data = found(
        plain_engine, ss.Quadratic([1.0]), ss.HeavyBall(1.0), {"lr": [0.5, 2.25, 2.4, 9.0]}, start=[1.0],
        steps=steps, last=last, escape=2000.0, keep=["weights", "loss"],
    )  # fmt: skip
    for lr, weights, losses, diverged_at in zip(
        data.lr.values, data.weights.values[..., 0], data.loss.values, data.diverged_at.values, strict=True
    ):
        expected = (1.0 - lr) ** data.step.values
        gone = np.abs(expected) > 2000.0
        exact = np.log(2000.0) / np.log(abs(lr - 1.0))
        assert diverged_at == (int(np.ceil(exact)) if lr > 2 and exact < steps else -1)
        np.testing.assert_allclose(weights[~gone], expected[~gone], rtol=1e-12)
        np.testing.assert_allclose(losses[~gone], 0.5 * expected[~gone] ** 2, rtol=1e-12)
        assert np.isnan(weights[gone]).all()
        assert np.isnan(losses[gone]).all()


def cycle(lr, momentum):
    """Return the two points of the cycle of w²/2 − w³/3: their sum is s = 1 − 2/h, their product (s² − s)/2."""
    h = lr / (1.0 + momentum)
    total = 1.0 - 2.0 / h
    half = np.sqrt(total / 2.0 - total**2 / 4.0)
    return total / 2.0 - half, total / 2.0 + half


def test_two_cycles_are_where_theory_says(plain_engine):
    """Protects the diagram against the exact cycle at every momentum, and theory's size as the flip is neared."""
    momentum, excess = [0.0, 0.5, 0.8], np.array([0.01, 0.02, 0.04])
    for beta in momentum:
        axes = {"lr": 2.0 * (1.0 + beta) * (1.0 + excess)}
        data = found(plain_engine, LOGISTIC, ss.HeavyBall(1.0, beta), axes, start=[0.01], steps=2900, last=2)
        points = np.sort(data.weights.values[..., 0], axis=1)
        np.testing.assert_allclose(points, np.stack(cycle(axes["lr"], beta), axis=1), atol=1e-12)
        half = np.ptp(points, axis=1) / 2.0
        errors = half / theory.two_cycle_half_amplitude(excess, 1.0, -2.0, 0.0) - 1.0
        order = np.log2(np.abs(errors[1:] / errors[:-1]))
        assert order == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.parametrize(
    ("lr", "states"),
    [
        # r = 1 + lr: flips at r = 3, 1 + √6, 3.544090, 3.564407; a window of period 3 from r = 1 + √8 on.
        (1.98, 1), (2.02, 2), (6**0.5 - 0.005, 2), (6**0.5 + 0.005, 4), (2.5420, 4), (2.5450, 8), (2.5635, 8),
        (2.5650, 16), (8**0.5 + 0.003, 3),
    ],
)  # fmt: skip
def test_doublings_are_the_logistic_maps(plain_engine, lr, states):
    """Protects the cascade: gradient descent on w²/2 − w³/3 is the logistic map, with its doublings where they are."""
    data = found(
        plain_engine, LOGISTIC, ss.HeavyBall(lr), {"start.w": [0.1]}, start=[0.1], steps=2900, last=48
    )
    assert np.unique(data.weights.values.round(6)).size == states


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_first_doubling_is_at_the_threshold(plain_engine, momentum):
    """Protects the flip at ηS = 2(1 + β), by the number of distinct states on each side."""
    axes = {"lr": 2.0 * (1.0 + momentum) * np.array([0.98, 1.02])}
    optimizer = ss.HeavyBall(1.0, momentum)
    data = found(plain_engine, LOGISTIC, optimizer, axes, start=[0.02], steps=2500, last=32)
    assert [np.unique(row.round(6)).size for row in data.weights.values] == [1, 2]


def test_a_loss_without_a_kernel(same_bits):
    """Protects networks: the same states as simulate's, cell by cell."""
    loss = ss.MLP([2, 3, 1], np.eye(2), np.ones((2, 1)))
    start = loss.initial_weights(seed=1)
    axes = {"lr": [0.1, 0.5, 90.0], "momentum": [0.0, 0.9]}
    settings = {"noise": 1e-3, "seed": 5, "escape": 1e3}
    data = ss.orbits(
        loss, ss.HeavyBall(1.0), axes, start=start, steps=20, last=4, keep=KEEP, progress=False, **settings
    )
    assert (data.diverged_at.values[2] >= 0).all()
    assert np.isnan(data.weights.values[2]).all()
    for i, lr in enumerate([0.1, 0.5]):
        for j, momentum in enumerate([0.0, 0.9]):
            run = run_of(loss, ss.HeavyBall(lr, momentum), start, settings | {"steps": 20}, 4)
            for name in ("weights", "velocity", "loss"):
                assert same_bits(data[name].values[i, j], run[name].values), name
            np.testing.assert_allclose(data.sharpness.values[i, j], run.sharpness.values, rtol=1e-10)


def test_compiled_states_are_those_of_plain_python(plain_engine):
    """Protects the compiled path, and any number of threads."""
    axes = {"lr": np.linspace(1.5, 2.9, 41)}
    settings = {"start": [0.1], "steps": 400, "last": 20, "keep": KEEP}
    plain = found(plain_engine, LOGISTIC, ss.HeavyBall(1.0, 0.1), axes, threads=1, **settings)
    data = ss.orbits(LOGISTIC, ss.HeavyBall(1.0, 0.1), axes, threads=3, progress=False, **settings)
    xr.testing.assert_identical(data.drop_attrs(), plain.drop_attrs())


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_files_keep_everything(plain_engine, kind, tmp_path):
    """Protects stored diagrams, without a warning."""
    data = found(
        plain_engine,
        CUBIC,
        ss.HeavyBall(1.0),
        {"lr": [1.0, 9.0]},
        start=[0.1, 0.0],
        steps=20,
        last=3,
        keep=KEEP,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind == "netcdf":
            data.to_netcdf(tmp_path / "orbits.nc")
            back = xr.load_dataset(tmp_path / "orbits.nc")
        else:
            # Consolidated metadata are no part of Zarr 3, and xarray says so.
            data.to_zarr(tmp_path / "orbits.zarr", consolidated=False)
            back = xr.load_dataset(tmp_path / "orbits.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_identical(back, data)
    assert all(data[name].attrs["long_name"] for name in data.variables if name != "weight")


DOOR = {"start": [0.1, 0.0], "steps": 5, "last": 2, "progress": False}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"last": 0}, "last must be an integer >= 1 and <= 6, got 0"),
        ({"last": 7}, "last must be an integer >= 1 and <= 6, got 7"),
        ({"last": 2.0}, "last must be an integer"),
        ({"keep": ["gradient_norm"]}, "keep must be one of weights, velocity, loss, sharpness"),
        ({"keep": []}, "keep must name at least one of"),
        ({"threads": 0}, "threads must be an integer >= 1"),
        ({"progress": None}, "progress must be True or False"),
        ({"start": [0.1]}, "start must have shape"),
        ({"axes": {"lrs": [0.1]}}, "axes must be named among"),
        ({"axes": None}, "axes must map names to values"),
    ],
)
def test_bad_input_is_named(changes, match):
    """Protects the door; nothing has been compiled or run by then."""
    axes = changes.get("axes", {"lr": [0.1]})
    more = {name: value for name, value in changes.items() if name != "axes"}
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        ss.orbits(CUBIC, ss.HeavyBall(0.1), axes, **(DOOR | more))
    assert "\n" not in str(caught.value)


def test_states_beyond_memory_are_refused(monkeypatch):
    """Protects the machine: the size is told before anything runs."""
    monkeypatch.setattr(machine, "SMALL", 0)
    monkeypatch.setattr(machine, "free_memory", lambda: 100)
    with pytest.raises(
        MemoryError, match=r"the last = \d states of 2 cells take 6.4e-08 GB, more than half of the 1e-07 GB"
    ):
        ss.orbits(CUBIC, ss.HeavyBall(0.1), {"lr": [0.1, 0.2]}, **DOOR)
