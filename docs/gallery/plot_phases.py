"""
Phases and overshoots of a sweep
================================

How runs on the product loss end, over momentum and the relative excess of sharpness over the threshold, and how far the
catapults overshoot: a sweep of 96 × 96 runs, with theory's contours of the inertia number.
"""

import numpy as np

import selfstab as ss

loss = ss.Product()
start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), size=1e-3)
axes = {"momentum": 1.0 - np.geomspace(1.0, 0.02, 96), "excess": np.geomspace(1e-3, 0.3, 96)}
diagram = ss.sweep(
    loss, ss.HeavyBall(lr=1.0), axes, start=start, previous=previous, steps=6000,
    measure=["phase", "overshoot"], progress=False,
)  # fmt: skip
phases = ss.plotting.draw_phases(diagram)

# %%
# The overshoot of the catapults, drop/(2y₀); runs without one keep the colour of how they ended.

overshoot = ss.plotting.draw_overshoot(diagram)
