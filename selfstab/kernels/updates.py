"""What the templates of kernels ask of an optimizer: the text of its update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class UpdateText(Protocol):
    """An optimizer's update, threshold and begin as text, one weight at a time.

    What a run carries beside its weights are an optimizer's states, each of the weights' shape. The first is the
    displacement w_t − w_{t−1}, which measures read: an optimizer without such a state has it added.
    """

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states that are carried, such as velocity; the first is the displacement."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the optimizer's numbers as axes and inputs have them, such as momentum."""

    @property
    def setting_rows(self) -> tuple[str, ...]:
        """The same numbers' names in a kernel."""

    @property
    def depends_on_step(self) -> bool:
        """Whether the update reads the step t beside the states."""

    @property
    def common(self) -> tuple[int, ...]:
        """Which of the states are one number for all weights."""

    @property
    def preconditions(self) -> bool:
        """Whether it has a preconditioner, and a threshold of the preconditioned sharpness."""

    def rows(self, state: int, weights: Sequence[str]) -> list[str]:
        """Return the names, in a kernel, of one state of each weight."""

    def begin(self, start: str, previous: str) -> tuple[list[str], bool]:
        """Return the texts of a weight's states at step 0, and whether they read lr."""

    def point(self, weight: str, states: Sequence[str]) -> str | None:
        """Return the text of where the gradient is taken, or None if at the weight."""

    def conditional_point(self, weight: str, states: Sequence[str]) -> str:
        """Return the same for a kernel in which a setting may be 0 and then leaves the gradient at the weight."""

    def step(
        self,
        weight: str,
        states: Sequence[str],
        force: str,
        *,
        lr: str,
        step: str = "t",
        prefix: str,
    ) -> list[str]:
        """Return the lines that give next_NAME of each state and of the weight.

        `force` is the gradient's text, perhaps a sum; `step` is t; `prefix` begins temporaries.
        """

    def preconditioner(
        self, states: Sequence[str], gradient: str, *, name: str, step: str = "t", prefix: str
    ) -> list[str]:
        """Return the lines that give `name` the preconditioner of one weight; arguments are those of `step`."""

    def threshold(self, lr: str) -> str:
        """Return the text of S* at a learning rate."""

    def rate_at_excess(self, sharpness: str, excess: str) -> str:
        """Return the text of the lr whose threshold is sharpness/(1 + excess)."""
