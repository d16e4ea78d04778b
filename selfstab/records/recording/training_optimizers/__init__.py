"""Optimizers of other libraries: what each does at one step, in the terms of :class:`selfstab.Optimizer`.

One file a library. A loop calls that library's one function and gets an :class:`OptimizerReading`.
"""

from selfstab.records.recording.training_optimizers.base import OptimizerReading

__all__ = ["OptimizerReading"]
