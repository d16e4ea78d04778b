"""
A small network on the digits
=============================

Sharpness and loss of a network of 2,113 weights on 500 handwritten digits, with a warmup that carries the learning rate
past the threshold. A seeded noise keeps the oscillation alive until it can grow. The catapult brings the sharpness
to half of the threshold. Then it rises again.
"""

import selfstab as ss

inputs, targets = ss.datasets.digits(500, target="parity")
loss = ss.MLP((64, 32, 1), inputs, targets)
lr = ss.LinearWarmup(start=0.0, end=0.68, steps=300)
run = ss.simulate(
    loss, ss.HeavyBall(lr, momentum=0.7), loss.initial_weights(seed=0), 600, every=3, noise=1e-7
)
sharpness = ss.plotting.draw_sharpness(run)
sharpness.set_ylim(0.0, 10.0)  # the threshold comes down from infinity
ss.plotting.legend(sharpness)

# %%
# The loss of the same run.

ax = ss.plotting.draw_loss(run)
