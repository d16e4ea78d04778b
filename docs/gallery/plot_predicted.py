"""
Predicted dynamics on a network
===============================

A network on handwritten digits starts at the edge of stability, displaced along the top eigenvector. The prediction
knows the start, and nothing else of the run: a slow point and a swing about it. Here momentum is 0.7 and the first
cycle's inertia number is about 1.
"""

import numpy as np

import selfstab as ss

loss = ss.MLP((64, 32, 1), *ss.datasets.digits(500, target="parity"))
threshold, momentum = 5.0, 0.7
descent = ss.simulate(
    loss, ss.HeavyBall(0.3), loss.initial_weights(seed=0), 1000, keep=("sharpness", "weights")
)
w = descent.weights.values[int((descent.sharpness.values > threshold).argmax())]  # the first at the edge
optimizer = ss.HeavyBall(2 * (1 + momentum) / threshold, momentum)
start = w + 0.025 * loss.sharpness(w)[1]
data = ss.predicted_dynamics(loss, optimizer, start, 100, form="two-scale")
ax = ss.plotting.draw_prediction(data)
ss.plotting.legend(ax)

# %%
# How far the iterates swing to either side along the top eigenvector, \|x\|, and δ, the swing that would hold the
# sharpness at the threshold.

ax = ss.plotting.draw_prediction(data, of="x")
ss.plotting.legend(ax)

# %%
# The loss, and that of the constrained trajectory below it.

ax = ss.plotting.draw_prediction(data, of="loss")
ss.plotting.legend(ax)

# %%
# How far the sharpness is off, as a share of its range.

error = data.predicted_sharpness - data.sharpness
print(f"{float(np.sqrt((error**2).mean()) / np.ptp(data.sharpness.values)):.1e}")
