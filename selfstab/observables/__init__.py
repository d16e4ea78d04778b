"""What is measured along runs: catapults, phases and the swing along the top eigenvector."""

from selfstab.observables.measures import Observer, catapults, measure, observe, swing

__all__ = ["Observer", "catapults", "measure", "observe", "swing"]
