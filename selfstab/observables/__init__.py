"""What is measured along runs: catapults, phases and the swing along the top eigenvector."""

from selfstab.observables.detection import catapults
from selfstab.observables.measures import Observer, measure, observe
from selfstab.observables.swings import swing

__all__ = ["Observer", "catapults", "measure", "observe", "swing"]
