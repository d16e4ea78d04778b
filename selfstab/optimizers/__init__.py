"""Optimizers and their learning rates, and what an optimizer of one's own is written with.

One optimizer a file: its state, its update and its threshold, written once. ``schedules`` holds learning rates
that change. A new optimizer is a new file here; runs and sweeps take the update from it.
"""

from selfstab.optimizers.adam import Adam
from selfstab.optimizers.aggregated import AggregatedMomentum
from selfstab.optimizers.arithmetic import exp, log, sqrt, where
from selfstab.optimizers.averaged import AveragedHeavyBall
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.linear import LinearOptimizer
from selfstab.optimizers.quasi_hyperbolic import QuasiHyperbolic
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.optimizers.settings import setting
from selfstab.optimizers.symbolic import SymbolicOptimizer

__all__ = [
    "Adam",
    "AggregatedMomentum",
    "AveragedHeavyBall",
    "HeavyBall",
    "LinearOptimizer",
    "Optimizer",
    "QuasiHyperbolic",
    "RMSProp",
    "SymbolicOptimizer",
    "exp",
    "log",
    "setting",
    "sqrt",
    "where",
]
