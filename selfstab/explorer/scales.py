"""The axes of the explorer's diagrams: their values, their places on the page, and their ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.validation import Array

AXES: Final = {
    "momentum": "momentum β",
    "excess": "relative excess ε",
    "lr": "learning rate η",
    "warmup": "warmup length",
}
"""What is an axis of every model, and how the page calls it."""


@dataclass(frozen=True)
class Axis:
    """An axis of a diagram: what varies, between which values, in which spacing.

    The momentum is spaced geometrically in 1 − β. Others are spaced geometrically where both ends are above 0 and a
    factor of five or more apart, evenly elsewhere.

    Parameters
    ----------
    name
        A key of AXES, or a setting of the loss that is not whole.
    low, high
        First and last value, low < high.

    Raises
    ------
    TypeError, ValueError
        If the ends are no finite numbers in order, or out of the axis's range.

    Examples
    --------
    >>> Axis("excess", 0.01, 1.0).values(3)
    array([0.01, 0.1 , 1.  ])
    >>> Axis("lr", 1.0, 2.0).text(3)
    'np.linspace(1.0, 2.0, 3)'
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        label = AXES.get(self.name, self.name)
        bounds: dict[str, Any] = {
            "momentum": {"at_least": 0, "below": 1},
            "excess": {"above": -1},
            "lr": {"above": 0},
            "warmup": {"at_least": 1},
        }.get(self.name, {})
        for word in ("low", "high"):
            value = validation.real(f"{label}: {word} end", getattr(self, word), **bounds)
            object.__setattr__(self, word, value)
        if self.low >= self.high:
            raise ValueError(
                f"{label}: low end must be below the high end, got {self.low:g} and {self.high:g}"
            )

    @property
    def scale(self) -> str:
        """``inverse`` (geometric in 1 − value), ``log`` or ``linear``."""
        if self.name == "momentum":
            return "inverse"
        return "log" if self.low > 0.0 and self.high >= 5.0 * self.low else "linear"

    def values(self, count: int) -> Array:
        """Return that many values from low to high."""
        if self.scale == "inverse":
            return 1.0 - np.geomspace(1.0 - self.low, 1.0 - self.high, count)
        return (np.geomspace if self.scale == "log" else np.linspace)(self.low, self.high, count)

    def text(self, count: int) -> str:
        """Return the Python expression that makes these values."""
        if self.scale == "inverse":
            return f"1.0 - np.geomspace({1.0 - self.low!r}, {1.0 - self.high!r}, {count})"
        return (
            f"np.{'geomspace' if self.scale == 'log' else 'linspace'}({self.low!r}, {self.high!r}, {count})"
        )

    def place(self, value: Any) -> Any:
        """Return where a value lies on the axis: 0 at low, 1 at high; nan where the axis has none."""
        ends = self._even(np.array([self.low, self.high]))
        return (self._even(np.asarray(value, dtype=np.float64)) - ends[0]) / (ends[1] - ends[0])

    def value(self, place: float) -> float:
        """Return the value at a place from 0 to 1; beyond them, the end."""
        at = min(max(float(place), 0.0), 1.0)
        if self.scale == "linear":
            return min(self.low + at * (self.high - self.low), self.high)  # not past it by rounding
        low, high = self._even(np.array([self.low, self.high]))
        even = float(low + at * (high - low))
        value = 1.0 - float(np.exp(-even)) if self.scale == "inverse" else float(np.exp(even))
        return min(max(value, self.low), self.high)

    def _even(self, value: Array) -> Array:
        """Return the value in what the axis is even in."""
        if self.scale == "linear":
            return value
        with np.errstate(invalid="ignore", divide="ignore"):
            return -np.log1p(-value) if self.scale == "inverse" else np.log(value)

    def ticks(self) -> dict[float, str]:
        """Return places and words of ticks, at most nine, which do not run into each other.

        Examples
        --------
        >>> list(Axis("excess", 0.01, 1.0).ticks().values())
        ['0.01', '0.03', '0.1', '0.3', '1']
        """
        if self.scale == "inverse":
            marks = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999]
        elif self.scale == "log":
            decades = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)
            every = -(-len(decades) // 6)
            for digits in ((1, 2, 5), (1, 3), (1,)):
                marks = [float(f"{digit}e{k}") for k in decades[::every] for digit in digits]
                if sum(self._holds(mark) for mark in marks) <= 6:
                    break
        else:
            marks = []
        inside = [mark for mark in marks if self._holds(mark)]
        if len(inside) < 2:
            from matplotlib.ticker import MaxNLocator

            inside = [m for m in MaxNLocator(6).tick_values(self.low, self.high) if self._holds(m)]
        # In a small window a character takes 0.028 of the axis: labels that would run into the one before are left out.
        ticks: dict[float, str] = {}
        for mark in inside:
            place, words = float(self.place(mark)), f"{mark:.6g}"
            if not ticks or place - max(ticks) >= 0.028 * (len(words) + 1.0):
                ticks[place] = words
        return ticks

    def _holds(self, value: float) -> bool:
        return bool(-1e-9 <= self.place(value) <= 1.0 + 1e-9)
