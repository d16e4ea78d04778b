"""A small network and its run by simulate, with which records of a training loop are compared."""

from __future__ import annotations

import numpy as np

import selfstab as ss

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
