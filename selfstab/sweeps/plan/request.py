"""The arguments of many runs as a user gave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Request:
    """What :func:`selfstab.sweep` and its kin are asked to run; nothing of it is checked yet.

    Parameters
    ----------
    loss, optimizer, axes, start, steps, previous, measure, escape, noise, seed, repeats
        The arguments of :func:`selfstab.sweep` of the same names.
    """

    loss: Any
    optimizer: Any
    axes: Any
    start: Any
    steps: Any
    previous: Any = None
    measure: Any
    escape: Any = 1e6
    noise: Any = 0.0
    seed: Any = 0
    repeats: Any = 1
