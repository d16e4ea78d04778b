"""
Averaged flow, edge flow and rod flow
=====================================

Gradient descent at the edge of stability, displaced along the top eigenvector, and three paths about which it swings.
The averaged flow falls to the threshold from the start, which is above it, and lies on its line from there on: held by
the least swing that does it, it knows no cycles. The edge flow follows a centre, and direction and magnitude of the
swing; the rod flow follows the midpoint of two consecutive iterates, and the spread about it. Both cycle, too.
"""

import selfstab as ss

loss, threshold, steps = ss.MLP((64, 16, 1), *ss.datasets.digits(300, target="parity")), 3.0, 400
descent = ss.simulate(
    loss, ss.HeavyBall(0.5), loss.initial_weights(seed=0), 1000, keep=("sharpness", "weights")
)
w = descent.weights.values[int((descent.sharpness.values > threshold).argmax())]  # the first at the edge
optimizer, start = ss.HeavyBall(2 / threshold), w + 0.05 * loss.sharpness(w)[1]
run = ss.simulate(loss, optimizer, start, steps)
flows = [flow(loss, optimizer, start, steps) for flow in (ss.averaged_flow, ss.edge_flow, ss.rod_flow)]
ax = ss.plotting.draw_sharpness(run, linewidth=0.5)
for flow in flows:
    ss.plotting.draw_sharpness(flow, ax, threshold=False)
ax.set_ylim(2.93, 3.05)
ss.plotting.legend(ax, loc="lower right", ncols=2)

# %%
# The run's loss lies above that of the paths, by what the swing adds: averaged over the swing the flows have it, too.

ax = ss.plotting.draw_loss(run, linestyle="none", marker=".", markersize=2.5)
for flow in flows:
    ss.plotting.draw_loss(flow, ax, linestyle=":", label=f"{flow.flow}, on the path")
    ss.plotting.draw_loss(flow.assign(loss=flow.averaged_loss), ax, label=f"{flow.flow}, averaged")
ax.set_ylim(top=0.1)  # room for the key
ss.plotting.legend(ax, loc="upper right", ncols=2)
