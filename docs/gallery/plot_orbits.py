"""
An orbit diagram
================

The last states of runs on the double well over the learning rate: beyond the threshold a two-cycle, whose
half-amplitude theory gives, then period doubling.
"""

import numpy as np

import selfstab as ss

lr = {"lr": np.linspace(0.95, 1.75, 700)}
orbits = ss.orbits(
    ss.DoubleWell(), ss.HeavyBall(lr=1.0), lr, start=[1.05], steps=3000, last=64, progress=False
)
ax = ss.plotting.draw_orbits(orbits, sharpness=2.0, cycle=(1.0, 6.0, 6.0))
