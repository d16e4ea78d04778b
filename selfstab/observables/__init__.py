"""What is measured along runs: catapults, phases and the swing along the top eigenvector.

``batches`` computes the sharpness that minibatches see. ``detection`` finds catapults in a run or in anyone's arrays,
and ``kinds`` separates them from other swings. ``measures`` reads a sweep's measures off a run. ``swings`` splits a
run. What is read off a run, without running it again, goes here. A measure of sweeps goes into ``kernels.measures``.
"""

from typing import Any

from selfstab.former_names import member_of
from selfstab.observables.batches import batch_sharpness
from selfstab.observables.detection import catapults
from selfstab.observables.measures import Observer, measure, observe
from selfstab.observables.swings import swing

__all__ = ["Observer", "batch_sharpness", "catapults", "measure", "observe", "swing"]


def __getattr__(name: str) -> Any:
    # What version 0.1 had here, when this was a module.
    return member_of("observables", name)
