"""What is measured along runs: catapults, phases and the swing along the top eigenvector.

``detection`` finds catapults in anyone's arrays, ``measures`` reads a sweep's measures off a run, ``swings``
splits a run. What is read off a run, without running it again, goes here. A measure of sweeps goes into
``kernels.measures``.
"""

from selfstab.observables.detection import catapults
from selfstab.observables.measures import Observer, measure, observe
from selfstab.observables.swings import swing

__all__ = ["Observer", "catapults", "measure", "observe", "swing"]
