"""What a recorder is set to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfstab import validation
from selfstab.optimizers.base import Optimizer
from selfstab.records.recording.tracker import SharpnessTracker


@dataclass(frozen=True)
class RecorderSettings:
    """Settings of a :class:`Recorder`, checked; its docstring says what they are.

    Raises
    ------
    TypeError, ValueError
        If one is of the wrong kind or range, or excludes another.
    """

    lr: float | None = None
    momentum: float = 0.0
    lookahead: float = 0.0
    every: int = 1
    tolerance: float | None = None
    second: bool = False
    accuracy: float | None = None
    most_products: int | None = None
    optimizer: Optimizer | None = None
    clipping: float | None = None

    def __post_init__(self) -> None:
        self._set("lr", at_least=0)
        self._set("momentum", at_least=0, below=1)
        self._set("lookahead", at_least=0)
        object.__setattr__(self, "every", validation.integer("every", self.every, at_least=1))
        self._set("tolerance", above=0)
        if not isinstance(self.second, bool):
            raise TypeError(f"second must be True or False, got {validation.shown(self.second)}")
        self._set("accuracy", above=0, below=1)
        if self.accuracy is not None and self.tolerance is not None:
            raise ValueError(
                f"accuracy must be left out where tolerance is given, got {self.accuracy} and {self.tolerance}"
            )
        if self.most_products is not None:
            most = validation.integer("most_products", self.most_products, at_least=3)
            object.__setattr__(self, "most_products", most)
        self._set("clipping", above=0)
        if self.optimizer is None:
            return
        if not isinstance(self.optimizer, Optimizer):
            raise TypeError(
                "optimizer must be one of selfstab's, such as selfstab.Adam(lr), or be given to for_torch or for_jax, "
                f"got {validation.shown(self.optimizer)}"
            )
        self.check_alone()

    def check_alone(self) -> None:
        """Raise ValueError if lr, momentum or lookahead are set beside an optimizer."""
        if (self.lr, self.momentum, self.lookahead) != (None, 0.0, 0.0):
            raise ValueError(
                "lr, momentum and lookahead must be left out beside optimizer, which has its own"
            )

    def tracker(self) -> SharpnessTracker:
        """Return what finds eigenvalues as these settings ask for."""
        return SharpnessTracker(
            accuracy=self.accuracy,
            tolerance=self.tolerance,
            second=self.second,
            most_products=self.most_products,
        )

    def _set(self, name: str, **bounds: Any) -> None:
        value = getattr(self, name)
        if value is not None or name in ("momentum", "lookahead"):
            object.__setattr__(self, name, validation.real(name, value, **bounds))
