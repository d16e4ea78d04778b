"""How runs end that settle nowhere: cycles, starts that never move, weights outside the loss's domain."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab import phases

KEEP = ("loss", "sharpness", "weights", "velocity")

ROOT = ss.SymbolicLoss("sqrt(1 + x**2)", "x")
"""At lr = 2√(1 + a²) gradient descent takes a to −a, where S/S* = 1/(1 + a²); the cycle attracts for any a > 0."""

LR = 2.0 * np.sqrt(5.0)

CASES = {
    "cycle": (ROOT, [1.5], LR, 0.0, 3000, "cycle"),
    "before the cycle": (ROOT, [1.5], LR, 0.0, 20, "undecided"),
    "saddle": (ss.SymbolicLoss("x**2/2 - y**2/2", "x, y"), [0.0, 0.0], 0.1, 0.5, 50, "stationary"),
    "minimum above the threshold": (ss.Quadratic([3.0]), [0.0], 1.0, 0.0, 50, "stationary"),
    # z goes to its minimum in one step, x stays where the sharpness is above the threshold.
    "left by nothing": (ss.Quadratic([1.0, 3.0]), [1.0, 0.0], 1.0, 0.0, 50, "stationary"),
    "logarithm": (ss.SymbolicLoss("x - log(x)", "x"), [1.2], 10.0, 0.0, 50, "undefined"),
    "root": (ss.SymbolicLoss("x + x**(3/2)", "x"), [0.3], 1.0, 0.0, 50, "undefined"),
    "escape": (ss.Quadratic([1.0]), [1.0], 3.0, 0.0, 50, "diverged"),
    "minimum": (ss.Quadratic([1.0]), [1.0], 0.5, 0.0, 200, "monotone"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_named_as_what_it_is(name, plain_engine):
    """Protects labels, in a sweep and read off a recorded run, against words with known answers."""
    loss, start, lr, momentum, steps, word = CASES[name]
    optimizer = ss.HeavyBall(lr, momentum)
    run = ss.simulate(loss, optimizer, start, steps, keep=KEEP)
    assert phases.LABELS[int(ss.observables.measure(run, ["phase"])["phase"])] == word
    data = plain_engine(
        lambda: ss.sweep(
            loss, optimizer, {"lr": [lr]}, start=start, steps=steps, measure=["phase"], progress=False
        )
    )
    assert phases.LABELS[int(data.phase[0])] == word


def test_a_cycle_of_a_loss_without_a_kernel():
    """Protects the second engine: it sees a cycle in what it observes, across the parts it reads it in."""

    class Own(ss.Loss):
        dimension = 1

        def value_at(self, w):
            return float(np.sqrt(1.0 + w[0] ** 2))

        def gradient_at(self, w):
            return w / np.sqrt(1.0 + w**2)

        def hessian_at(self, w):
            return np.array([[(1.0 + w[0] ** 2) ** -1.5]])

        def third_at(self, w, u, v):
            return -3.0 * w * (1.0 + w**2) ** -2.5 * u * v

    for steps in (1000, 4150):
        data = ss.sweep(
            Own(), ss.HeavyBall(1.0), {"lr": [LR, 0.5]}, start=[1.5], steps=steps, measure=["phase"],
            progress=False, threads=1,
        )  # fmt: skip
        assert data.phase.values.tolist() == [phases.CYCLE, phases.MONOTONE]


def test_a_step_outside_the_domain_ends_no_run_by_itself():
    """Protects diverged_at: it is the first step with a weight that is no number, and −1 where the gradient is one."""
    logarithm, root = CASES["logarithm"], CASES["root"]
    assert int(ss.simulate(logarithm[0], ss.HeavyBall(10.0), [1.2], 50).diverged_at) == -1
    run = ss.simulate(root[0], ss.HeavyBall(1.0), [0.3], 50, keep=KEEP)
    assert int(run.diverged_at) == 2
    assert float(run.weights[-1, 0]) < 0.0
    assert np.isnan(float(run.loss[-1]))
