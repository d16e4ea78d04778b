"""
A film of a catapult
====================

``animate_catapult`` writes a GIF or an MP4 of one run or several in the plane of displacement and sharpness.
"""

import selfstab as ss

loss, keep = ss.Product(), ("loss", "sharpness", "weights")
minimum = loss.minimum(sharpness=4.0)
start, previous = ss.flip_start(loss, minimum, size=1e-3)
momentum = ss.HeavyBall(lr=0.97, momentum=0.9)
runs = {}
for name, optimizer, steps in (("GD", momentum.matched(momentum=0.0), 1000), ("PHB", momentum, 200)):
    run = ss.simulate(loss, optimizer, start, steps, previous=previous, keep=keep)
    runs[name] = ss.observables.swing(run, loss, minimum)
film = ss.plotting.animate_catapult(runs, "catapult.gif", frames=60, frames_per_second=12)
film
