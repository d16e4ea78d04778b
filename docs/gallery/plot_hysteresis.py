"""
Hysteresis along a branch
=========================

Each run starts from its neighbour's end, forward and backward along the learning rate. On this loss the flip is
subcritical, so that both the minimum and a two-cycle live in an interval.
"""

import numpy as np

import selfstab as ss

loss = ss.SymbolicLoss("3*log(1 + w**2)/2 + 1/(1 + w**2)", ["w"])
lr = {"lr": np.linspace(1.6, 2.1, 26)}
branches = ss.continuation(
    loss,
    ss.HeavyBall(lr=1.0),
    lr,
    along="lr",
    start=[0.01],
    steps=2000,
    measure=["final_loss"],
    progress=False,
)
ax = ss.plotting.draw_continuation(branches)
