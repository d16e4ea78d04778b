"""
A catapult: gradient descent beside momentum
============================================

Both methods have the same threshold S*. Both start from the same weights of the product loss, half a percent above the
threshold, with a small swing along the top eigenvector.
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
# The sharpness of both. Gradient descent (GD) falls a little below the threshold. Polyak's heavy ball (PHB) falls
# several times as far, to the end that theory predicts.

for name, run in runs.items():
    ax = ss.plotting.draw_sharpness(run, label=name)
ax.set_xscale("symlog", linthresh=10)
ax.set_xlim(left=0)
ss.plotting.legend(ax, loc=(0.02, 0.15))

# %%
# The displacement of momentum's weights along the top eigenvector. Theory's slow limit gives the envelope.

ax = ss.plotting.draw_displacement(runs["PHB"])
ss.plotting.legend(ax)

# %%
# Excess sharpness against displacement. Gradient descent stays on a level line of the energy, which the slow limit
# conserves. Momentum's orbit leaves these lines outwards.

for run in runs.values():
    ax = ss.plotting.draw_orbit(run)
ss.plotting.legend(ax)
