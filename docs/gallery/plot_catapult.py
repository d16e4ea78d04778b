"""
A catapult, gradient descent beside momentum
============================================

The product loss started on its minima at sharpness 4, half a percent above the threshold: both methods have the same
threshold and start from the same weights, with a small swing along the top eigenvector.
"""

import selfstab as ss

loss, keep = ss.Product(), ("loss", "sharpness", "weights")
minimum = loss.minimum(sharpness=4.0)
start, previous = ss.flip_start(loss, minimum, size=1e-4)
momentum = ss.HeavyBall(lr=1.005 * 0.95, momentum=0.9)  # S* = 3.8/lr
runs = {}
for name, optimizer, steps in (("GD", momentum.matched(momentum=0.0), 1500), ("PHB", momentum, 250)):
    run = ss.simulate(loss, optimizer, start, steps, previous=previous, keep=keep)
    runs[name] = ss.observables.swing(run, loss, minimum)

# %%
# The sharpness, with the threshold and the end that the overshoot law predicts. The law is the limit of small relative
# drops; here it goes a little too far.

sharpness = ss.plotting.draw_sharpness(runs["PHB"])
ss.plotting.legend(sharpness)

# %%
# The displacement along the top eigenvector, within the slow limit's envelope: gradient descent fills it.

displacement = ss.plotting.draw_displacement(runs["GD"])
ss.plotting.legend(displacement)

# %%
# Both orbits in the plane of excess and swing, over the level lines of the slow limit's conserved energy. Momentum
# leaves them outwards.

orbit = ss.plotting.draw_orbit(runs["GD"])
ss.plotting.draw_orbit(runs["PHB"], orbit)
ss.plotting.legend(orbit)
