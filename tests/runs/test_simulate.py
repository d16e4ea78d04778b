"""simulate: one run, what it records, its invariants."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.kernels import modules
from selfstab.losses.base.kernel import PLAIN_STEPS
from selfstab.runs.variables import KEEP

ALL = tuple(KEEP)
NETWORK = ss.MLP((2, 3, 1), [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[1.0], [-1.0], [0.5]])
LOSSES = {
    "cubic": (ss.CubicTaylor(1.0, 0.01), [0.1, 0.05], ss.HeavyBall(1.5, 0.5)),
    "product": (ss.Product(), [2.0, 0.7], ss.HeavyBall(0.3, 0.8)),
    "chain": (ss.Chain(3), [1.5, 1.0, 0.5], ss.HeavyBall(0.1, 0.9, 0.9)),
    "network": (NETWORK, None, ss.HeavyBall(0.3, 0.7)),
    "diagonal": (ss.DiagonalNetwork([[1.0, 2.0], [0.5, -1.0]], [1.0, 0.0]), None, ss.HeavyBall(0.1, 0.3, 0.2)),
}  # fmt: skip


def start_of(name):
    loss, start, _ = LOSSES[name]
    return loss.initial_weights(seed=1, scale=0.5) if start is None else np.array(start)


def run(name, steps=40, **changes):
    loss, _, optimizer = LOSSES[name]
    return ss.simulate(loss, optimizer, start_of(name), steps, **({"keep": ALL} | changes))


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_recorded_is_what_it_says(name):
    """Protects each variable against its definition, computed from the recorded weights alone."""
    loss, _, optimizer = LOSSES[name]
    data = run(name)
    w, v = data.weights.values, data.velocity.values
    assert data.step.values.tolist() == [*range(41)]
    assert data.weight.values.tolist() == list(loss.weight_names)
    assert np.array_equal(w[0], start_of(name))
    assert (v[0] == 0).all()
    assert np.diff(w, axis=0) == pytest.approx(v[1:], rel=1e-9, abs=1e-15)
    for t in range(40):
        force = loss.gradient(w[t] + optimizer.lookahead * v[t])
        assert v[t + 1] == pytest.approx(
            optimizer.momentum * v[t] - optimizer.lr * force, rel=1e-12, abs=1e-14
        )
    hessians = [loss.hessian(at) for at in w]
    tops = np.array([np.linalg.eigvalsh(h)[-1] for h in hessians])
    assert data.sharpness.values == pytest.approx(tops, rel=1e-11)
    assert data.loss.values == pytest.approx([loss.value(at) for at in w], rel=1e-12)
    assert data.gradient_norm.values == pytest.approx(
        [np.linalg.norm(loss.gradient(at)) for at in w], rel=1e-12
    )
    u = data.top_eigenvector.values
    assert np.linalg.norm(u, axis=1) == pytest.approx(np.ones(41), rel=1e-12)
    residual = [np.linalg.norm(h @ x - s * x) for h, x, s in zip(hessians, u, tops, strict=True)]
    assert max(residual) < 1e-8 * tops.max()
    assert (np.einsum("tj,tj->t", u[1:], u[:-1]) >= 0).all()
    assert (data.lr == optimizer.lr).all()
    assert (data.max_stable_sharpness == optimizer.max_stable_sharpness()).all()
    assert int(data.diverged_at) == -1


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("every", [1, 2, 3, 7, 40, 1000])
def test_the_stride_changes_no_saved_value(name, every, same_bits):
    """Protects sparse records: the same bits as in the dense ones, and the last step always."""
    whole = run(name, noise=1e-3)
    part = run(name, noise=1e-3, every=every)
    expected = sorted({*range(0, 41, every), 40})
    assert part.step.values.tolist() == expected
    for variable in ("weights", "velocity", "loss", "gradient_norm", "lr", "max_stable_sharpness"):
        assert same_bits(part[variable].values, whole[variable].sel(step=expected).values)
    # An eigensolver that starts from the last record's vector may end elsewhere in the last digits.
    assert part.sharpness.values == pytest.approx(whole.sharpness.sel(step=expected).values, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_kept_changes_no_bit_and_nothing_else_is_kept(name, same_bits):
    """Protects runs from what is recorded of them."""
    whole = run(name)
    for variable in ALL:
        alone = run(name, keep=variable)
        beside = (
            {f"{variable}_residual"}
            if variable.endswith("sharpness") and "sharpness_residual" in whole
            else set()
        )
        assert set(alone.data_vars) == {variable, "lr", "max_stable_sharpness", "diverged_at"} | beside
        assert same_bits(alone[variable].values, whole[variable].values)
    assert set(run(name, keep=()).data_vars) == {"lr", "max_stable_sharpness", "diverged_at"}


@pytest.mark.parametrize("name", LOSSES)
def test_a_run_in_two_parts(name):
    """Protects `previous` and the start's convention: the last two weights of one run begin the next."""
    w = run(name, keep=["weights"]).weights.values
    loss, _, optimizer = LOSSES[name]
    again = ss.simulate(loss, optimizer, w[20], 20, previous=w[19], keep=["weights"])
    assert again.weights.values == pytest.approx(w[20:], rel=1e-7, abs=1e-9)


@pytest.fixture
def compilations(monkeypatch):
    """Return the generated sources that are compiled from now on: none, where a run was plain CPython's."""
    sources, compiled = [], modules.compiled

    def watched(source):
        sources.append(source)
        return compiled(source)

    monkeypatch.setattr(modules, "compiled", watched)
    return sources


def test_compiled_long_runs_have_the_bits_of_short_ones(same_bits, compilations):
    """Protects the switch of a run from plain CPython to the compiled trace: the longest plain run, one step more."""
    loss, optimizer = ss.CubicTaylor(1.0, 1e-4), ss.HeavyBall(1.9, 0.1)
    settings = {"keep": ("weights", "loss", "sharpness"), "noise": 1e-4, "every": 7}
    last = PLAIN_STEPS - PLAIN_STEPS % 7
    short = ss.simulate(loss, optimizer, [0.1, 0.0], PLAIN_STEPS, **settings).sel(step=slice(0, last))
    assert not compilations
    long = ss.simulate(loss, optimizer, [0.1, 0.0], PLAIN_STEPS + 1, **settings).sel(step=slice(0, last))
    assert compilations
    for variable in settings["keep"]:
        assert len(short[variable]) == last // 7 + 1
        assert same_bits(short[variable].values, long[variable].values)


def test_compiled_evaluations_have_the_bits_of_plain_ones(same_bits, compilations):
    """Protects the switch of losses and sharpnesses at many points: the most that are plain, and one more."""
    loss = ss.Minimalist()
    points = np.random.default_rng(0).normal(size=(PLAIN_STEPS + 1, loss.dimension))
    few = loss.kernel.evaluate(points[:-1], loss=True, sharpness=True)
    assert not compilations
    many = loss.kernel.evaluate(points, loss=True, sharpness=True)
    assert compilations
    for plain, compiled in zip(few, many, strict=True):
        assert plain.shape == (PLAIN_STEPS,)
        assert same_bits(plain, compiled[:-1])


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(1e-3, 1.0), z=st.floats(-0.5, 0.5), lr=st.floats(0.1, 2.2), momentum=st.floats(0, 0.95),
    lookahead=st.floats(0, 0.95), seed=st.integers(0, 3),
)  # fmt: skip
def test_reflection(x, z, lr, momentum, lookahead, seed):
    """Protects the symmetry x → −x of the cubic model, bit for bit."""
    loss, optimizer = ss.CubicTaylor(1.0, 0.01), ss.HeavyBall(lr, momentum, lookahead)
    one = ss.simulate(loss, optimizer, [x, z], 50, previous=[-x, z], keep=ALL[:4])
    two = ss.simulate(loss, optimizer, [-x, z], 50, previous=[x, z], keep=ALL[:4])
    assert np.array_equal(one.weights.values * [-1, 1], two.weights.values)
    assert np.array_equal(one.velocity.values * [-1, 1], two.velocity.values)
    assert np.array_equal(one.loss.values, two.loss.values)
    assert np.array_equal(one.sharpness.values, two.sharpness.values)


SCALED = ss.SymbolicLoss("s*(u*v - 1)**2/2", ["u", "v"], {"s": 1.0})


@settings(max_examples=25, deadline=None)
@given(
    power=st.integers(-30, 30),
    u=st.floats(0.5, 3),
    v=st.floats(0.1, 1),
    lr=st.floats(0.01, 0.6),
    momentum=st.floats(0, 0.9),
)
def test_loss_and_rate_rescale_together(power, u, v, lr, momentum):
    """Protects the units: 2^k·L with lr/2^k is the same run, bit for bit, its sharpness 2^k times as large."""
    s = 2.0**power
    one = ss.simulate(SCALED, ss.HeavyBall(lr, momentum), [u, v], 40, keep=ALL[:4])
    two = ss.simulate(SCALED.replace(s=s), ss.HeavyBall(lr / s, momentum), [u, v], 40, keep=ALL[:4])
    assert np.array_equal(one.weights.values, two.weights.values)
    assert np.array_equal(one.loss.values * s, two.loss.values)
    assert np.array_equal(one.sharpness.values * s, two.sharpness.values)
    assert np.array_equal(one.max_stable_sharpness.values * s, two.max_stable_sharpness.values)


def test_no_momentum_is_gradient_descent():
    """Protects β = 0: w ← w − η∇L(w), from rest or not."""
    loss = ss.Product()
    w = start = np.array([1.8, 0.9])
    data = ss.simulate(loss, ss.HeavyBall(0.2), start, 30, previous=[5.0, 5.0], keep=["weights"])
    for t in range(30):
        w = w - 0.2 * loss.gradient(w)
        assert data.weights.values[t + 1] == pytest.approx(w, rel=1e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_small_oscillations_are_those_of_the_quadratic(momentum):
    """Protects the linear regime: near a minimum the run along u is the quadratic's, with an error of second order."""
    loss = ss.Product()
    w = loss.minimum(sharpness=4.0)
    u = loss.sharpness(w)[1]
    optimizer = ss.HeavyBall(1.01 * 2 * (1 + momentum) / 4, momentum)
    sizes, errors = np.array([2e-6, 1e-6, 5e-7]), []
    for size in sizes:
        start, previous = ss.flip_start(loss, w, size)
        run = ss.simulate(loss, optimizer, start, 30, previous=previous, keep=["weights"])
        line = ss.simulate(ss.Quadratic([4.0]), optimizer, [size], 30, previous=[-size], keep=["weights"])
        errors.append(np.abs((run.weights.values - w) @ u - line.weights.values[:, 0]).max())
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(2, abs=0.1)


def test_divergence_is_a_result():
    """Protects a run that diverges: its step, records before it only, numbers, and silence."""
    data = ss.simulate(ss.DoubleWell(), ss.HeavyBall(1.0), [3.0], 100, keep=ALL, escape=1e300)
    assert int(data.diverged_at) == data.sizes["step"]
    assert np.isfinite(data.weights.values).all()
    for every in (2, 5):
        part = ss.simulate(ss.DoubleWell(), ss.HeavyBall(1.0), [3.0], 100, keep=["weights"], every=every)
        full = ss.simulate(ss.DoubleWell(), ss.HeavyBall(1.0), [3.0], 100, keep=["weights"])
        assert np.array_equal(part.weights.values, full.weights.values[::every])
        assert int(part.diverged_at) == int(full.diverged_at)


def test_divergence_at_once_and_no_steps():
    """Protects the ends: divergence at the first step leaves the start; no steps are a run, too."""
    data = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(10.0), [1.0], 5, escape=1.0, keep=ALL)
    assert (int(data.diverged_at), data.sizes["step"]) == (1, 1)
    for name in LOSSES:
        data = run(name, steps=0)
        assert (int(data.diverged_at), data.sizes["step"]) == (-1, 1)


def test_warmup_is_recorded():
    """Protects lr and threshold of the update t → t + 1, the schedule's at the last step, at any stride."""
    optimizer = ss.HeavyBall(ss.LinearWarmup(0.0, 1.0, 10), 0.5)
    for every in (1, 3, 5000):
        data = ss.simulate(ss.Quadratic([1.0]), optimizer, [1.0], 9001, every=every, keep=())
        assert data.lr.values == pytest.approx(np.minimum(data.step.values / 10, 1))
        assert data.max_stable_sharpness.values[0] == np.inf
        assert data.max_stable_sharpness.values[1:] == pytest.approx(3 / data.lr.values[1:])


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
@pytest.mark.parametrize("name", ["product", "network"])
def test_files_keep_everything(name, kind, tmp_path):
    """Protects stored runs: NetCDF and Zarr give back values, attributes, dimensions and dtypes, without a warning."""
    data = run(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind == "netcdf":
            data.to_netcdf(tmp_path / "run.nc")
            back = xr.load_dataset(tmp_path / "run.nc")
        else:
            # Consolidated metadata are no part of Zarr 3, and xarray says so.
            data.to_zarr(tmp_path / "run.zarr", consolidated=False)
            back = xr.load_dataset(tmp_path / "run.zarr", engine="zarr", consolidated=False)
    xr.testing.assert_identical(back, data)
    assert json.loads(back.attrs["optimizer"])["momentum"] == LOSSES[name][2].momentum
    assert set(json.loads(back.attrs["versions"])) >= {"selfstab", "numpy", "python"}
    assert all(back[v].attrs["long_name"] and back[v].attrs["units"] for v in back.data_vars)


def test_arguments_are_not_changed():
    """Protects the caller's arrays."""
    start, previous = np.array([2.0, 0.7]), np.array([1.9, 0.7])
    before = start.copy(), previous.copy()
    ss.simulate(ss.Product(), ss.HeavyBall(0.3, 0.8), start, 10, previous=previous)
    assert np.array_equal(start, before[0])
    assert np.array_equal(previous, before[1])


GOOD = {"loss": ss.Product(), "optimizer": ss.HeavyBall(0.1), "start": [1.0, 2.0], "steps": 3}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"loss": None}, "loss must be a selfstab loss"),
        ({"loss": ss.Product}, "loss must be a selfstab loss"),
        ({"optimizer": 0.1}, "optimizer must be a HeavyBall"),
        ({"start": [1.0]}, r"start must have shape \(2,\), got shape \(1,\)"),
        ({"start": [[1.0, 2.0]]}, "start must have shape"),
        ({"start": 1.0}, "start must have shape"),
        ({"start": [1.0, np.nan]}, "start must be finite"),
        ({"start": [1.0, np.inf]}, "start must be finite"),
        ({"start": [1.0, 1j]}, "start must be real numbers"),
        ({"start": [1.0, None]}, "start must be real numbers"),
        ({"start": ["a", "b"]}, "start must be real numbers"),
        ({"start": [[1.0], [1.0, 2.0]]}, "start must be an array of numbers of equal lengths"),
        ({"start": [2e6, 0.0]}, "start must lie within escape = 1e"),
        ({"previous": [1.0]}, "previous must have shape"),
        ({"previous": [1.0, np.nan]}, "previous must be finite"),
        ({"steps": -1}, "steps must be an integer >= 0"),
        ({"steps": 2.0}, "steps must be an integer >= 0"),
        ({"steps": True}, "steps must be an integer >= 0"),
        ({"steps": "3"}, "steps must be an integer >= 0"),
        ({"steps": 10**30}, "steps must be an integer >= 0"),
        ({"every": 0}, "every must be an integer >= 1"),
        ({"every": 1.5}, "every must be an integer >= 1"),
        (
            {"keep": "losses"},
            "keep must be one of loss, sharpness, weights, velocity, gradient_norm, top_eigenvector, "
            "preconditioned_sharpness, preconditioner",
        ),
        ({"keep": ["loss", "loss"]}, "keep must not repeat a name"),
        ({"keep": [1]}, "keep must be one of"),
        ({"keep": {"loss"}}, "keep must be names among"),
        ({"keep": None}, "keep must be names among"),
        ({"escape": 0}, "escape must be"),
        ({"escape": np.inf}, "escape must be"),
        ({"escape": "far"}, "escape must be"),
        ({"noise": -1e-9}, "noise must be"),
        ({"noise": np.nan}, "noise must be"),
        ({"noise": True}, "noise must be a single number"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"seed": 0.5}, "seed must be an integer >= 0"),
        ({"seed": 2**64}, "seed must be an integer >= 0"),
    ],
)
def test_bad_input_is_named(changes, match):
    """Protects the door."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        ss.simulate(**(GOOD | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((None, [1.0, 2.0], 0.1), "loss must be"),
        ((ss.Product(), [1.0], 0.1), "weights must have shape"),
        ((ss.Product(), [1.0, 1.0], 0.0), "size must be"),
        ((ss.Product(), [1.0, 1.0], "1"), "size must be"),
    ],
)
def test_flip_start_names_bad_input(arguments, match):
    """Protects the other door."""
    with pytest.raises((ValueError, TypeError), match=match):
        ss.flip_start(*arguments)
