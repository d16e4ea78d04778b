"""
A small network on the digits
=============================

Sharpness and loss of a network of 2,113 weights on 500 handwritten digits, with a warmup that carries the learning rate
over the threshold. A seeded noise keeps the oscillation alive until it can grow.
"""

import selfstab as ss

inputs, targets = ss.datasets.digits(500, target="parity")
loss = ss.MLP((64, 32, 1), inputs, targets)
lr = ss.LinearWarmup(start=0.0, end=0.76, steps=200)
run = ss.simulate(
    loss, ss.HeavyBall(lr, momentum=0.9), loss.initial_weights(seed=0), 300, every=3, noise=1e-7
)
sharpness = ss.plotting.draw_sharpness(run)
sharpness.set_ylim(0.0, 14.0)
ss.plotting.legend(sharpness)

# %%
# The loss of the same run.

ax = ss.plotting.draw_loss(run)
