"""What a recorder keeps from one run of a program to the next, and the time that its records take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.eigen.vectors import namespace

_FORMAT: Final = 1
_COLUMN: Final = "records."
_VECTORS: Final = "vectors."
_UNCHECKED: Final = "unchecked."
_ATTRIBUTE: Final = "attribute."
_ATTRIBUTES: Final = ("optimizer", "hessian_vector", "training_optimizer")


@dataclass
class Clock:
    """Times of records and of the steps between them, by the clock on the wall.

    Parameters
    ----------
    record_seconds, records
        Of all records but the first, which is slower.
    step_seconds, steps
        Of the steps between records.
    """

    record_seconds: float = 0.0
    records: int = 0
    step_seconds: float = 0.0
    steps: int = 0
    _last: tuple[int, float] | None = field(default=None, repr=False, compare=False)

    @contextmanager
    def record(self, step: int) -> Iterator[None]:
        """Context of one record. What fails is not counted."""
        begin = time.perf_counter()
        yield
        end = time.perf_counter()
        if self._last is not None:
            self.steps += step - self._last[0]
            self.step_seconds += begin - self._last[1]
            self.record_seconds += end - begin
            self.records += 1
        self._last = step, end

    def steps_per_record(self) -> float:
        """Return how many steps take as long as a record; NaN before the second record."""
        if not self.steps or self.step_seconds <= 0.0:
            return float("nan")
        return (self.record_seconds / self.records) / (self.step_seconds / self.steps)


@dataclass(frozen=True)
class State:
    """What is recorded, and what the next record starts from.

    Parameters
    ----------
    steps, rows, lookaheads
        The records.
    trackers
        By the name of what is tracked: the vectors that the next record starts from, of any library. Also the number
        of records since the last one whose error was measured.
    clock
        What records cost.
    attributes
        What the dataset says of the optimizer and of the products: texts by name.
    """

    steps: list[int]
    rows: list[dict[str, float]]
    lookaheads: list[float]
    trackers: dict[str, tuple[list[Any], int]]
    clock: Clock
    attributes: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return numbers, lists of numbers, texts, and an array of the vectors."""
        clock = self.clock
        state: dict[str, Any] = {
            "format": _FORMAT,
            "step": list(self.steps),
            "lookahead": list(self.lookaheads),
            "clock": [clock.record_seconds, float(clock.records), clock.step_seconds, float(clock.steps)],
        }
        for name in dict.fromkeys(name for row in self.rows for name in row):
            state[_COLUMN + name] = [float(row.get(name, np.nan)) for row in self.rows]
        state |= {_ATTRIBUTE + name: text for name, text in self.attributes.items()}
        for name, (vectors, unchecked) in self.trackers.items():
            state[_UNCHECKED + name] = unchecked
            if vectors:
                state[_VECTORS + name] = namespace(vectors[0]).stack(vectors)
        return state


def state_of(state: Any) -> State:
    """Return the state that a dict holds, whose lists may be arrays of NumPy by now.

    Raises
    ------
    TypeError, ValueError
        If it is no such state.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict that state_dict returned, got {validation.shown(state)}")
    if "format" not in state or _numbers(state, "format", 1)[0] != _FORMAT:
        raise ValueError(
            f"state must be one that state_dict returned (format {_FORMAT}), got the entries "
            f"{validation.shown([*state])}"
        )
    steps = [int(step) for step in _numbers(state, "step")]
    if min(steps, default=0) < 0 or any(b <= a for a, b in pairwise(steps)):
        raise ValueError(f"state must hold steps >= 0 that increase, got {validation.shown(steps)}")
    lookaheads = _numbers(state, "lookahead", len(steps))
    names = [name for name in state if isinstance(name, str) and name.startswith(_COLUMN)]
    columns = {name.removeprefix(_COLUMN): _numbers(state, name, len(steps)) for name in names}
    if steps and not columns:
        raise ValueError(f"state must hold records of its {len(steps)} steps, got none")
    trackers = {}
    for entry in state:
        if isinstance(entry, str) and entry.startswith(_UNCHECKED):
            name = entry.removeprefix(_UNCHECKED)
            trackers[name] = _vectors(state, _VECTORS + name), int(_numbers(state, entry, 1)[0])
    seconds = _numbers(state, "clock", 4)
    return State(
        steps,
        [{name: values[k] for name, values in columns.items()} for k in range(len(steps))],
        lookaheads,
        trackers,
        Clock(seconds[0], int(seconds[1]), seconds[2], int(seconds[3])),
        {name: _text(state, _ATTRIBUTE + name) for name in _ATTRIBUTES if _ATTRIBUTE + name in state},
    )


def _text(state: Mapping[str, Any], name: str) -> str:
    """Return an entry's text, which may be an array of NumPy of none by now."""
    value = state[name]
    text = value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value
    if not isinstance(text, str):
        raise ValueError(f"state must hold a text as {name}, got {validation.shown(value)}")
    return text


def _numbers(state: Mapping[str, Any], name: str, size: int | None = None) -> list[float]:
    """Return an entry's numbers, as many as there must be."""
    if name not in state:
        raise ValueError(f"state must hold {name}, got the entries {validation.shown([*state])}")
    try:
        array = np.asarray(state[name])
    except ValueError:  # lists of several lengths
        array = np.asarray("")
    numeric = array.dtype.kind in "fiu" or array.size == 0
    if not numeric or array.ndim > 1 or size not in (None, array.size):
        raise ValueError(f"state must hold numbers as {name}, got {validation.shown(state[name])}")
    numbers = [float(number) for number in array.ravel()]
    if not name.startswith(_COLUMN) and not np.isfinite(numbers).all():
        raise ValueError(f"state must hold finite numbers as {name}, got {validation.shown(numbers)}")
    return numbers


def _vectors(state: Mapping[str, Any], name: str) -> list[Any]:
    """Return an entry's rows, none where there is no such entry."""
    if name not in state:
        return []
    vectors = state[name]
    precision = str(getattr(vectors, "dtype", "")).rpartition(".")[2]
    if (
        getattr(vectors, "ndim", 0) != 2
        or precision not in ("float64", "float32")
        or not _are_finite(vectors)
    ):
        raise ValueError(f"state must hold finite numbers by rows as {name}, got {validation.shown(vectors)}")
    return [vectors[k] for k in range(vectors.shape[0])]


def _are_finite(vectors: Any) -> bool:
    return bool(np.isfinite(float(abs(vectors).max()))) if 0 not in vectors.shape else False
