"""Training loops of JAX and PyTorch: what is read at a step is the loss, its Hessian and the optimizer's settings."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import selfstab as ss
from selfstab.records.recording import jax_loops, training_loops
from tests.records.small_network import (
    INPUTS,
    LR,
    MOMENTUM,
    NETWORK,
    START,
    STEPS,
    TARGETS,
    assert_same_record,
    simulated,
)

jax.config.update("jax_enable_x64", True)


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


@pytest.mark.integrations
def test_a_torch_loop_equals_the_simulated_run():
    """Protects for_torch: lr and momentum from the optimizer, the sharpness from autograd."""
    import torch

    recorded = torch_record(torch, *torch_network(torch), lr=LR, momentum=MOMENTUM)
    assert_same_record(recorded, simulated())
    assert (recorded.momentum == MOMENTUM).all()


@pytest.mark.integrations
def test_torch_optimizers_are_read_with_their_options():
    """Protects weight decay, Nesterov's threshold, float32, and the doors of for_torch."""
    import torch

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
            (parameters, closure, torch.optim.LBFGS(parameters)),
            TypeError,
            "optimizer must be one of torch.optim's Adagrad, Adam",
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


def test_jax_in_float32_is_recorded_to_its_precision():
    """Protects the tolerance: an iteration on products of seven digits must end, and say how well."""
    recorder = ss.Recorder.for_jax(jax_loss, lr=LR)
    recorder.log(0, jax.tree_util.tree_map(lambda leaf: leaf.astype(jnp.float32), layered(START)))
    data = recorder.dataset()
    assert float(data.sharpness[0]) == pytest.approx(NETWORK.sharpness(START)[0], rel=1e-5)
    assert float(data.sharpness_residual[0]) <= 1e-4 * float(data.sharpness[0])


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


@pytest.mark.integrations
def test_a_closure_that_draws_anew_is_refused():
    """Protects records: the sharpness of a network with dropout is another one at each call, its residual small."""
    import torch

    model, closure = torch_network(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    recorder = ss.Recorder.for_torch(model.parameters(), lambda: closure() * torch.rand(()), optimizer)
    with pytest.raises(
        ValueError, match=r"closure must give one value at one point, as a module does after \.eval"
    ):
        recorder.log(0)


def test_products_of_jax_are_those_of_the_hessian():
    """Protects the order of a pytree's numbers: loss and Hessian of a quartic in closed form, at two points."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(5, 5))
    matrix += matrix.T

    def quartic(p):
        w = jnp.concatenate([p["a"].ravel(), p["b"]])
        return 0.5 * w @ matrix @ w + jnp.sum(w**4)

    read = jax_loops.of_jax(quartic)
    for w in rng.normal(size=(2, 5)):
        reading = read({"b": jnp.array(w[4:]), "a": jnp.array(w[:4].reshape(2, 2))})
        assert (reading.dimension, reading.precision) == (5, "float64")
        assert reading.loss == pytest.approx(0.5 * w @ matrix @ w + (w**4).sum(), rel=1e-12)
        hessian = matrix + np.diag(12.0 * w**2)
        products = np.array([reading.product(direction) for direction in np.eye(5)])
        assert products == pytest.approx(hessian, rel=1e-12, abs=1e-12)
        image = reading.product(reading.vector(w))
        assert isinstance(image, jax.Array)
        assert image == pytest.approx(hessian @ w, rel=1e-12)
        slope = matrix @ w + 4.0 * w**3
        assert reading.gradient()["a"] == pytest.approx(slope[:4].reshape(2, 2), rel=1e-12)
        assert reading.gradient_norm() == pytest.approx(np.linalg.norm(slope), rel=1e-12)
        assert (reading.lr, reading.momentum, reading.lookahead) == (None, None, None)


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2.0), np.int8(2), np.array(2.0), jnp.array(2.0), jnp.array(2, dtype="int32")]
)
def test_one_number_of_any_library_is_a_float(value):
    """Protects losses as each library has them."""
    result = training_loops.number("loss", value)
    assert (type(result), result) == (float, 2.0)


def test_a_divergence_is_a_number():
    """Protects loops that blow up: their loss is recorded as it is."""
    assert training_loops.number("loss", -np.inf) == -np.inf
    assert np.isnan(training_loops.number("loss", np.float32("nan")))


@pytest.mark.parametrize("value", [True, 1j, "2", None, [2.0], np.ones(1), [[1.0], 2.0], {}])
def test_what_is_not_one_number_is_refused(value):
    """Protects records from flags, complex numbers, texts and arrays of one number."""
    with pytest.raises(TypeError, match="loss must be a single number, got"):
        training_loops.number("loss", value)
