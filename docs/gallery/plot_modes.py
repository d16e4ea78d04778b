"""
Modes on a quadratic
====================

The factor per step of heavy ball on a quadratic of curvature S, in closed form, with the boundaries of its regions.
"""

import numpy as np
import xarray

import selfstab as ss

coords = {"momentum": np.linspace(0.0, 0.98, 200), "lr_times_sharpness": np.linspace(0.0, 4.2, 300)}
radius = ss.theory.spectral_radius(coords["lr_times_sharpness"], coords["momentum"][:, None])
modes = xarray.Dataset({"spectral_radius": (tuple(coords), radius)}, coords)
ax = ss.plotting.draw_modes(modes)
