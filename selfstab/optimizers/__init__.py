"""Optimizers and their learning rates.

One optimizer a file: its state, its update and its threshold, written once. ``schedules`` holds learning rates
that change. A new optimizer is a new file here; runs and sweeps take the update from it.
"""

from selfstab.optimizers.heavy_ball import HeavyBall

__all__ = ["HeavyBall"]
