"""What a kernel is written from: a loss's formulas, and which of its kernels it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from selfstab.kernels.careful import Careful
from selfstab.kernels.rates import CONSTANT, RateText
from selfstab.kernels.samples import SampledText
from selfstab.kernels.updates import UpdateText


class LossText(SampledText, Protocol):
    """What a template asks of a loss: its formulas as text in the names of its weights and parameters."""

    @property
    def functions(self) -> str:
        """Source of functions that the formulas call."""

    @property
    def iterated(self) -> int:
        """How many rows the matrix has whose top eigenvalue is found by an iteration; 0 if there is none."""

    @property
    def careful(self) -> Careful | None:
        """What computes the sharpness where its formula does not; None for one that is right everywhere."""

    def code(self, pieces: Sequence[str], prefix: str = "") -> tuple[list[str], dict[str, list[str]]]:
        """Return lines and, for each piece (value, gradient, sharpness), the names of its results.

        A piece `matrix` is the lower triangle for an iteration, `top` the sharpness where the name top_of_matrix is
        what that gave. A prefix is put before the names of weights and temporaries.
        """


@dataclass(frozen=True)
class Variant:
    """Which kernel of a loss: its measures, the update, how lr is given, and whether gradients are noisy.

    A kernel that `resumes` is given the states instead of the weights before the start: those would round them.
    """

    measures: tuple[str, ...]
    update: UpdateText
    rate: RateText = CONSTANT
    noise: bool = False
    resumes: bool = False

    def inputs(self, loss: LossText) -> list[str]:
        """Return the names of a cell's inputs: parameters, rate, settings, start, previous or states."""
        before = self.update.state_names if self.resumes else ("previous",)
        return [
            *loss.parameters,
            *self.rate.inputs,
            *self.update.settings,
            *(f"{word}.{w}" for word in ("start", *before) for w in loss.weights),
        ]
