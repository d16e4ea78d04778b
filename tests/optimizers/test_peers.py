"""Each optimizer against PyTorch's and Optax's own, where they have it: equal to rounding over 1,000 steps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import selfstab as ss

LOSS = ss.Product()
START, _ = ss.flip_start(LOSS, LOSS.minimum(sharpness=4.0), size=1e-2)
STEPS = 1000


def weights_of(optimizer):
    """Return the weights of a run that starts at rest, and its velocities."""
    run = ss.simulate(LOSS, optimizer, START, STEPS, keep=["weights", "velocity"])
    return run.weights.values, run.velocity.values


def by_pytorch(make, *, undamped_first_step=True):
    """Return the weights by an optimizer of PyTorch; gradients are ours."""
    import torch

    weight = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = make([weight])
    if not undamped_first_step:
        optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    out = [weight.detach().numpy().copy()]
    for _ in range(STEPS):
        weight.grad = torch.tensor(LOSS.gradient(out[-1]))
        optimizer.step()
        out.append(weight.detach().numpy().copy())
    return np.array(out)


def catapult_of(kind, **numbers):
    """Return an optimizer 2% above its threshold at the start."""
    optimizer = kind(1.0, **numbers)
    return optimizer.with_numbers({"lr": optimizer.at_excess(LOSS.sharpness(START)[0], 0.02)})


BALL = catapult_of(ss.HeavyBall, momentum=0.9)
NESTEROV = catapult_of(ss.HeavyBall, momentum=0.9, lookahead=0.9)
AVERAGED = catapult_of(ss.AveragedHeavyBall, momentum=0.9)
QUASI = catapult_of(ss.QuasiHyperbolic, momentum=0.9, nu=0.7)
AGGREGATED = catapult_of(ss.AggregatedMomentum, momenta=(0.0, 0.5, 0.9))


def assert_equal(ours, theirs):
    assert np.ptp(ours, axis=0).max() > 0.01  # the weights moved
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.integrations
def test_pytorchs_momentum():
    """Protects HeavyBall and AveragedHeavyBall, with the dampening that their docstrings state."""
    import torch

    assert_equal(weights_of(BALL)[0], by_pytorch(partial(torch.optim.SGD, lr=BALL.lr, momentum=0.9)))
    averaging = partial(torch.optim.SGD, lr=AVERAGED.lr, momentum=0.9, dampening=0.9)
    assert_equal(weights_of(AVERAGED)[0], by_pytorch(averaging, undamped_first_step=False))
    damped = partial(torch.optim.SGD, lr=BALL.lr / 0.6, momentum=0.9, dampening=0.4)
    assert_equal(weights_of(BALL)[0], by_pytorch(damped, undamped_first_step=False))


@pytest.mark.integrations
def test_pytorchs_nesterov():
    """Protects lookahead: PyTorch's weights are the points at which ours takes gradients."""
    import torch

    weights, velocity = weights_of(NESTEROV)
    theirs = by_pytorch(partial(torch.optim.SGD, lr=NESTEROV.lr, momentum=0.9, nesterov=True))
    assert_equal(weights + 0.9 * velocity, theirs)


@pytest.mark.integrations
def test_quasi_hyperbolic_and_aggregated_momentum_of_torch_optimizer():
    """Protects QuasiHyperbolic and AggregatedMomentum: another implementation of the papers."""
    import torch_optimizer as peers

    theirs = by_pytorch(partial(peers.QHM, lr=QUASI.lr, momentum=0.9, nu=0.7))
    assert_equal(weights_of(QUASI)[0], theirs)
    theirs = by_pytorch(partial(peers.AggMo, lr=AGGREGATED.lr, betas=AGGREGATED.momenta))
    assert_equal(weights_of(AGGREGATED)[0], theirs)


def by_optax(make):
    """Return the weights by an optimizer of Optax; gradients are ours."""
    jax = pytest.importorskip("jax", reason="JAX (extra 'test') is missing: not run")
    optax = pytest.importorskip("optax", reason="Optax (extra 'test') is missing: not run")
    jax.config.update("jax_enable_x64", True)
    optimizer = make(optax)
    state = optimizer.init(jax.numpy.asarray(START))
    step = jax.jit(optimizer.update)
    out = [START]
    for _ in range(STEPS):
        updates, state = step(jax.numpy.asarray(LOSS.gradient(out[-1])), state)
        out.append(out[-1] + np.asarray(updates))
    return np.array(out)


def test_optaxs_momentum():
    """Protects HeavyBall, lookahead and AveragedHeavyBall: Optax's sgd and its ema without correction."""
    assert_equal(weights_of(BALL)[0], by_optax(lambda optax: optax.sgd(BALL.lr, momentum=0.9)))
    weights, velocity = weights_of(NESTEROV)
    theirs = by_optax(lambda optax: optax.sgd(NESTEROV.lr, momentum=0.9, nesterov=True))
    assert_equal(weights + 0.9 * velocity, theirs)
    theirs = by_optax(lambda optax: optax.chain(optax.ema(0.9, debias=False), optax.scale(-AVERAGED.lr)))
    assert_equal(weights_of(AVERAGED)[0], theirs)
