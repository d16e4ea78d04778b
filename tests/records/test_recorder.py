"""The recorder of one's own training loop: what it logs is what simulate records of the same run."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import selfstab as ss

jax.config.update("jax_enable_x64", True)

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.standard_normal((20, 8)), RNG.standard_normal((20, 1))
NETWORK = ss.MLP((8, 7, 1), INPUTS, TARGETS)  # 71 weights: the sharpness comes from products
START = NETWORK.initial_weights()
LR, MOMENTUM, STEPS = 0.9, 0.9, 60


def simulated(lr=LR, steps=STEPS, every=1):
    return ss.simulate(NETWORK, ss.HeavyBall(lr, MOMENTUM), START, steps, every=every)


def assert_same_record(recorded, run):
    assert np.array_equal(recorded.step, run.step)
    for name in ("loss", "sharpness", "lr", "max_stable_sharpness"):
        np.testing.assert_allclose(recorded[name], run[name], rtol=1e-9)
    assert (recorded.sharpness_residual <= 1e-10 * np.abs(recorded.sharpness)).all()


def layered(w):
    """Return the network's parameters as a JAX pytree."""
    w1, b1, w2, b2 = np.split(w, [56, 63, 70])
    return {
        "in": {"w": jnp.array(w1.reshape(8, 7)), "b": jnp.array(b1)},
        "out": {"w": jnp.array(w2), "b": jnp.array(b2)},
    }


def jax_loss(p):
    hidden = jnp.tanh(INPUTS @ p["in"]["w"] + p["in"]["b"])
    outputs = hidden @ p["out"]["w"][:, None] + p["out"]["b"]
    return jnp.sum((outputs - TARGETS) ** 2) / (2 * len(INPUTS))


def test_a_jax_loop_equals_the_simulated_run():
    """Protects for_jax: the same run in a loop of the user's own, parameters a pytree."""
    every = 4
    recorder = ss.Recorder.for_jax(jax_loss, lr=LR, momentum=MOMENTUM, every=every)
    parameters = layered(START)
    velocity = jax.tree_util.tree_map(jnp.zeros_like, parameters)
    gradient = jax.jit(jax.grad(jax_loss))
    for step in range(STEPS + 1):
        recorder.log(step, parameters)
        velocity = jax.tree_util.tree_map(lambda v, g: MOMENTUM * v - LR * g, velocity, gradient(parameters))
        parameters = jax.tree_util.tree_map(jnp.add, parameters, velocity)
    assert_same_record(recorder.dataset(), simulated(every=every))


def test_a_loop_with_products_of_its_own_equals_the_simulated_run():
    """Protects log with a function of one's own, a schedule, and what is read from the record: the same catapults."""
    warmup = ss.LinearWarmup(0.1, 1.0, 40)
    optimizer = ss.HeavyBall(warmup, MOMENTUM)
    recorder = ss.Recorder(momentum=MOMENTUM)
    w, v = START, np.zeros_like(START)
    for step, lr in enumerate(optimizer.rates(0, 121)):
        recorder.log(
            step, loss=NETWORK.value(w), lr=lr, dimension=w.size,
            hessian_vector=lambda d, w=w: NETWORK.hessian_vector(w, d),
        )  # fmt: skip
        v = MOMENTUM * v - lr * NETWORK.gradient(w)
        w = w + v
    run, recorded = simulated(lr=warmup, steps=120), recorder.dataset()
    assert_same_record(recorded, run)
    found, expected = (ss.catapults(r.sharpness, r.max_stable_sharpness, r.loss) for r in (recorded, run))
    assert found.sizes["catapult"] == expected.sizes["catapult"] > 0
    np.testing.assert_allclose(found.overshoot, expected.overshoot, rtol=1e-6)
    assert ss.plotting.draw_sharpness(recorded).lines


def torch_network(torch):
    model = torch.nn.Sequential(torch.nn.Linear(8, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)).double()
    w1, b1, w2, b2 = np.split(START, [56, 63, 70])
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), (w1.reshape(8, 7).T, b1, w2[None], b2), strict=True):
            parameter.copy_(torch.tensor(values.copy()))
    inputs, targets = torch.tensor(INPUTS), torch.tensor(TARGETS)
    return (
        model,
        lambda: ((model(inputs.to(next(model.parameters()).dtype)) - targets) ** 2).sum() / (2 * len(inputs)),
    )


def torch_record(torch, model, closure, steps=STEPS, **sgd):
    optimizer = torch.optim.SGD(model.parameters(), **sgd)
    recorder = ss.Recorder.for_torch(model.parameters(), closure, optimizer)
    for step in range(steps + 1):
        recorder.log(step)
        optimizer.zero_grad()
        closure().backward()
        optimizer.step()
    return recorder.dataset()


def test_a_torch_loop_equals_the_simulated_run():
    """Protects for_torch: lr and momentum from the optimizer, the sharpness from autograd."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: not run")
    recorded = torch_record(torch, *torch_network(torch), lr=LR, momentum=MOMENTUM)
    assert_same_record(recorded, simulated())
    assert (recorded.momentum == MOMENTUM).all()


def test_torch_optimizers_are_read_with_their_options():
    """Protects weight decay, Nesterov's threshold, float32, and the doors of for_torch."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: not run")
    model, closure = torch_network(torch)
    decayed = torch_record(
        torch, model, closure, steps=0, lr=0.1, momentum=0.5, weight_decay=0.25, nesterov=True
    )
    assert float(decayed.loss[0]) == pytest.approx(NETWORK.value(START) + 0.125 * START @ START, rel=1e-12)
    assert float(decayed.sharpness[0]) == pytest.approx(NETWORK.sharpness(START)[0] + 0.25, rel=1e-12)
    assert float(decayed.max_stable_sharpness[0]) == ss.HeavyBall(0.1, 0.5, 0.5).max_stable_sharpness()
    assert all(p.grad is not None for p in model.parameters())  # the loop's own, left alone

    model, closure = torch_network(torch)
    single = torch_record(torch, model.float(), closure, steps=3, lr=0.1)
    exact = ss.simulate(NETWORK, ss.HeavyBall(0.1), START, 3)
    np.testing.assert_allclose(single.sharpness, exact.sharpness, rtol=1e-4)

    parameters = list(model.parameters())
    sgd = torch.optim.SGD(parameters, lr=0.1)
    for arguments, error, message in (
        (
            (parameters, closure, torch.optim.Adam(parameters)),
            TypeError,
            "optimizer must be a torch.optim.SGD",
        ),
        (([], closure, sgd), ValueError, "parameters must hold tensors that require gradients"),
        ((parameters, 3, sgd), TypeError, "closure must be a function, got 3"),
        (
            ([p.half() for p in parameters], closure, sgd),
            TypeError,
            "parameters must be of float64 or float32",
        ),
    ):
        with pytest.raises(error, match=re.escape(message)):
            ss.Recorder.for_torch(*arguments)
    groups = torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.2}], lr=0.1)
    with pytest.raises(ValueError, match="optimizer must have one lr and momentum in all its groups"):
        ss.Recorder.for_torch(parameters, closure, groups).log(0)
    dampened = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, dampening=0.5)
    with pytest.raises(ValueError, match="optimizer must not dampen or maximize"):
        ss.Recorder.for_torch(parameters, closure, dampened).log(0)


def test_jax_in_float32_is_recorded_to_its_precision():
    """Protects the tolerance: an iteration on products of seven digits must end, and say how well."""
    recorder = ss.Recorder.for_jax(jax_loss, lr=LR)
    recorder.log(0, jax.tree_util.tree_map(lambda leaf: leaf.astype(jnp.float32), layered(START)))
    data = recorder.dataset()
    assert float(data.sharpness[0]) == pytest.approx(NETWORK.sharpness(START)[0], rel=1e-5)
    assert float(data.sharpness_residual[0]) <= 1e-4 * float(data.sharpness[0])


def logged(recorder=None, steps=(0, 1, 2)):
    recorder = recorder or ss.Recorder(lr=0.5, momentum=0.5)
    for step in steps:
        recorder.log(step, loss=1.0, hessian_vector=lambda v: np.array([3.0, 1.0]) * v, dimension=2)
    return recorder


@pytest.mark.parametrize("suffix", ["csv", "nc", "npz", "zarr"])
def test_what_is_saved_can_be_read(tmp_path, suffix):
    """Protects every form a record is saved in."""
    recorder, path = logged(), tmp_path / f"run.{suffix}"
    recorder.save(path)
    recorder.save(str(path))  # in place of itself
    data = recorder.dataset()
    if suffix == "csv":
        read = np.genfromtxt(path, delimiter=",", names=True)
        read = {name: read[name] for name in read.dtype.names}
    elif suffix == "npz":
        read = dict(np.load(path))
    else:
        opened = xarray.open_dataset(path) if suffix == "nc" else xarray.open_zarr(path, consolidated=False)
        read = {name: opened[name].values for name in opened.variables}
        assert opened.attrs["optimizer"] == data.attrs["optimizer"]
        opened.close()
    assert set(read) == {
        "step",
        "loss",
        "sharpness",
        "sharpness_residual",
        "lr",
        "momentum",
        "max_stable_sharpness",
    }
    for name, values in read.items():
        np.testing.assert_allclose(values, data[name].values, rtol=1e-15)


def test_a_rate_of_zero_has_no_threshold():
    """Protects the first step of a warmup."""
    recorder = ss.Recorder()
    recorder.log(0, loss=1.0, lr=0.0, hessian_vector=lambda v: v, dimension=3)
    assert recorder.dataset().max_stable_sharpness.values.tolist() == [np.inf]


def test_divergence_is_recorded():
    """Protects loops that blow up: NaN stands where there is no sharpness, and the loop goes on."""
    recorder = ss.Recorder(lr=0.1)
    for step, factor in enumerate((1.0, np.nan, 2.0)):
        recorder.log(step, loss=factor, hessian_vector=lambda v, factor=factor: factor * v, dimension=3)
    np.testing.assert_array_equal(recorder.dataset().sharpness, [1.0, np.nan, 2.0])


def test_the_second_eigenvalue_is_recorded_where_asked_for():
    """Protects what says where one unstable direction is not all: against the dense spectrum along a run."""
    run = ss.simulate(NETWORK, ss.HeavyBall(LR, MOMENTUM), START, 20, every=4, keep=["loss", "weights"])
    recorder = ss.Recorder(lr=LR, momentum=MOMENTUM, second=True)
    for step, w in zip(run.step.values, run.weights.values, strict=True):
        product = ss.FunctionLoss(
            NETWORK.value, NETWORK.gradient, w.size, hessian_vector=NETWORK.hessian_vector
        )
        recorder.log(
            int(step), loss=NETWORK.value(w), dimension=w.size,
            hessian_vector=product.hessian_operator_at(w),
        )  # fmt: skip
    data = recorder.dataset()
    exact = ss.hessian_spectrum(NETWORK, run, full=True).eigenvalue
    np.testing.assert_allclose(data.sharpness, exact[:, 0], rtol=1e-9)
    np.testing.assert_allclose(data.second_sharpness, exact[:, 1], rtol=1e-9)
    assert "second_sharpness" not in logged().dataset()


def test_an_empty_record_is_a_dataset():
    """Protects what is read before anything is logged."""
    data = ss.Recorder(lr=0.1).dataset()
    assert data.sizes == {"step": 0}


def test_due_says_what_log_would_record():
    """Protects loops that prepare what is costly only where it is logged."""
    recorder = ss.Recorder(lr=0.1, every=3)
    assert [step for step in range(8) if recorder.due(step)] == [0, 3, 6]
    logged(recorder, range(8))
    assert recorder.dataset().step.values.tolist() == [0, 3, 6]


OWN = {"loss": 1.0, "hessian_vector": lambda v: v, "dimension": 2}


@pytest.mark.parametrize(
    ("settings", "call", "error", "message"),
    [
        ({"lr": -1.0}, None, ValueError, "lr must be in [0, inf), got -1.0"),
        ({"momentum": 1.0}, None, ValueError, "momentum must be in [0, 1), got 1.0"),
        ({"every": 0}, None, ValueError, "every must be an integer >= 1"),
        ({"tolerance": 0}, None, ValueError, "tolerance must be in (0, inf)"),
        ({"second": 1}, None, TypeError, "second must be True or False, got 1"),
        ({"lookahead": "x"}, None, TypeError, "lookahead must be"),
        ({}, OWN, ValueError, "lr must be given to log or to the recorder, got None"),
        ({}, OWN | {"lr": np.nan}, ValueError, "lr must be in [0, inf), got nan"),
        ({"lr": 0.1}, OWN | {"loss": None}, TypeError, "loss must be a single number, got None"),
        ({"lr": 0.1}, OWN | {"loss": [1.0, 2.0]}, TypeError, "loss must be a single number"),
        ({"lr": 0.1}, OWN | {"hessian_vector": None}, TypeError, "hessian_vector must be a function, got None"),
        ({"lr": 0.1}, OWN | {"dimension": None}, TypeError, "dimension must be an integer"),
        ({"lr": 0.1}, OWN | {"hessian_vector": lambda v: v[:1]}, TypeError, "hessian_vector must return 2 real"),
        ({"lr": 0.1}, OWN | {"hessian_vector": lambda v: None}, TypeError, "hessian_vector must return 2 real numbers"),
        ({"lr": 0.1}, OWN | {"parameters": [1.0]}, ValueError, "parameters must be left out"),
        ({"lr": 0.1}, OWN | {"step": 0}, ValueError, "step must be larger than the last one, 0, got 0"),
        ({"lr": 0.1}, OWN | {"step": 1.5}, TypeError, "step must be an integer"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_not_recorded(settings, call, error, message):
    """Protects the door of the recorder and of log; nothing half-logged is left."""
    if call is None:
        with pytest.raises(error, match=re.escape(message)):
            ss.Recorder(**settings)
        return
    recorder = ss.Recorder(**settings)
    if "lr" in settings:
        logged(recorder, [0])
    before = recorder.dataset()
    with pytest.raises(error, match=re.escape(message)):
        recorder.log(**({"step": 1} | call))
    assert recorder.dataset().identical(before)


def test_bad_jax_input_is_named():
    """Protects the door of for_jax."""
    with pytest.raises(TypeError, match="function must be a function, got 3"):
        ss.Recorder.for_jax(3)
    recorder = ss.Recorder.for_jax(jax_loss, lr=0.1)
    with pytest.raises(ValueError, match="parameters must be given to log, got None"):
        recorder.log(0)
    with pytest.raises(ValueError, match="hessian_vector and dimension must be left out"):
        recorder.log(0, layered(START), dimension=71)
    with pytest.raises(TypeError, match="parameters must be of float64 or float32, got float16"):
        recorder.log(0, jax.tree_util.tree_map(lambda leaf: leaf.astype(jnp.float16), layered(START)))


def test_a_closure_that_draws_anew_is_refused():
    """Protects records: the sharpness of a network with dropout is another one at each call, its residual small."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: not run")
    model, closure = torch_network(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    recorder = ss.Recorder.for_torch(model.parameters(), lambda: closure() * torch.rand(()), optimizer)
    with pytest.raises(
        ValueError, match=r"closure must give one value at one point, as a module does after \.eval"
    ):
        recorder.log(0)


def test_a_record_goes_nowhere_else(tmp_path):
    """Protects what is saved, and what stands beside it."""
    recorder = logged()
    (tmp_path / "folder.npz").mkdir()
    for path, message in (
        (tmp_path / "run.txt", r"path must end in \.csv, \.nc, \.npz or \.zarr, got"),
        (tmp_path / "no" / "run.npz", "path must be in a folder that exists"),
        (tmp_path / "no" / "run.csv", "path must be in a folder that exists"),
        (tmp_path / "folder.npz", "path must be a file, .* which is a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            recorder.save(path)
    with pytest.raises(TypeError, match="path must be a text or a Path, got 3"):
        recorder.save(3)
