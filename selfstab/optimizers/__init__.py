"""Optimizers and their learning rates."""

from selfstab.optimizers.heavy_ball import HeavyBall

__all__ = ["HeavyBall"]
