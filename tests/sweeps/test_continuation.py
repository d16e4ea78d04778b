"""continuation: a chain of runs bit for bit; hysteresis where a subcritical flip puts it; restarts; the door."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import xarray as xr

import selfstab as ss
from selfstab import theory
from selfstab.kernels import modules
from selfstab.runs.noise import normal

# ∇L/w = 1 + u − 2u² with u = w²/(1 + w²): a symmetric cycle ±w has 1 + u − 2u² = S* at every momentum.
SUBCRITICAL = ss.SymbolicLoss("3*log(1 + w**2)/2 + 1/(1 + w**2)", "w")
CUBIC = ss.CubicTaylor(1.0, 0.01)


def continued(plain_engine, loss, optimizer, axes, **settings):
    return plain_engine(ss.continuation, loss, optimizer, axes, **({"progress": False} | settings))


def chain(loss, optimizers, weights, velocity, steps, *, escape=1e6, noise=0.0, seed=0):
    """Return the final losses of runs that each start where the one before ended, by the kernel of single runs."""
    trace = modules.plain(loss.kernel.run_source())["trace"]
    out = []
    for optimizer in optimizers:
        ends = np.empty((2, 2 * loss.dimension))
        table = noise * normal(seed, 0, 0, steps, loss.dimension)
        gone = trace(
            weights, velocity, optimizer.rates(0, steps), optimizer.momentum, optimizer.lookahead, loss.kernel.values,
            table, noise > 0, steps, escape, ends,
        )  # fmt: skip
        assert gone < 0
        weights, velocity = ends[1, : loss.dimension], ends[1, loss.dimension :]
        out.append(loss.value(weights))
    return np.array(out)


@pytest.mark.parametrize(
    ("along", "values", "optimizer", "settings"),
    [
        ("lr", [0.1, 0.3, 0.2, 0.5], lambda v: ss.HeavyBall(v, 0.8), {}),
        ("momentum", [0.0, 0.5, 0.9], lambda v: ss.HeavyBall(0.2, v, 0.4), {"noise": 0.01, "seed": 7}),
        ("lr.end", [0.2, 0.6], lambda v: ss.HeavyBall(ss.LinearWarmup(0.0, v, 30), 0.5), {}),
    ],
)
def test_a_branch_is_a_chain_of_runs(plain_engine, same_bits, along, values, optimizer, settings):
    """Protects the hand-over of weights and velocity, both ways, bit for bit against the kernel of single runs."""
    start, previous = np.array([0.1, 0.02]), np.array([0.07, 0.05])
    data = continued(
        plain_engine, CUBIC, optimizer(values[0]), {along: values}, along=along, start=start, previous=previous,
        steps=41, measure=["final_loss"], **settings,
    )  # fmt: skip
    assert data.final_loss.dims == (along, "direction")
    for direction, order in (("forward", values), ("backward", values[::-1])):
        found = data.final_loss.sel(direction=direction).values
        expected = chain(CUBIC, [optimizer(v) for v in order], start, start - previous, 41, **settings)
        assert same_bits(found if direction == "forward" else found[::-1].copy(), expected)
    assert not data.restarted.any()


def test_gradient_descent_is_a_chain_of_simulates(plain_engine, same_bits):
    """Protects the same by public calls, for a loss with a kernel and one without: without momentum w says all."""
    network = ss.MLP([2, 3, 1], np.eye(2), np.ones((2, 1)))
    rates = [0.5, 1.0, 0.7]
    for loss, start in ((CUBIC, np.array([0.1, 0.0])), (network, network.initial_weights(seed=1))):
        axes = {"start." + loss.weight_names[0]: [0.1, 0.2], "lr": rates}
        data = continued(
            plain_engine, loss, ss.HeavyBall(1.0), axes, along="lr", start=start, steps=20, direction="forward",
            measure=["final_loss", "diverged_at"],
        )  # fmt: skip
        assert data.sizes["direction"] == 1
        for i, first in enumerate([0.1, 0.2]):
            at = np.concatenate([[first], start[1:]])
            for k, lr in enumerate(rates):
                run = ss.simulate(loss, ss.HeavyBall(lr), at, 20, keep=["loss", "weights"])
                at = run.weights.values[-1]
                assert same_bits(data.final_loss.values[i, k], run.loss.values[-1:])
                assert int(data.diverged_at[i, k, 0]) == int(run.diverged_at) == -1


def test_velocity_is_handed_over_without_a_kernel():
    """Protects momentum across runs of a network: two runs of 10 steps are one of 20."""
    loss = ss.MLP([2, 3, 1], np.eye(2), np.ones((2, 1)))
    start = loss.initial_weights(seed=1)
    data = ss.continuation(
        loss, ss.HeavyBall(0.3, 0.9), {"lr": [0.3, 0.3]}, along="lr", start=start, steps=10, measure=["final_loss"],
        direction="forward", progress=False,
    )  # fmt: skip
    run = ss.simulate(loss, ss.HeavyBall(0.3, 0.9), start, 20, every=10, keep=["loss"])
    assert data.final_loss.values[:, 0].tolist() == run.loss.values[1:].tolist()


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.8])
def test_a_subcritical_flip_has_the_hysteresis_that_theory_predicts(momentum):
    """Protects the purpose: forward the minimum up to ηS = 2(1 + β), backward the cycle down to its fold at 9/8."""
    assert (
        theory.flip_coefficient(2.0 * (1.0 + momentum), momentum, 1.0, 0.0, 6.0) < 0
    )  # L = w²/2 + w⁴/4 + ...
    # S*: the fold is at 9/8, the flip at 1; small steps, since with momentum the cycle's basin is small near its fold.
    threshold = np.array([1.16, 1.135, 1.115, 1.1, 1.08, 1.06, 1.04, 1.015, 0.985, 0.96])
    axes = {"lr": 2.0 * (1.0 + momentum) / threshold}
    data = ss.continuation(
        SUBCRITICAL, ss.HeavyBall(1.0, momentum), axes, along="lr", start=[1e-3], steps=2500, noise=1e-9,
        measure=["final_loss"], progress=False,
    )  # fmt: skip
    u = (1.0 + np.sqrt(np.maximum(1.0 + 8.0 * (1.0 - threshold), 0.0))) / 4.0
    cycle = 1.5 * np.log(1.0 / (1.0 - u)) + (1.0 - u)  # L where w² = u/(1 − u)
    forward, backward = (data.final_loss.sel(direction=word).values for word in ("forward", "backward"))
    # The noise moves L by itself along the cycle, where the gradient is not 0.
    np.testing.assert_allclose(forward, np.where(threshold < 1.0, cycle, 1.0), atol=1e-7)
    np.testing.assert_allclose(backward, np.where(threshold < 1.125, cycle, 1.0), atol=1e-7)
    differ = np.abs(forward - backward) > 0.1
    assert (differ == ((threshold > 1.0) & (threshold < 1.125))).all()


def test_after_a_divergence_a_run_starts_afresh(plain_engine, same_bits):
    """Protects branches beyond a divergence: the next run is the one of a sweep, and says so."""
    values, loss = [0.02, 2.5, 2.55, 0.03, 0.05], ss.Quadratic([1.0])
    axes = {"momentum": [0.0, 0.3], "lr": values}
    settings = {"start": [1.0], "previous": [0.5], "steps": 80, "measure": ["final_loss"], "escape": 10.0}
    data = continued(plain_engine, loss, ss.HeavyBall(1.0), axes, along="lr", **settings)
    swept = plain_engine(
        ss.sweep,
        loss,
        ss.HeavyBall(1.0),
        axes,
        progress=False,
        **(settings | {"measure": ["final_loss", "diverged_at"]}),
    )
    gone = swept.diverged_at.values >= 0
    assert gone.tolist() == [[False, True, True, False, False], [False, False, False, False, False]]
    assert set(data.data_vars) == {"final_loss", "restarted"}
    flags = data.restarted.values
    assert flags[0, :, 0].tolist() == [False, False, True, True, False]
    assert flags[0, :, 1].tolist() == [True, True, False, False, False]
    assert not flags[1].any()
    fresh = flags.copy()
    fresh[:, 0, 0] = fresh[:, -1, 1] = True  # the first of each branch
    for k in (0, 1):
        assert same_bits(
            data.final_loss.values[..., k][fresh[..., k]], swept.final_loss.values[fresh[..., k]]
        )
    assert data.final_loss.values[0, 4, 0] < swept.final_loss.values[0, 4]


def test_bits_do_not_depend_on_company(plain_engine):
    """Protects compiled lanes in any number of threads against plain Python, on many lines of three axes."""
    axes = {"momentum": [0.0, 0.5, 0.8], "lr": np.linspace(1.5, 2.5, 3), "start.w": np.linspace(0.1, 2.0, 13)}
    settings = {
        "along": "lr",
        "start": [0.1],
        "previous": [0.0],
        "steps": 16,
        "noise": 1e-9,
        "measure": ["final_loss"],
    }
    plain = continued(plain_engine, SUBCRITICAL, ss.HeavyBall(1.0), axes, threads=1, **settings)
    for threads in (1, 3):
        data = ss.continuation(
            SUBCRITICAL, ss.HeavyBall(1.0), axes, threads=threads, progress=False, **settings
        )
        xr.testing.assert_identical(data.drop_attrs(), plain.drop_attrs())


def widths(width):
    return ss.MLP([2, width, 1], np.eye(2), np.ones((2, 1)))


def test_states_of_other_dimensions_are_refused():
    """Protects the hand-over along or beside an axis that changes the number of weights."""
    family = ss.LossFamily(widths, width=2)
    for along in ("width", "lr"):
        with pytest.raises(ValueError, match=r"axes must keep the 9 weights, got 13 with \{'width': 3\}"):
            ss.continuation(
                family, ss.HeavyBall(0.1), {"width": [2, 3], "lr": [0.1]}, along=along, start=ss.Initialization(),
                steps=5, progress=False,
            )  # fmt: skip


def test_drawn_starts_of_a_family():
    """Protects starts that differ by cell: each line begins with the weights drawn for it."""
    family = ss.LossFamily(widths, width=2)
    axes = {"start.seed": [0, 1], "lr": [0.1, 0.2]}
    data = ss.continuation(
        family, ss.HeavyBall(0.1, 0.5), axes, along="lr", start=ss.Initialization(), steps=5, progress=False,
        measure=["final_loss"],
    )  # fmt: skip
    for seed in (0, 1):
        start = family.initial_weights(seed=seed)
        for direction, k in (("forward", 0), ("backward", 1)):
            run = ss.simulate(family, ss.HeavyBall(axes["lr"][k], 0.5), start, 5, keep=["loss"])
            assert float(data.final_loss.sel(direction=direction)[seed, k]) == float(run.loss[-1])
    assert json.loads(data.attrs["initialization"])["seed"] == 0


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_files_keep_everything(plain_engine, kind, tmp_path):
    """Protects stored branches, without a warning."""
    data = continued(
        plain_engine, CUBIC, ss.HeavyBall(1.0), {"lr": [0.5, 0.6]}, along="lr", start=[0.1, 0.0], steps=5
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind == "netcdf":
            data.to_netcdf(tmp_path / "branches.nc")
            back = xr.load_dataset(tmp_path / "branches.nc")
        else:
            # Consolidated metadata are no part of Zarr 3, and xarray says so.
            data.to_zarr(tmp_path / "branches.zarr", consolidated=False)
            back = xr.load_dataset(tmp_path / "branches.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_identical(back, data)
    assert back.attrs["along"] == "lr"
    assert json.loads(back.attrs["optimizer"])["momentum"] == 0.0


DOOR = {"along": "lr", "start": [0.1, 0.0], "steps": 5, "progress": False}


@pytest.mark.parametrize(
    ("axes", "changes", "match"),
    [
        ({"lr": [0.1]}, {"along": "momentum"}, "along must be one of lr, got 'momentum'"),
        ({"lr": [0.1]}, {"along": None}, "along must be one of lr, got None"),
        ({"start.x": [0.1]}, {"along": "start.x"}, "along must not be a start"),
        ({"previous.x": [0.1]}, {"along": "previous.x"}, "along must not be a start"),
        ({"excess": [0.1]}, {"along": "excess"}, "axes must not name excess"),
        ({"lr": [0.1]}, {"direction": "up"}, "direction must be one of both, forward, backward, got 'up'"),
        ({"lr": [0.1]}, {"threads": 0}, "threads must be an integer >= 1"),
        ({"lr": [0.1]}, {"progress": 0}, "progress must be True or False"),
        ({"lr": [0.1]}, {"measure": []}, "measure must name at least one of"),
        ({"lr": [0.1]}, {"start": [0.1]}, "start must have shape"),
        ({}, {}, "axes must name at least one axis"),
    ],
)
def test_bad_input_is_named(axes, changes, match):
    """Protects the door; nothing has been compiled or run by then."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        ss.continuation(CUBIC, ss.HeavyBall(0.1), axes, **(DOOR | changes))
    assert "\n" not in str(caught.value)
