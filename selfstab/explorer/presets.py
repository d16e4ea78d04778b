"""Presets of the explorer: the five experiments of the story, as states of the page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from selfstab.explorer.scales import Axis
from selfstab.explorer.state import PageState

PRESETS: Final[Mapping[str, PageState]] = MappingProxyType({
    "GD": PageState(momentum=0.0),
    "momentum": PageState(),
    "warmup": PageState(
        warmup=200.0, across=Axis("warmup", 10.0, 1000.0), up=Axis("excess", 1e-3, 0.1),
        orbit=Axis("warmup", 10.0, 1000.0),
    ),
    "sharpening": PageState(
        settings=(("progressive_sharpening", 1e-5),), momentum=0.7, excess=1e-4, steps=1500
    ),
    "Nesterov": PageState(numbers=(("lookahead", 0.9),)),
})  # fmt: skip
"""What a button sets, by its label; the cubic Taylor model shows each."""
