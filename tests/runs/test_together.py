"""Runs that advance together are the runs alone."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.runs.together import simulate_together

INPUTS = np.random.default_rng(0).standard_normal((6, 5))
DIAGONAL = ss.DiagonalNetwork(INPUTS, np.arange(6.0))
NETWORK = ss.MLP((5, 3, 1), INPUTS, np.arange(6.0))
STEPS, EVERY = [40, 0, 25, 33], [7, 1, 50, 1]


@pytest.mark.parametrize("loss", [DIAGONAL, NETWORK])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_each_has_the_bits_of_its_run(loss, momentum, noise):
    """Protects surveys: rows, lengths, strides, schedules, noise and divergences are those of simulate."""
    rates = [0.05, 0.1, ss.LinearWarmup(0.0, 0.2, 20), 60.0]  # the last diverges
    optimizers = [ss.HeavyBall(lr, momentum) for lr in rates]
    starts = np.array([loss.initial_weights(k, 0.3 + 0.1 * k) for k in range(4)])
    keep = ("loss", "sharpness", "weights", "velocity")
    shared = {"keep": keep, "noise": noise, "seed": 3}
    runs = simulate_together(loss, optimizers, starts, STEPS, every=EVERY, **shared)
    for k, run in enumerate(runs):
        alone = ss.simulate(loss, optimizers[k], starts[k], STEPS[k], every=EVERY[k], **shared)
        del run.attrs["seconds"], alone.attrs["seconds"]
        assert run.identical(alone)
    assert [int(run.diverged_at) >= 0 for run in runs] == [False, False, False, True]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gradients_of_rows_have_the_bits_of_one(depth):
    """Protects a diagonal network's many gradients, and the gradient of a class made from it."""
    loss = ss.DiagonalNetwork(INPUTS, np.arange(6.0), depth)
    points = np.random.default_rng(1).standard_normal((9, 10))
    assert np.array_equal(loss.gradients_at(points), [loss.gradient_at(w) for w in points])

    class Own(ss.DiagonalNetwork):
        def gradient_at(self, w):
            return np.ones_like(w)

    assert (Own(INPUTS, np.arange(6.0)).gradients_at(points) == 1.0).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizers": []}, "optimizers must hold at least one"),
        ({"optimizers": [ss.HeavyBall(0.1), ss.HeavyBall(0.1, 0.5)]}, "equal but for lr"),
        ({"steps": [3]}, "steps must hold a number for each of 2 runs"),
        ({"every": [0, 1]}, "every must be"),
        ({"starts": np.zeros((1, 10))}, "starts must"),
        ({"loss": ss.Product()}, "loss must have no kernel"),
    ],
)
def test_bad_input_is_named(changed, message):
    """Protects the door."""
    call = {"loss": DIAGONAL, "optimizers": [ss.HeavyBall(0.1)] * 2, "starts": np.ones((2, 10)), "steps": [3, 3],
            "every": [1, 1]}  # fmt: skip
    call |= changed
    with pytest.raises(ValueError, match=message):
        simulate_together(
            call["loss"], call["optimizers"], call["starts"], call["steps"], every=call["every"]
        )
